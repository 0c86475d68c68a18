package web

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"sort"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Languages that every page speaks, the default first.
var Languages = []string{"de", "en"}

const langCookie = "lang"

// Bundle is what a slice shows: templates/*.html and i18n/{de,en}.json.
type Bundle struct {
	Name string
	FS   fs.FS
}

type catalogue struct {
	localizers map[string]*i18n.Localizer
	keys       map[string]map[string]bool   // language -> key
	fixed      map[string]map[string]string // language -> key -> text, of those with nothing to fill in
	matcher    language.Matcher
}

func loadCatalogue(bundles []Bundle) (*catalogue, error) {
	cat := &catalogue{localizers: map[string]*i18n.Localizer{}, keys: map[string]map[string]bool{}, fixed: map[string]map[string]string{}, matcher: language.NewMatcher([]language.Tag{language.German, language.English})}
	b := i18n.NewBundle(language.German)
	b.RegisterUnmarshalFunc("json", json.Unmarshal)
	for _, lang := range Languages {
		cat.keys[lang], cat.fixed[lang] = map[string]bool{}, map[string]string{}
		for _, s := range bundles {
			name := "i18n/" + lang + ".json"
			raw, err := fs.ReadFile(s.FS, name)
			if err != nil {
				return nil, fmt.Errorf("texts of %s: %w", s.Name, err)
			}
			mf, err := b.ParseMessageFileBytes(raw, lang+".json")
			if err != nil {
				return nil, fmt.Errorf("texts of %s, %s: %w", s.Name, name, err)
			}
			for _, m := range mf.Messages {
				if cat.keys[lang][m.ID] {
					return nil, fmt.Errorf("texts of %s: key %q stands twice", s.Name, m.ID)
				}
				cat.keys[lang][m.ID] = true
				if m.One == "" && !strings.Contains(m.Other, "{{") {
					cat.fixed[lang][m.ID] = m.Other
				}
			}
		}
		cat.localizers[lang] = i18n.NewLocalizer(b, lang)
	}
	return cat, nil
}

// missing lists keys that one language has and another lacks.
func (cat *catalogue) missing() []string {
	var out []string
	for _, l := range Languages {
		for _, other := range Languages {
			for k := range cat.keys[l] {
				if !cat.keys[other][k] {
					out = append(out, other+" lacks "+k)
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

// text returns a text; a missing one shows its key, so that a page never
// breaks, and is logged.
func (cat *catalogue) text(lang, key string, args ...any) string {
	if key == "" {
		return ""
	}
	if s, ok := cat.fixed[lang][key]; ok {
		return s
	}
	data := make(map[string]any, len(args)/2)
	cfg := &i18n.LocalizeConfig{MessageID: key}
	for i := 0; i+1 < len(args); i += 2 {
		name, _ := args[i].(string)
		data[name] = args[i+1]
		if name == "Count" {
			cfg.PluralCount = args[i+1]
		}
	}
	if len(data) > 0 {
		cfg.TemplateData = data
	}
	s, err := cat.localizers[lang].Localize(cfg)
	if err != nil {
		slog.Warn("text missing", "lang", lang, "key", key, "err", err)
		if s == "" {
			return key
		}
	}
	return s
}

func (cat *catalogue) has(lang, key string) bool { return cat.keys[lang][key] }

// chooseLang: what was chosen and remembered, else what the browser asks for,
// else German.
func (c *Ctx) chooseLang() string {
	if l := c.GetCookie(langCookie); l == "de" || l == "en" {
		return l
	}
	if h := c.Get(fiber.HeaderAcceptLanguage); h != "" {
		tags, _, err := language.ParseAcceptLanguage(h)
		if err == nil && len(tags) > 0 {
			_, i, conf := c.app.cat.matcher.Match(tags...)
			if conf >= language.High {
				return Languages[i]
			}
		}
	}
	return Languages[0]
}

func setLanguage(c *Ctx) error {
	f := c.Form()
	if l := f.Get("lang"); l == "de" || l == "en" {
		c.PutCookie(langCookie, l, 365*24*time.Hour)
	}
	return c.See(OwnPath(f.Get("to"), "/"))
}

var printers = map[string]*message.Printer{
	"de": message.NewPrinter(language.German),
	"en": message.NewPrinter(language.English),
}

// MissingTexts lists texts that one language has and another lacks; for a test.
func (a *App) MissingTexts() []string { return a.cat.missing() }
