package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Holding is what one place holds of one lot.
type Holding struct {
	Place     Place
	ProductID string
	LotID     string
	Number    string
	Expiry    time.Time
	Assumed   bool
	Vials     int
	OpenDoses int
	Doses     int // that may be given, by the rule of the day that was asked for; 0 when blocked
	Blocked   bool
	OpenedAt  *time.Time // of the oldest opened vial
	OpenUntil *time.Time // until then its doses may be given; nil = no limit, or nothing open
	OpenDue   bool       // that time has passed: what is left is to be thrown away
	Carried   *time.Time // until then the closed vials may be in the box of a team; nil = no limit, or no box
	CarryDue  bool       // that time has passed: they may not be used any more
	Portions  []Held     // of the closed vials, first what runs out first
}

// Held is the closed vials of one portion.
type Held struct {
	Thawed *time.Time // day; nil = frozen, or not noted
	UseBy  time.Time  // last day on which they may be used
	Vials  int
	Past   bool // that day has passed
}

// Opened is how a form names the time at which the oldest opened vial was opened.
func (h Holding) Opened() string { return FormatOpened(h.OpenedAt) }

// FormatOpened writes the time of an opening as ReadOpenRest reads it; "" = not known.
func FormatOpened(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// Name is how a form names the portion.
func (h Held) Name() Portion {
	if h.Thawed == nil {
		return Frozen
	}
	return Thawed(*h.Thawed)
}

// FrozenVials counts the closed vials that nobody has noted as thawed.
func (h Holding) FrozenVials() int {
	for _, p := range h.Portions {
		if p.Thawed == nil {
			return p.Vials
		}
	}
	return 0
}

// ThawedVials counts the closed vials that were thawed.
func (h Holding) ThawedVials() int { return h.Vials - h.FrozenVials() }

// PastVials counts the closed vials that may not be used any more.
func (h Holding) PastVials() int {
	n := 0
	for _, p := range h.Portions {
		if p.Past {
			n += p.Vials
		}
	}
	return n
}

// Holdings returns what lies where, expired lots too. place and productID may
// be empty: all. on decides what is past and about doses per vial.
func (s *Service) Holdings(ctx context.Context, q pg.Querier, place Place, productID string, on time.Time) ([]Holding, error) {
	day, moment := clock.Day(on), s.moment(on)
	rows, err := q.Query(ctx, `
		SELECT b.place, l.product_id, l.id::text, l.number, l.expiry, l.assumed, b.vials, b.doses, coalesce(r.doses, 0), l.blocked_at IS NOT NULL,
		       b.opened_at, inventory.opened_until(l.product_id, b.opened_at), inventory.carried_until(l.product_id, b.carried_since)
		FROM inventory.balance b
		JOIN inventory.lot l ON l.id = b.lot_id
		JOIN programme.product p ON p.id = l.product_id
		LEFT JOIN LATERAL (SELECT doses FROM inventory.doses_per_vial r WHERE r.product_id = l.product_id AND r.valid_from <= $3
		                   ORDER BY valid_from DESC LIMIT 1) r ON true
		WHERE ($1 = '' OR b.place = $1) AND ($2 = '' OR l.product_id = $2) AND (b.vials > 0 OR b.doses > 0)
		ORDER BY b.place <> 'central', b.place, p.programme_id, p.position, l.expiry, l.number`, place, productID, day)
	if err != nil {
		return nil, err
	}
	var perVial []int
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Holding, err error) {
		n := 0
		err = row.Scan(&h.Place, &h.ProductID, &h.LotID, &h.Number, &h.Expiry, &h.Assumed, &h.Vials, &h.OpenDoses, &n, &h.Blocked, &h.OpenedAt, &h.OpenUntil, &h.Carried)
		h.OpenDue = h.OpenUntil != nil && h.OpenUntil.Before(moment)
		h.CarryDue = h.Carried != nil && h.Carried.Before(moment)
		perVial = append(perVial, n)
		return h, err
	})
	if err != nil {
		return nil, err
	}
	portions, err := portions(ctx, q, place, productID, day)
	if err != nil {
		return nil, err
	}
	for i := range out {
		h := &out[i]
		h.Portions = portions[placeLot{h.Place, h.LotID}]
		if h.Blocked || h.Expiry.Before(day) {
			continue
		}
		if !h.CarryDue {
			h.Doses = (h.Vials - h.PastVials()) * perVial[i]
		}
		if !h.OpenDue {
			h.Doses += h.OpenDoses
		}
	}
	return out, nil
}

type placeLot struct {
	place Place
	lotID string
}

// portions returns the closed vials by place and lot.
func portions(ctx context.Context, q pg.Querier, place Place, productID string, day time.Time) (map[placeLot][]Held, error) {
	rows, err := q.Query(ctx, `
		SELECT place, lot_id::text, thawed_on, use_by, vials, use_by < $3 FROM inventory.held
		WHERE ($1 = '' OR place = $1) AND ($2 = '' OR product_id = $2) ORDER BY use_by, thawed_on NULLS LAST`, place, productID, day)
	if err != nil {
		return nil, err
	}
	type row struct {
		Place Place
		LotID string
		Held
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x row, err error) {
		err = r.Scan(&x.Place, &x.LotID, &x.Thawed, &x.UseBy, &x.Vials, &x.Past)
		return x, err
	})
	out := map[placeLot][]Held{}
	for _, x := range all {
		k := placeLot{x.Place, x.LotID}
		out[k] = append(out[k], x.Held)
	}
	return out, err
}

// moment is the time at which something is asked: callers name today by its
// date, and a vial that was opened this morning may be past in the evening.
func (s *Service) moment(on time.Time) time.Time {
	if now := s.now(); now.After(on) && clock.Day(now).Equal(clock.Day(on)) {
		return now
	}
	return on
}
