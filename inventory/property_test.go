package inventory

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// lotNumber makes the lots of the property test distinct.
var lotNumber atomic.Int64

// expectedRefusals are the answers that a ledger under pressure may give; any
// other error is a fault.
var expectedRefusals = []error{
	ErrNotEnough, ErrLotEmpty, ErrLotExpired, ErrLotBlocked, ErrAlreadyCorrected, ErrNotCorrectable, ErrInvalid, ErrState, ErrStale, ErrPooled,
}

func refused(err error) bool {
	for _, want := range expectedRefusals {
		if errors.Is(err, want) {
			return true
		}
	}
	return pg.IsLockTimeout(err)
}

// Whatever people do at the same time: no balance is negative, the entries of
// every movement sum to zero, and every balance is the sum of its entries.
func TestLedgerHoldsWhateverHappens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	places := []Place{Central, CentrePlace("leipzig"), CentrePlace("dresden"), TeamPlace("t1")}
	start := b.now
	rapid.Check(t, func(rt *rapid.T) {
		b.now = start
		lots := make([]string, 2)
		for i := range lots {
			lots[i] = b.receive(Central, "comirnaty", fmt.Sprintf("P%d", lotNumber.Add(1)), day(2021, 1, 20+i), rapid.IntRange(1, 12).Draw(rt, "vials"))
		}
		for range rapid.IntRange(1, 3).Draw(rt, "days") {
			ops := make([]func(tx pgx.Tx) error, rapid.IntRange(4, 16).Draw(rt, "ops"))
			for i := range ops {
				ops[i] = b.randomOp(rt, places, lots)
			}
			var wg sync.WaitGroup
			faults := make(chan error, len(ops))
			for _, op := range ops {
				wg.Go(func() {
					if err := b.try(op); err != nil && !refused(err) {
						faults <- err
					}
				})
			}
			wg.Wait()
			close(faults)
			for err := range faults {
				rt.Fatalf("not a refusal: %v", err)
			}
			b.ledgerHolds(rt)
			b.now = b.now.AddDate(0, 0, rapid.IntRange(0, 4).Draw(rt, "pass"))
		}
	})
	// What never happened was not tested.
	rows, err := b.pool.Query(b.ctx, `
		SELECT k FROM unnest(ARRAY['transfer', 'thaw', 'open', 'give', 'gain', 'waste', 'correction']) AS k
		WHERE NOT EXISTS (SELECT 1 FROM inventory.movement m WHERE m.kind = k)`)
	if err != nil {
		t.Fatal(err)
	}
	if never, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(never) > 0 {
		t.Errorf("never happened: %v, %v", never, err)
	}
}

// randomOp draws one thing that somebody does.
func (b *bundle) randomOp(rt *rapid.T, places []Place, lots []string) func(tx pgx.Tx) error {
	from, to := rapid.SampledFrom(places).Draw(rt, "from"), rapid.SampledFrom(places).Draw(rt, "to")
	lot := rapid.SampledFrom(lots).Draw(rt, "lot")
	n, back := rapid.IntRange(1, 4).Draw(rt, "n"), rapid.IntRange(0, 6).Draw(rt, "back")
	at := b.now
	switch rapid.SampledFrom([]string{"give", "give", "give", "transfer", "transfer", "thaw", "thaw", "yield", "waste", "discard", "correct", "block", "share", "allocate"}).Draw(rt, "op") {
	case "give":
		ref := id.New()
		return func(tx pgx.Tx) error {
			return b.s.GiveDose(b.ctx, tx, Give{Place: from, LotID: lot, Ref: ref, Actor: "a", At: at})
		}
	case "transfer":
		open := rapid.Bool().Draw(rt, "open")
		tr := Transfer{From: from, To: to, LotID: lot, Vials: n, Actor: "a", Why: "w", At: at}
		if open {
			tr.Vials, tr.Doses = n-1, 1
		}
		return func(tx pgx.Tx) error { return b.s.Transfer(b.ctx, tx, tr) }
	case "thaw":
		return func(tx pgx.Tx) error {
			return b.s.Thaw(b.ctx, tx, Thaw{Place: from, LotID: lot, Vials: n, Day: clock.Day(at).AddDate(0, 0, -back), Actor: "a", At: at})
		}
	case "yield":
		return func(tx pgx.Tx) error {
			vs, err := OpenedVials(b.ctx, tx, from, at.Add(-24*time.Hour))
			if err != nil || len(vs) == 0 {
				return err
			}
			return b.s.NoteYield(b.ctx, tx, vs[back%len(vs)].ID, 3+n, b.by)
		}
	case "waste":
		reason := rapid.SampledFrom(Reasons()).Draw(rt, "reason")
		return func(tx pgx.Tx) error {
			return b.s.Waste(b.ctx, tx, Waste{Place: from, LotID: lot, Vials: n, Reason: reason, Actor: "a", At: at})
		}
	case "discard":
		return func(tx pgx.Tx) error { return b.s.Discard(b.ctx, tx, from, lot, OpenRest{Doses: back}, "w", b.by) }
	case "correct":
		return func(tx pgx.Tx) error {
			ms, err := Movements(b.ctx, tx, from, 20)
			if err != nil || len(ms) == 0 {
				return err
			}
			return b.s.Correct(b.ctx, tx, ms[(n*7+back)%len(ms)].ID, "mistake", b.by)
		}
	case "block":
		return func(tx pgx.Tx) error {
			if n%2 == 0 {
				return b.s.BlockLot(b.ctx, tx, lot, "recall", b.by)
			}
			return b.s.ReleaseLot(b.ctx, tx, lot, "mistake", b.by)
		}
	case "allocate":
		return func(tx pgx.Tx) error {
			pv, err := b.s.PreviewAllocation(b.ctx, tx, AllocationPlan{ProductID: "comirnaty", Method: ByHand}, 0)
			if err != nil {
				return err
			}
			return b.s.Allocate(b.ctx, tx, "comirnaty", []Amount{{CentrePlace("leipzig"), n}, {TeamPlace("t1"), back}}, pv.Central, "plan", b.by)
		}
	default:
		return func(tx pgx.Tx) error {
			_, err := b.s.EqualShares(b.ctx, tx, "comirnaty", "shares", b.by)
			return err
		}
	}
}

// ledgerHolds checks what must be true of the whole ledger at every moment.
func (b *bundle) ledgerHolds(rt *rapid.T) {
	var negative, unbalanced, thawed int
	err := b.pool.QueryRow(b.ctx, `
		SELECT (SELECT count(*) FROM inventory.balance WHERE vials < 0 OR doses < 0 OR thawed < 0 OR thawed > vials)
		     + (SELECT count(*) FROM inventory.portion WHERE vials < 0),
		       (SELECT count(*) FROM (SELECT 1 FROM inventory.entry GROUP BY movement_id HAVING sum(vials) <> 0 OR sum(doses) <> 0) x)
		     + (SELECT CASE WHEN coalesce(sum(vials), 0) <> 0 OR coalesce(sum(doses), 0) <> 0 THEN 1 ELSE 0 END FROM inventory.entry),
		       (SELECT count(*) FROM inventory.balance WHERE (doses = 0) <> (opened_at IS NULL))`).Scan(&negative, &unbalanced, &thawed)
	if err != nil {
		rt.Fatal(err)
	}
	diffs, err := Reconcile(b.ctx, b.pool)
	if err != nil {
		rt.Fatal(err)
	}
	if negative+unbalanced+thawed+len(diffs) > 0 {
		rt.Fatalf("%d negative, %d unbalanced, %d without the time of opening, differences %+v", negative, unbalanced, thawed, diffs)
	}
}
