package issuer

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

type listPage struct {
	Issuers []Issuer
	States  []web.Option
	Counts  map[string]int
	Unknown int64
	More    bool
}

func (s *Service) list(c *web.Ctx) error {
	issuers, err := Search(c.Std(), s.Pool, c.Query("state"), c.Query("q"))
	if err != nil {
		return err
	}
	p := listPage{Issuers: issuers, More: len(issuers) == listMost}
	if p.Counts, err = Counts(c.Std(), s.Pool); err != nil {
		return err
	}
	if p.Unknown, err = unknownToday(c.Std(), s.Pool, c.Now); err != nil {
		return err
	}
	p.States = []web.Option{{Value: "", Label: c.T("issuer.state.open")}}
	for _, st := range States {
		p.States = append(p.States, web.Option{Value: st, Label: c.T("issuer.state." + st)})
	}
	return c.PageForm("issuer/list", web.NewForm("state", c.Query("state"), "q", c.Query("q")), p)
}

type showPage struct {
	Issuer   Issuer
	Status   status
	Carried  bool
	Limits   Limits
	Own      bool
	Contact  Contact
	Lots     []lotRow
	Alarms   []Alarm
	Changes  []Change
	History  []audit.Row
	Accounts []Account
	MayWrite bool
	// Kind is what two administrators could decide now; "" = nothing.
	Kind      string
	Proposals []dualcontrol.Proposal
	Fields    []string // of the form for limits
}

func (s *Service) issuerOf(c *web.Ctx, issuerID string) (Issuer, error) {
	if !id.Valid(issuerID) {
		return Issuer{}, web.NotFound()
	}
	i, err := s.Get(c.Std(), s.Pool, issuerID)
	return i, asProblem(err)
}

func (s *Service) showData(c *web.Ctx, issuerID string) (p showPage, err error) {
	if p.Issuer, err = s.issuerOf(c, issuerID); err != nil {
		return p, err
	}
	p.Carried, p.MayWrite = p.Issuer.CarriedOn(today(c.Now)), c.User.Has(web.RoleAdmin)
	if p.Status, err = s.statusOf(c, p.Issuer); err != nil {
		return p, err
	}
	if p.Limits, p.Own, err = LimitsOf(c.Std(), s.Pool, issuerID, c.Now); err != nil {
		return p, err
	}
	if len(p.Issuer.contact) > 0 {
		if p.Contact, err = s.contactOf(c.Std(), s.Pool, p.Issuer); err != nil {
			return p, err
		}
	}
	if p.Lots, _, err = s.lotRows(c, issuerID); err != nil {
		return p, err
	}
	if p.Alarms, err = Alarms(c.Std(), s.Pool, issuerID, 20); err != nil {
		return p, err
	}
	if p.Changes, err = Changes(c.Std(), s.Pool, p.Issuer.EntryID, 20); err != nil {
		return p, err
	}
	if p.Accounts, err = accounts(c.Std(), s.Pool, issuerID); err != nil {
		return p, err
	}
	p.Kind = kindFor(p.Issuer)
	if p.Proposals, err = s.openProposals(c, p.Issuer); err != nil {
		return p, err
	}
	p.History, err = audit.Recent(c.Std(), s.Pool, p.Issuer.Ref(), 50)
	return p, err
}

func (s *Service) show(c *web.Ctx) error { return s.showForm(c, web.NewForm()) }

func (s *Service) showForm(c *web.Ctx, f *web.Form) error {
	p, err := s.showData(c, c.Params("id"))
	if err != nil {
		return err
	}
	for _, x := range limitFields(&p.Limits) {
		p.Fields = append(p.Fields, x.Name)
		if f.Get(x.Name) == "" {
			f.Set(x.Name, strconv.Itoa(*x.To))
		}
	}
	return c.PageForm("issuer/show", f, p)
}

// LetterAgain sends a new code to a suspended issuer whose address or keys changed.
// ErrNotFound, ErrState.
func (s *Service) LetterAgain(ctx context.Context, issuerID string) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.id = $1 FOR UPDATE OF i`, issuerID)
		if err != nil {
			return err
		}
		if i.State != Suspended || !i.Reverify {
			return ErrState
		}
		if err := voidCode(ctx, tx, i.ID, now); err != nil {
			return err
		}
		return LetterWanted.Enqueue(ctx, tx, IssuerPayload{IssuerID: i.ID})
	})
}

func (s *Service) letterAgain(c *web.Ctx) error {
	if _, err := s.apiLetter(c, IDIn{c.Params("id")}); err != nil {
		return err
	}
	c.Flash("issuer.letter.wanted")
	return c.See("/admin/issuers/" + c.Params("id"))
}

// Restrict pauses or ends an issuer by one administrator: it only takes away.
func (s *Service) Restrict(c *web.Ctx, issuerID, state string) error {
	i, err := s.issuerOf(c, issuerID)
	if err != nil {
		return err
	}
	return asProblem(pg.InTx(c.Std(), s.Pool, func(tx pgx.Tx) error {
		i, err := one(c.Std(), tx, `WHERE i.id = $1 FOR UPDATE OF i`, i.ID)
		if err != nil {
			return err
		}
		if state == Paused && i.State != Active || i.State == Ended {
			return ErrState
		}
		if err := voidCode(c.Std(), tx, i.ID, c.Now); err != nil {
			return err
		}
		return s.move(c.Std(), tx, i, state, whyAdmin, false, c.Actor(), c.Now)
	}))
}

func (s *Service) pauseByHand(c *web.Ctx) error {
	if err := s.Restrict(c, c.Params("id"), Paused); err != nil {
		return err
	}
	return c.See("/admin/issuers/" + c.Params("id"))
}

func (s *Service) end(c *web.Ctx) error {
	if f := c.Form(); f.Get("sure") == "" {
		f.Fail("sure", "issuer.error.sure")
		return s.showForm(c, f)
	}
	if err := s.Restrict(c, c.Params("id"), Ended); err != nil {
		return err
	}
	return c.See("/admin/issuers/" + c.Params("id"))
}

type registryData struct {
	Head      *Head
	Stale     bool
	FailAfter time.Time // from when nothing new begins
	Closed    bool
	Pulls     []Pull
	Changes   []Change
	Held      int
	HoldUntil *time.Time
	Entries   int
	On        bool // there is a source
	MayWrite  bool
}

func (s *Service) registryData(c *web.Ctx) (p registryData, err error) {
	p.On, p.MayWrite = s.Fetch != nil, c.User.Has(web.RoleAdmin)
	h, err := s.Head(c.Std(), s.Pool)
	switch {
	case err == nil:
		p.Head, p.Stale, p.FailAfter = &h, h.Stale(c.Now), h.NextUpdate.Add(s.Grace)
		p.Closed = h.Stale(c.Now.Add(-s.Grace))
	case !errors.Is(err, ErrRegistry):
		return p, err
	}
	if p.Pulls, err = Pulls(c.Std(), s.Pool, false, 30); err != nil {
		return p, err
	}
	if p.Changes, err = Changes(c.Std(), s.Pool, "", 100); err != nil {
		return p, err
	}
	if err := s.Pool.QueryRow(c.Std(), `SELECT count(*) FROM certificate.registry_entry WHERE state <> 'gone'`).Scan(&p.Entries); err != nil {
		return p, err
	}
	p.Held, p.HoldUntil, err = Held(c.Std(), s.Pool)
	return p, err
}

func (s *Service) registryPage(c *web.Ctx) error {
	p, err := s.registryData(c)
	if err != nil {
		return err
	}
	return c.Page("issuer/registry", p)
}

func (s *Service) pullNow(c *web.Ctx) error {
	p, err := s.apiPull(c, struct{}{})
	if err != nil {
		return err
	}
	c.Flash("issuer.registry.pulled." + p.Outcome)
	return c.See("/admin/registry")
}

func (s *Service) confirmHeld(c *web.Ctx) error {
	n, suspended, err := s.Confirm(c.Std(), c.Actor())
	if err != nil {
		return asProblem(err)
	}
	c.Flash("issuer.registry.confirmed", "Entries", int(n), "Issuers", suspended)
	return c.See("/admin/registry")
}

// AdminCard shows on the administration's overview what needs a look.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "issuer/_figures", Data: func(c *web.Ctx) (any, error) {
		p, err := s.registryData(c)
		if err != nil {
			return nil, err
		}
		counts, err := Counts(c.Std(), s.Pool)
		return struct {
			registryData
			Counts map[string]int
		}{p, counts}, err
	}}
}
