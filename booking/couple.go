package booking

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// companionTTL is how long the login data of a second person, once shown, let
// somebody book for both.
const companionTTL = 30 * time.Minute

// CompanionError says that it is the second person of a couple who cannot book.
type CompanionError struct{ Err error }

func (e *CompanionError) Error() string { return "booking: the second person: " + e.Err.Error() }

// Unwrap returns why.
func (e *CompanionError) Unwrap() error { return e.Err }

// SetCompanion lets a person book for another one as well, for half an hour, or
// until the other one's login data change. The caller has checked these. Empty
// companionID: alone again.
func (s *Service) SetCompanion(ctx context.Context, personID, companionID string) error {
	if companionID == "" {
		_, err := s.Pool.Exec(ctx, `DELETE FROM booking.companion WHERE person_id = $1`, personID)
		return err
	}
	if companionID == personID {
		return ErrInvalid
	}
	mark, err := s.Citizens.LoginMark(ctx, s.Pool, companionID)
	if err != nil {
		return err
	}
	_, err = s.Pool.Exec(ctx, `
		INSERT INTO booking.companion (person_id, companion_id, until_at, mark) VALUES ($1, $2, $3, $4)
		ON CONFLICT (person_id) DO UPDATE SET companion_id = excluded.companion_id, until_at = excluded.until_at, mark = excluded.mark`,
		personID, companionID, s.Now().Add(companionTTL), mark)
	return err
}

// Companion returns the second person for whom somebody books, or nil.
func (s *Service) Companion(ctx context.Context, personID string) (*citizen.Person, error) {
	var companionID string
	var shown []byte
	err := s.Pool.QueryRow(ctx, `SELECT companion_id::text, mark FROM booking.companion WHERE person_id = $1 AND until_at > $2`, personID, s.Now()).Scan(&companionID, &shown)
	if pg.NoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mark, err := s.Citizens.LoginMark(ctx, s.Pool, companionID)
	if errors.Is(err, citizen.ErrNotFound) || err == nil && !bytes.Equal(mark, shown) {
		return nil, nil // what was shown is not valid any more
	}
	if err != nil {
		return nil, err
	}
	p, err := s.Citizens.Person(ctx, s.Pool, companionID)
	if errors.Is(err, citizen.ErrNotFound) {
		return nil, nil
	}
	return &p, err
}

// both returns what two people may have together: the same products in as many
// appointments, from the day on which both may come.
func both(a, b []Entitlement) []Entitlement {
	var out []Entitlement
	for _, e := range a {
		i := slices.IndexFunc(b, func(x Entitlement) bool {
			return x.ProductID == e.ProductID && x.Legs == e.Legs && x.Last() == e.Last()
		})
		if i >= 0 {
			e.NotBefore = latest(e.NotBefore, b[i].NotBefore)
			out = append(out, e)
		}
	}
	return out
}

// forTwo keeps the times at which two places are free.
func forTwo(days []OfferDay) []OfferDay {
	few := func(t OfferTime) bool { return t.Free < 2 }
	for i := range days {
		days[i].First = slices.DeleteFunc(days[i].First, few)
		for j := range days[i].Later {
			days[i].Later[j] = slices.DeleteFunc(days[i].Later[j], few)
		}
	}
	return slices.DeleteFunc(days, func(d OfferDay) bool { return d.Free() < 2 })
}

// coupleEntitlements returns what both may have. An error of the second person
// comes as *CompanionError.
func (s *Service) coupleEntitlements(ctx context.Context, first, second citizen.Person) (together, mine, theirs []Entitlement, err error) {
	if mine, err = s.entitlements(ctx, s.Pool, first); err != nil {
		return nil, nil, nil, err
	}
	if first.ProgrammeID != second.ProgrammeID {
		return nil, nil, nil, &CompanionError{&IneligibleError{ReasonSeries}}
	}
	if theirs, err = s.entitlements(ctx, s.Pool, second); err != nil {
		return nil, nil, nil, &CompanionError{err}
	}
	if together = both(mine, theirs); len(together) == 0 {
		return nil, nil, nil, &CompanionError{&IneligibleError{ReasonSeries}}
	}
	return together, mine, theirs, nil
}

// HoldTogether holds the same slots for two people, for both or for neither. It
// returns the series of in.PersonID. Errors as Hold; those of the second person
// come as *CompanionError.
func (s *Service) HoldTogether(ctx context.Context, in HoldRequest, companionID string) (Series, error) {
	if err := in.check(); err != nil || !id.Valid(companionID) || companionID == in.PersonID || in.Waive != "" {
		return Series{}, ErrInvalid
	}
	first, err := s.Citizens.Person(ctx, s.Pool, in.PersonID)
	if err != nil {
		return Series{}, err
	}
	second, err := s.Citizens.Person(ctx, s.Pool, companionID)
	if err != nil {
		return Series{}, &CompanionError{err}
	}
	together, mine, theirs, err := s.coupleEntitlements(ctx, first, second)
	if err != nil {
		return Series{}, err
	}
	if in.Actor == "" {
		in.Actor, in.Role = "citizen:"+in.PersonID, "citizen"
	}
	a := takeRequest{HoldRequest: in, ProgrammeID: first.ProgrammeID, Entitlements: mine, registered: true}
	b := a
	b.PersonID, b.Entitlements = companionID, theirs
	// The keys name both: alone, or with somebody else, it is another booking.
	a.Key = coupleKey(in.Key, in.PersonID, companionID)
	b.Key = coupleKey(in.Key, companionID, in.PersonID)
	try := func() (Series, error) {
		a.at = s.Now()
		b.at = a.at // one hold: both end at the same moment
		if _, err := s.expire(ctx, s.Now(), nil, companionID); err != nil {
			return Series{}, err
		}
		return s.tryTogether(ctx, a, b)
	}
	series, err := try()
	switch {
	case errors.Is(err, ErrSlotTaken):
		if err := s.freeDue(ctx, in.SlotIDs); err != nil {
			return Series{}, err
		}
		series, err = try()
	case errors.Is(err, ErrAlreadyBooked):
		if _, err := s.expire(ctx, s.Now(), nil, in.PersonID); err != nil {
			return Series{}, err
		}
		series, err = try()
	}
	for n := 0; n < 3 && pg.IsLockTimeout(err); n++ { // with contingents two couples may take places in different order
		series, err = try()
	}
	switch {
	case errors.Is(err, ErrTooOften):
		return s.heldBefore(ctx, a, err)
	case errors.Is(err, ErrSlotTaken):
		near, nearErr := s.nearest(ctx, in, together, 2)
		if nearErr != nil {
			return Series{}, nearErr
		}
		return Series{}, &TakenError{Alternatives: near}
	case errors.Is(err, ErrAlreadyBooked):
		standing, standErr := Standing(ctx, s.Pool, []string{companionID})
		if standErr == nil && standing[companionID] {
			return Series{}, &CompanionError{err}
		}
	}
	return series, err
}

// coupleKey is the idempotency key of one of two who book together.
func coupleKey(key, personID, otherID string) string {
	sum := sha256.Sum256([]byte(key + " " + personID + " " + otherID))
	return "couple " + hex.EncodeToString(sum[:])
}

// tryTogether is one attempt: one transaction, in the order of the people's ids.
func (s *Service) tryTogether(ctx context.Context, a, b takeRequest) (Series, error) {
	order := []takeRequest{a, b}
	slices.SortFunc(order, func(x, y takeRequest) int { return strings.Compare(x.PersonID, y.PersonID) })
	batch := &pgx.Batch{}
	// Two people of different groups take from different pots: all that they may take
	// is locked first, in the order of the plan, or couples would wait for each other.
	batch.Queue(`
		SELECT FROM booking.place WHERE slot_id = ANY ($1) AND (channel = $2 OR channel LIKE $2 || ':%')
		ORDER BY slot_id, channel, leg, first_day FOR UPDATE`, a.SlotIDs, a.Channel)
	takings := make([]*taking, len(order))
	ids := make([]string, len(order))
	for i, in := range order {
		takings[i] = s.queueTake(batch, in)
		ids[i] = takings[i].series.ID
	}
	batch.Queue(`UPDATE booking.series SET couple_id = $1 WHERE id = ANY ($2)`, id.New(), ids)
	batch.Queue(`SELECT booking.sure(count(*) <> 1) FROM booking.series WHERE id = ANY ($1)`, ids) // never half a couple
	if err := citizen.LockError(s.Pool.SendBatch(ctx, batch).Close()); err != nil {
		return Series{}, engineError(err)
	}
	var mine Series
	for i, t := range takings {
		series, err := t.done(ctx, s)
		if err != nil {
			return Series{}, err
		}
		if order[i].PersonID == a.PersonID {
			mine = series
		}
	}
	return mine, nil
}

// partner returns the other half of a couple that was booked together, while it
// stands; nil when there is none.
func (s *Service) partner(ctx context.Context, q pg.Querier, series Series) (*Series, error) {
	if series.CoupleID == "" {
		return nil, nil
	}
	found, err := findSeries(ctx, q, `s.couple_id = $1 AND s.id <> $2 AND s.state IN ('held', 'confirmed')`, series.CoupleID, series.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return found, err
}

// endHalf ends the hold of somebody whose other half has ended already: its
// places go back like those of every hold whose time is over.
func (s *Service) endHalf(ctx context.Context, seriesID string) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			SELECT booking.release($2, ARRAY[h.id], 'expired') FROM (
				SELECT s.id FROM booking.series s WHERE s.id = $1 AND s.state = 'held' AND s.couple_id IS NOT NULL
				AND NOT EXISTS (SELECT FROM booking.series o WHERE o.couple_id = s.couple_id AND o.id <> s.id AND (o.state = 'confirmed' OR o.state = 'held' AND o.hold_until > $2))
				FOR UPDATE) h`, seriesID, s.Now())
		return err
	})
}
