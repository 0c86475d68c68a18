package claim

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"impfportal/certificate"
	"impfportal/internal/pdf"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/vaccination"
)

//go:embed templates i18n
var files embed.FS

// Assets are this package's pages and texts.
var Assets = web.Bundle{Name: "claim", FS: files}

var texts = web.LoadTexts(Assets)

// Routes are the page of whoever has a code, and the site's page that makes it.
func (s *Service) Routes() []web.Route {
	site := []web.Role{web.RoleSite, web.RoleAdmin}
	return []web.Route{
		{Method: http.MethodGet, Path: "/certificates/claim", Handle: s.show},
		{Method: http.MethodPost, Path: "/certificates/claim", Handle: s.open},
		{Method: http.MethodPost, Path: "/certificates/claim/:id/:kind", Handle: s.download},
		{Method: http.MethodGet, Path: "/site/records/:id/claim", Roles: site, Handle: s.showMake},
		{Method: http.MethodPost, Path: "/site/records/:id/claim", Roles: site, Handle: s.postMake},
		// A mobile team makes it where the dose was given, for those whom it vaccinated.
		{Method: http.MethodGet, Path: "/teams/records/:id/claim", Roles: []web.Role{web.RoleTeam}, Handle: s.showMake},
		{Method: http.MethodPost, Path: "/teams/records/:id/claim", Roles: []web.Role{web.RoleTeam}, Handle: s.postMake},
	}
}

func (s *Service) show(c *web.Ctx) error { return c.PageForm("claim/claim", &web.Form{}, nil) }

type foundPage struct {
	Certificates []certificate.Certificate
	Fields       []web.Option // what opens them, for the downloads
}

// opened opens the certificates of the form; ok is false when it was shown again.
func (s *Service) opened(c *web.Ctx) (list []certificate.Certificate, f *web.Form, ok bool, err error) {
	f = c.Form()
	c.Set(fiber.HeaderCacheControl, "no-store")
	list, err = s.Open(c.Std(), f.Get("code"), vaccination.BirthForm(f))
	switch {
	case err == nil:
		return list, f, true, nil
	case errors.Is(err, ErrTypo):
		f.Fail("code", "claim.error.typo")
	case errors.Is(err, ErrNoClaim):
		f.Fail("code", "claim.error.none")
	default:
		return nil, f, false, err
	}
	return nil, f, false, c.PageForm("claim/claim", f, nil)
}

func (s *Service) open(c *web.Ctx) error {
	list, f, ok, err := s.opened(c)
	if !ok {
		return err
	}
	p := foundPage{Certificates: list}
	for _, name := range []string{"code", "birth_day", "birth_month", "birth_year"} {
		p.Fields = append(p.Fields, web.Option{Label: name, Value: f.Get(name)})
	}
	return c.Page("claim/found", p)
}

func (s *Service) download(c *web.Ctx) error {
	list, _, ok, err := s.opened(c)
	if !ok {
		return err
	}
	for _, x := range list {
		if x.ID != c.Params("id") || !x.Ready() {
			continue
		}
		return s.Certificates.SendFile(c, x, map[string]string{"pdf": certificate.FilePDF, "png": certificate.FilePNG, "txt": certificate.FileText}[c.Params("kind")])
	}
	return web.NotFound()
}

func deskOf(c *web.Ctx) vaccination.Desk {
	return vaccination.Desk{CentreID: c.User.Scope, Actor: c.Actor(), Role: c.Role(web.RoleSite, web.RoleAdmin, web.RoleTeam), Now: c.Now}
}

type makePage struct {
	vaccination.Record
	Here string // address of this page
	Back string
}

func pageOf(c *web.Ctx, r vaccination.Record) makePage {
	if forTeam(c) {
		return makePage{r, "/teams/records/" + r.ID + "/claim", "/teams/today"}
	}
	return makePage{r, "/site/records/" + r.ID + "/claim", "/site"}
}

// forTeam reports whether the page of the mobile teams was asked for.
func forTeam(c *web.Ctx) bool { return strings.HasPrefix(c.Path(), "/teams/") }

// record opens a record that belongs to who asks: of the own centre, or given
// by the own mobile team.
func (s *Service) record(c *web.Ctx) (vaccination.Record, error) {
	if forTeam(c) {
		r, err := s.Records.Get(c.Std(), s.Pool, c.Params("id"))
		if err == nil && (c.User.Scope == "" || r.IssuerRef != "facility-team:"+c.User.Scope || r.Removed()) {
			err = vaccination.ErrNotFound
		}
		return r, vaccination.Problem(err)
	}
	r, _, err := s.Records.OpenRecord(c.Std(), deskOf(c), c.Params("id"))
	return r, vaccination.Problem(err)
}

func (s *Service) showMake(c *web.Ctx) error {
	r, err := s.record(c)
	if err != nil {
		return err
	}
	f := &web.Form{}
	f.Set("how", "print")
	return c.PageForm("claim/make", f, pageOf(c, r))
}

// postMake makes the code and prints it, or sends it by letter.
func (s *Service) postMake(c *web.Ctx) error {
	r, err := s.record(c)
	if err != nil {
		return err
	}
	f := c.Form()
	byPost := f.Get("how") == "post"
	to := notify.Address{
		Name:  strings.TrimSpace(r.Patient.GivenName + " " + r.Patient.FamilyName),
		Extra: f.Get("extra"), Street: f.Get("street"), Postcode: f.Get("postcode"), City: f.Get("city"),
	}
	for field, value := range map[string]string{"street": to.Street, "postcode": to.Postcode, "city": to.City} {
		if byPost && (value == "" || len(value) > 100) {
			f.Fail(field, "web.error.required")
		}
	}
	if !f.OK() {
		return c.PageForm("claim/make", f, pageOf(c, r))
	}
	lang := r.Patient.Contact.Lang
	if lang == "" {
		lang = "de"
	}
	var printed string
	err = pg.InTx(c.Std(), s.Pool, func(tx pgx.Tx) error {
		if printed, err = s.Make(c.Std(), tx, deskOf(c), r); err != nil || !byPost {
			return err
		}
		return s.letter(c.Std(), tx, r, to, lang, printed)
	})
	if errors.Is(err, ErrRegistered) {
		return web.Fail(http.StatusConflict, "claim.error.registered")
	}
	if err != nil {
		return vaccination.Problem(err)
	}
	if byPost {
		c.Flash("claim.make.sent")
		return c.See(pageOf(c, r).Here)
	}
	body, err := s.sheet(c, to.Name, lang, printed)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Download("application/pdf", c.T("claim.make.file")+".pdf", body)
}

func (s *Service) letter(ctx context.Context, tx pgx.Tx, r vaccination.Record, to notify.Address, lang, printed string) error {
	return s.Send(ctx, tx, notify.Recipient{KeyID: r.KeyID, Postal: &to, Lang: lang}, notify.Message{
		Kind: "claim.code", Subject: texts.Say(lang, "claim.letter.subject"), ByPost: true,
		Text: texts.Say(lang, "claim.letter.text", "Name", to.Name, "Code", printed, "URL", s.BaseURL+"/certificates/claim"),
	})
}

// sheet is the code on paper, to be handed over on the spot.
func (s *Service) sheet(c *web.Ctx, name, lang, printed string) ([]byte, error) {
	return pdf.Sheet(pdf.SheetSpec{
		Lang: lang, Created: c.Now, Issuer: s.Sender, Title: texts.Say(lang, "claim.sheet.title"), Subtitle: name,
		Blocks: []pdf.Block{
			pdf.Paragraph{Text: texts.Say(lang, "claim.sheet.text", "URL", s.BaseURL+"/certificates/claim")},
			pdf.Code{Label: texts.Say(lang, "claim.code"), Text: printed},
			pdf.Paragraph{Text: texts.Say(lang, "claim.sheet.keep"), Small: true},
		},
		Footer: []string{web.FormatDateTime(lang, c.Now)},
	})
}
