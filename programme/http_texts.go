package programme

import (
	"html/template"
	"slices"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

func (s *Service) texts(c *web.Ctx) error {
	var all []Document
	for _, key := range TextKeys() {
		for _, lang := range Languages() {
			t, err := Text(c.Std(), s.pool, key, lang)
			if err != nil {
				return err
			}
			all = append(all, t)
		}
	}
	return c.Page("programme/texts", all)
}

type editTextPage struct {
	Key, Lang string
	Public    string // where the text is shown
	Preview   template.HTML
	Unsaved   bool // the preview shows what is not saved yet
}

var publicPaths = map[string]string{TextNotice: "/", TextImprint: "/impressum", TextPrivacy: "/datenschutz", TextAccessibility: "/barrierefreiheit"}

func editPage(c *web.Ctx) (editTextPage, error) {
	d := editTextPage{Key: c.Params("key"), Lang: c.Params("lang")}
	if !slices.Contains(TextKeys(), d.Key) || !slices.Contains(Languages(), d.Lang) {
		return d, web.NotFound()
	}
	d.Public = publicPaths[d.Key]
	return d, nil
}

func (s *Service) editText(c *web.Ctx) error {
	d, err := editPage(c)
	if err != nil {
		return err
	}
	t, err := Text(c.Std(), s.pool, d.Key, d.Lang)
	if err != nil {
		return err
	}
	d.Preview = t.HTML
	return c.PageForm("programme/text_edit", web.NewForm("title", t.Title, "body", t.Markdown), d)
}

// saveText saves, or shows what the text would look like (preview=1).
func (s *Service) saveText(c *web.Ctx) error {
	d, err := editPage(c)
	if err != nil {
		return err
	}
	f := c.Form()
	title, body := f.Get("title"), f.Get("body")
	if title == "" || len([]rune(title)) > 200 {
		f.Fail("title", "programme.error.title")
	}
	if len(body) > 100_000 || (body == "" && d.Key != TextNotice) {
		f.Fail("body", "programme.error.body")
	}
	if !f.OK() || f.Get("preview") != "" {
		d.Unsaved = true
		if d.Preview, err = Render(body); err != nil {
			return err
		}
		return c.PageForm("programme/text_edit", f, d)
	}
	err = pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error { return SetText(c.Std(), tx, c.Now, d.Key, d.Lang, title, body, by(c)) })
	if err != nil {
		return problem(err)
	}
	c.Flash("programme.saved")
	return c.See("/admin/texts/" + d.Key + "/" + d.Lang)
}
