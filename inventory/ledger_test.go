package inventory

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

func TestGiveDoseOpensAVialWhenNoneIsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "ab123", day(2021, 5, 31), 2)
	if got := b.stock(leipzig, "comirnaty", b.now); got != (Stock{Vials: 2, DosesPerVial: 5, Doses: 10}) {
		t.Fatalf("stock = %+v", got)
	}
	b.events()
	for i := range 10 {
		if err := b.give(leipzig, lot); err != nil {
			t.Fatalf("dose %d: %v", i+1, err)
		}
		want := Stock{Vials: 2 - (i/5 + 1), OpenDoses: 4 - i%5, DosesPerVial: 5, Doses: 9 - i}
		if got := b.stock(leipzig, "comirnaty", b.now); got != want {
			t.Fatalf("after dose %d: %+v, want %+v", i+1, got, want)
		}
	}
	if err := b.give(leipzig, lot); !errors.Is(err, ErrLotEmpty) {
		t.Errorf("eleventh dose: %v, want ErrLotEmpty", err)
	}
	if n := b.events()[leipzig]; n != 10 {
		t.Errorf("%d StockChanged, want 10", n)
	}
	b.reconciled()
}

func TestVialsOpenByTheRuleOfTheDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	b.events()
	b.tx(func(tx pgx.Tx) error {
		return b.s.SetDosesPerVial(b.ctx, tx, "comirnaty", day(2021, 1, 15), 6, b.by)
	})
	if n := b.events(); n[leipzig] != 1 || len(n) != 1 {
		t.Errorf("events after the rule: %v, want one for leipzig", n)
	}
	if err := b.give(leipzig, lot); err != nil { // opens one at five
		t.Fatal(err)
	}
	for range 3 {
		if err := b.give(leipzig, lot); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.stock(leipzig, "comirnaty", b.now).Doses; got != 9*5+1 {
		t.Errorf("doses today: %d", got)
	}
	if got := b.stock(leipzig, "comirnaty", day(2021, 1, 14)).Doses; got != 9*5 {
		t.Errorf("doses on 14 January: %d", got)
	}
	if got := b.stock(leipzig, "comirnaty", day(2021, 1, 15)).Doses; got != 9*6 {
		t.Errorf("doses on 15 January: %d", got)
	}
	if err := b.give(leipzig, lot); err != nil { // the last of the vial
		t.Fatal(err)
	}
	b.now = clock.At(day(2021, 1, 15), 9, 0)
	if err := b.give(leipzig, lot); err != nil { // of a vial opened at six
		t.Fatal(err)
	}
	if got := b.stock(leipzig, "comirnaty", b.now); got != (Stock{Vials: 8, OpenDoses: 5, DosesPerVial: 6, Doses: 53}) {
		t.Errorf("stock = %+v", got)
	}
	b.reconciled()
}

func TestExpiredLotsAreNoStock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 1, 20), 1)
	if got := b.stock(leipzig, "comirnaty", day(2021, 1, 20)).Doses; got != 5 {
		t.Errorf("on its last day: %d", got)
	}
	if got := b.stock(leipzig, "comirnaty", day(2021, 1, 21)).Doses; got != 0 {
		t.Errorf("the day after: %d", got)
	}
	b.now = clock.At(day(2021, 1, 20), 23, 59) // still the day in Berlin
	if err := b.give(leipzig, lot); err != nil {
		t.Errorf("on its last day: %v", err)
	}
	b.now = clock.At(day(2021, 1, 21), 0, 0)
	if err := b.give(leipzig, lot); !errors.Is(err, ErrLotExpired) {
		t.Errorf("the day after: %v, want ErrLotExpired", err)
	}
	lots, err := b.s.Lots(b.ctx, b.pool, leipzig, "comirnaty", b.now)
	if err != nil || len(lots) != 0 {
		t.Errorf("Lots = %v, %v", lots, err)
	}
	if err := b.try(func(tx pgx.Tx) error {
		return b.s.Transfer(b.ctx, tx, Transfer{From: leipzig, To: TeamPlace("t1"), LotID: lot, Doses: 1, Actor: "a", Why: "w", At: b.now})
	}); !errors.Is(err, ErrLotExpired) {
		t.Errorf("transfer to a team: %v", err)
	}
	b.tx(func(tx pgx.Tx) error {
		return b.s.Waste(b.ctx, tx, Waste{Place: leipzig, LotID: lot, Doses: 4, Reason: Expired, Actor: "a", At: b.now})
	})
	b.reconciled()
}

func TestOneDosePerRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 1)
	g := Give{Place: leipzig, LotID: lot, Ref: id.New(), Actor: "a", At: b.now}
	b.tx(func(tx pgx.Tx) error { return b.s.GiveDose(b.ctx, tx, g) })
	if err := b.try(func(tx pgx.Tx) error { return b.s.GiveDose(b.ctx, tx, g) }); !errors.Is(err, ErrAlreadyGiven) {
		t.Errorf("second time: %v, want ErrAlreadyGiven", err)
	}
	if got := b.stock(leipzig, "comirnaty", b.now).Doses; got != 4 {
		t.Errorf("doses = %d, want 4", got)
	}
}

func TestRacersNeverOverdraw(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 4) // 20 doses
	var given, refused atomic.Int64
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			switch err := b.give(leipzig, lot); {
			case err == nil:
				given.Add(1)
			case errors.Is(err, ErrLotEmpty), pg.IsLockTimeout(err):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if given.Load() != 20 || refused.Load() != 40 {
		t.Errorf("given %d, refused %d", given.Load(), refused.Load())
	}
	b.reconciled()
}

func TestTransfersInBothDirections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 20)
	b.tx(func(tx pgx.Tx) error {
		return b.s.Transfer(b.ctx, tx, Transfer{From: leipzig, To: dresden, LotID: lot, Vials: 10, Actor: "a", Why: "halves", At: b.now})
	})
	var wg sync.WaitGroup
	for i := range 40 {
		from, to := leipzig, dresden
		if i%2 == 0 {
			from, to = dresden, leipzig
		}
		wg.Go(func() {
			err := b.try(func(tx pgx.Tx) error {
				return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: 1, Actor: "a", Why: "w", At: b.now})
			})
			if err != nil && !errors.Is(err, ErrNotEnough) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sum := b.stock(leipzig, "comirnaty", b.now).Vials + b.stock(dresden, "comirnaty", b.now).Vials; sum != 20 {
		t.Errorf("vials in both = %d, want 20", sum)
	}
	b.reconciled()
}

func TestRefusedMovements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 2)
	transfer := func(tr Transfer) func(tx pgx.Tx) error {
		tr.Actor, tr.At = "a", b.now
		return func(tx pgx.Tx) error { return b.s.Transfer(b.ctx, tx, tr) }
	}
	waste := func(w Waste) func(tx pgx.Tx) error {
		w.Actor, w.At = "a", b.now
		return func(tx pgx.Tx) error { return b.s.Waste(b.ctx, tx, w) }
	}
	for name, c := range map[string]struct {
		fn   func(tx pgx.Tx) error
		want error
	}{
		"more than there is":   {transfer(Transfer{From: leipzig, To: dresden, LotID: lot, Vials: 3, Why: "w"}), ErrNotEnough},
		"no open dose":         {transfer(Transfer{From: leipzig, To: dresden, LotID: lot, Doses: 1, Why: "w"}), ErrNotEnough},
		"nothing there at all": {transfer(Transfer{From: dresden, To: leipzig, LotID: lot, Vials: 1, Why: "w"}), ErrNotEnough},
		"nothing":              {transfer(Transfer{From: leipzig, To: dresden, LotID: lot, Why: "w"}), ErrInvalid},
		"negative":             {transfer(Transfer{From: leipzig, To: dresden, LotID: lot, Vials: -1, Why: "w"}), ErrInvalid},
		"to itself":            {transfer(Transfer{From: leipzig, To: leipzig, LotID: lot, Vials: 1, Why: "w"}), ErrInvalid},
		"to a person":          {transfer(Transfer{From: leipzig, To: Person, LotID: lot, Vials: 1, Why: "w"}), ErrInvalid},
		"without a reason":     {transfer(Transfer{From: leipzig, To: dresden, LotID: lot, Vials: 1}), ErrInvalid},
		"unknown lot":          {transfer(Transfer{From: leipzig, To: dresden, LotID: id.New(), Vials: 1, Why: "w"}), ErrNotFound},
		"lot that is no id":    {transfer(Transfer{From: leipzig, To: dresden, LotID: "AB1", Vials: 1, Why: "w"}), ErrNotFound},
		"waste without reason": {waste(Waste{Place: leipzig, LotID: lot, Vials: 1}), ErrInvalid},
		"too much waste":       {waste(Waste{Place: leipzig, LotID: lot, Vials: 3, Reason: ColdChain}), ErrNotEnough},
	} {
		if err := b.try(c.fn); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := b.try(transfer(Transfer{From: leipzig, To: CentrePlace("atlantis"), LotID: lot, Vials: 1, Why: "w"})); err == nil {
		t.Error("transfer to a centre that does not exist went through")
	}
	if got := b.stock(leipzig, "comirnaty", b.now).Vials; got != 2 {
		t.Errorf("vials = %d, want 2", got)
	}
	b.reconciled()
}

func TestCounterMovement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 5)
	b.tx(func(tx pgx.Tx) error {
		return b.s.Transfer(b.ctx, tx, Transfer{From: leipzig, To: dresden, LotID: lot, Vials: 3, Actor: "a", Why: "typo", At: b.now})
	})
	ms, err := Movements(b.ctx, b.pool, dresden, 10)
	if err != nil || len(ms) != 1 || !ms[0].Correctable() || len(ms[0].Lines) != 2 {
		t.Fatalf("movements = %+v, %v", ms, err)
	}
	correct := func(tx pgx.Tx) error { return b.s.Correct(b.ctx, tx, ms[0].ID, "was meant for Pirna", b.by) }
	b.tx(correct)
	if l, d := b.stock(leipzig, "comirnaty", b.now).Vials, b.stock(dresden, "comirnaty", b.now).Vials; l != 5 || d != 0 {
		t.Errorf("after the correction: leipzig %d, dresden %d", l, d)
	}
	if err := b.try(correct); !errors.Is(err, ErrAlreadyCorrected) {
		t.Errorf("twice: %v", err)
	}
	ms, err = Movements(b.ctx, b.pool, dresden, 10)
	if err != nil || len(ms) != 2 || ms[0].Kind != "correction" || ms[0].Corrects != ms[1].ID || !ms[1].Corrected {
		t.Errorf("movements = %+v, %v", ms, err)
	}
	if err := b.try(func(tx pgx.Tx) error { return b.s.Correct(b.ctx, tx, ms[0].ID, "back again", b.by) }); !errors.Is(err, ErrNotCorrectable) {
		t.Errorf("correcting a correction: %v", err)
	}
	b.reconciled()
}

func TestTheDatabaseRefusesAFalseLedger(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lot := b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 5)
	if _, err := b.s.post(b.ctx, mustBegin(t, b), movement{
		kind: "receive", lotID: lot, at: b.now, actor: "a", why: "w",
		entries: []entry{{Supplier, -1, 0}, {Central, 2, 0}},
	}); !pg.Violates(err, "entries_sum_to_zero") {
		t.Errorf("entries that do not sum to zero: %v", err)
	}
	for _, sql := range []string{`UPDATE inventory.entry SET vials = 0, doses = 1`, `DELETE FROM inventory.entry`, `UPDATE inventory.movement SET why = ''`} {
		if _, err := b.pool.Exec(b.ctx, sql); !pg.Violates(err, "ledger_append_only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := b.pool.Exec(b.ctx, `UPDATE inventory.balance SET vials = -1`); !pg.Violates(err, "balance_not_negative") {
		t.Errorf("negative balance: %v", err)
	}
	if _, err := b.pool.Exec(b.ctx, `UPDATE inventory.balance SET vials = vials + 1`); err != nil {
		t.Fatal(err)
	}
	diffs, err := Reconcile(b.ctx, b.pool)
	if err != nil || len(diffs) != 1 || diffs[0].Vials != 6 || diffs[0].SumVials != 5 {
		t.Errorf("Reconcile = %+v, %v", diffs, err)
	}
	if err := b.s.reconcile(b.ctx, b.now); err == nil {
		t.Error("the nightly job raised no alarm")
	}
}

func mustBegin(t *testing.T, b *bundle) pgx.Tx {
	t.Helper()
	tx, err := b.pool.Begin(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(b.ctx) })
	return tx
}
