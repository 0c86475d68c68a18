package vaccination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/booking"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/staff/dualcontrol"
)

// KindRemove is the kind of the proposals to remove a record. The database knows it by
// the same name.
const KindRemove = "record.remove"

// Why a record is removed.
const (
	Twice       = "twice"  // the same dose stands in the record twice
	OtherPerson = "person" // the dose was given to somebody else
)

// changedRemoved is what a removal changes.
const changedRemoved = "removed"

// ErrProposed says that the removal of a record waits to be decided already.
var ErrProposed = errors.New("vaccination: removal is proposed already")

// removal is what two people decide: this version of the record, and why it goes.
type removal struct {
	Version int    `json:"version"`
	Why     string `json:"why"`
}

func subject(recordID string) string { return "record:" + recordID }

// recordOf is the record that a proposal is about.
func recordOf(p dualcontrol.Proposal) string { return strings.TrimPrefix(p.Subject, "record:") }

// actorOf is who asked for what two people have decided, as in audit.
func actorOf(p dualcontrol.Proposal) (actor, role string) {
	if p.ProposedBy == "" {
		return "system", ""
	}
	return "staff:" + p.ProposedBy, "proposer"
}

// DecideBy lets two people decide what one must not: that a record is removed, or that it
// is corrected beside the same dose of somebody of the same name and birth date.
func (s *Service) DecideBy(d *dualcontrol.Service, now func() time.Time) {
	s.dual = d
	d.Handle(KindNamesake, dualcontrol.Handler{
		Title: func(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
			return c.T("vaccination.namesake.proposal", "Record", recordOf(p)), nil
		},
		Changes: s.namesakeChanges,
		Apply: func(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
			return Problem(s.applyNamesake(ctx, tx, p, now()))
		},
	})
	d.Handle(KindRemove, dualcontrol.Handler{
		Title: func(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
			return c.T("vaccination.remove.proposal", "Record", recordOf(p)), nil
		},
		Changes: s.removalChanges,
		Apply: func(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
			return Problem(s.remove(ctx, tx, p, now()))
		},
	})
}

// proposed reads what a proposal says and the record that it is about; see gone.
func (s *Service) proposed(c *web.Ctx, p dualcontrol.Proposal, what any) (r Record, n names, err error) {
	if err := json.Unmarshal(p.Payload, what); err != nil {
		return r, n, err
	}
	if r, err = s.Get(c.Std(), s.pool, recordOf(p)); err != nil {
		return r, n, err
	}
	n, err = s.names(c.Std())
	return r, n, err
}

// removalChanges tells those who decide which dose it is; not whose.
func (s *Service) removalChanges(c *web.Ctx, p dualcontrol.Proposal) ([]dualcontrol.Change, error) {
	var what removal
	r, n, err := s.proposed(c, p, &what)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	goes := c.T("vaccination.remove.gone")
	return []dualcontrol.Change{
		{What: c.T("vaccination.correct.fact.lot"), Before: n.products[r.ProductID] + ", " + r.LotNumber, After: goes},
		{What: c.T("vaccination.correct.fact.dose"), Before: c.T("vaccination.dose_of", "N", r.DoseNumber, "Total", r.DosesTotal), After: goes},
		{What: c.T("vaccination.correct.fact.day"), Before: web.FormatDayShort(c.Lang, r.Day), After: goes},
		{What: c.T("vaccination.correct.fact.place"), Before: n.place(c, r), After: goes},
		{What: c.T("vaccination.remove.why"), After: c.T("vaccination.remove.why." + what.Why)},
	}, nil
}

// Removal asks two people to remove a record.
type Removal struct {
	RecordID string
	Version  int
	Why      string // Twice or OtherPerson
	Reason   string // in words; nothing personal: those who decide read it
	Account  string // who asks
}

// ProposeRemoval asks for the removal of a record of the desk. ErrProposed when that
// was done already; errors as of Correct.
func (s *Service) ProposeRemoval(ctx context.Context, d Desk, in Removal) (proposalID string, err error) {
	in.Reason = strings.TrimSpace(in.Reason)
	switch n := utf8.RuneCountInString(in.Reason); {
	case n == 0 || n > maxReason:
		return "", ErrReason
	case in.Why != Twice && in.Why != OtherPerson:
		return "", ErrInvalid
	case !id.Valid(in.RecordID) || s.dual == nil:
		return "", ErrNotFound
	}
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		r, err := s.lock(ctx, tx, in.RecordID)
		switch {
		case err != nil:
			return err
		case !d.may(r):
			return ErrNotFound
		case r.Removed():
			return ErrRemoved
		case r.Version != in.Version:
			return ErrChanged
		}
		proposalID, err = s.proposeFor(ctx, tx, r, KindRemove, removal{r.Version, in.Why}, in.Reason, in.Account, d.Now)
		return err
	})
	return proposalID, err
}

// proposeFor asks two people to decide about a record: one thing at a time.
func (s *Service) proposeFor(ctx context.Context, tx pgx.Tx, r Record, kind string, what any, why, account string, now time.Time) (string, error) {
	if asked, err := proposed(ctx, tx, r, now); err != nil {
		return "", err
	} else if asked != nil {
		return "", ErrProposed
	}
	payload, err := json.Marshal(what)
	if err != nil {
		return "", err
	}
	var barred []string
	if id.Valid(r.Operator) {
		barred = append(barred, r.Operator) // who made the record does not decide about it
	}
	return s.dual.Propose(ctx, tx, dualcontrol.Proposal{
		Kind: kind, Subject: subject(r.ID), Payload: payload, Why: why, ProposedBy: account, Barred: barred,
	})
}

// asked is what waits to be decided about a record.
type asked struct {
	Kind string // last part of the proposal's: "remove" or "namesake"
	At   time.Time
}

// proposed tells what waits to be decided about a record as it is now; nil = nothing. A
// proposal about an older version applies to nothing any more.
func proposed(ctx context.Context, q pg.Querier, r Record, now time.Time) (*asked, error) {
	for _, kind := range []string{KindRemove, KindNamesake} {
		p, open, err := dualcontrol.OpenFor(ctx, q, kind, subject(r.ID))
		if err != nil {
			return nil, err
		}
		if !open || !now.Before(p.ExpiresAt) {
			continue
		}
		var what struct {
			Version int `json:"version"`
		}
		if err := json.Unmarshal(p.Payload, &what); err != nil {
			return nil, fmt.Errorf("proposal about a record: %w", err)
		}
		if what.Version == r.Version {
			return &asked{strings.TrimPrefix(kind, "record."), p.CreatedAt}, nil
		}
	}
	return nil, nil
}

// lockProposed locks the record that a proposal is about while it is as it was when it
// was proposed: ErrRemoved, ErrChanged.
func (s *Service) lockProposed(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal, version int) (Record, error) {
	r, err := s.lock(ctx, tx, recordOf(p))
	switch {
	case err != nil:
	case r.Removed():
		err = ErrRemoved
	case r.Version != version:
		err = ErrChanged
	}
	return r, err
}

// remove carries out what two people have decided, in the transaction of the second
// approval: the record counts as not given, its dose comes back into the ledger, and a
// registration of somebody to whom it was not given may have it. What stood there stays
// sealed for as long as a record.
func (s *Service) remove(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal, now time.Time) error {
	var what removal
	if err := json.Unmarshal(p.Payload, &what); err != nil {
		return fmt.Errorf("removal: %w", err)
	}
	r, err := s.lockProposed(ctx, tx, p, what.Version)
	if err != nil {
		return err
	}
	actor, role := actorOf(p)
	if err := s.keepFormer(ctx, tx, r, r, Correction{Reason: p.Why, Now: now, Actor: actor, Role: role}, []string{changedRemoved}); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		UPDATE vaccination.record SET voided_at = $2, void_why = $3, void_proposal = $4, version = version + 1, corrected_at = $2 WHERE id = $1`,
		r.ID, now, what.Why, p.ID); err != nil {
		return fmt.Errorf("remove record: %w", err)
	}
	if what.Why == OtherPerson && r.LoginPersonID != "" {
		if err := s.booking.DoseUndone(ctx, tx, booking.Undone{
			AppointmentID: r.AppointmentID, PersonID: r.LoginPersonID, ProgrammeID: r.ProgrammeID, DoseNumber: r.DoseNumber,
		}, now); err != nil {
			return fmt.Errorf("undo the appointment: %w", err)
		}
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: actor, Role: role, Action: "vaccination.removed", Subject: "record:" + r.ID, Before: inTheClear(r.Content()),
		After: map[string]any{"why": what.Why, "proposal": p.ID, "version": r.Version + 1},
	}); err != nil {
		return err
	}
	err = s.stock.TakeBack(ctx, tx, r.ID, "treatment record removed", inventory.By{Actor: actor, Role: role})
	if errors.Is(err, inventory.ErrAlreadyCorrected) { // somebody takes it back in the stock at this moment
		return ErrChanged
	}
	return err
}

func (s *Service) postRemoval(c *web.Ctx) error {
	r, revisions, err := s.OpenRecord(c.Std(), deskOf(c), c.Params("id"))
	if err != nil {
		return Problem(err)
	}
	f := c.Form()
	_, err = s.ProposeRemoval(c.Std(), deskOf(c), Removal{
		RecordID: r.ID, Version: f.Int("version", 0, 1<<30, "web.error.invalid"), Why: f.Get("why"), Reason: f.Get("why_text"), Account: c.User.ID,
	})
	if err == nil {
		c.Flash("vaccination.remove.asked")
		return c.See("/site/corrections/" + r.ID)
	}
	switch {
	case errors.Is(err, ErrReason):
		f.Fail("why_text", "vaccination.correct.error.reason")
	case errors.Is(err, ErrInvalid):
		f.Fail("why", "vaccination.remove.error.why")
	default:
		if err := TakeError(f, err); err != nil {
			return Problem(err)
		}
	}
	fresh := fillCorrection(r)
	fresh.Errors = f.Errors
	fresh.Set("why", f.Get("why"))
	fresh.Set("why_text", f.Get("why_text"))
	return s.renderCorrection(c, fresh, r, revisions)
}

type removeIn struct {
	ID      string `json:"-" path:"id"`
	Version int    `json:"version" doc:"of the record as it was seen"`
	Why     string `json:"why" enum:"twice,person"`
	Reason  string `json:"reason" doc:"nothing personal: those who decide read it"`
}

// proposedOut names a proposal.
type proposedOut struct {
	ProposalID string `json:"proposal_id"`
}

// HTTPStatus makes it a 202: two people decide.
func (proposedOut) HTTPStatus() int { return http.StatusAccepted }

func (s *Service) apiRemove(c *web.Ctx, in removeIn) (proposedOut, error) {
	proposalID, err := s.ProposeRemoval(c.Std(), deskOf(c), Removal{RecordID: in.ID, Version: in.Version, Why: in.Why, Reason: in.Reason, Account: c.User.ID})
	return proposedOut{proposalID}, Problem(err)
}
