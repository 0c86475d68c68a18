package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Block says that nothing of a lot may be given; the zero value = it may.
type Block struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	Why string    `json:"why"`
}

// BlockLot keeps everybody from giving a lot or sending it out (Chargensperre,
// Rückruf): from this transaction's commit on, by the database's own order. What
// lies somewhere stays booked there, can go back to the central store or be
// thrown away, and counts for no plan. A dose that was given before may still be
// recorded. It returns ErrNotFound, ErrInvalid without a reason, ErrState when the
// lot is blocked already.
func (s *Service) BlockLot(ctx context.Context, tx pgx.Tx, lotID, why string, by By) error {
	why = strings.TrimSpace(why)
	if why == "" || len([]rune(why)) > maxWhy {
		return fmt.Errorf("%w: a reason", ErrInvalid)
	}
	return s.setBlock(ctx, tx, lotID, &Block{At: s.now().Truncate(time.Microsecond), By: by.Actor, Why: why}, why, by)
}

// ReleaseLot lets a blocked lot be given again. It returns ErrNotFound,
// ErrInvalid without a reason, ErrState when the lot is not blocked.
func (s *Service) ReleaseLot(ctx context.Context, tx pgx.Tx, lotID, why string, by By) error {
	why = strings.TrimSpace(why)
	if why == "" || len([]rune(why)) > maxWhy {
		return fmt.Errorf("%w: a reason", ErrInvalid)
	}
	return s.setBlock(ctx, tx, lotID, nil, why, by)
}

// setBlock blocks or releases a lot. It locks in the order in which everybody does:
// product, balances, lot. The product first, because a receipt that is sharing out what
// it brings holds the lot already and needs balances of it. Then the lot's balances:
// whoever takes from one holds it until the end and looks at the lot after that. Then
// the lot itself, which every movement under way keeps until its end: what a transfer
// brings to a new place meanwhile is known after that.
func (s *Service) setBlock(ctx context.Context, tx pgx.Tx, lotID string, block *Block, why string, by By) error {
	lot, err := LotByID(ctx, tx, lotID)
	if err != nil {
		return err
	}
	if err := lockProduct(ctx, tx, lot.ProductID); err != nil {
		return err
	}
	for _, lock := range []string{
		`SELECT 1 FROM inventory.balance WHERE lot_id = $1 ORDER BY place FOR UPDATE`,
		`SELECT 1 FROM inventory.lot WHERE id = $1 FOR UPDATE`,
	} {
		if _, err := tx.Exec(ctx, lock, lotID); err != nil {
			return fmt.Errorf("lock lot: %w", err)
		}
	}
	rows, err := tx.Query(ctx, `SELECT place FROM inventory.balance WHERE lot_id = $1 ORDER BY place`, lotID)
	if err != nil {
		return err
	}
	places, err := pgx.CollectRows(rows, pgx.RowTo[Place])
	if err != nil {
		return err
	}
	var (
		action = "inventory.lot-release"
		at     *time.Time
		who    *string
		reason *string
	)
	if block != nil {
		action, at, who, reason = "inventory.lot-block", &block.At, &block.By, &block.Why
	}
	tag, err := tx.Exec(ctx, `
		UPDATE inventory.lot SET blocked_at = $2, blocked_by = $3, blocked_why = $4 WHERE id = $1 AND (blocked_at IS NULL) = ($2::timestamptz IS NOT NULL)`,
		lotID, at, who, reason)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrState
	}
	if err := s.changed(ctx, tx, lot.ProductID, places...); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: action, Subject: "lot:" + lotID,
		Before: map[string]bool{"blocked": block == nil}, After: map[string]any{"blocked": block != nil, "why": why},
	})
}

// blocking is BlockLot or ReleaseLot.
type blocking func(ctx context.Context, tx pgx.Tx, lotID, why string, by By) error

// BlockOf returns the block of a lot, nil when there is none.
func BlockOf(ctx context.Context, q pg.Querier, lotID string) (*Block, error) {
	var (
		at       *time.Time
		who, why *string
	)
	if err := q.QueryRow(ctx, `SELECT blocked_at, blocked_by, blocked_why FROM inventory.lot WHERE id = $1`, lotID).Scan(&at, &who, &why); err != nil {
		return nil, err
	}
	if at == nil {
		return nil, nil
	}
	return &Block{At: *at, By: *who, Why: *why}, nil
}

// blockedAt reports whether a lot was blocked at a time.
func (l Lot) blockedAt(at time.Time) bool { return l.Blocked != nil && !at.Before(*l.Blocked) }

// GivenDay is how many doses of a lot were given at a place on a day.
type GivenDay struct {
	Day   time.Time `json:"day"`
	Place Place     `json:"place"`
	Doses int       `json:"doses"`
}

// GivenOf returns where and when doses of a lot were given, by the ledger and
// without what was corrected, the newest first.
func GivenOf(ctx context.Context, q pg.Querier, lotID string) ([]GivenDay, error) {
	rows, err := q.Query(ctx, `
		SELECT (m.at AT TIME ZONE 'Europe/Berlin')::date AS day, e.place, -sum(e.doses)::int
		FROM inventory.movement m JOIN inventory.entry e ON e.movement_id = m.id AND inventory.is_stock(e.place)
		WHERE m.lot_id = $1 AND m.kind = 'give' AND NOT EXISTS (SELECT 1 FROM inventory.movement c WHERE c.corrects = m.id)
		GROUP BY 1, 2 ORDER BY 1 DESC, 2`, lotID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[GivenDay])
}

// lockCentralStock keeps everybody else from moving what the central store has of a
// product until tx ends. Who reads the lots after that knows of every block.
func lockCentralStock(ctx context.Context, tx pgx.Tx, productID string) error {
	if err := lockProduct(ctx, tx, productID); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		SELECT 1 FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		WHERE b.place = 'central' AND l.product_id = $1 ORDER BY b.lot_id FOR UPDATE OF b FOR KEY SHARE OF l`, productID)
	return err
}

// lockProduct makes those wait for each other who move several lots of a product in
// one transaction, or a lot between several places: receipts, allocations, reports; and
// who blocks a lot. Each of them would hold a lot that the other needs next.
func lockProduct(ctx context.Context, tx pgx.Tx, productID string) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('inventory.product:' || $1, 0))`, productID); err != nil {
		return fmt.Errorf("wait for another change of the product's lots: %w", err)
	}
	return nil
}

// usable reports why a lot may not be given or sent out at a time: ErrLotExpired,
// ErrLotBlocked or nil.
func (l Lot) usable(at time.Time) error {
	switch {
	case clock.Day(at).After(l.Expiry):
		return ErrLotExpired
	case l.blockedAt(at):
		return ErrLotBlocked
	}
	return nil
}
