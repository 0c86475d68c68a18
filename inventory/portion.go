package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Portion names a part of a lot at a place: Frozen, or the day on which its
// vials were thawed (2021-01-11). "" leaves the choice to the ledger, which takes
// what runs out first.
type Portion string

// Frozen are the vials of which nobody has noted that they were thawed.
const Frozen Portion = "frozen"

// Thawed names the vials that were thawed on a day.
func Thawed(day time.Time) Portion { return Portion(clock.Day(day).Format(time.DateOnly)) }

func (p Portion) valid() bool {
	if p == "" || p == Frozen {
		return true
	}
	_, err := time.Parse(time.DateOnly, string(p))
	return err == nil
}

// is reports whether vials thawed on day (nil = frozen) are of the portion.
func (p Portion) is(day *time.Time) bool {
	switch {
	case p == "":
		return true
	case day == nil:
		return p == Frozen
	}
	return p == Portion(day.Format(time.DateOnly))
}

// thawedOn is the day of a stored line.
func (l Line) thawedOn() (*time.Time, error) {
	if l.Thawed == "" {
		return nil, nil
	}
	d, err := time.Parse(time.DateOnly, l.Thawed)
	return &d, err
}

// ThawedDay is the day on which the vials of the line were thawed; nil = frozen, or
// not noted.
func (l Line) ThawedDay() *time.Time {
	d, err := l.thawedOn()
	if err != nil {
		return nil
	}
	return d
}

// Thaw is vials that were taken out of the freezer (Auftauen).
type Thaw struct {
	Place Place
	LotID string
	Vials int
	Day   time.Time // on which; today or before
	Actor string
	At    time.Time // when it is noted
}

// Thaw notes that frozen vials were thawed: a movement between two portions of
// the same place. From then on they are good until the day that follows from the
// rule, and nothing makes them frozen again but a correction. ErrInvalid,
// ErrNotFound, ErrLotExpired, ErrLotBlocked, ErrNotEnough (frozen vials).
func (s *Service) Thaw(ctx context.Context, tx pgx.Tx, t Thaw) error {
	day := clock.Day(t.Day)
	if t.Vials < 1 || t.Vials > maxVials || !t.Place.Holds() || day.After(clock.Day(t.At)) {
		return fmt.Errorf("%w: thaw", ErrInvalid)
	}
	if day.Before(clock.Day(t.At).AddDate(0, 0, -maxThawNoted)) {
		return fmt.Errorf("%w: thawed long ago", ErrInvalid)
	}
	if _, err := LotByID(ctx, tx, t.LotID); err != nil {
		return err
	}
	if _, err := s.post(ctx, tx, movement{
		kind: "thaw", lotID: t.LotID, at: t.At, actor: t.Actor, why: "thawed on " + day.Format(time.DateOnly),
		lines: []line{{t.Place, nil, -t.Vials, 0}, {t.Place, &day, t.Vials, 0}},
	}); err != nil {
		return err
	}
	lot, err := LotByID(ctx, tx, t.LotID) // once the balance is locked, see setBlock
	if err != nil {
		return err
	}
	if err := lot.usable(t.At); err != nil {
		return err
	}
	return s.changed(ctx, tx, lot.ProductID, t.Place)
}

// maxThawNoted is how many days afterwards a thaw may be noted.
const maxThawNoted = 60

// thawAudited is Thaw for people.
func (s *Service) thawAudited(ctx context.Context, tx pgx.Tx, t Thaw, by By) error {
	if err := s.Thaw(ctx, tx, t); err != nil {
		return err
	}
	return audit.Write(ctx, tx, t.At, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.thaw", Subject: "lot:" + t.LotID,
		After: map[string]any{"place": t.Place, "vials": t.Vials, "thawed_on": clock.Day(t.Day).Format(time.DateOnly)},
	})
}

// openDoses counts the doses in opened vials that may still be given on a day.
func (s *Service) openDoses(ctx context.Context, q pg.Querier, place Place, productID string, on time.Time) (n int, err error) {
	err = q.QueryRow(ctx, `
		SELECT coalesce(sum(b.doses), 0) FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		WHERE b.place = $1 AND l.product_id = $2 AND l.expiry >= $3 AND l.blocked_at IS NULL AND b.doses > 0
		  AND coalesce(inventory.opened_until(l.product_id, b.opened_at) >= $4, true)`, place, productID, clock.Day(on), on).Scan(&n)
	return n, err
}
