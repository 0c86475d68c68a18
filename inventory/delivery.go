package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// Bounds of what people type.
const (
	maxVials     = 1_000_000
	maxLotNumber = 40
	maxWhy       = 200 // characters of a reason
	maxNote      = 500
)

// By is who changes something, for ledger and audit.
type By struct {
	Actor string // "staff:<id>", "system"
	Role  string
}

// Delivery is what was or will be delivered.
type Delivery struct {
	ID          string     `json:"id"`
	ProductID   string     `json:"product_id"`
	Place       Place      `json:"place"` // central or a centre
	Day         time.Time  `json:"day"`   // planned
	Vials       int        `json:"vials"` // planned; once received: what came
	EqualShares bool       `json:"equal_shares"`
	State       string     `json:"state"`  // planned, received, cancelled
	Source      string     `json:"source"` // manual, import
	Note        string     `json:"note"`
	ReceivedAt  *time.Time `json:"received_at"`
}

// Manual reports whether people receive or cancel it (an imported one follows
// the report).
func (d Delivery) Manual() bool { return d.Source == "manual" }

// NewDelivery is a delivery to plan.
type NewDelivery struct {
	ProductID   string
	Place       Place // Central or a centre
	Day         time.Time
	Vials       int
	EqualShares bool // only for Central: given out to all active centres on arrival
	Note        string
}

// ReceivedLot is one lot of a delivery as it was unloaded.
type ReceivedLot struct {
	Number string
	Expiry time.Time // last day on which it may be given
	Vials  int
}

const deliveryColumns = `id::text, product_id, place, planned_on, vials, equal_shares, state, source, note, received_at`

// Deliveries returns the deliveries, latest day first; state "" = all.
func Deliveries(ctx context.Context, q pg.Querier, state string, limit int) ([]Delivery, error) {
	rows, err := q.Query(ctx, `
		SELECT `+deliveryColumns+` FROM inventory.delivery WHERE $1 = '' OR state = $1
		ORDER BY planned_on DESC, id DESC LIMIT $2`, state, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
}

// DeliveryByID returns one delivery, or ErrNotFound.
func DeliveryByID(ctx context.Context, q pg.Querier, deliveryID string) (Delivery, error) {
	if !id.Valid(deliveryID) {
		return Delivery{}, fmt.Errorf("%w: delivery", ErrNotFound)
	}
	rows, err := q.Query(ctx, `SELECT `+deliveryColumns+` FROM inventory.delivery WHERE id = $1`, deliveryID)
	if err != nil {
		return Delivery{}, err
	}
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Delivery])
	if pg.NoRows(err) {
		return d, fmt.Errorf("%w: delivery", ErrNotFound)
	}
	return d, err
}

// Planned returns the deliveries of a product that are planned for place on or
// after the day of from, soonest first. A centre also gets its equal share of
// what will be given out from the central store on arrival.
func (s *Service) Planned(ctx context.Context, q pg.Querier, place Place, productID string, from time.Time) ([]PlannedDelivery, error) {
	rows, err := q.Query(ctx, `
		WITH active AS (SELECT count(*) AS n, coalesce(bool_or('centre:' || id = $1), false) AS mine FROM centre.centre WHERE active)
		SELECT id::text, product_id, planned_on, vials FROM inventory.delivery
		WHERE state = 'planned' AND product_id = $2 AND planned_on >= $3 AND place = $1 AND NOT equal_shares
		UNION ALL
		SELECT d.id::text, d.product_id, d.planned_on, (d.vials / a.n)::int FROM inventory.delivery d, active a
		WHERE d.state = 'planned' AND d.product_id = $2 AND d.planned_on >= $3 AND d.equal_shares AND a.mine AND d.vials >= a.n
		ORDER BY 3, 1`, place, productID, clock.Day(from))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PlannedDelivery])
}

// PlanDelivery enters a delivery that is to come. ErrInvalid, ErrNotFound.
func (s *Service) PlanDelivery(ctx context.Context, tx pgx.Tx, n NewDelivery, by By) (deliveryID string, err error) {
	if n.Vials < 1 || n.Vials > maxVials || len([]rune(n.Note)) > maxNote || (n.EqualShares && n.Place != Central) {
		return "", fmt.Errorf("%w: delivery", ErrInvalid)
	}
	if _, err := programme.ProductByID(ctx, tx, n.ProductID); err != nil {
		return "", missing("product", err)
	}
	if n.Place != Central {
		if _, err := centre.Get(ctx, tx, n.Place.CentreID()); err != nil {
			return "", missing("place", err)
		}
	}
	now := s.now()
	d := Delivery{
		ID: id.New(), ProductID: n.ProductID, Place: n.Place, Day: clock.Day(n.Day), Vials: n.Vials,
		EqualShares: n.EqualShares, State: "planned", Source: "manual", Note: n.Note,
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO inventory.delivery (id, product_id, place, planned_on, vials, equal_shares, state, source, note, created_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		d.ID, d.ProductID, d.Place, d.Day, d.Vials, d.EqualShares, d.State, d.Source, d.Note, by.Actor, now)
	if err != nil {
		return "", err
	}
	if err := s.deliveryChanged(ctx, tx, d); err != nil {
		return "", err
	}
	return d.ID, audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.plan", Subject: "delivery:" + d.ID, After: d})
}

// CancelDelivery ends a planned delivery that will not come. ErrState when it
// is not planned or follows the report.
func (s *Service) CancelDelivery(ctx context.Context, tx pgx.Tx, deliveryID string, by By) error {
	d, err := s.lockPlanned(ctx, tx, deliveryID)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE inventory.delivery SET state = 'cancelled' WHERE id = $1`, d.ID); err != nil {
		return err
	}
	if err := s.deliveryChanged(ctx, tx, d); err != nil {
		return err
	}
	after := d
	after.State = "cancelled"
	return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.cancel", Subject: "delivery:" + d.ID, Before: d, After: after})
}

// ReceiveDelivery books what was unloaded, by lot: it may differ from what was
// planned. A lot that is known keeps its expiry, which must be the same
// (ErrInvalid otherwise). A delivery for equal shares is given out at once.
func (s *Service) ReceiveDelivery(ctx context.Context, tx pgx.Tx, deliveryID string, lots []ReceivedLot, by By) error {
	d, err := s.lockPlanned(ctx, tx, deliveryID)
	if err != nil {
		return err
	}
	now := s.now()
	total := 0
	for _, l := range lots {
		if l.Vials < 1 || l.Vials > maxVials {
			return fmt.Errorf("%w: vials", ErrInvalid)
		}
		lotID, err := s.lotFor(ctx, tx, d.ProductID, l)
		if err != nil {
			return err
		}
		if _, err := s.post(ctx, tx, movement{
			kind: "receive", lotID: lotID, at: now, actor: by.Actor, why: "delivery received", ref: "delivery:" + d.ID,
			entries: []entry{{Supplier, -l.Vials, 0}, {d.Place, l.Vials, 0}},
		}); err != nil {
			return err
		}
		total += l.Vials
	}
	if total == 0 || total > maxVials {
		return fmt.Errorf("%w: vials", ErrInvalid)
	}
	after := d
	after.State, after.ReceivedAt, after.Vials = "received", &now, total
	if _, err := tx.Exec(ctx, `UPDATE inventory.delivery SET state = 'received', received_at = $2, vials = $3 WHERE id = $1`, d.ID, now, total); err != nil {
		return err
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.receive", Subject: "delivery:" + d.ID,
		Before: d, After: map[string]any{"delivery": after, "lots": lots},
	}); err != nil {
		return err
	}
	if d.EqualShares {
		// Also when too little came for a share: then nothing is given out.
		if _, err := s.EqualShares(ctx, tx, d.ProductID, "delivery "+d.ID, by); err != nil {
			return err
		}
	}
	return s.deliveryChanged(ctx, tx, d)
}

// lotFor returns the lot with that number, made when it is new.
func (s *Service) lotFor(ctx context.Context, tx pgx.Tx, productID string, l ReceivedLot) (lotID string, err error) {
	number := normaliseLot(l.Number)
	if number == "" || len([]rune(number)) > maxLotNumber {
		return "", fmt.Errorf("%w: lot number", ErrInvalid)
	}
	if clock.Day(l.Expiry).Before(clock.Day(s.now())) {
		return "", ErrLotExpired
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO inventory.lot (id, product_id, number, expiry) VALUES ($1, $2, $3, $4)
		ON CONFLICT ON CONSTRAINT lot_number DO NOTHING`, id.New(), productID, number, clock.Day(l.Expiry))
	if err != nil {
		return "", err
	}
	lot, err := LotByNumber(ctx, tx, productID, number)
	if err != nil {
		return "", err
	}
	if !lot.Expiry.Equal(clock.Day(l.Expiry)) {
		return "", fmt.Errorf("%w: lot %s is known with another expiry", ErrInvalid, number)
	}
	return lot.ID, nil
}

// SetLotExpiry corrects the last day of a lot, after somebody has read the
// label. number may be empty (it stays) or the printed one of a lot whose
// number was assumed.
func (s *Service) SetLotExpiry(ctx context.Context, tx pgx.Tx, lotID, number string, expiry time.Time, by By) error {
	before, err := LotByID(ctx, tx, lotID)
	if err != nil {
		return err
	}
	after := before
	after.Expiry, after.Assumed = clock.Day(expiry), false
	if number != "" {
		after.Number = normaliseLot(number)
	}
	if len([]rune(after.Number)) > maxLotNumber || (after.Number != before.Number && !before.Assumed) {
		return fmt.Errorf("%w: lot number", ErrInvalid)
	}
	_, err = tx.Exec(ctx, `UPDATE inventory.lot SET number = $2, expiry = $3, assumed = false WHERE id = $1`, lotID, after.Number, after.Expiry)
	if pg.Violates(err, "lot_number") {
		return fmt.Errorf("%w: the product has a lot with that number already", ErrInvalid)
	}
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `SELECT place FROM inventory.balance WHERE lot_id = $1 ORDER BY place`, lotID)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[Place])
	if err != nil {
		return err
	}
	if err := s.changed(ctx, tx, before.ProductID, places...); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.lot", Subject: "lot:" + lotID, Before: before, After: after})
}

func (s *Service) lockPlanned(ctx context.Context, tx pgx.Tx, deliveryID string) (Delivery, error) {
	if !id.Valid(deliveryID) {
		return Delivery{}, fmt.Errorf("%w: delivery", ErrNotFound)
	}
	if _, err := tx.Exec(ctx, `SELECT 1 FROM inventory.delivery WHERE id = $1 FOR UPDATE`, deliveryID); err != nil {
		return Delivery{}, err
	}
	d, err := DeliveryByID(ctx, tx, deliveryID)
	if err != nil {
		return d, err
	}
	if d.State != "planned" || !d.Manual() {
		return d, ErrState
	}
	return d, nil
}

// deliveryChanged tells the centres whose plan the delivery belongs to.
func (s *Service) deliveryChanged(ctx context.Context, tx pgx.Tx, d Delivery) error {
	if !d.EqualShares {
		return s.changed(ctx, tx, d.ProductID, d.Place)
	}
	centres, err := centre.List(ctx, tx)
	if err != nil {
		return err
	}
	for _, c := range centres {
		if err := s.changed(ctx, tx, d.ProductID, CentrePlace(c.ID)); err != nil {
			return err
		}
	}
	return nil
}
