package programme

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"impfportal/internal/pg"
)

// Keys of the texts that an administrator can edit.
const (
	TextImprint       = "imprint"       // Impressum, section 5 DDG
	TextPrivacy       = "privacy"       // Datenschutzhinweise, article 13 GDPR
	TextAccessibility = "accessibility" // Erklärung zur Barrierefreiheit, section 3 BfWebG
	TextNotice        = "notice"        // notice on the start page; empty = none is shown
)

// TextKeys returns the keys in the order of the administration page.
func TextKeys() []string {
	return []string{TextNotice, TextImprint, TextPrivacy, TextAccessibility}
}

// Languages in which each text exists.
func Languages() []string { return []string{"de", "en"} }

// The texts that the program brings along: first line "# title", then Markdown.
//
//go:embed texts
var defaults embed.FS

// Document is an editable text, rendered.
type Document struct {
	Key       string
	Lang      string
	Title     string
	Markdown  string
	HTML      template.HTML // safe: raw HTML of the source is left out
	ChangedAt *time.Time    // nil = as the program brings it along
}

// Empty reports whether there is nothing to show.
func (t Document) Empty() bool { return strings.TrimSpace(t.Markdown) == "" }

// goldmark without html.WithUnsafe leaves raw HTML out and drops links to
// javascript:, vbscript:, file: and data:.
// A line break in the source is one on the page, as in an address.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Linkify), goldmark.WithRendererOptions(html.WithHardWraps()))

// Text returns a text in lang: the administrator's, else the one that the
// program brings along; a language that the text does not exist in falls back
// to German. ErrNotFound for an unknown key.
func Text(ctx context.Context, q pg.Querier, key, lang string) (Document, error) {
	t := Document{Key: key, Lang: lang}
	err := q.QueryRow(ctx, `SELECT title, body, set_at FROM programme.text WHERE key = $1 AND lang = $2`, key, lang).
		Scan(&t.Title, &t.Markdown, &t.ChangedAt)
	if pg.NoRows(err) {
		t, err = defaultText(key, lang)
	}
	if err != nil {
		return Document{}, err
	}
	t.HTML, err = Render(t.Markdown)
	return t, err
}

func defaultText(key, lang string) (Document, error) {
	b, err := defaults.ReadFile("texts/" + key + "." + lang + ".md")
	if err != nil {
		if lang != "de" {
			return defaultText(key, "de")
		}
		return Document{}, fmt.Errorf("%w: text %q", ErrNotFound, key)
	}
	title, body, _ := strings.Cut(string(b), "\n")
	return Document{Key: key, Lang: lang, Title: strings.TrimSpace(strings.TrimPrefix(title, "#")), Markdown: strings.TrimSpace(body)}, nil
}

// Render turns Markdown into HTML that is safe to show: raw HTML is left out.
func Render(source string) (template.HTML, error) {
	var out bytes.Buffer
	if err := markdown.Convert([]byte(source), &out); err != nil {
		return "", fmt.Errorf("render text: %w", err)
	}
	return template.HTML(out.String()), nil //nolint:gosec // goldmark escapes; raw HTML is off
}
