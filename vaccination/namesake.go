package vaccination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

// KindNamesake is the kind of the proposals to correct a record into the name and birth
// date of somebody else who has the same dose. The database knows it by the same name.
const KindNamesake = "record.namesake"

// ErrNoNamesake says that a correction needs no decision of two people: nobody else has
// this dose under the name.
var ErrNoNamesake = errors.New("vaccination: no other record holds this dose")

// namesake is what two people decide: that this version of the record and another one
// are of two persons, and that it is corrected so.
type namesake struct {
	Version int    `json:"version"`
	Other   string `json:"other"`
	Sealed  []byte `json:"sealed"` // intended, under the record's key: it ends with the record
}

// intended is a correction that waits for two people.
type intended struct {
	Content Content `json:"content"`
	Reason  string  `json:"reason"`
}

const sealIntended = "vaccination.intended"

// decided is what two people have decided about a correction.
type decided struct {
	proposalID string
	other      string // the record of the other person
}

// NamesakeCorrection is a correction that Correct refuses with *AlreadyGivenError,
// although the other record is of another person.
type NamesakeCorrection struct {
	Correction
	Why     string // how somebody knows that they are two; nothing personal: those who decide read it
	Account string // who asks
}

// ProposeNamesake asks two people to let a correction be made in spite of the same name
// and birth date. ErrNoNamesake when it needs none of this, ErrProposed when something
// about the record waits to be decided already; errors as of CorrectAt.
func (s *Service) ProposeNamesake(ctx context.Context, d Desk, in NamesakeCorrection) (proposalID string, err error) {
	in.Why = strings.TrimSpace(in.Why)
	switch n := utf8.RuneCountInString(in.Why); {
	case n == 0 || n > maxReason:
		return "", errWhyTwo
	case s.dual == nil:
		return "", ErrNotFound
	}
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		was, to, err := s.correctAt(ctx, tx, d, in.Correction)
		var given *AlreadyGivenError
		switch {
		case err == nil:
			return ErrNoNamesake // what was tried is rolled back
		case !errors.As(err, &given):
			return err
		}
		key, err := s.vault.Open(ctx, tx, was.KeyID)
		if err != nil {
			return err
		}
		what := namesake{Version: was.Version, Other: given.RecordID}
		if what.Sealed, err = key.SealJSON(sealIntended, intended{to.Content(), strings.TrimSpace(in.Reason)}); err != nil {
			return fmt.Errorf("seal correction: %w", err)
		}
		proposalID, err = s.proposeFor(ctx, tx, was, KindNamesake, what, in.Why, in.Account, d.Now)
		return err
	})
	return proposalID, err
}

// errWhyTwo is ErrReason of what two people are told.
var errWhyTwo = fmt.Errorf("for those who decide: %w", ErrReason)

// applyNamesake corrects the record as two people have decided, in the transaction of
// the second approval. When the other person has no such dose any more, it is a
// correction like any other.
func (s *Service) applyNamesake(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal, now time.Time) error {
	var what namesake
	if err := json.Unmarshal(p.Payload, &what); err != nil {
		return fmt.Errorf("correction: %w", err)
	}
	r, err := s.lockProposed(ctx, tx, p, what.Version)
	if err != nil {
		return err
	}
	in, err := s.intended(ctx, tx, r, what)
	if err != nil {
		return err
	}
	actor, role := actorOf(p)
	_, err = s.CorrectTx(ctx, tx, Correction{
		RecordID: r.ID, Version: r.Version, Reason: in.Reason, To: in.Content, Now: now, Actor: actor, Role: role, decided: decided{p.ID, what.Other},
	})
	if errors.Is(err, ErrAlreadyGiven) {
		return ErrChanged // by now it is the dose of somebody else again
	}
	return err
}

func (s *Service) intended(ctx context.Context, q pg.Querier, r Record, what namesake) (in intended, err error) {
	key, err := s.vault.Open(ctx, q, r.KeyID)
	if err != nil {
		return in, err
	}
	if err := key.UnsealJSON(sealIntended, what.Sealed, &in); err != nil {
		return in, fmt.Errorf("correction of record %s: %w", r.ID, err)
	}
	return in, nil
}

// beNamesake lets the record stand beside the same dose of somebody else of the name.
func beNamesake(ctx context.Context, tx pgx.Tx, recordID, proposalID string) error {
	_, err := tx.Exec(ctx, `
		UPDATE vaccination.record SET overrides = array_append(overrides, $2), namesake_proposal = $3 WHERE id = $1`, recordID, Namesake, proposalID)
	if err != nil {
		return fmt.Errorf("namesake: %w", err)
	}
	return nil
}

// namesakeChanges tells those who decide which doses they are and what would be
// corrected; not whose, and no name or birth date.
func (s *Service) namesakeChanges(c *web.Ctx, p dualcontrol.Proposal) ([]dualcontrol.Change, error) {
	var what namesake
	r, n, err := s.proposed(c, p, &what)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := []dualcontrol.Change{{What: c.T("vaccination.namesake.this"), Before: n.dose(c, r)}}
	other, err := s.Get(c.Std(), s.pool, what.Other)
	switch {
	case gone(err):
	case err != nil:
		return nil, err
	default:
		out = append(out, dualcontrol.Change{What: c.T("vaccination.namesake.that"), Before: n.dose(c, other)})
	}
	if r.Version != what.Version {
		return out, nil // it says something else by now; the change stands with the record
	}
	in, err := s.intended(c.Std(), s.pool, r, what)
	if err != nil {
		return nil, err
	}
	for i, f := range n.facts(c, r, r.Content(), in.Content) {
		switch name := factsOrder[i]; {
		case !f.Changed:
		case name == changedName || name == changedPassport || name == changedBirth:
			out = append(out, dualcontrol.Change{What: f.Name, After: c.T("vaccination.namesake.unseen")})
		default:
			out = append(out, dualcontrol.Change{What: f.Name, Before: f.Was, After: f.Is})
		}
	}
	return out, nil
}

// dose says a record in one line, without the person.
func (n names) dose(c *web.Ctx, r Record) string {
	return strings.Join([]string{
		n.products[r.ProductID] + ", " + r.LotNumber, c.T("vaccination.dose_of", "N", r.DoseNumber, "Total", r.DosesTotal),
		web.FormatDayShort(c.Lang, r.Day), n.place(c, r),
	}, "; ")
}

// gone says that a record has been deleted, with its key or altogether.
func gone(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, vault.ErrDestroyed) }

// sameDose is the dose of somebody else that stands in the way of a correction.
type sameDose struct {
	Dose string
	ID   string // "" when it is not one of the desk's
}

// sameDose tells the desk which dose stands in the way: of a record that is not the
// desk's no more than that.
func (s *Service) sameDose(c *web.Ctx, n names, recordID string) (*sameDose, error) {
	other, err := s.Get(c.Std(), s.pool, recordID)
	if err != nil {
		return nil, err
	}
	if !deskOf(c).may(other) {
		return &sameDose{Dose: c.T("vaccination.namesake.elsewhere")}, nil
	}
	return &sameDose{n.dose(c, other), other.ID}, nil
}

func (s *Service) postNamesake(c *web.Ctx) error {
	return s.correction(c, func(f *web.Form, in Correction) error {
		_, err := s.ProposeNamesake(c.Std(), deskOf(c), NamesakeCorrection{Correction: in, Why: f.Get("why_two"), Account: c.User.ID})
		if errors.Is(err, errWhyTwo) {
			f.Fail("why_two", "vaccination.namesake.error.why")
			return s.renderCheck(c, f, in)
		}
		if err != nil {
			return err
		}
		c.Flash("vaccination.namesake.asked")
		return c.See("/site/corrections/" + in.RecordID)
	})
}

type namesakeIn struct {
	ID      string      `json:"-" path:"id"`
	Version int         `json:"version" doc:"of the record as it was seen; 409 when it is another by now"`
	Reason  string      `json:"reason"`
	Content contentJSON `json:"content" doc:"all of it, as it shall be"`
	Why     string      `json:"why" doc:"how you know that they are two persons; nothing personal: those who decide read it"`
}

func (s *Service) apiNamesake(c *web.Ctx, in namesakeIn) (proposedOut, error) {
	to, err := in.Content.read()
	if err != nil {
		return proposedOut{}, err
	}
	proposalID, err := s.ProposeNamesake(c.Std(), deskOf(c), NamesakeCorrection{
		Correction: Correction{RecordID: in.ID, Version: in.Version, Reason: in.Reason, To: to}, Why: in.Why, Account: c.User.ID,
	})
	return proposedOut{proposalID}, Problem(err)
}
