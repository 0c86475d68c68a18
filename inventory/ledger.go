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

// entry is one line of a movement.
type entry struct {
	place        Place
	vials, doses int
}

// movement is what post writes.
type movement struct {
	kind     string
	lotID    string
	at       time.Time
	actor    string
	why      string
	ref      string
	corrects string
	entries  []entry
}

// post writes a movement with its entries and the balances that follow from
// them in one statement. ErrNotEnough when a place that holds stock would fall
// below zero.
func (s *Service) post(ctx context.Context, tx pgx.Tx, m movement) (movementID string, err error) {
	var (
		places       []string
		vials, doses []int
		held         []string // stock places, to be locked in order
		falling      int      // stock places that give something away: their row must exist
	)
	for _, e := range m.entries {
		if e.vials == 0 && e.doses == 0 {
			continue
		}
		places, vials, doses = append(places, string(e.place)), append(vials, e.vials), append(doses, e.doses)
		if e.place.Holds() {
			held = append(held, string(e.place))
			if e.vials < 0 || e.doses < 0 {
				falling++
			}
		}
	}
	if len(held) > 1 {
		// Two transfers in opposite directions would wait for each other.
		if _, err := tx.Exec(ctx, `
			SELECT 1 FROM inventory.balance WHERE lot_id = $1 AND place = ANY($2) ORDER BY place FOR UPDATE`, m.lotID, held); err != nil {
			return "", fmt.Errorf("lock balances: %w", err)
		}
	}
	movementID = id.New()
	var fell int
	// A row that falls is updated, because CHECK looks at the proposed row of
	// an upsert before the conflict; one that only rises may be new.
	err = tx.QueryRow(ctx, `
		WITH m AS (
			INSERT INTO inventory.movement (id, lot_id, kind, at, recorded_at, actor, why, ref, corrects)
			VALUES ($1, $2, $3, $4, $5, $6, $7, nullif($8, ''), nullif($9, '')::uuid)
		), e AS (
			INSERT INTO inventory.entry (movement_id, lot_id, place, vials, doses)
			SELECT $1, $2, u.place, u.vials, u.doses
			FROM unnest($10::text[], $11::int[], $12::int[]) AS u (place, vials, doses)
			RETURNING place, vials, doses
		), fall AS (
			UPDATE inventory.balance b SET vials = b.vials + e.vials, doses = b.doses + e.doses
			FROM e WHERE b.place = e.place AND b.lot_id = $2 AND (e.vials < 0 OR e.doses < 0)
			RETURNING 1
		), rise AS (
			INSERT INTO inventory.balance AS b (place, lot_id, vials, doses)
			SELECT place, $2, vials, doses FROM e
			WHERE inventory.is_stock(place) AND vials >= 0 AND doses >= 0
			ON CONFLICT (place, lot_id) DO UPDATE SET vials = b.vials + excluded.vials, doses = b.doses + excluded.doses
		)
		SELECT count(*) FROM fall`,
		movementID, m.lotID, m.kind, m.at.UTC(), s.now(), m.actor, m.why, m.ref, m.corrects, places, vials, doses).Scan(&fell)
	switch {
	case pg.Violates(err, "balance_not_negative"):
		return "", ErrNotEnough
	case pg.Violates(err, "movement_given_once"):
		return "", ErrAlreadyGiven
	case pg.Violates(err, "movement_corrected_once"):
		return "", ErrAlreadyCorrected
	case pg.Violates(err, "entry_place"):
		return "", fmt.Errorf("%w: place", ErrInvalid)
	case err != nil:
		return "", fmt.Errorf("post %s: %w", m.kind, err)
	case fell != falling:
		return "", ErrNotEnough
	}
	return movementID, nil
}

// GiveDose books one dose into an arm. When no dose of the lot is open at the
// place it opens a vial first, by the doses-per-vial rule of the day of g.At.
// ErrLotExpired, ErrLotBlocked, ErrLotEmpty, ErrNoRule, ErrAlreadyGiven (the
// record has its dose already). Concurrent doses of one lot at one place queue on its balance.
func (s *Service) GiveDose(ctx context.Context, tx pgx.Tx, g Give) error {
	if g.Ref == "" || !g.Place.Holds() || g.Place == Central {
		return fmt.Errorf("%w: a dose needs a record and a place where people are vaccinated", ErrInvalid)
	}
	if !id.Valid(g.LotID) {
		return fmt.Errorf("%w: lot", ErrNotFound)
	}
	var vials, open int
	err := tx.QueryRow(ctx, `SELECT vials, doses FROM inventory.balance WHERE place = $1 AND lot_id = $2 FOR UPDATE`, g.Place, g.LotID).Scan(&vials, &open)
	if err != nil && !pg.NoRows(err) {
		return fmt.Errorf("balance of lot: %w", err)
	}
	// After the balance is locked: a block that was before this dose is seen.
	lot, err := LotByID(ctx, tx, g.LotID)
	if err != nil {
		return err
	}
	if err := lot.usable(g.At); err != nil {
		return err
	}
	if lot.Vials, lot.OpenDoses = vials, open; vials == 0 && open == 0 {
		return ErrLotEmpty
	}
	if lot.OpenDoses == 0 {
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
	if g.Booked {
		return nil
	}
	return s.changed(ctx, tx, lot.ProductID, g.Place)
}

// Transfer moves stock between two places that hold stock. Expired and blocked
// lots may only go back to the central store: ErrLotExpired, ErrLotBlocked.
func (s *Service) Transfer(ctx context.Context, tx pgx.Tx, t Transfer) error {
	if t.Vials < 0 || t.Doses < 0 || t.Vials+t.Doses == 0 || t.From == t.To || !t.From.Holds() || !t.To.Holds() {
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
		kind: "transfer", lotID: t.LotID, at: t.At, actor: t.Actor, why: t.Why,
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
	return s.changed(ctx, tx, lot.ProductID, t.From, t.To)
}

// Waste books vaccine that was thrown away.
func (s *Service) Waste(ctx context.Context, tx pgx.Tx, w Waste) error {
	if w.Vials < 0 || w.Doses < 0 || w.Vials+w.Doses == 0 || !w.Place.Holds() || !w.Reason.Valid() {
		return fmt.Errorf("%w: waste", ErrInvalid)
	}
	lot, err := LotByID(ctx, tx, w.LotID)
	if err != nil {
		return err
	}
	why := w.Why
	if why == "" {
		why = string(w.Reason)
	}
	if _, err := s.post(ctx, tx, movement{
		kind: "waste", lotID: w.LotID, at: w.At, actor: w.Actor, why: why,
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
