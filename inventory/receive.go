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
	"impfportal/programme"
)

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
		EqualShares: n.EqualShares, State: StatePlanned, Source: "manual", Note: n.Note, Ordered: n.Vials, Follows: n.follows,
	}
	if n.Confirmed {
		d.State = StateConfirmed
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO inventory.delivery (id, product_id, place, planned_on, vials, equal_shares, state, source, note, follows, created_by, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, '')::uuid, $11, $12)`,
		d.ID, d.ProductID, d.Place, d.Day, d.Vials, d.EqualShares, d.State, d.Source, d.Note, d.Follows, by.Actor, now)
	if err != nil {
		return "", err
	}
	if err := s.deliveryChanged(ctx, tx, d); err != nil {
		return "", err
	}
	return d.ID, audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.plan", Subject: "delivery:" + d.ID, After: d})
}

// DeliveryChange is what may change of a delivery that is still to come.
type DeliveryChange struct {
	Day       time.Time
	Vials     int
	Note      string
	Confirmed bool // whoever sends it has said so
}

// ChangeDelivery changes or confirms a delivery that is still to come. ErrState
// when it is not, or follows the report.
func (s *Service) ChangeDelivery(ctx context.Context, tx pgx.Tx, deliveryID string, c DeliveryChange, by By) error {
	if c.Vials < 1 || c.Vials > maxVials || len([]rune(c.Note)) > maxNote {
		return fmt.Errorf("%w: delivery", ErrInvalid)
	}
	d, err := s.lockComing(ctx, tx, deliveryID)
	if err != nil {
		return err
	}
	after := d
	after.Day, after.Vials, after.Ordered, after.Note, after.State = clock.Day(c.Day), c.Vials, c.Vials, c.Note, StatePlanned
	if c.Confirmed {
		after.State = StateConfirmed
	}
	if after == d {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE inventory.delivery SET planned_on = $2, vials = $3, note = $4, state = $5 WHERE id = $1`,
		d.ID, after.Day, after.Vials, after.Note, after.State); err != nil {
		return err
	}
	if err := s.deliveryChanged(ctx, tx, d); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.change", Subject: "delivery:" + d.ID, Before: d, After: after})
}

// CancelDelivery ends a delivery that will not come. ErrState when it is not to
// come any more or follows the report.
func (s *Service) CancelDelivery(ctx context.Context, tx pgx.Tx, deliveryID string, by By) error {
	d, err := s.lockComing(ctx, tx, deliveryID)
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
	after.State = StateCancelled
	return audit.Write(ctx, tx, s.now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.cancel", Subject: "delivery:" + d.ID, Before: d, After: after})
}

// ReceiveDelivery books what was unloaded, by lot: it may differ from what was
// planned. When it is less the delivery is short, and what is missing stays
// visible (see SettleRest). Of two people who receive the same delivery the
// second gets ErrState. A lot that is known keeps its expiry, which must be the same
// (ErrInvalid otherwise). A delivery for equal shares is given out at once, another
// one to the central store when the product's allocation plan is automatic; what lay
// there before stays in both cases, as it was promised to nobody.
func (s *Service) ReceiveDelivery(ctx context.Context, tx pgx.Tx, deliveryID string, lots []ReceivedLot, by By) error {
	d, err := s.lockComing(ctx, tx, deliveryID)
	if err != nil {
		return err
	}
	if err := lockProduct(ctx, tx, d.ProductID); err != nil {
		return err
	}
	now := s.now()
	total, received := 0, map[string]int{}
	for _, l := range lots {
		if l.Vials < 1 || l.Vials > maxVials {
			return fmt.Errorf("%w: vials", ErrInvalid)
		}
		lotID, err := s.lotFor(ctx, tx, d.ProductID, l)
		if err != nil {
			return err
		}
		if _, err := s.post(ctx, tx, movement{
			kind: "receive", lotID: lotID, at: now, actor: by.Actor, why: "delivery received", ref: deliveryRef + d.ID,
			entries: []entry{{Supplier, -l.Vials, 0}, {d.Place, l.Vials, 0}},
		}); err != nil {
			return err
		}
		total += l.Vials
		received[lotID] += l.Vials
	}
	if total == 0 || total > maxVials {
		return fmt.Errorf("%w: vials", ErrInvalid)
	}
	after := d
	after.State, after.ReceivedAt, after.Vials, after.Ordered, after.Rest = StateReceived, &now, total, d.Vials, max(0, d.Vials-total)
	if after.Rest > 0 {
		after.State = StateShort
	}
	if _, err := tx.Exec(ctx, `UPDATE inventory.delivery SET state = $2, received_at = $3, vials = $4, ordered = $5, rest = $6 WHERE id = $1`,
		d.ID, after.State, now, total, after.Ordered, after.Rest); err != nil {
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
		if err := s.shareReceived(ctx, tx, d, received, by); err != nil {
			return err
		}
	} else if d.Place == Central {
		if err := s.allocateReceived(ctx, tx, d.ProductID, "allocation of delivery "+d.ID, received, by); err != nil {
			return err
		}
	}
	return s.deliveryChanged(ctx, tx, d)
}

func (s *Service) lockComing(ctx context.Context, tx pgx.Tx, deliveryID string) (Delivery, error) {
	d, err := lockDelivery(ctx, tx, deliveryID)
	if err != nil {
		return d, err
	}
	if !d.Coming() || !d.Manual() {
		return d, ErrState
	}
	return d, nil
}

// deliveryChanged tells the centres whose plan the delivery belongs to.
func (s *Service) deliveryChanged(ctx context.Context, tx pgx.Tx, d Delivery) error {
	if d.EqualShares {
		return s.allCentres(ctx, tx, d.ProductID)
	}
	if d.Place == Central {
		p, err := Plan(ctx, tx, d.ProductID)
		if err != nil || !p.Automatic {
			return err
		}
		return s.allCentres(ctx, tx, d.ProductID)
	}
	return s.changed(ctx, tx, d.ProductID, d.Place)
}

// lockDelivery reads a delivery and lets nobody else change it until tx ends.
func lockDelivery(ctx context.Context, tx pgx.Tx, deliveryID string) (Delivery, error) {
	if !id.Valid(deliveryID) {
		return Delivery{}, fmt.Errorf("%w: delivery", ErrNotFound)
	}
	if _, err := tx.Exec(ctx, `SELECT 1 FROM inventory.delivery WHERE id = $1 FOR UPDATE`, deliveryID); err != nil {
		return Delivery{}, err
	}
	return DeliveryByID(ctx, tx, deliveryID)
}
