package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Stock is what a place can give of a product on a day.
type Stock struct {
	Vials        int `json:"vials"`          // closed vials that are not past their last day
	OpenDoses    int `json:"open_doses"`     // doses in opened vials that may still be given
	DosesPerVial int `json:"doses_per_vial"` // by the rule of the day; 0 = no rule
	Doses        int `json:"doses"`          // Vials * DosesPerVial + OpenDoses
}

// Lot is what a place can use of one lot.
type Lot struct {
	ID        string    `json:"id"`
	Number    string    `json:"number"`
	ProductID string    `json:"product_id"`
	Expiry    time.Time `json:"expiry"`  // last day on which it may be given
	Assumed   bool      `json:"assumed"` // number and expiry come from an import without lots
	Vials     int       `json:"vials"`
	OpenDoses int       `json:"open_doses"`

	Blocked *time.Time `json:"blocked_at,omitempty"` // nil = it may be given
	Thawed  int        `json:"thawed,omitempty"`     // of the vials
	UseBy   time.Time  `json:"use_by"`               // last day of the vials that run out first; Expiry when none is thawed
}

// Doses returns what place can give of a product on the day of on: the present
// balance without the lots that are blocked or have expired by then, the vials
// that were thawed and the doses that were opened too long ago, counted by the
// doses-per-vial rule of that day.
func (s *Service) Doses(ctx context.Context, q pg.Querier, place Place, productID string, on time.Time) (Stock, error) {
	var st Stock
	err := q.QueryRow(ctx, `
		SELECT coalesce(sum(vials), 0) FROM inventory.held
		WHERE place = $1 AND product_id = $2 AND use_by >= $3 AND blocked_at IS NULL AND (carried_until IS NULL OR carried_until >= $4)`,
		place, productID, clock.Day(on), s.moment(on)).Scan(&st.Vials)
	if err != nil {
		return st, err
	}
	if st.OpenDoses, err = s.openDoses(ctx, q, place, productID, s.moment(on)); err != nil {
		return st, err
	}
	if st.DosesPerVial, err = DosesPerVial(ctx, q, productID, on); err != nil {
		return st, err
	}
	st.Doses = st.Vials*st.DosesPerVial + st.OpenDoses
	return st, nil
}

// DosesPerVial returns how many doses a vial of a product gives on the day of
// on, 0 when no rule is in force.
func DosesPerVial(ctx context.Context, q pg.Querier, productID string, on time.Time) (int, error) {
	var n int
	err := q.QueryRow(ctx, `
		SELECT doses FROM inventory.doses_per_vial WHERE product_id = $1 AND valid_from <= $2
		ORDER BY valid_from DESC LIMIT 1`, productID, clock.Day(on)).Scan(&n)
	if pg.NoRows(err) {
		return 0, nil
	}
	return n, err
}

// Lots returns the lots of a product that place holds and that may be given on
// the day of on, none that is blocked, and of each what is not past: those with
// open doses first, then by the day on which they run out. The first one is the
// one to use.
func (s *Service) Lots(ctx context.Context, q pg.Querier, place Place, productID string, on time.Time) ([]Lot, error) {
	rows, err := q.Query(ctx, `
		WITH closed AS (
			SELECT lot_id, sum(vials)::int AS vials, coalesce(sum(vials) FILTER (WHERE thawed_on IS NOT NULL), 0)::int AS thawed, min(use_by) AS use_by
			FROM inventory.held WHERE place = $1 AND product_id = $2 AND use_by >= $3 AND (carried_until IS NULL OR carried_until >= $4) GROUP BY lot_id
		), lots AS (
			SELECT l.id::text AS id, l.number, l.product_id, l.expiry, l.assumed, coalesce(h.vials, 0) AS vials,
			       CASE WHEN coalesce(inventory.opened_until(l.product_id, b.opened_at) >= $4, true) THEN b.doses ELSE 0 END AS open,
			       coalesce(h.thawed, 0) AS thawed, coalesce(h.use_by, l.expiry) AS use_by
			FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id LEFT JOIN closed h ON h.lot_id = b.lot_id
			WHERE b.place = $1 AND l.product_id = $2 AND l.expiry >= $3 AND l.blocked_at IS NULL AND (b.vials > 0 OR b.doses > 0)
		)
		SELECT id, number, product_id, expiry, assumed, vials, open, NULL::timestamptz, thawed, use_by FROM lots WHERE vials > 0 OR open > 0
		ORDER BY open > 0 DESC, use_by, expiry, number`, place, productID, clock.Day(on), s.moment(on))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Lot])
}

const lotColumns = `SELECT id::text, number, product_id, expiry, assumed, blocked_at FROM inventory.lot `

// LotByID returns a lot without balances, or ErrNotFound.
func LotByID(ctx context.Context, q pg.Querier, lotID string) (Lot, error) {
	if !id.Valid(lotID) {
		return Lot{}, fmt.Errorf("%w: lot", ErrNotFound)
	}
	return scanLot(q.QueryRow(ctx, lotColumns+`WHERE id = $1`, lotID))
}

// lockedLot is LotByID for a movement: a block that is on its way is waited for and
// seen, one that comes later waits for the movement.
func lockedLot(ctx context.Context, tx pgx.Tx, lotID string) (Lot, error) {
	if !id.Valid(lotID) {
		return Lot{}, fmt.Errorf("%w: lot", ErrNotFound)
	}
	return scanLot(tx.QueryRow(ctx, lotColumns+`WHERE id = $1 FOR KEY SHARE`, lotID))
}

// LotByNumber returns the lot of a product with that number, without balances,
// or ErrNotFound. Case and surrounding space do not matter.
func LotByNumber(ctx context.Context, q pg.Querier, productID, number string) (Lot, error) {
	return scanLot(q.QueryRow(ctx, lotColumns+`WHERE product_id = $1 AND number = $2`, productID, normaliseLot(number)))
}

func scanLot(row pgx.Row) (l Lot, err error) {
	err = row.Scan(&l.ID, &l.Number, &l.ProductID, &l.Expiry, &l.Assumed, &l.Blocked)
	if pg.NoRows(err) {
		return l, fmt.Errorf("%w: lot", ErrNotFound)
	}
	return l, err
}

// VialsBy returns how many closed vials of a product place held at the end of
// the day of day, by the ledger.
func VialsBy(ctx context.Context, q pg.Querier, place Place, productID string, day time.Time) (int, error) {
	var n int
	err := q.QueryRow(ctx, `
		SELECT coalesce(sum(e.vials), 0)
		FROM inventory.entry e JOIN inventory.movement m ON m.id = e.movement_id JOIN inventory.lot l ON l.id = e.lot_id
		WHERE e.place = $1 AND l.product_id = $2 AND m.at < $3`,
		place, productID, clock.At(clock.Day(day).AddDate(0, 0, 1), 0, 0)).Scan(&n)
	return n, err
}
