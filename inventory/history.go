package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Holding is what one place holds of one lot.
type Holding struct {
	Place     Place     `json:"place"`
	ProductID string    `json:"product_id"`
	LotID     string    `json:"lot_id"`
	Number    string    `json:"lot_number"`
	Expiry    time.Time `json:"expiry"`
	Assumed   bool      `json:"assumed"`
	Vials     int       `json:"vials"`
	OpenDoses int       `json:"open_doses"`
	Doses     int       `json:"doses"` // by the rule of the day that was asked for; 0 when expired or blocked
	Blocked   bool      `json:"blocked"`
}

// Holdings returns what lies where, expired lots too. place and productID may
// be empty: all. on decides about expiry and doses per vial.
func (s *Service) Holdings(ctx context.Context, q pg.Querier, place Place, productID string, on time.Time) ([]Holding, error) {
	rows, err := q.Query(ctx, `
		SELECT b.place, l.product_id, l.id::text, l.number, l.expiry, l.assumed, b.vials, b.doses,
		       CASE WHEN l.expiry >= $3 AND l.blocked_at IS NULL THEN b.vials * coalesce(r.doses, 0) + b.doses ELSE 0 END, l.blocked_at IS NOT NULL
		FROM inventory.balance b
		JOIN inventory.lot l ON l.id = b.lot_id
		JOIN programme.product p ON p.id = l.product_id
		LEFT JOIN LATERAL (SELECT doses FROM inventory.doses_per_vial r WHERE r.product_id = l.product_id AND r.valid_from <= $3
		                   ORDER BY valid_from DESC LIMIT 1) r ON true
		WHERE ($1 = '' OR b.place = $1) AND ($2 = '' OR l.product_id = $2) AND (b.vials > 0 OR b.doses > 0)
		ORDER BY b.place <> 'central', b.place, p.programme_id, p.position, l.expiry, l.number`, place, productID, clock.Day(on))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Holding])
}

// Line is one entry of a movement.
type Line struct {
	Place Place `json:"place"`
	Vials int   `json:"vials"`
	Doses int   `json:"doses"`
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
	Corrected  bool      `json:"corrected"`
	Lines      []Line    `json:"lines"`
}

// Correctable reports whether Correct may undo the movement.
func (m Movement) Correctable() bool {
	return !m.Corrected && m.Kind != "correction" && m.Kind != "open" && !strings.HasPrefix(m.Ref, "import:")
}

const movementColumns = `m.id::text, m.kind, l.product_id, l.id::text, l.number, m.at, m.recorded_at, m.actor, m.why, coalesce(m.ref, ''), coalesce(m.corrects::text, ''),
	EXISTS (SELECT 1 FROM inventory.movement c WHERE c.corrects = m.id),
	(SELECT json_agg(json_build_object('place', e.place, 'vials', e.vials, 'doses', e.doses) ORDER BY e.vials, e.doses, e.place) FROM inventory.entry e WHERE e.movement_id = m.id)`

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
	counter := movement{kind: "correction", lotID: m.LotID, at: now, actor: by.Actor, why: why, ref: m.Ref, corrects: m.ID}
	places := make([]Place, 0, len(m.Lines))
	for _, l := range m.Lines {
		counter.entries = append(counter.entries, entry{l.Place, -l.Vials, -l.Doses})
		places = append(places, l.Place)
	}
	counterID, err := s.post(ctx, tx, counter)
	if err != nil {
		return err
	}
	if err := s.changed(ctx, tx, m.ProductID, places...); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.correct", Subject: "movement:" + m.ID,
		Before: m, After: map[string]any{"counter_movement": counterID, "why": why},
	})
}

// Difference is a place and lot whose balance is not the sum of its entries.
type Difference struct {
	Place        Place
	LotID        string
	Vials, Doses int // balance
	SumVials     int // entries
	SumDoses     int
}

// Reconcile compares the balances with the ledger and returns where they
// differ: nothing, unless somebody wrote past the ledger.
func Reconcile(ctx context.Context, q pg.Querier) ([]Difference, error) {
	rows, err := q.Query(ctx, `
		SELECT coalesce(b.place, e.place), coalesce(b.lot_id, e.lot_id)::text,
		       coalesce(b.vials, 0), coalesce(b.doses, 0), coalesce(e.vials, 0)::int, coalesce(e.doses, 0)::int
		FROM inventory.balance b
		FULL JOIN (SELECT place, lot_id, sum(vials) AS vials, sum(doses) AS doses
		           FROM inventory.entry WHERE inventory.is_stock(place) GROUP BY place, lot_id) e
		  ON e.place = b.place AND e.lot_id = b.lot_id
		WHERE (coalesce(b.vials, 0), coalesce(b.doses, 0)) <> (coalesce(e.vials, 0), coalesce(e.doses, 0))
		ORDER BY 1, 2`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Difference])
}
