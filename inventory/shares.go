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
	now := s.now()
	lots, err := s.lockCentral(ctx, tx, productID, now)
	if err != nil {
		return Shares{}, err
	}
	vials := make([]int, len(lots))
	sh := Shares{Places: len(centres)}
	for i, l := range lots {
		vials[i] = l.Vials
		sh.Left += l.Vials
	}
	for p, parts := range divide(vials, len(centres)) {
		place := CentrePlace(centres[p].ID)
		sum := 0
		for i, n := range parts {
			if n == 0 {
				continue
			}
			if _, err := s.post(ctx, tx, movement{
				kind: "transfer", lotID: lots[i].ID, at: now, actor: by.Actor, why: why,
				entries: []entry{{Central, -n, 0}, {place, n, 0}},
			}); err != nil {
				return Shares{}, err
			}
			sum += n
		}
		if sum > 0 {
			if err := s.changed(ctx, tx, productID, place); err != nil {
				return Shares{}, err
			}
		}
		sh.Each = sum
		sh.Left -= sum
	}
	return sh, audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.equal-shares", Subject: "product:" + productID, After: sh})
}

// lockCentral returns the lots of the central store that may be sent out and keeps others
// from moving them until tx ends.
func (s *Service) lockCentral(ctx context.Context, tx pgx.Tx, productID string, now time.Time) ([]Lot, error) {
	if err := lockStock(ctx, tx, Central, productID); err != nil {
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
