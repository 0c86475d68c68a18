package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// GiveDose books one dose into an arm. When no dose of the lot is open at the
// place it opens a vial first, thawed ones before frozen ones, by the
// doses-per-vial rule of the day of g.At. What is left of a vial that was opened
// too long ago is thrown away before that.
// ErrLotExpired (the lot, or all that is thawed of it), ErrLotBlocked,
// ErrLotEmpty, ErrNoRule, ErrAlreadyGiven (the record has its dose already).
// Concurrent doses of one lot at one place queue on its balance.
func (s *Service) GiveDose(ctx context.Context, tx pgx.Tx, g Give) error {
	if g.Ref == "" || !g.Place.Holds() || g.Place == Central {
		return fmt.Errorf("%w: a dose needs a record and a place where people are vaccinated", ErrInvalid)
	}
	if !id.Valid(g.LotID) {
		return fmt.Errorf("%w: lot", ErrNotFound)
	}
	var (
		vials, open int
		old         bool // the opened vial has been open for too long
		wasted      bool // doses that nobody had reserved were thrown away
	)
	err := tx.QueryRow(ctx, `
		SELECT b.vials, b.doses, coalesce(inventory.opened_until(l.product_id, b.opened_at) < $3, false)
		FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		WHERE b.place = $1 AND b.lot_id = $2 FOR UPDATE OF b`, g.Place, g.LotID, g.At).Scan(&vials, &open, &old)
	if err != nil && !pg.NoRows(err) {
		return fmt.Errorf("balance of lot: %w", err)
	}
	// After the balance is locked: a block that was before this dose is seen.
	lot, err := lockedLot(ctx, tx, g.LotID)
	if err != nil {
		return err
	}
	if err := lot.usable(g.At); err != nil {
		return err
	}
	if open > 0 && old {
		if _, err := s.post(ctx, tx, movement{
			kind: "waste", lotID: lot.ID, at: g.At, actor: g.Actor, why: "opened too long ago",
			entries: []entry{{g.Place, 0, -open}, {OpenVial.place(), 0, open}},
		}); err != nil {
			return err
		}
		open, wasted = 0, true
	}
	if vials == 0 && open == 0 {
		return ErrLotEmpty
	}
	if open == 0 {
		n, err := DosesPerVial(ctx, tx, lot.ProductID, g.At)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("%w: %s", ErrNoRule, lot.ProductID)
		}
		if _, err := s.post(ctx, tx, movement{
			kind: "open", lotID: g.LotID, at: g.At, actor: g.Actor, why: "vial opened", ref: g.Ref,
			entries: []entry{{g.Place, -1, n}, {conversion, 1, -n}},
		}); err != nil {
			return err
		}
	}
	if _, err := s.post(ctx, tx, movement{
		kind: "give", lotID: g.LotID, at: g.At, actor: g.Actor, why: "dose given", ref: g.Ref,
		entries: []entry{{g.Place, 0, -1}, {Person, 0, 1}},
	}); err != nil {
		return err
	}
	if g.Booked && !wasted {
		return nil
	}
	return s.changed(ctx, tx, lot.ProductID, g.Place)
}

// Transfer moves stock between two places that hold stock; thawed vials stay
// what they are. Expired and blocked lots, and vials thawed or opened for too long, may
// only go back to the central store: ErrLotExpired, ErrLotBlocked. What is left of an
// opened vial goes whole, and not to where another one of the lot is open: ErrPooled.
func (s *Service) Transfer(ctx context.Context, tx pgx.Tx, t Transfer) error {
	if t.Vials < 0 || t.Doses < 0 || t.Vials+t.Doses == 0 || t.From == t.To || !t.From.Holds() || !t.To.Holds() || !t.Portion.valid() {
		return fmt.Errorf("%w: transfer", ErrInvalid)
	}
	if strings.TrimSpace(t.Why) == "" {
		return fmt.Errorf("%w: a transfer needs a reason", ErrInvalid)
	}
	if c := t.To.CentreID(); c != "" {
		if _, err := centre.Get(ctx, tx, c); err != nil {
			return err
		}
	}
	if _, err := LotByID(ctx, tx, t.LotID); err != nil {
		return err
	}
	if _, err := s.post(ctx, tx, movement{
		kind: "transfer", lotID: t.LotID, at: t.At, actor: t.Actor, why: t.Why, pick: t.Portion,
		entries: []entry{{t.From, -t.Vials, -t.Doses}, {t.To, t.Vials, t.Doses}},
	}); err != nil {
		return err
	}
	// Looked at once the balances are locked, see setBlock.
	lot, err := LotByID(ctx, tx, t.LotID)
	if err != nil {
		return err
	}
	if err := lot.usable(t.At); err != nil && t.To != Central {
		return err
	}
	if t.Doses > 0 {
		if err := movedWhole(ctx, tx, t.From, t.To, lot, t.Doses, t.At); err != nil {
			return err
		}
	}
	return s.changed(ctx, tx, lot.ProductID, t.From, t.To)
}

// movedWhole checks what has become of the open doses that a movement has brought from
// one place to another, whose balances it holds: nothing of the vial stays, nothing was
// open there, and it may still be given. ErrPooled, ErrOpenedTooLong.
func movedWhole(ctx context.Context, tx pgx.Tx, from, to Place, lot Lot, doses int, at time.Time) error {
	var left, there int
	var past bool
	err := tx.QueryRow(ctx, `
		SELECT coalesce(sum(doses) FILTER (WHERE place = $2), 0)::int, coalesce(sum(doses) FILTER (WHERE place = $3), 0)::int,
		       coalesce(bool_or(inventory.opened_until($4, opened_at) < $5) FILTER (WHERE place = $3), false)
		FROM inventory.balance WHERE lot_id = $1 AND place IN ($2, $3)`, lot.ID, from, to, lot.ProductID, at).Scan(&left, &there, &past)
	switch {
	case err != nil:
		return fmt.Errorf("open doses that move: %w", err)
	case left > 0 || there != doses:
		return ErrPooled
	case past && to != Central:
		return ErrOpenedTooLong
	}
	return nil
}

// Waste books vaccine that was thrown away; without a portion that which is past
// its last day or runs out first. ErrRestChanged when another vial is open than was
// meant.
func (s *Service) Waste(ctx context.Context, tx pgx.Tx, w Waste) error {
	if w.Vials < 0 || w.Doses < 0 || w.Vials+w.Doses == 0 || !w.Place.Holds() || !w.Reason.Valid() || !w.Portion.valid() {
		return fmt.Errorf("%w: waste", ErrInvalid)
	}
	lot, err := LotByID(ctx, tx, w.LotID)
	if err != nil {
		return err
	}
	if w.Doses > 0 && w.OpenedAt != nil {
		var opened *time.Time
		err := tx.QueryRow(ctx, `SELECT opened_at FROM inventory.balance WHERE place = $1 AND lot_id = $2 FOR UPDATE`, w.Place, w.LotID).Scan(&opened)
		if err != nil && !pg.NoRows(err) {
			return fmt.Errorf("opened vial: %w", err)
		}
		if opened == nil || !opened.Equal(*w.OpenedAt) {
			return ErrRestChanged
		}
	}
	why := w.Why
	if why == "" {
		why = string(w.Reason)
	}
	if _, err := s.post(ctx, tx, movement{
		kind: "waste", lotID: w.LotID, at: w.At, actor: w.Actor, why: why, pick: w.Portion,
		entries: []entry{{w.Place, -w.Vials, -w.Doses}, {w.Reason.place(), w.Vials, w.Doses}},
	}); err != nil {
		return err
	}
	return s.changed(ctx, tx, lot.ProductID, w.Place)
}

// changed tells that the stock of the centres among places has changed.
func (s *Service) changed(ctx context.Context, tx pgx.Tx, productID string, places ...Place) error {
	for _, p := range places {
		if p.CentreID() == "" {
			continue
		}
		if err := StockChanged.Enqueue(ctx, tx, StockChangedPayload{Place: p, ProductID: productID}); err != nil {
			return err
		}
	}
	return nil
}

// normaliseLot is the form in which lot numbers are stored: as printed, in
// capitals, without space around it.
func normaliseLot(number string) string { return strings.ToUpper(strings.TrimSpace(number)) }
