package inventory

import (
	"context"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// Difference is a balance that is not the sum of its entries.
type Difference struct {
	Place        Place
	LotID        string
	Vials, Doses int // balance
	SumVials     int // entries
	SumDoses     int
	Thawed       string // "" = the whole balance; a day = the portion thawed on it; "all" = the thawed ones together
}

// Reconcile compares the balances with the ledger and returns where they
// differ: nothing, unless somebody wrote past the ledger.
func Reconcile(ctx context.Context, q pg.Querier) ([]Difference, error) {
	rows, err := q.Query(ctx, `
		SELECT coalesce(b.place, e.place), coalesce(b.lot_id, e.lot_id)::text,
		       coalesce(b.vials, 0), coalesce(b.doses, 0), coalesce(e.vials, 0)::int, coalesce(e.doses, 0)::int, ''
		FROM inventory.balance b
		FULL JOIN (SELECT place, lot_id, sum(vials) AS vials, sum(doses) AS doses
		           FROM inventory.entry WHERE inventory.is_stock(place) GROUP BY place, lot_id) e
		  ON e.place = b.place AND e.lot_id = b.lot_id
		WHERE (coalesce(b.vials, 0), coalesce(b.doses, 0)) <> (coalesce(e.vials, 0), coalesce(e.doses, 0))
		UNION ALL
		SELECT coalesce(p.place, e.place), coalesce(p.lot_id, e.lot_id)::text, coalesce(p.vials, 0), 0, coalesce(e.vials, 0)::int, 0,
		       coalesce(p.thawed_on, e.thawed_on)::text
		FROM inventory.portion p
		FULL JOIN (SELECT place, lot_id, thawed_on, sum(vials) AS vials
		           FROM inventory.entry WHERE inventory.is_stock(place) AND thawed_on IS NOT NULL GROUP BY place, lot_id, thawed_on) e
		  ON e.place = p.place AND e.lot_id = p.lot_id AND e.thawed_on = p.thawed_on
		WHERE coalesce(p.vials, 0) <> coalesce(e.vials, 0)
		UNION ALL
		SELECT b.place, b.lot_id::text, b.thawed, 0, coalesce(p.vials, 0)::int, 0, 'all'
		FROM inventory.balance b
		LEFT JOIN (SELECT place, lot_id, sum(vials) AS vials FROM inventory.portion GROUP BY place, lot_id) p
		  ON p.place = b.place AND p.lot_id = b.lot_id
		WHERE b.thawed <> coalesce(p.vials, 0)
		ORDER BY 1, 2, 7`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Difference])
}
