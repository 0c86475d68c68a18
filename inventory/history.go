package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Line is one entry of a movement.
type Line struct {
	Place  Place  `json:"place"`
	Vials  int    `json:"vials"`
	Doses  int    `json:"doses"`
	Thawed string `json:"thawed_on,omitempty"` // day; "" = frozen, or not noted
}

// Movement is one event in the ledger.
type Movement struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	ProductID  string    `json:"product_id"`
	LotID      string    `json:"lot_id"`
	LotNumber  string    `json:"lot_number"`
	At         time.Time `json:"at"`
	RecordedAt time.Time `json:"recorded_at"`
	Actor      string    `json:"actor"`
	Why        string    `json:"why"`
	Ref        string    `json:"ref"`
	Corrects   string    `json:"corrects"`
	Vial       string    `json:"vial,omitempty"` // gain, waste: the opening of the vial that gave more or less
	Corrected  bool      `json:"corrected"`
	Lines      []Line    `json:"lines"`
}

// Correctable reports whether Correct may undo the movement.
func (m Movement) Correctable() bool {
	return !m.Corrected && m.Kind != "correction" && m.Kind != "open" && !strings.HasPrefix(m.Ref, "import:")
}

const movementColumns = `m.id::text, m.kind, l.product_id, l.id::text, l.number, m.at, m.recorded_at, m.actor, m.why, coalesce(m.ref, ''), coalesce(m.corrects::text, ''), coalesce(m.vial::text, ''),
	EXISTS (SELECT 1 FROM inventory.movement c WHERE c.corrects = m.id),
	(SELECT json_agg(json_build_object('place', e.place, 'vials', e.vials, 'doses', e.doses, 'thawed_on', coalesce(e.thawed_on::text, '')) ORDER BY e.vials, e.doses, e.place) FROM inventory.entry e WHERE e.movement_id = m.id)`

// Movements returns the newest movements first; place "" = all.
func Movements(ctx context.Context, q pg.Querier, place Place, limit int) ([]Movement, error) {
	rows, err := q.Query(ctx, `
		SELECT `+movementColumns+`
		FROM inventory.movement m JOIN inventory.lot l ON l.id = m.lot_id
		WHERE $1 = '' OR EXISTS (SELECT 1 FROM inventory.entry e WHERE e.movement_id = m.id AND e.place = $1)
		ORDER BY m.recorded_at DESC, m.id DESC LIMIT $2`, place, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Movement])
}

// MovementsSince returns the movements of a product at a place that were entered
// since a time, the newest first.
func MovementsSince(ctx context.Context, q pg.Querier, place Place, productID string, since time.Time, limit int) ([]Movement, error) {
	rows, err := q.Query(ctx, `
		SELECT `+movementColumns+`
		FROM inventory.movement m JOIN inventory.lot l ON l.id = m.lot_id
		WHERE m.recorded_at >= $3 AND l.product_id = $2 AND EXISTS (SELECT 1 FROM inventory.entry e WHERE e.movement_id = m.id AND e.place = $1)
		ORDER BY m.recorded_at DESC, m.id DESC LIMIT $4`, place, productID, since, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Movement])
}

// MovementByID returns one movement, or ErrNotFound.
func MovementByID(ctx context.Context, q pg.Querier, movementID string) (Movement, error) {
	if !id.Valid(movementID) {
		return Movement{}, fmt.Errorf("%w: movement", ErrNotFound)
	}
	rows, err := q.Query(ctx, `
		SELECT `+movementColumns+` FROM inventory.movement m JOIN inventory.lot l ON l.id = m.lot_id WHERE m.id = $1`, movementID)
	if err != nil {
		return Movement{}, err
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Movement])
	if pg.NoRows(err) {
		return m, fmt.Errorf("%w: movement", ErrNotFound)
	}
	return m, err
}

// Correct undoes a movement by its counter-movement: the same entries with the
// other sign. ErrAlreadyCorrected; ErrNotCorrectable for a correction, an
// opened vial (the next dose uses it) and what follows the ministry's report
// (import the corrected report); ErrNotEnough when what it brought has gone on.
func (s *Service) Correct(ctx context.Context, tx pgx.Tx, movementID, why string, by By) error {
	if strings.TrimSpace(why) == "" {
		return fmt.Errorf("%w: a correction needs a reason", ErrInvalid)
	}
	m, err := MovementByID(ctx, tx, movementID)
	if err != nil {
		return err
	}
	if m.Corrected {
		return ErrAlreadyCorrected
	}
	if !m.Correctable() {
		return ErrNotCorrectable
	}
	now := s.now()
	counterID, err := s.counter(ctx, tx, m, why, by, now)
	if err != nil {
		return err
	}
	if err := s.mayGoBack(ctx, tx, m, now); err != nil {
		return err
	}
	if err := s.reopenDelivery(ctx, tx, m, by); err != nil {
		return err
	}
	if m.Vial != "" { // what was noted of the vial is taken back
		if _, err := tx.Exec(ctx, `DELETE FROM inventory.yield WHERE vial = $1`, m.Vial); err != nil {
			return err
		}
	}
	places := make([]Place, 0, len(m.Lines))
	for _, l := range m.Lines {
		places = append(places, l.Place)
	}
	if err := s.changed(ctx, tx, m.ProductID, places...); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.correct", Subject: "movement:" + m.ID,
		Before: m, After: map[string]any{"counter_movement": counterID, "why": why},
	})
}

// mayGoBack refuses the counter-movement of a transfer that would bring what is
// blocked or expired to where people are vaccinated, or an opened vial to where the
// next one is open; that also for a rest that was thrown away. It is asked once the
// counter-movement holds the lot, see setBlock.
func (s *Service) mayGoBack(ctx context.Context, tx pgx.Tx, m Movement, now time.Time) error {
	if m.Kind == "waste" && m.Vial == "" {
		return notToTheNext(ctx, tx, m)
	}
	if m.Kind != "transfer" {
		return nil
	}
	var (
		from, to Place // of the counter-movement
		doses    int
	)
	for _, l := range m.Lines {
		if l.Vials < 0 || l.Doses < 0 {
			to, doses = l.Place, doses-l.Doses
		} else {
			from = l.Place
		}
	}
	lot, err := LotByID(ctx, tx, m.LotID)
	if err != nil {
		return err
	}
	if err := lot.usable(now); err != nil && to != Central {
		return err
	}
	if doses > 0 {
		return movedWhole(ctx, tx, from, to, lot, doses, now)
	}
	return nil
}

// notToTheNext refuses doses of a rest that come back to where another vial of the lot
// has come or was opened since, and is open: ErrPooled.
func notToTheNext(ctx context.Context, tx pgx.Tx, m Movement) error {
	for _, l := range m.Lines {
		if l.Doses >= 0 || !l.Place.Holds() {
			continue
		}
		var pooled bool
		if err := tx.QueryRow(ctx, `
			SELECT b.doses > $3 AND EXISTS (
				SELECT FROM inventory.movement n JOIN inventory.entry e ON e.movement_id = n.id AND e.place = b.place AND e.doses > 0
				WHERE n.lot_id = b.lot_id AND n.kind IN ('open', 'transfer') AND (n.recorded_at, n.id) > ($4, $5::uuid))
			FROM inventory.balance b WHERE b.place = $1 AND b.lot_id = $2`, l.Place, m.LotID, -l.Doses, m.RecordedAt, m.ID).Scan(&pooled); err != nil {
			return fmt.Errorf("rest that comes back: %w", err)
		}
		if pooled {
			return ErrPooled
		}
	}
	return nil
}

// lastOpened tells when the vial was opened that open doses of a lot at a place are
// of: the newest one there, because a vial is opened only when none is open. Doses
// that came opened are of the newest vial that was opened anywhere until the moment
// before; without one that moment counts. So neither a correction nor a note about an
// older vial makes open doses younger or older than they are.
func lastOpened(ctx context.Context, tx pgx.Tx, place Place, lotID string, before time.Time) (at time.Time, err error) {
	err = tx.QueryRow(ctx, `
		SELECT coalesce(
			(SELECT max(m.at) FROM inventory.movement m JOIN inventory.entry e ON e.movement_id = m.id
			 WHERE m.kind = 'open' AND m.lot_id = $2 AND e.place = $1),
			(SELECT max(at) FROM inventory.movement WHERE kind = 'open' AND lot_id = $2 AND at <= $3), $3)`,
		place, lotID, before).Scan(&at)
	return at, err
}

// lastLoaded tells since when vials of a lot were on the way that a movement took out of
// the box of a team at a time.
func lastLoaded(ctx context.Context, tx pgx.Tx, place Place, lotID, movementID string, before time.Time) (at time.Time, err error) {
	err = tx.QueryRow(ctx, `
		SELECT coalesce((SELECT carried_since FROM inventory.movement WHERE id = $4), (SELECT max(m.at) FROM inventory.movement m JOIN inventory.entry e ON e.movement_id = m.id
			WHERE m.kind = 'transfer' AND m.lot_id = $2 AND e.place = $1 AND e.vials > 0 AND m.at <= $3), $3)`, place, lotID, before, movementID).Scan(&at)
	return at, err
}

// counter posts the counter-movement of m.
func (s *Service) counter(ctx context.Context, tx pgx.Tx, m Movement, why string, by By, now time.Time) (movementID string, err error) {
	c := movement{kind: "correction", lotID: m.LotID, at: now, actor: by.Actor, why: why, ref: m.Ref, corrects: m.ID, vial: m.Vial}
	for _, l := range m.Lines {
		if l.Doses < 0 && l.Place.Holds() { // open doses come back there
			opened, err := lastOpened(ctx, tx, l.Place, m.LotID, m.At)
			if err != nil {
				return "", err
			}
			c.openedAt = &opened
		}
		if l.Vials < 0 && l.Place.TeamID() != "" { // vials come back into the box
			loaded, err := lastLoaded(ctx, tx, l.Place, m.LotID, m.ID, m.At)
			if err != nil {
				return "", err
			}
			c.loadedAt = &loaded
		}
		thawed, err := l.thawedOn()
		if err != nil {
			return "", err
		}
		c.lines = append(c.lines, line{l.Place, thawed, -l.Vials, -l.Doses})
	}
	return s.post(ctx, tx, c)
}
