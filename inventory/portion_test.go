package inventory

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

func (b *bundle) thaw(place Place, lotID string, vials int, on time.Time) error {
	return b.try(func(tx pgx.Tx) error {
		return b.s.Thaw(b.ctx, tx, Thaw{Place: place, LotID: lotID, Vials: vials, Day: on, Actor: "staff:test", At: b.now})
	})
}

// holding is what a place holds of a lot.
func (b *bundle) holding(place Place, lotID string) Holding {
	b.t.Helper()
	hs, err := b.s.Holdings(b.ctx, b.pool, place, "", b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range hs {
		if h.LotID == lotID {
			return h
		}
	}
	return Holding{}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestThawedVialsEndBeforeTheirLot(t *testing.T) {
	t.Parallel()
	b := setup(t) // Monday, 11 January 2021; five days after thawing
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	b.events()
	must(t, b.thaw(leipzig, lot, 4, b.now))
	if n := b.events()[leipzig]; n != 1 {
		t.Errorf("%d StockChanged, want 1", n)
	}
	for on, want := range map[time.Time]int{
		day(2021, 1, 11): 50, day(2021, 1, 16): 50, day(2021, 1, 17): 30, day(2021, 5, 31): 30, day(2021, 6, 1): 0,
	} {
		if got := b.stock(leipzig, "comirnaty", on).Doses; got != want {
			t.Errorf("doses on %s: %d, want %d", on.Format(time.DateOnly), got, want)
		}
	}
	batches, err := b.s.Supply(b.ctx, b.pool, leipzig, "comirnaty", b.now, 0)
	if err != nil || len(batches) != 2 || !batches[0].Until.Equal(day(2021, 1, 16)) || batches[0].Doses != 20 ||
		!batches[1].Until.Equal(day(2021, 5, 31)) || batches[1].Doses != 30 {
		t.Errorf("supply = %+v, %v", batches, err)
	}
	// The thawed ones go first.
	must(t, b.give(leipzig, lot))
	if h := b.holding(leipzig, lot); h.ThawedVials() != 3 || h.FrozenVials() != 6 || h.OpenDoses != 4 {
		t.Errorf("after a dose: %+v", h)
	}
	// Past their day they are neither given nor sent; frozen ones take their place.
	b.now = clock.At(day(2021, 1, 17), 9, 0)
	if h := b.holding(leipzig, lot); h.PastVials() != 3 || !h.OpenDue || h.Doses != 30 {
		t.Errorf("past: %+v", h)
	}
	must(t, b.give(leipzig, lot))
	if h := b.holding(leipzig, lot); h.ThawedVials() != 3 || h.FrozenVials() != 5 || h.OpenDoses != 4 {
		t.Errorf("a dose of the 17th: %+v", h)
	}
	send := func(vials int, to Place, p Portion) error {
		return b.try(func(tx pgx.Tx) error {
			return b.s.Transfer(b.ctx, tx, Transfer{From: leipzig, To: to, LotID: lot, Vials: vials, Portion: p, Actor: "a", Why: "w", At: b.now})
		})
	}
	if err := send(6, TeamPlace("t1"), ""); !errors.Is(err, ErrThawedTooLong) || !errors.Is(err, ErrLotExpired) {
		t.Errorf("six to a team: %v", err)
	}
	if err := send(1, TeamPlace("t1"), Thawed(day(2021, 1, 11))); !errors.Is(err, ErrThawedTooLong) {
		t.Errorf("a thawed one to a team: %v", err)
	}
	must(t, send(5, TeamPlace("t1"), ""))
	must(t, send(1, Central, "")) // back is always right
	if h := b.holding(Central, lot); h.ThawedVials() != 1 || h.PastVials() != 1 {
		t.Errorf("central: %+v", h)
	}
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.Waste(b.ctx, tx, Waste{Place: leipzig, LotID: lot, Vials: 2, Reason: Expired, Actor: "a", At: b.now})
	}))
	if h := b.holding(leipzig, lot); h.Vials != 0 || h.OpenDoses != 4 {
		t.Errorf("after the waste: %+v", h)
	}
	b.reconciled()
}

func TestThawIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 1, 20), 3)
	must(t, b.thaw(leipzig, lot, 1, day(2021, 1, 10)))
	for name, c := range map[string]struct {
		place Place
		vials int
		on    time.Time
		want  error
	}{
		"more than is frozen":   {leipzig, 3, b.now, ErrNotEnough},
		"none":                  {leipzig, 0, b.now, ErrInvalid},
		"tomorrow":              {leipzig, 1, day(2021, 1, 12), ErrInvalid},
		"long ago":              {leipzig, 1, day(2020, 10, 1), ErrInvalid},
		"where nothing is":      {CentrePlace("dresden"), 1, b.now, ErrNotEnough},
		"a place without stock": {Person, 1, b.now, ErrInvalid},
	} {
		if err := b.thaw(c.place, lot, c.vials, c.on); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	must(t, b.try(func(tx pgx.Tx) error { return b.s.BlockLot(b.ctx, tx, lot, "recall", b.by) }))
	if err := b.thaw(leipzig, lot, 1, b.now); !errors.Is(err, ErrLotBlocked) {
		t.Errorf("blocked: %v", err)
	}
	// A mistaken thaw is taken back like every movement.
	ms, err := Movements(b.ctx, b.pool, leipzig, 1)
	if err != nil || len(ms) != 1 || ms[0].Kind != "thaw" || !ms[0].Correctable() {
		t.Fatalf("movements = %+v, %v", ms, err)
	}
	must(t, b.try(func(tx pgx.Tx) error { return b.s.Correct(b.ctx, tx, ms[0].ID, "it was another lot", b.by) }))
	if h := b.holding(leipzig, lot); h.FrozenVials() != 3 || h.ThawedVials() != 0 {
		t.Errorf("after the correction: %+v", h)
	}
	b.reconciled()
}

// The database itself lets nobody open what was thawed too long ago.
func TestTheDatabaseRefusesOldVials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 3)
	d := day(2021, 1, 1)
	must(t, b.thaw(leipzig, lot, 2, d))
	_, err := b.s.post(b.ctx, mustBegin(t, b), movement{
		kind: "open", lotID: lot, at: b.now, actor: "a", why: "w",
		lines: []line{{leipzig, &d, -1, 5}, {conversion, &d, 1, -5}},
	})
	if !errors.Is(err, ErrThawedTooLong) {
		t.Errorf("open: %v", err)
	}
	_, err = b.s.post(b.ctx, mustBegin(t, b), movement{
		kind: "waste", lotID: lot, at: b.now, actor: "a", why: "w",
		lines: []line{{leipzig, &d, -3, 0}, {Expired.place(), &d, 3, 0}},
	})
	if !errors.Is(err, ErrNotEnough) {
		t.Errorf("three of two thawed vials: %v", err)
	}
	if _, err := b.pool.Exec(b.ctx, `UPDATE inventory.balance SET thawed = 4 WHERE lot_id = $1`, lot); !pg.Violates(err, "balance_thawed") {
		t.Errorf("more thawed than there are: %v", err)
	}
	if _, err := b.pool.Exec(b.ctx, `UPDATE inventory.portion SET vials = 1`); err != nil {
		t.Fatal(err)
	}
	diffs, err := Reconcile(b.ctx, b.pool)
	if err != nil || len(diffs) != 2 {
		t.Errorf("Reconcile = %+v, %v; want the portion and the sum of the thawed", diffs, err)
	}
}

func TestThawRacers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 5)
	var thawed, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			switch err := b.thaw(leipzig, lot, 1, day(2021, 1, 10+i%2)); {
			case err == nil:
				thawed.Add(1)
			case errors.Is(err, ErrNotEnough), pg.IsLockTimeout(err):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if h := b.holding(leipzig, lot); thawed.Load() != 5 || h.ThawedVials() != 5 || h.FrozenVials() != 0 {
		t.Errorf("thawed %d, refused %d: %+v", thawed.Load(), refused.Load(), h)
	}
	b.reconciled()
}

func TestYieldIsGainOrWaste(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 3)
	must(t, b.give(leipzig, lot))
	vial := func() OpenedVial {
		vs, err := OpenedVials(b.ctx, b.pool, leipzig, clock.Day(b.now))
		if err != nil || len(vs) == 0 {
			t.Fatalf("opened vials: %+v, %v", vs, err)
		}
		return vs[len(vs)-1]
	}
	note := func(gave int) error {
		return b.try(func(tx pgx.Tx) error { return b.s.NoteYield(b.ctx, tx, vial().ID, gave, b.by) })
	}
	accounts := func() (gain, wasted int) {
		if err := b.pool.QueryRow(b.ctx, `
			SELECT -coalesce(sum(doses) FILTER (WHERE place = 'gain'), 0), coalesce(sum(doses) FILTER (WHERE place = 'waste:open-vial'), 0) FROM inventory.entry`).
			Scan(&gain, &wasted); err != nil {
			t.Fatal(err)
		}
		return gain, wasted
	}
	if v := vial(); v.Doses != 5 || v.Extra != 0 || v.LotNumber != "AB1" {
		t.Fatalf("vial = %+v", v)
	}
	for _, c := range []struct{ gave, open, gain, wasted int }{
		{6, 5, 1, 0}, {6, 5, 1, 0}, {4, 3, 0, 1}, {7, 6, 2, 0}, {5, 4, 0, 0}, {6, 5, 1, 0},
	} {
		must(t, note(c.gave))
		gain, wasted := accounts()
		if got := b.stock(leipzig, "comirnaty", b.now).OpenDoses; got != c.open || gain != c.gain || wasted != c.wasted || vial().Gave() != c.gave {
			t.Errorf("noted %d: %d open, %d gain, %d waste, vial %+v; want %+v", c.gave, got, gain, wasted, vial(), c)
		}
	}
	for range 5 { // the sixth dose really is given
		must(t, b.give(leipzig, lot))
	}
	if got := b.stock(leipzig, "comirnaty", b.now); got.Vials != 2 || got.OpenDoses != 0 {
		t.Errorf("stock = %+v", got)
	}
	if err := note(5); !errors.Is(err, ErrNotEnough) {
		t.Errorf("five, but six were given: %v", err)
	}
	if err := note(11); !errors.Is(err, ErrInvalid) {
		t.Errorf("eleven: %v", err)
	}
	if err := b.try(func(tx pgx.Tx) error { return b.s.NoteYield(b.ctx, tx, lot, 5, b.by) }); !errors.Is(err, ErrNotFound) {
		t.Errorf("no vial: %v", err)
	}
	b.reconciled()
}

func TestTwoPeopleNoteTheSameVial(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 3)
	must(t, b.give(leipzig, lot))
	vs, err := OpenedVials(b.ctx, b.pool, leipzig, clock.Day(b.now))
	must(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.try(func(tx pgx.Tx) error { return b.s.NoteYield(b.ctx, tx, vs[0].ID, 6, b.by) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := b.stock(leipzig, "comirnaty", b.now).OpenDoses; got != 5 {
		t.Errorf("%d open doses, want 5: one gain", got)
	}
	b.reconciled()
}

func TestOpenedVialsLastSixHours(t *testing.T) {
	t.Parallel()
	b := setup(t) // 14:00
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 3)
	must(t, b.give(leipzig, lot))
	opened := b.now
	b.now = opened.Add(6 * time.Hour)
	if got := b.stock(leipzig, "comirnaty", b.now); got.OpenDoses != 4 {
		t.Errorf("after six hours: %+v", got)
	}
	b.now = b.now.Add(time.Minute)
	h := b.holding(leipzig, lot)
	if got := b.stock(leipzig, "comirnaty", b.now); got.OpenDoses != 0 || !h.OpenDue || h.OpenDoses != 4 || !h.OpenUntil.Equal(opened.Add(6*time.Hour)) {
		t.Errorf("a minute later: %+v, %+v", got, h)
	}
	lots, err := b.s.Lots(b.ctx, b.pool, leipzig, "comirnaty", b.now)
	if err != nil || len(lots) != 1 || lots[0].OpenDoses != 0 || lots[0].Vials != 2 {
		t.Errorf("lots = %+v, %v", lots, err)
	}
	must(t, b.give(leipzig, lot)) // the old rest is waste, a new vial is opened
	if h := b.holding(leipzig, lot); h.Vials != 1 || h.OpenDoses != 4 || h.OpenDue || !h.OpenedAt.Equal(b.now) {
		t.Errorf("after the next dose: %+v", h)
	}
	must(t, b.discard(leipzig, lot))
	if err := b.discard(leipzig, lot); !errors.Is(err, ErrNotEnough) {
		t.Errorf("twice: %v", err)
	}
	if h := b.holding(leipzig, lot); h.OpenDoses != 0 || h.OpenedAt != nil {
		t.Errorf("discarded: %+v", h)
	}
	b.reconciled()
}
