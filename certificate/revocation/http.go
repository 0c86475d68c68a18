package revocation

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"impfportal/certificate/dcc"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

//go:embed templates i18n
var files embed.FS

// Assets are this package's pages and texts.
var Assets = web.Bundle{Name: "revocation", FS: files}

// Routes are the files that verifiers download. A batch never changes, so caches
// keep it; the index is asked for again after a minute.
func (p *Publisher) Routes() []web.Route {
	const base = "/certificates/revocations"
	return []web.Route{
		{Method: http.MethodGet, Path: base, Anonymous: true, Handle: func(c *web.Ctx) error {
			list, err := p.Index(c.Std())
			if err != nil {
				return err
			}
			c.Set(fiber.HeaderCacheControl, "public, max-age=60")
			return c.Ctx.JSON(map[string]any{"more": false, "batches": append([]Listed{}, list...)})
		}},
		{Method: http.MethodGet, Path: base + "/:id/batch.json", Anonymous: true, Handle: func(c *web.Ctx) error {
			return p.file(c, `SELECT body FROM certificate.revocation_batch WHERE id::text = $1`, fiber.MIMEApplicationJSON)
		}},
		{Method: http.MethodGet, Path: base + "/:id/batch.cms", Anonymous: true, Handle: func(c *web.Ctx) error {
			return p.file(c, `SELECT cms FROM certificate.revocation_batch WHERE id::text = $1`, "application/cms")
		}},
	}
}

func (p *Publisher) file(c *web.Ctx, sql, contentType string) error {
	var body []byte
	err := p.Pool.QueryRow(c.Std(), sql, c.Params("id")).Scan(&body)
	if pg.NoRows(err) {
		return web.NotFound()
	}
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, contentType)
	c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	return c.Send(body)
}

// reasons are those that staff may give; the others are the portal's own.
var reasons = []Reason{Fraud, Compromise, BadLot, ByHolder}

// Routes are the pages of those who revoke.
func (d *Desk) Routes() []web.Route {
	admin := []web.Role{web.RoleAdmin}
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/revocations", Roles: admin, Nav: "revocation.nav", NavGroup: "web.nav.certificates", Handle: d.page},
		{Method: http.MethodPost, Path: "/admin/revocations/single", Roles: admin, Handle: d.single},
		{Method: http.MethodPost, Path: "/admin/revocations/propose", Roles: admin, Handle: d.propose},
	}
}

// Handler carries out what two people have decided; for dualcontrol.Handle.
func (d *Desk) Handler() dualcontrol.Handler {
	return dualcontrol.Handler{
		Title: func(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
			var what Decision
			err := json.Unmarshal(p.Payload, &what)
			return c.T("revocation.mass.proposal", "Count", what.Count), err
		},
		Changes: func(c *web.Ctx, p dualcontrol.Proposal) (out []dualcontrol.Change, err error) {
			var what Decision
			if err := json.Unmarshal(p.Payload, &what); err != nil {
				return nil, err
			}
			add := func(key, value string) {
				if value != "" {
					out = append(out, dualcontrol.Change{What: c.T(key), After: value})
				}
			}
			s := what.Selection
			if s.Issuer != "" {
				name, err := d.Issuers.NameOf(c.Std(), d.Pool, s.Issuer)
				if err != nil {
					return nil, err
				}
				add("revocation.issuer", name)
			}
			add("revocation.operator", s.Operator)
			add("revocation.lot", s.Lot)
			add("revocation.person", s.Person)
			add("revocation.signer", s.Signer)
			add("revocation.from", moment(s.From))
			add("revocation.to_before", moment(s.To))
			add("revocation.reason", c.T("revocation.reason."+string(what.Reason)))
			add("revocation.replace", c.T("revocation.replace."+strconv.FormatBool(what.Replace)))
			if p.State != dualcontrol.Open {
				return out, nil
			}
			// What is decided is the selection: it may hit others by now than when it was proposed.
			now, err := d.Preview(c.Std(), s)
			return append(out, dualcontrol.Change{What: c.T("revocation.hits"), Before: strconv.Itoa(what.Count), After: strconv.Itoa(now.Count)}), err
		},
		Apply: d.apply,
	}
}

func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.In(clock.Berlin).Format("2006-01-02 15:04")
}

// view is the page.
type view struct {
	Reasons []web.Option
	Of      []web.Option // whose certificates are meant besides the one that is given
	Asked   bool
	Preview Preview
	Open    []dualcontrol.Proposal
	Done    []massRow
	Fields  []field // the selection, for the form that proposes it
}

type field struct{ Name, Value string }

type massRow struct {
	Decided time.Time
	Done    *time.Time
	Hit     int
}

// A selection as it is typed. The certificate stands for others: those of its holder, of
// who recorded it, or of its issuer ("of").
var selectionFields = []string{"issuer", "operator", "signer", "lot", "certificate", "of", "from", "to"}

const (
	ofPerson   = "person"
	ofOperator = "operator"
	ofIssuer   = "issuer"
)

func (d *Desk) page(c *web.Ctx) error {
	f := web.NewForm()
	for _, name := range selectionFields {
		f.Set(name, c.Query(name))
	}
	return d.show(c, f, false)
}

// show renders the page. A selection that is set in f is previewed.
func (d *Desk) show(c *web.Ctx, f *web.Form, failed bool) error {
	v := view{Reasons: []web.Option{{Value: "", Label: c.T("revocation.choose")}}}
	for _, r := range reasons {
		v.Reasons = append(v.Reasons, web.Option{Value: string(r), Label: c.T("revocation.reason." + string(r))})
	}
	for _, of := range []string{ofPerson, ofOperator, ofIssuer} {
		v.Of = append(v.Of, web.Option{Value: of, Label: c.T("revocation.of." + of)})
	}
	for _, name := range selectionFields {
		v.Asked = v.Asked || f.Get(name) != ""
		v.Fields = append(v.Fields, field{name, f.Get(name)})
	}
	if v.Asked {
		checked := f
		if failed { // its faults stand in f already
			checked = web.NewForm()
			for _, x := range v.Fields {
				checked.Set(x.Name, x.Value)
			}
		}
		s, err := d.selection(c, checked)
		if err != nil {
			return err
		}
		if v.Asked = checked.OK(); v.Asked {
			if v.Preview, err = d.Preview(c.Std(), s); err != nil {
				return err
			}
		}
	}
	all, err := dualcontrol.List(c.Std(), d.Pool, true, 200)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Kind == KindMass {
			v.Open = append(v.Open, p)
		}
	}
	rows, err := d.Pool.Query(c.Std(), `SELECT decided_at, done_at, hit FROM certificate.revocation_mass ORDER BY decided_at DESC LIMIT 50`)
	if err != nil {
		return err
	}
	if v.Done, err = pgx.CollectRows(rows, pgx.RowToStructByPos[massRow]); err != nil {
		return err
	}
	return c.PageForm("revocation/revocations", f, v)
}

// selection reads the fields of a selection; what is wrong stands in the form.
func (d *Desk) selection(c *web.Ctx, f *web.Form) (s Selection, err error) {
	s = Selection{Issuer: f.Get("issuer"), Operator: f.Get("operator"), Lot: f.Get("lot"), Signer: strings.ToLower(f.Get("signer"))}
	day := func(name string, plus int) *time.Time {
		if f.Get(name) == "" {
			return nil
		}
		t, err := time.Parse(time.DateOnly, f.Get(name))
		if err != nil {
			f.Fail(name, "revocation.error.day")
			return nil
		}
		at := clock.At(t.AddDate(0, 0, plus), 0, 0)
		return &at
	}
	s.From, s.To = day("from", 0), day("to", 1)
	if s.Issuer != "" && !strings.Contains(s.Issuer, ":") {
		if s.Issuer, err = d.Issuers.RefOf(c.Std(), d.Pool, s.Issuer); err != nil {
			return s, err
		}
		if s.Issuer == "" {
			f.Fail("issuer", "revocation.error.issuer")
		}
	}
	if typed := f.Get("certificate"); typed != "" {
		if err := d.from(c, f, typed, &s); err != nil {
			return s, err
		}
	}
	if f.OK() && s.Check() != nil {
		f.Fail("issuer", "revocation.error.selection")
	}
	return s, nil
}

// from completes a selection by what one certificate says.
func (d *Desk) from(c *web.Ctx, f *web.Form, typed string, s *Selection) error {
	var person *string
	var issuer, operator string
	uvci, _ := dcc.ParseUVCI(typed) // what is none is no certificate's
	err := d.Pool.QueryRow(c.Std(), `SELECT person_id::text, issuer_ref, operator FROM certificate.certificate WHERE uvci = $1`, uvci).Scan(&person, &issuer, &operator)
	of := f.Get("of")
	switch {
	case pg.NoRows(err):
		f.Fail("certificate", "revocation.error.unknown")
	case err != nil:
		return err
	case of == ofIssuer:
		s.Issuer = issuer
	case of == ofOperator:
		s.Issuer, s.Operator = issuer, operator
	case person == nil:
		f.Fail("certificate", "revocation.error.no_person")
	default:
		s.Person = *person
	}
	return nil
}

func (d *Desk) propose(c *web.Ctx) error {
	f := c.Form()
	s, err := d.selection(c, f)
	if err != nil {
		return err
	}
	reason, why := d.reason(f), f.Get("why")
	if why == "" {
		f.Fail("why", "revocation.error.why")
	}
	if !f.OK() {
		return d.show(c, f, true)
	}
	if _, err := d.Propose(c.Std(), s, reason, f.Get("replace") != "", why, c.User.ID); err != nil {
		return err
	}
	c.Flash("revocation.mass.proposed")
	return c.See("/admin/revocations")
}

func (d *Desk) reason(f *web.Form) Reason {
	r := Reason(f.Get("reason"))
	if !slices.Contains(reasons, r) {
		f.Fail("reason", "revocation.error.reason")
	}
	return r
}

func (d *Desk) single(c *web.Ctx) error {
	f := c.Form()
	reason := d.reason(f)
	if !f.OK() {
		return d.show(c, f, true)
	}
	err := pg.InTx(c.Std(), d.Pool, func(tx pgx.Tx) error {
		var certificateID, recordID string
		uvci, _ := dcc.ParseUVCI(f.Get("uvci")) // what is none is no certificate's
		err := tx.QueryRow(c.Std(), `SELECT id::text, record_id::text FROM certificate.certificate WHERE uvci = $1`, uvci).Scan(&certificateID, &recordID)
		if pg.NoRows(err) {
			return ErrNotRevocable
		}
		if err != nil {
			return err
		}
		replace := f.Get("replace_single") != ""
		r := Revocation{CertificateID: certificateID, Reason: reason, Replaced: replace, Actor: c.Actor(), Role: c.Role(web.RoleAdmin), At: c.Now}
		if err := d.Service.Revoke(c.Std(), tx, r); err != nil || !replace {
			return err
		}
		return d.Reissue(c.Std(), tx, []string{recordID})
	})
	switch {
	case errors.Is(err, ErrNotRevocable):
		f.Fail("uvci", "revocation.error.unknown")
		return d.show(c, f, true)
	case errors.Is(err, ErrUnsigned):
		f.Fail("uvci", "revocation.error.unsigned")
		return d.show(c, f, true)
	case pg.Violates(err, "revocation_single"):
		f.Fail("uvci", "revocation.error.many")
		return d.show(c, f, true)
	case err != nil:
		return err
	}
	c.Flash("revocation.single.done")
	return c.See("/admin/revocations")
}
