package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
)

// deliveryRef begins the ref of the movements that a delivery brought.
const deliveryRef = "delivery:"

// Settlement says what becomes of vials that a short delivery lacks.
type Settlement struct {
	Vials int       // of the rest
	Day   time.Time // planned anew for this day; zero = written off
	Why   string    // needed to write off
}

// SettleRest plans what a short delivery lacks anew, as a delivery of its own, or
// writes it off. ErrState when less than that is missing.
func (s *Service) SettleRest(ctx context.Context, tx pgx.Tx, deliveryID string, st Settlement, by By) error {
	st.Why = strings.TrimSpace(st.Why)
	if st.Vials < 1 || len([]rune(st.Why)) > maxWhy || (st.Day.IsZero() && st.Why == "") {
		return fmt.Errorf("%w: rest of a delivery", ErrInvalid)
	}
	d, err := lockDelivery(ctx, tx, deliveryID)
	if err != nil {
		return err
	}
	if d.Rest < st.Vials {
		return ErrState
	}
	after := map[string]any{"rest": d.Rest - st.Vials, "why": st.Why}
	if _, err := tx.Exec(ctx, `UPDATE inventory.delivery SET rest = rest - $2 WHERE id = $1`, d.ID, st.Vials); err != nil {
		return err
	}
	if !st.Day.IsZero() {
		n := NewDelivery{ProductID: d.ProductID, Place: d.Place, Day: st.Day, Vials: st.Vials, EqualShares: d.EqualShares, Note: d.Note, follows: d.ID}
		if after["planned"], err = s.PlanDelivery(ctx, tx, n, by); err != nil {
			return err
		}
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.rest", Subject: "delivery:" + d.ID, Before: map[string]int{"rest": d.Rest}, After: after,
	})
}

// reopenDelivery makes a delivery say what is left of it once a receipt was taken
// back: nothing, then it is to come again, with all that was not settled meanwhile; or
// one lot less. Nothing for other movements.
func (s *Service) reopenDelivery(ctx context.Context, tx pgx.Tx, m Movement, by By) error {
	deliveryID, ok := strings.CutPrefix(m.Ref, deliveryRef)
	if !ok || m.Kind != "receive" {
		return nil
	}
	d, err := lockDelivery(ctx, tx, deliveryID)
	if err != nil {
		return err
	}
	var came int
	if err := tx.QueryRow(ctx, `
		SELECT coalesce(sum(e.vials), 0)::int FROM inventory.movement r JOIN inventory.entry e ON e.movement_id = r.id AND inventory.is_stock(e.place)
		WHERE r.kind = 'receive' AND r.ref = $1 AND NOT EXISTS (SELECT 1 FROM inventory.movement c WHERE c.corrects = r.id)`, m.Ref).Scan(&came); err != nil {
		return err
	}
	after := d
	expected := d.Ordered - max(0, d.Ordered-d.Vials-d.Rest) // without what was planned anew or written off
	if came == 0 {
		after.State, after.ReceivedAt, after.Vials, after.Ordered, after.Rest = StatePlanned, nil, expected, expected, 0
		_, err = tx.Exec(ctx, `
			UPDATE inventory.delivery SET state = 'planned', received_at = NULL, vials = $2, ordered = NULL, rest = 0 WHERE id = $1`, d.ID, expected)
	} else {
		after.State, after.Vials, after.Rest = StateReceived, came, max(0, expected-came)
		if after.Rest > 0 {
			after.State = StateShort
		}
		_, err = tx.Exec(ctx, `UPDATE inventory.delivery SET state = $2, vials = $3, rest = $4 WHERE id = $1`, d.ID, after.State, came, after.Rest)
	}
	if err != nil {
		return err
	}
	if err := s.deliveryChanged(ctx, tx, d); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.delivery.reopen", Subject: "delivery:" + d.ID, Before: d, After: after,
	})
}
