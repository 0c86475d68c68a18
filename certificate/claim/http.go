package claim

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

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

// Who makes codes: a site or the administration, and a mobile team where the dose was
// given, for those whom it vaccinated.
var (
	site = []web.Role{web.RoleSite, web.RoleAdmin}
	team = []web.Role{web.RoleTeam}
)

// Routes are the page of whoever has a code, the pages that make it, and the same
// operations as JSON.
func (s *Service) Routes() []web.Route {
	return append(s.api(), []web.Route{
		{Method: http.MethodGet, Path: "/certificates/claim", Handle: s.show},
		{Method: http.MethodPost, Path: "/certificates/claim", Handle: s.open},
		{Method: http.MethodPost, Path: "/certificates/claim/:id/:kind", Handle: s.download},
		{Method: http.MethodGet, Path: "/site/records/:id/claim", Roles: site, Handle: s.showMake},
		{Method: http.MethodPost, Path: "/site/records/:id/claim", Roles: site, Handle: s.postMake},
		{Method: http.MethodGet, Path: "/teams/records/:id/claim", Roles: team, Handle: s.showMake},
		{Method: http.MethodPost, Path: "/teams/records/:id/claim", Roles: team, Handle: s.postMake},
	}...)
}

func (s *Service) show(c *web.Ctx) error { return c.PageForm("claim/claim", &web.Form{}, nil) }

type foundPage struct {
	Certificates []certificate.Certificate
	Fields       []web.Option // what opens them, for the downloads
	Muster       bool
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
	p := foundPage{Certificates: list, Muster: !s.Certificates.Production}
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

// deskOf is whose records somebody sees: those of the own centre, of all centres, or of
// the own mobile team.
func deskOf(c *web.Ctx) vaccination.Desk {
	d := vaccination.Desk{CentreID: c.User.Scope, Actor: c.Actor(), Role: c.Role(web.RoleSite, web.RoleAdmin, web.RoleTeam), Now: c.Now}
	if forTeam(c) {
		d.CentreID, d.IssuerRef = "", "facility-team:"+c.User.Scope
	}
	return d
}

type makePage struct {
	vaccination.Record
	Here string // address of this page
	Back string
	Made *time.Time // of the code that a new one would end
}

func pageOf(c *web.Ctx, r vaccination.Record) makePage {
	if forTeam(c) {
		return makePage{Record: r, Here: "/teams/records/" + r.ID + "/claim", Back: "/teams/today"}
	}
	return makePage{Record: r, Here: "/site/records/" + r.ID + "/claim", Back: "/site"}
}

func (s *Service) renderMake(c *web.Ctx, f *web.Form, r vaccination.Record) (err error) {
	p := pageOf(c, r)
	if p.Made, err = s.made(c.Std(), r.ID); err != nil {
		return err
	}
	if p.Made == nil && f.Get("how") == "" && f.OK() {
		f.Set("how", "print")
	}
	return c.PageForm("claim/make", f, p)
}

// forTeam reports whether it is an address of the mobile teams.
func forTeam(c *web.Ctx) bool {
	return strings.HasPrefix(strings.TrimPrefix(c.Path(), "/api/v1"), "/teams/")
}

// record opens a record that belongs to who asks.
func (s *Service) record(c *web.Ctx, recordID string) (vaccination.Record, error) {
	r, _, err := s.Records.OpenRecord(c.Std(), deskOf(c), recordID)
	return r, vaccination.Problem(err)
}

// addressOf is where a letter to the person of a record goes.
func addressOf(r vaccination.Record, extra, street, postcode, city string) *notify.Address {
	name := strings.TrimSpace(r.Patient.GivenName + " " + r.Patient.FamilyName)
	return &notify.Address{Name: name, Extra: extra, Street: street, Postcode: postcode, City: city}
}

// maxLine is how much of an address fits into a line of a letter, in characters.
const maxLine = 100

// lacking says what a letter's address lacks, or what is too long in it.
func lacking(to notify.Address) (out []web.FieldError) {
	for _, line := range []struct {
		field, value string
		needed       bool
	}{{"extra", to.Extra, false}, {"street", to.Street, true}, {"postcode", to.Postcode, true}, {"city", to.City, true}} {
		switch {
		case line.value == "" && line.needed:
			out = append(out, web.FieldError{Field: line.field, Key: "claim.error." + line.field})
		case utf8.RuneCountInString(line.value) > maxLine:
			out = append(out, web.FieldError{Field: line.field, Key: "web.error.too_long", Args: []any{"Max", maxLine}})
		}
	}
	return out
}

// issue makes the code of a record, and sends it by letter where there is an address.
func (s *Service) issue(c *web.Ctx, r vaccination.Record, to *notify.Address) (printed string, err error) {
	err = pg.InTx(c.Std(), s.Pool, func(tx pgx.Tx) error {
		if printed, err = s.Make(c.Std(), tx, deskOf(c), r); err != nil || to == nil {
			return err
		}
		return s.letter(c.Std(), tx, r, *to, printed)
	})
	switch {
	case errors.Is(err, ErrRegistered):
		return "", web.Fail(http.StatusConflict, "claim.error.registered")
	case errors.Is(err, pdf.ErrAddress):
		return "", web.Invalid(web.FieldError{Field: "street", Key: "claim.error.address"})
	}
	return printed, vaccination.Problem(err)
}

// langOf is the language of a record's person.
func langOf(r vaccination.Record) string {
	if r.Patient.Contact.Lang == "" {
		return "de"
	}
	return r.Patient.Contact.Lang
}

// address is that of the page that takes codes.
func (s *Service) address() string { return s.BaseURL + "/certificates/claim" }

func (s *Service) showMake(c *web.Ctx) error {
	r, err := s.record(c, c.Params("id"))
	if err != nil {
		return err
	}
	return s.renderMake(c, web.NewForm(), r)
}

// postMake makes the code and prints it, or sends it by letter.
func (s *Service) postMake(c *web.Ctx) error {
	r, err := s.record(c, c.Params("id"))
	if err != nil {
		return err
	}
	f := c.Form()
	to := addressOf(r, f.Get("extra"), f.Get("street"), f.Get("postcode"), f.Get("city"))
	name := to.Name
	switch f.Get("how") {
	case "print":
		to = nil
	case "post":
		f.Errors = append(f.Errors, lacking(*to)...)
	default:
		f.Fail("how", "claim.error.how")
	}
	if !f.OK() {
		return s.renderMake(c, f, r)
	}
	printed, err := s.issue(c, r, to)
	if p := (*web.Problem)(nil); errors.As(err, &p) && len(p.Fields) > 0 {
		f.Take(p)
		return s.renderMake(c, f, r)
	}
	if err != nil {
		return err
	}
	if to != nil {
		c.Flash("claim.make.sent")
		return c.See(pageOf(c, r).Here)
	}
	body, err := s.sheet(c, name, langOf(r), printed)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return c.Download("application/pdf", c.T("claim.make.file")+".pdf", body)
}

func (s *Service) letter(ctx context.Context, tx pgx.Tx, r vaccination.Record, to notify.Address, printed string) error {
	lang, now := langOf(r), s.Now()
	subject := texts.Say(lang, "claim.letter.subject")
	letter, err := pdf.Letter(pdf.LetterSpec{
		Lang: lang, Created: now, Sender: s.Sender, Remark: texts.Say(lang, "claim.letter.remark"), Recipient: to.Lines(),
		Date: web.FormatDate(lang, now), Subject: subject,
		Blocks: []pdf.Block{
			pdf.Paragraph{Text: texts.Say(lang, "claim.letter.greeting", "Name", to.Name)},
			pdf.Paragraph{Text: texts.Say(lang, "claim.sheet.text", "URL", s.address())},
			pdf.Code{Label: texts.Say(lang, "claim.code"), Text: printed},
			pdf.Paragraph{Text: texts.Say(lang, "claim.sheet.keep")},
			pdf.Paragraph{Text: texts.Say(lang, "claim.letter.closing")},
		},
	})
	if err != nil {
		return err
	}
	return s.Send(ctx, tx, notify.Recipient{KeyID: r.KeyID, Postal: &to, Lang: lang}, notify.Message{Kind: "claim.code", Subject: subject, Letter: letter, ByPost: true})
}

// sheet is the code on paper, to be handed over on the spot.
func (s *Service) sheet(c *web.Ctx, name, lang, printed string) ([]byte, error) {
	return pdf.Sheet(pdf.SheetSpec{
		Lang: lang, Created: c.Now, Issuer: s.Sender, Title: texts.Say(lang, "claim.sheet.title"), Subtitle: name,
		Blocks: []pdf.Block{
			pdf.Paragraph{Text: texts.Say(lang, "claim.sheet.text", "URL", s.address())},
			pdf.Code{Label: texts.Say(lang, "claim.code"), Text: printed},
			pdf.Paragraph{Text: texts.Say(lang, "claim.sheet.keep"), Small: true},
		},
		Footer: []string{web.FormatDateTime(lang, c.Now)},
	})
}
