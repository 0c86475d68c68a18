package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/programme"
)

// Shares is what EqualShares did.
type Shares struct {
	Each   int `json:"each"`   // vials for every active centre
	Places int `json:"places"` // active centres
	Left   int `json:"left"`   // vials that stay in the central store
}

// EqualShares gives the central store's unexpired vials of a product to all
// active centres, the same whole number to each; the remainder stays. Opened
// vials stay too. Every centre gets of every lot as evenly as it goes.
func (s *Service) EqualShares(ctx context.Context, tx pgx.Tx, productID, why string, by By) (Shares, error) {
	if _, err := programme.ProductByID(ctx, tx, productID); err != nil {
		return Shares{}, missing("product", err)
	}
	centres, err := centre.List(ctx, tx)
	if err != nil {
		return Shares{}, err
	}
	lots, err := s.lockCentral(ctx, tx, productID, s.now())
	if err != nil {
		return Shares{}, err
	}
	return s.shareEqually(ctx, tx, productID, centres, lots, why, by)
}

// shareReceived gives what a delivery for equal shares has just brought to all active
// centres, as it was promised to them.
func (s *Service) shareReceived(ctx context.Context, tx pgx.Tx, d Delivery, received map[string]int, by By) error {
	centres, err := centre.List(ctx, tx)
	if err != nil {
		return err
	}
	lots, err := s.lockCentral(ctx, tx, d.ProductID, s.now())
	if err != nil {
		return err
	}
	onlyReceived(lots, received)
	_, err = s.shareEqually(ctx, tx, d.ProductID, centres, lots, "delivery "+d.ID, by)
	return err
}

// onlyReceived leaves of the central store's lots what has just come.
func onlyReceived(lots []Lot, received map[string]int) {
	for i := range lots {
		lots[i].Vials = min(lots[i].Vials, received[lots[i].ID])
	}
}

func (s *Service) shareEqually(ctx context.Context, tx pgx.Tx, productID string, centres []centre.Centre, lots []Lot, why string, by By) (Shares, error) {
	vials, total := vialsOf(lots)
	sh := Shares{Places: len(centres), Left: total}
	places := make([]Place, len(centres))
	for i, c := range centres {
		places[i] = CentrePlace(c.ID)
	}
	if len(places) > 0 {
		sh.Each = total / len(places)
		sh.Left -= sh.Each * len(places)
	}
	if err := s.distribute(ctx, tx, productID, lots, places, divide(vials, len(places)), why, by); err != nil {
		return Shares{}, err
	}
	return sh, audit.Write(ctx, tx, s.now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.equal-shares", Subject: "product:" + productID, After: sh})
}

// vialsOf returns the vials of lots, and their sum.
func vialsOf(lots []Lot) (vials []int, total int) {
	vials = make([]int, len(lots))
	for i, l := range lots {
		vials[i] = l.Vials
		total += l.Vials
	}
	return vials, total
}

// distribute moves vials of locked lots of the central store to places and tells
// them; parts is [place][lot].
func (s *Service) distribute(ctx context.Context, tx pgx.Tx, productID string, lots []Lot, places []Place, parts [][]int, why string, by By) error {
	now := s.now()
	for p, of := range parts {
		sent := false
		for i, n := range of {
			if n == 0 {
				continue
			}
			sent = true
			if _, err := s.post(ctx, tx, movement{
				kind: "transfer", lotID: lots[i].ID, at: now, actor: by.Actor, why: why,
				entries: []entry{{Central, -n, 0}, {places[p], n, 0}},
			}); err != nil {
				return err
			}
		}
		if sent {
			if err := s.changed(ctx, tx, productID, places[p]); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockCentral returns the lots of the central store that may be sent out and keeps others
// from moving them until tx ends.
func (s *Service) lockCentral(ctx context.Context, tx pgx.Tx, productID string, now time.Time) ([]Lot, error) {
	if err := lockCentralStock(ctx, tx, productID); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		SELECT l.id::text, l.number, l.product_id, l.expiry, l.assumed, b.vials - past.vials, b.doses, l.blocked_at, b.thawed, l.expiry
		FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		CROSS JOIN LATERAL (SELECT coalesce(sum(h.vials), 0)::int AS vials FROM inventory.held h
		                    WHERE h.place = b.place AND h.lot_id = b.lot_id AND h.thawed_on IS NOT NULL AND h.use_by < $2) past
		WHERE b.place = 'central' AND l.product_id = $1 AND l.expiry >= $2 AND l.blocked_at IS NULL AND b.vials > past.vials
		ORDER BY l.expiry, l.number`, productID, clock.Day(now))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Lot])
}

// divide gives each of n places the same total, as much as whole vials allow,
// and of every lot as evenly as it goes. The result is [place][lot].
func divide(lots []int, n int) [][]int {
	if n == 0 {
		return nil
	}
	total := 0
	for _, v := range lots {
		total += v
	}
	each := total / n
	left := append([]int(nil), lots...)
	parts := make([][]int, n)
	need := make([]int, n)
	for p := range parts {
		parts[p] = make([]int, len(lots))
		need[p] = each
		for i, v := range lots {
			parts[p][i] = v / n
			left[i] -= v / n
			need[p] -= v / n
		}
	}
	// What does not divide lot by lot fills the shares up, lot after lot.
	i := 0
	for p := range parts {
		for need[p] > 0 {
			for left[i] == 0 {
				i++
			}
			k := min(need[p], left[i])
			parts[p][i] += k
			left[i] -= k
			need[p] -= k
		}
	}
	return parts
}
