package web

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/web"

	"impfportal/internal/id"
)

// page is the root of every template.
type page struct {
	D      any
	Form   *Form
	Lang   string
	User   *User
	Path   string
	Now    time.Time
	Nav    []navGroup
	Demo   []navItem // entries of the demonstration, beside its notice
	Flash  string
	Local  bool
	Ref    string
	c      *Ctx
	noUser bool // do not look the session up: the page of a refused request
}

// CSRF is the token that every form sends back.
func (p *page) CSRF() string { return p.c.csrfToken() }

// Here is the address to come back to after a change of language.
func (p *page) Here() string {
	if p.c.Method() == http.MethodGet {
		return OwnPath(p.c.OriginalURL(), p.Path)
	}
	return p.Path
}

// Staff reports whether staff is logged in.
func (p *page) Staff() bool { return p.User != nil && p.User.Kind == "staff" }

// Citizen reports whether a citizen is logged in.
func (p *page) Citizen() bool { return p.User != nil && p.User.Kind == "citizen" }

// Asked reports whether it was looked up who is logged in.
func (p *page) Asked() bool { return !p.noUser }

// manyEntries is what fits one row above the page of a desk.
const manyEntries = 8

// ManyEntries reports whether the navigation is too long for a row.
func (p *page) ManyEntries() bool {
	n := 0
	for _, g := range p.Nav {
		n += len(g.Entries)
	}
	return n > manyEntries
}

// Is reports whether the user has a role.
func (p *page) Is(role string) bool { return p.User.Has(Role(role)) }

type pageSet struct {
	pages    map[string]*template.Template // "citizen/register"
	partials map[string]*template.Template // "citizen/_card"
}

// Page renders a page with status 200.
func (c *Ctx) Page(name string, data any) error {
	return c.render(name, &page{D: data, Form: &Form{}})
}

// PageForm renders a page with a form: 422 when something in it is wrong.
func (c *Ctx) PageForm(name string, f *Form, data any) error {
	if !f.OK() {
		c.Status(http.StatusUnprocessableEntity)
	}
	return c.render(name, &page{D: data, Form: f})
}

// Fragment renders a slice's partial, "booking/_appointments"; in it .D is data.
func (c *Ctx) Fragment(name string, data any) (template.HTML, error) {
	t := c.app.pages[c.Lang].partials[name]
	if t == nil {
		return "", fmt.Errorf("no partial %q", name)
	}
	p := &page{D: data, Form: &Form{}}
	c.fill(p)
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, path.Base(name), p); err != nil {
		return "", fmt.Errorf("partial %s: %w", name, err)
	}
	return template.HTML(b.String()), nil //nolint:gosec // made by html/template
}

func (c *Ctx) fill(p *page) {
	p.c, p.Lang, p.Path, p.Now, p.Local = c, c.Lang, c.Path(), c.Now, c.app.local
	p.noUser = p.noUser || c.anonymous
	if !p.noUser {
		p.User = c.User
		p.Nav, p.Demo = c.app.navigation(c)
	}
}

func (c *Ctx) render(name string, p *page) error {
	t := c.app.pages[c.Lang].pages[name]
	if t == nil {
		return fmt.Errorf("no page %q", name)
	}
	c.fill(p)
	if !c.anonymous {
		p.Flash = c.takeFlash()
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", p); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Vary(fiber.HeaderAcceptLanguage, fiber.HeaderCookie)
	if c.GetRespHeader(fiber.HeaderCacheControl) == "" {
		c.Set(fiber.HeaderCacheControl, "private, no-cache")
	}
	return c.Send(b.Bytes())
}

// loadPages parses every page once per language: layout, components, the
// slice's partials and the page itself.
func (k *content) loadPages(bundles []Bundle) (map[string]*pageSet, error) {
	out := map[string]*pageSet{}
	for _, lang := range Languages {
		set := &pageSet{pages: map[string]*template.Template{}, partials: map[string]*template.Template{}}
		base, err := template.New("").Funcs(k.funcs(lang)).ParseFS(web.Files, "templates/layout.html", "templates/components.html")
		if err != nil {
			return nil, fmt.Errorf("layout: %w", err)
		}
		for _, b := range bundles {
			if err := set.add(base, b); err != nil {
				return nil, err
			}
		}
		set.foldTexts(k.cat, lang)
		out[lang] = set
	}
	return out, nil
}

func (set *pageSet) add(base *template.Template, b Bundle) error {
	files, err := fs.Glob(b.FS, "templates/*.html")
	if err != nil {
		return err
	}
	own := template.Must(base.Clone())
	var pages, partials []string
	for _, f := range files {
		name := strings.TrimSuffix(path.Base(f), ".html")
		if !strings.HasPrefix(name, "_") {
			if b.Name != "web" || strings.HasPrefix(name, "page_") {
				pages = append(pages, f)
			}
			continue
		}
		raw, err := fs.ReadFile(b.FS, f)
		if err != nil {
			return err
		}
		if _, err := own.New(name).Parse(string(raw)); err != nil {
			return fmt.Errorf("%s/%s: %w", b.Name, f, err)
		}
		partials = append(partials, name)
	}
	for _, name := range partials {
		set.partials[b.Name+"/"+name] = own
	}
	for _, f := range pages {
		raw, err := fs.ReadFile(b.FS, f)
		if err != nil {
			return err
		}
		t := template.Must(own.Clone())
		if _, err := t.Parse(string(raw)); err != nil {
			return fmt.Errorf("%s/%s: %w", b.Name, f, err)
		}
		name := strings.TrimPrefix(strings.TrimSuffix(path.Base(f), ".html"), "page_")
		set.pages[b.Name+"/"+name] = t
	}
	return nil
}

// foldTexts says the texts of all pages once and for all.
func (set *pageSet) foldTexts(cat *catalogue, lang string) {
	for _, pages := range []map[string]*template.Template{set.pages, set.partials} {
		for _, page := range pages {
			for _, t := range page.Templates() {
				if t.Tree != nil {
					foldTexts(cat, lang, t.Tree.Root)
				}
			}
		}
	}
	for _, page := range set.pages {
		foldEscaped(page)
	}
}

// Option is one choice of a select or radio group.
type Option struct {
	Value, Label, Hint string
}

// fieldView is what the components show of one field.
type fieldView struct {
	Name, ID, Label, Hint, Type, Value, Error string
	Autocomplete, Inputmode, Pattern, Min     string
	Max, Width, Lang, Rows, Accesskey, Accept string
	Required, Optional, Checked, Autofocus    bool
	Options                                   []Option
	Form                                      *Form
	Step                                      string
	MaxLength                                 string
}

// DescribedBy lists the ids of hint and error.
func (f *fieldView) DescribedBy() string {
	var ids []string
	if f.Hint != "" {
		ids = append(ids, f.ID+"-hint")
	}
	if f.Error != "" {
		ids = append(ids, f.ID+"-error")
	}
	return strings.Join(ids, " ")
}

// Part returns the value of a sub-field (name_day).
func (f *fieldView) Part(suffix string) string { return f.Form.Get(f.Name + "_" + suffix) }

// Selected reports whether an option is chosen.
func (f *fieldView) Selected(v string) bool {
	for _, x := range f.Form.All(f.Name) {
		if x == v {
			return true
		}
	}
	return f.Value == v && len(f.Form.All(f.Name)) == 0
}

type alertView struct{ Kind, Title, Text string }

func (k *content) funcs(lang string) template.FuncMap {
	t := func(key string, args ...any) string { return k.cat.text(lang, key, args...) }
	return template.FuncMap{
		"t":         t,
		"has":       func(key string) bool { return k.cat.has(lang, key) },
		"date":      func(x time.Time) string { return FormatDate(lang, x) },
		"dayshort":  func(x time.Time) string { return FormatDayShort(lang, x) },
		"clocktime": func(x time.Time) string { return FormatClock(lang, x) },
		"datetime":  func(x time.Time) string { return FormatDateTime(lang, x) },
		"isoday":    func(x time.Time) string { return local(x).Format(time.DateOnly) },
		"num":       func(n any) string { return FormatNumber(lang, n) },
		"asset":     func(name string) string { return k.static.path(name) },
		"hasasset":  func(name string) bool { return k.static.has(name) },
		"alert":     func(kind, title, text string) alertView { return alertView{kind, title, text} },
		"option":    func(v, l string) Option { return Option{Value: v, Label: l} },
		"options":   func(o ...Option) []Option { return o },
		"list":      func(v ...any) []any { return v },
		"dict": func(kv ...any) (map[string]any, error) {
			m := map[string]any{}
			for i := 0; i+1 < len(kv); i += 2 {
				k, ok := kv[i].(string)
				if !ok {
					return nil, fmt.Errorf("dict: key %v is no string", kv[i])
				}
				m[k] = kv[i+1]
			}
			return m, nil
		},
		"newkey": id.New,
		"add":    func(x, y int) int { return x + y },
		"lower":  strings.ToLower,
		"join":   strings.Join,
		"field": func(p *page, name, label string, kv ...any) (*fieldView, error) {
			return newField(t, p, name, label, kv)
		},
		"fielderrtext": func(_ *page, e FieldError) string { return t(e.Key, e.Args...) },
		"fielderr": func(p *page, name string) string {
			if e := p.Form.errorOf(name); e != nil {
				return t(e.Key, e.Args...)
			}
			return ""
		},
	}
}

func newField(t func(string, ...any) string, p *page, name, label string, kv []any) (*fieldView, error) {
	f := &fieldView{Name: name, ID: name, Label: t(label), Type: "text", Form: p.Form, Value: p.Form.Get(name)}
	if e := p.Form.errorOf(name); e != nil {
		f.Error = t(e.Key, e.Args...)
	}
	for i := 0; i+1 < len(kv); i += 2 {
		k, _ := kv[i].(string)
		s, isText := kv[i+1].(string)
		b, _ := kv[i+1].(bool)
		switch k {
		case "hint":
			f.Hint = t(s)
		case "hinttext":
			f.Hint = s
		case "type":
			f.Type = s
		case "id":
			f.ID = s
		case "value":
			if f.Value == "" && len(p.Form.All(name)) == 0 {
				f.Value = fmt.Sprint(kv[i+1])
			}
		case "autocomplete":
			f.Autocomplete = s
		case "inputmode":
			f.Inputmode = s
		case "pattern":
			f.Pattern = s
		case "min":
			f.Min = fmt.Sprint(kv[i+1])
		case "max":
			f.Max = fmt.Sprint(kv[i+1])
		case "step":
			f.Step = fmt.Sprint(kv[i+1])
		case "maxlength":
			f.MaxLength = fmt.Sprint(kv[i+1])
		case "width":
			f.Width = fmt.Sprint(kv[i+1])
		case "lang":
			f.Lang = s
		case "rows":
			f.Rows = fmt.Sprint(kv[i+1])
		case "accesskey":
			f.Accesskey = s
		case "accept":
			f.Accept = s
		case "required":
			f.Required = b
		case "optional":
			f.Optional = b
		case "checked":
			f.Checked = b
		case "autofocus":
			f.Autofocus = b
		case "labeltext":
			f.Label = s
		case "options":
			o, ok := kv[i+1].([]Option)
			if !ok && kv[i+1] != nil {
				return nil, fmt.Errorf("field %s: options must be []web.Option", name)
			}
			f.Options = o
		default:
			return nil, fmt.Errorf("field %s: unknown attribute %q (text: %v)", name, k, isText)
		}
	}
	if f.Type == "checkbox" && len(p.Form.All(name)) > 0 {
		f.Checked = f.Form.Get(name) != ""
	}
	return f, nil
}
