package inventory

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
)

// begin opens a transaction that the test ends itself.
func (b *bundle) begin() pgx.Tx {
	b.t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	must(b.t, err)
	b.t.Cleanup(func() { _ = tx.Rollback(b.ctx) })
	return tx
}

// waiting returns once somebody waits for a lock of this database.
func (b *bundle) waiting() {
	b.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		var n int
		must(b.t, b.pool.QueryRow(b.ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`).Scan(&n))
		if n > 0 {
			return
		}
	}
	b.t.Fatal("nobody waits")
}

// TestABlockKnowsWhatIsUnderWay: a transfer to a place that has nothing of the lot yet
// has not ended when the lot is blocked. The place is told, and gives nothing.
func TestABlockKnowsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 10)
	b.events()
	sent := b.begin()
	must(t, b.s.Transfer(b.ctx, sent, Transfer{From: Central, To: leipzig, LotID: lot, Vials: 5, Actor: "x", Why: "x", At: b.now}))
	block, done := b.begin(), make(chan error, 1)
	go func() { done <- b.s.BlockLot(b.ctx, block, lot, "recall", b.by) }()
	b.waiting()
	must(t, sent.Commit(b.ctx))
	must(t, <-done)
	given := make(chan error, 1)
	go func() { given <- b.give(leipzig, lot) }()
	b.waiting()
	must(t, block.Commit(b.ctx))
	if err := <-given; !errors.Is(err, ErrLotBlocked) {
		t.Errorf("given while the lot was being blocked: %v", err)
	}
	if n := b.events()[leipzig]; n != 2 {
		t.Errorf("Leipzig was told %d times, want of the transfer and of the block", n)
	}
	if n := b.holding(leipzig, lot).Vials; n != 5 {
		t.Errorf("%d vials, want 5: none was opened", n)
	}
	b.reconciled()
}

// TestABlockKnowsAReceiptUnderWay: the same with a delivery that is being received by
// a centre.
func TestABlockKnowsAReceiptUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 10)
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: b.now, Vials: 5})
	received := b.begin()
	must(t, b.s.ReceiveDelivery(b.ctx, received, did, []ReceivedLot{{"AB1", day(2021, 5, 31), 5}}, b.by))
	b.events()
	done := make(chan error, 1)
	go func() {
		done <- b.try(func(tx pgx.Tx) error { return b.s.BlockLot(b.ctx, tx, lot, "recall", b.by) })
	}()
	b.waiting()
	must(t, received.Commit(b.ctx))
	must(t, <-done)
	if n := b.events()[leipzig]; n != 2 {
		t.Errorf("Leipzig was told %d times, want of the receipt and of the block", n)
	}
}

// TestReceiptsAtTheSameMoment: lorries that bring the same lots in another order, and
// lots that the other's allocation needs, do not wait for each other for ever.
func TestReceiptsAtTheSameMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := day(2021, 5, 31)
	must(t, b.setPlan(AllocationPlan{ProductID: "comirnaty", Method: ByShares, Automatic: true, Shares: []Share{{CentrePlace("leipzig"), 1}, {CentrePlace("dresden"), 1}}}))
	const rounds, each = 12, 4
	errs := make(chan error)
	for i := range rounds {
		number := func(k int) string { return fmt.Sprintf("L%d", i%3*4+k) } // known lots and new ones
		for k := range each {
			did := b.plan(NewDelivery{ProductID: "comirnaty", Place: Central, Day: b.now, Vials: 10, EqualShares: k == 2})
			lots := []ReceivedLot{{number(0), e, 5}, {number(1), e, 5}}
			switch k {
			case 1:
				lots[0], lots[1] = lots[1], lots[0]
			case 3:
				lots = []ReceivedLot{{number(2), e, 10}}
			}
			go func() {
				errs <- b.try(func(tx pgx.Tx) error { return b.s.ReceiveDelivery(b.ctx, tx, did, lots, b.by) })
			}()
		}
		for range each {
			if err := <-errs; err != nil {
				t.Errorf("round %d: %v", i, err)
			}
		}
	}
	if l, d, c := b.stock(CentrePlace("leipzig"), "comirnaty", b.now).Vials, b.stock(CentrePlace("dresden"), "comirnaty", b.now).Vials, b.stock(Central, "comirnaty", b.now).Vials; l != rounds*15 || d != rounds*15 || c != rounds*10 {
		t.Errorf("leipzig %d, dresden %d, central %d; want %d each and %d that are too few for 13 equal shares", l, d, c, rounds*15, rounds*10)
	}
	b.reconciled()
}

// TestABookedDoseThatThrowsAwayIsTold: the dose was reserved, what is thrown away with
// it was not.
func TestABookedDoseThatThrowsAwayIsTold(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, _ := openingSetup(t)
	booked := func() map[Place]int {
		b.events()
		b.tx(func(tx pgx.Tx) error {
			return b.s.GiveDose(b.ctx, tx, Give{Place: leipzig, LotID: lot, Ref: id.New(), Actor: "x", At: b.now, Booked: true})
		})
		return b.events()
	}
	for what, want := range map[string]int{"a new vial": 0, "an open vial": 0} {
		if n := booked()[leipzig]; n != want {
			t.Errorf("%s: told %d times", what, n)
		}
	}
	b.now = b.now.Add(7 * time.Hour)
	if n := booked()[leipzig]; n != 1 {
		t.Errorf("told %d times that doses were thrown away, want 1", n)
	}
}

// TestBlocksAndReceiptsAtTheSameMoment: a lot is blocked and released while lorries
// bring it to the central store, which shares it out, and to a centre, and while doses
// of it are given. Nobody has to be sent again because two wait for each other.
func TestBlocksAndReceiptsAtTheSameMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := day(2021, 5, 31)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	must(t, b.setPlan(AllocationPlan{ProductID: "comirnaty", Method: ByShares, Automatic: true, Shares: []Share{{leipzig, 1}, {dresden, 1}}}))
	var errs sync.WaitGroup
	var started sync.WaitGroup
	for round := range 15 {
		number := fmt.Sprintf("L%d", round)
		lot := b.receive(leipzig, "comirnaty", number, e, 5) // the central store has no row of it
		deliveries := []string{b.planned(Central, 4), b.planned(Central, 4), b.planned(dresden, 4)}
		started.Add(1)
		run := func(what string, fn func(tx pgx.Tx) error, fine ...error) {
			errs.Go(func() {
				started.Wait()
				if err := b.try(fn); err != nil && !slices.ContainsFunc(fine, func(f error) bool { return errors.Is(err, f) }) {
					t.Errorf("round %d, %s: %v", round, what, err)
				}
			})
		}
		for _, d := range deliveries {
			run("receipt", func(tx pgx.Tx) error { return b.s.ReceiveDelivery(b.ctx, tx, d, []ReceivedLot{{number, e, 4}}, b.by) })
		}
		for range 2 {
			run("block", func(tx pgx.Tx) error { return b.s.BlockLot(b.ctx, tx, lot, "recall", b.by) }, ErrState)
			run("release", func(tx pgx.Tx) error { return b.s.ReleaseLot(b.ctx, tx, lot, "checked", b.by) }, ErrState)
			run("dose", func(tx pgx.Tx) error {
				return b.s.GiveDose(b.ctx, tx, Give{Place: leipzig, LotID: lot, Ref: id.New(), Actor: "x", At: b.now})
			}, ErrLotBlocked)
		}
		started.Done()
		errs.Wait()
	}
	b.reconciled()
}
