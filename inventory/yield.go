package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// OpenedVial is a vial that was opened at a place, and what it gave.
type OpenedVial struct {
	ID        string    `json:"id"` // of its opening
	ProductID string    `json:"product_id"`
	LotID     string    `json:"lot_id"`
	LotNumber string    `json:"lot_number"`
	Place     Place     `json:"place"`
	OpenedAt  time.Time `json:"opened_at"`
	Doses     int       `json:"doses"` // by the rule of the day
	Extra     int       `json:"extra"` // noted: what it gave beyond that, negative = less
}

// Gave is how many doses came out of the vial.
func (v OpenedVial) Gave() int { return v.Doses + v.Extra }

const openedVials = `
	SELECT m.id::text, l.product_id, l.id::text, l.number, e.place, m.at, e.doses, coalesce(y.gave - e.doses, 0)
	FROM inventory.movement m JOIN inventory.lot l ON l.id = m.lot_id
	JOIN inventory.entry e ON e.movement_id = m.id AND e.vials = -1 AND inventory.is_stock(e.place)
	LEFT JOIN inventory.yield y ON y.vial = m.id
	WHERE m.kind = 'open'`

// OpenedVials returns the vials that were opened at a place since a time, the
// newest first.
func OpenedVials(ctx context.Context, q pg.Querier, place Place, since time.Time) ([]OpenedVial, error) {
	rows, err := q.Query(ctx, openedVials+` AND e.place = $1 AND m.at >= $2 ORDER BY m.at DESC, m.id DESC LIMIT 500`, place, since)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OpenedVial])
}

// VialByID returns an opened vial, or ErrNotFound.
func VialByID(ctx context.Context, q pg.Querier, vialID string) (OpenedVial, error) {
	if !id.Valid(vialID) {
		return OpenedVial{}, fmt.Errorf("%w: vial", ErrNotFound)
	}
	rows, err := q.Query(ctx, openedVials+` AND m.id = $1`, vialID)
	if err != nil {
		return OpenedVial{}, err
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[OpenedVial])
	if pg.NoRows(err) {
		return v, fmt.Errorf("%w: vial", ErrNotFound)
	}
	return v, err
}

// NoteYield notes how many doses came out of an opened vial (Ausbeute). What it
// gave beyond the rule is a gain (Mehrausbeute), what did not come out is waste;
// doses of the vial that were thrown away before are waste already, so that nothing
// is taken from the vial that was opened next. The note says how it is: the same one
// again changes nothing, another one takes the former back by its counter-movement.
// ErrNotFound, ErrInvalid for more than twice the rule, ErrNotEnough when doses that
// did not come out were given.
func (s *Service) NoteYield(ctx context.Context, tx pgx.Tx, vialID string, gave int, by By) error {
	v, err := VialByID(ctx, tx, vialID)
	if err != nil {
		return err
	}
	if gave < 0 || gave > 2*v.Doses {
		return fmt.Errorf("%w: doses of a vial", ErrInvalid)
	}
	// Two people note the same vial: the second sees what the first has noted.
	if _, err := tx.Exec(ctx, `SELECT 1 FROM inventory.balance WHERE place = $1 AND lot_id = $2 FOR UPDATE`, v.Place, v.LotID); err != nil {
		return err
	}
	if v, err = VialByID(ctx, tx, vialID); err != nil {
		return err
	}
	thrown, changed, err := notComeOut(ctx, tx, v, gave)
	if err != nil {
		return err
	}
	if v.Gave() == gave && !changed {
		return nil
	}
	now := s.now()
	if _, err := tx.Exec(ctx, `
		INSERT INTO inventory.yield (vial, gave, thrown, actor, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (vial) DO UPDATE SET gave = excluded.gave, thrown = excluded.thrown, actor = excluded.actor, at = excluded.at`,
		v.ID, gave, thrown, by.Actor, now); err != nil {
		return err
	}
	n := gave - v.Doses
	if n < 0 {
		n += thrown
	}
	if err := s.bookYield(ctx, tx, v, gave, n, by, now); err != nil {
		return err
	}
	if err := s.changed(ctx, tx, v.ProductID, v.Place); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.vial-yield", Subject: "movement:" + v.ID,
		Before: map[string]int{"gave": v.Gave()}, After: map[string]any{"gave": gave, "rule": v.Doses, "thrown_away_before": thrown, "place": v.Place},
	})
}

// notComeOut tells how many of the doses that did not come out of a vial were thrown
// away with its rest, and whether that differs from what was noted before.
func notComeOut(ctx context.Context, tx pgx.Tx, v OpenedVial, gave int) (thrown int, changed bool, err error) {
	if gave >= v.Doses && v.Extra >= 0 {
		return 0, false, nil
	}
	var before, rest int
	// In the order in which the ledger was written: a vial is opened when no dose of
	// the one before is left.
	err = tx.QueryRow(ctx, `
		WITH next AS (
			SELECT m.recorded_at, m.id FROM inventory.movement m JOIN inventory.movement o ON o.id = $1
			WHERE m.lot_id = $2 AND m.kind = 'open' AND (m.recorded_at, m.id) > (o.recorded_at, o.id)
			  AND EXISTS (SELECT 1 FROM inventory.entry e WHERE e.movement_id = m.id AND e.place = $3)
			ORDER BY m.recorded_at, m.id LIMIT 1
		)
		SELECT coalesce((SELECT thrown FROM inventory.yield WHERE vial = $1), 0), coalesce(sum(-e.doses), 0)::int
		FROM inventory.movement o JOIN inventory.movement w ON w.lot_id = $2 AND w.kind = 'waste' AND w.vial IS NULL AND (w.recorded_at, w.id) > (o.recorded_at, o.id)
		JOIN inventory.entry e ON e.movement_id = w.id AND e.place = $3
		WHERE o.id = $1 AND NOT EXISTS (SELECT 1 FROM next WHERE (next.recorded_at, next.id) < (w.recorded_at, w.id))
		  AND NOT EXISTS (SELECT 1 FROM inventory.movement c WHERE c.corrects = w.id)`, v.ID, v.LotID, v.Place).Scan(&before, &rest)
	if err != nil {
		return 0, false, fmt.Errorf("rest of a vial: %w", err)
	}
	missing, was := max(0, v.Doses-gave), max(0, -v.Extra)
	thrown = min(before, rest) // what was thrown away may have been taken back
	if more := missing - was; more >= 0 {
		thrown += min(more, rest-thrown)
	} else {
		thrown = min(thrown, missing)
	}
	return thrown, thrown != before, nil
}

// bookYield makes n the sum of what the ledger holds of a vial beyond the rule of its
// day; negative = it gave less.
func (s *Service) bookYield(ctx context.Context, tx pgx.Tx, v OpenedVial, gave, n int, by By, now time.Time) error {
	old, err := notesOf(ctx, tx, v.ID)
	if err != nil {
		return err
	}
	booked := 0
	for _, m := range old {
		for _, l := range m.Lines {
			if l.Place == v.Place {
				booked += l.Doses
			}
		}
	}
	if booked == n {
		return nil
	}
	note := func() error {
		m := movement{kind: "gain", lotID: v.LotID, at: now, actor: by.Actor, why: fmt.Sprintf("the vial gave %d of %d", gave, v.Doses), vial: v.ID}
		switch {
		case n > 0:
			opened, err := lastOpened(ctx, tx, v.Place, v.LotID, v.OpenedAt)
			if err != nil {
				return err
			}
			m.openedAt = &opened
			m.entries = []entry{{v.Place, 0, n}, {Gain, 0, -n}}
		case n < 0:
			m.kind, m.entries = "waste", []entry{{v.Place, 0, n}, {OpenVial.place(), 0, -n}}
		default:
			return nil
		}
		_, err := s.post(ctx, tx, m)
		return err
	}
	takeBack := func() error {
		for _, m := range old {
			if _, err := s.counter(ctx, tx, m, "noted anew", by, now); err != nil {
				return err
			}
		}
		return nil
	}
	steps := []func() error{takeBack, note}
	if n > 0 { // what rises first, so that nothing is short in between
		steps = []func() error{note, takeBack}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// notesOf returns what was noted of a vial and not taken back.
func notesOf(ctx context.Context, q pg.Querier, vialID string) ([]Movement, error) {
	rows, err := q.Query(ctx, `
		SELECT `+movementColumns+` FROM inventory.movement m JOIN inventory.lot l ON l.id = m.lot_id
		WHERE m.vial = $1 AND m.kind IN ('gain', 'waste') AND NOT EXISTS (SELECT 1 FROM inventory.movement c WHERE c.corrects = m.id)
		ORDER BY m.id`, vialID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Movement])
}
