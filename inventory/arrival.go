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

// imported is one row of the ministry's report as stored: what it says (vials)
// and what the ledger holds of it so far (booked). The two are equal once the
// row's day has come.
type imported struct {
	day        time.Time
	vaccine    string
	productID  string
	doses      int
	perVial    int
	vials      int // negative = given back
	booked     int
	deliveryID *string
	lotID      *string
	revision   int
	came       int // vials of lotID that have just been booked into the central store
}

// ref is how the movements of the row refer to it.
func (im *imported) ref() string { return "import:" + im.day.Format(time.DateOnly) + ":" + im.vaccine }

func loadImported(ctx context.Context, q pg.Querier, day time.Time, vaccine string) (imported, error) {
	im := imported{day: day, vaccine: vaccine}
	err := q.QueryRow(ctx, `
		SELECT product_id, doses, doses_per_vial, vials, booked, delivery_id::text, lot_id::text, revision
		FROM inventory.import_row WHERE day = $1 AND vaccine = $2 FOR UPDATE`, day, vaccine).
		Scan(&im.productID, &im.doses, &im.perVial, &im.vials, &im.booked, &im.deliveryID, &im.lotID, &im.revision)
	return im, err
}

// storeImported writes the row and its delivery and, when its day has come,
// books what the ledger lacks of it.
func (s *Service) storeImported(ctx context.Context, tx pgx.Tx, im *imported, due bool, now time.Time, by string) error {
	if err := s.storeImportedDelivery(ctx, tx, im, now, by); err != nil {
		return err
	}
	if due {
		if err := s.settle(ctx, tx, im, by); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO inventory.import_row AS r (day, vaccine, product_id, doses, doses_per_vial, vials, unreconciled, booked, delivery_id, lot_id, revision, imported_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (day, vaccine) DO UPDATE SET doses = excluded.doses, doses_per_vial = excluded.doses_per_vial, vials = excluded.vials,
			unreconciled = excluded.unreconciled, booked = excluded.booked, delivery_id = excluded.delivery_id, lot_id = excluded.lot_id,
			revision = excluded.revision, imported_at = excluded.imported_at
		WHERE (r.doses, r.booked, r.revision) IS DISTINCT FROM (excluded.doses, excluded.booked, excluded.revision)`,
		im.day, im.vaccine, im.productID, im.doses, im.perVial, im.vials, im.doses-im.vials*im.perVial, im.booked, im.deliveryID, im.lotID, im.revision, now)
	return err
}

// storeImportedDelivery keeps the delivery that people see beside the row.
func (s *Service) storeImportedDelivery(ctx context.Context, tx pgx.Tx, im *imported, now time.Time, by string) error {
	switch {
	case im.deliveryID == nil && im.vials > 0:
		did := id.New()
		im.deliveryID = &did
		_, err := tx.Exec(ctx, `
			INSERT INTO inventory.delivery (id, product_id, place, planned_on, vials, state, source, note, created_by, created_at)
			VALUES ($1, $2, $3, $4, $5, 'planned', 'import', $6, $7, $8)`,
			did, im.productID, Central, im.day, im.vials, im.vaccine, by, now)
		return err
	case im.deliveryID != nil && im.vials > 0:
		_, err := tx.Exec(ctx, `
			UPDATE inventory.delivery SET vials = $2, state = CASE WHEN state = 'cancelled' THEN 'planned' ELSE state END
			WHERE id = $1 AND (vials <> $2 OR state = 'cancelled')`, *im.deliveryID, im.vials)
		return err
	case im.deliveryID != nil:
		_, err := tx.Exec(ctx, `UPDATE inventory.delivery SET state = 'cancelled', received_at = NULL WHERE id = $1`, *im.deliveryID)
		return err
	}
	return nil
}

// settle books the difference between what the row says and what the ledger
// holds of it: the first booking is a receipt or a return, a later one a
// correction that runs the other way or adds to it. ErrNotEnough when vials
// would have to leave the central store that are no longer there.
func (s *Service) settle(ctx context.Context, tx pgx.Tx, im *imported, by string) error {
	if im.booked == im.vials {
		return nil
	}
	if err := lockProduct(ctx, tx, im.productID); err != nil {
		return err
	}
	at := clock.At(im.day, 0, 0)
	first := im.booked == 0
	m := movement{at: at, actor: by, ref: im.ref(), why: "delivery report " + im.day.Format(time.DateOnly) + ", " + im.vaccine}
	if im.revision > 1 {
		m.why += fmt.Sprintf(", changed to %d doses (%d vials)", im.doses, im.vials)
	}
	// Received vials first: from max(booked, 0) to max(vials, 0).
	if diff := max(im.vials, 0) - max(im.booked, 0); diff != 0 {
		if im.lotID == nil {
			lotID, err := assumedLot(ctx, tx, im.productID, im.day)
			if err != nil {
				return err
			}
			im.lotID = &lotID
		}
		m.kind, m.lotID = "correction", *im.lotID
		if first {
			m.kind = "receive"
		}
		m.entries = []entry{{Supplier, -diff, 0}, {Central, diff, 0}}
		if _, err := s.post(ctx, tx, m); err != nil {
			return err
		}
		im.came = max(0, diff)
	}
	// Then what was given back: from min(booked, 0) to min(vials, 0).
	diff := min(im.vials, 0) - min(im.booked, 0)
	if diff != 0 {
		m.kind = "correction"
		if first {
			m.kind = "return"
		}
		if err := s.giveBack(ctx, tx, m, im.productID, diff); err != nil {
			return err
		}
	}
	im.booked = im.vials
	if im.deliveryID == nil || im.vials <= 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE inventory.delivery SET state = 'received', received_at = coalesce(received_at, $2) WHERE id = $1`, *im.deliveryID, at)
	return err
}

// giveBack moves vials of a product out of the central store (diff < 0), lot
// by lot with the first expiry first, or takes back what the row returned
// before (diff > 0).
func (s *Service) giveBack(ctx context.Context, tx pgx.Tx, m movement, productID string, diff int) error {
	sql, arg := `
		SELECT l.id::text, b.vials FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		WHERE b.place = 'central' AND l.product_id = $1 AND b.vials > 0 ORDER BY l.expiry, l.number FOR UPDATE OF b`, productID
	if diff > 0 {
		sql, arg = `
		SELECT e.lot_id::text, sum(e.vials)::int FROM inventory.entry e JOIN inventory.movement m ON m.id = e.movement_id
		WHERE e.place = 'return' AND m.ref = $1 GROUP BY e.lot_id HAVING sum(e.vials) > 0 ORDER BY e.lot_id`, m.ref
	}
	rows, err := tx.Query(ctx, sql, arg)
	if err != nil {
		return err
	}
	type held struct {
		LotID string
		Vials int
	}
	lots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[held])
	if err != nil {
		return err
	}
	left, sign := diff, 1
	if diff < 0 {
		left, sign = -diff, -1
	}
	for _, l := range lots {
		n := min(l.Vials, left)
		if n == 0 {
			break
		}
		left -= n
		m.lotID, m.entries = l.LotID, []entry{{Central, sign * n, 0}, {Returned, -sign * n, 0}}
		if _, err := s.post(ctx, tx, m); err != nil {
			return err
		}
	}
	if left > 0 {
		return ErrNotEnough
	}
	return nil
}

// assumedLot returns the lot that stands for a reported delivery, whose label
// nobody has read yet.
func assumedLot(ctx context.Context, tx pgx.Tx, productID string, day time.Time) (string, error) {
	number := "IMPORT-" + day.Format(time.DateOnly)
	_, err := tx.Exec(ctx, `
		INSERT INTO inventory.lot (id, product_id, number, expiry, assumed) VALUES ($1, $2, $3, $4, true)
		ON CONFLICT ON CONSTRAINT lot_number DO NOTHING`, id.New(), productID, number, day.AddDate(0, 0, assumedShelfDays))
	if err != nil {
		return "", err
	}
	lot, err := LotByNumber(ctx, tx, productID, number)
	return lot.ID, err
}

// arrived is what has just come of the row, by lot.
func (im *imported) arrived() map[string]int {
	if im.came == 0 {
		return nil
	}
	return map[string]int{*im.lotID: im.came}
}

// reportedWhy is the reason of transfers that share out what a report has brought.
const reportedWhy = "allocation of reported deliveries"

// importArrived does what follows from an import for a product: what has come is shared
// out when the allocation plan is automatic, and the centres to which the plan promises
// what is still to come are told.
func (s *Service) importArrived(ctx context.Context, tx pgx.Tx, productID string, received map[string]int, by By) error {
	if len(received) > 0 {
		if err := s.allocateReceived(ctx, tx, productID, reportedWhy, received, by); err != nil {
			return err
		}
	}
	return s.deliveryChanged(ctx, tx, Delivery{ProductID: productID, Place: Central})
}

// BookArrivals books the imported deliveries and returns whose day has come.
// Each row is a transaction of its own; one that cannot be booked does not stop
// the others and is tried again next time.
func (s *Service) BookArrivals(ctx context.Context, now time.Time) (booked int, err error) {
	rows, err := s.pool.Query(ctx, `
		SELECT day, vaccine FROM inventory.import_row WHERE booked <> vials AND day <= $1 ORDER BY day, vials DESC`, clock.Day(now))
	if err != nil {
		return 0, err
	}
	type key struct {
		Day     time.Time
		Vaccine string
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByPos[key])
	if err != nil {
		return 0, err
	}
	for _, k := range due {
		rowErr := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			im, err := loadImported(ctx, tx, k.Day, k.Vaccine)
			if err != nil {
				return err
			}
			if err := s.storeImported(ctx, tx, &im, true, now, "system"); err != nil {
				return err
			}
			return s.importArrived(ctx, tx, im.productID, im.arrived(), By{Actor: "system", Role: "system"})
		})
		if rowErr != nil {
			s.log.ErrorContext(ctx, "imported delivery cannot be booked", "day", k.Day.Format(time.DateOnly), "vaccine", k.Vaccine, "error", rowErr)
			err = fmt.Errorf("delivery of %s: %w", k.Day.Format(time.DateOnly), rowErr)
			continue
		}
		booked++
	}
	return booked, err
}
