package inventory

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestVialsMayBeOnTheWayForTwelveHours: after that what is closed in a team's box is
// neither opened nor brought back to a centre; what is open has its own hours.
func TestVialsMayBeOnTheWayForTwelveHours(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, _ := openingSetup(t) // 14:00
	team, other := TeamPlace("t1"), TeamPlace("t2")
	move := func(from, to Place, vials int) error {
		return b.try(func(tx pgx.Tx) error {
			return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: vials, Actor: "x", Why: "x", At: b.now})
		})
	}
	loaded := b.now
	must(t, move(leipzig, team, 4))
	b.now = loaded.Add(8 * time.Hour)
	must(t, move(leipzig, team, 1)) // the oldest of the box counts
	must(t, move(team, other, 2))   // and goes on in the next box
	must(t, b.give(team, lot))
	sent := b.last(team)
	b.now = loaded.Add(12 * time.Hour)
	if h := b.holding(team, lot); h.CarryDue || h.Doses != 2*5+4 || !h.Carried.Equal(b.now) {
		t.Errorf("after twelve hours: %+v", h)
	}
	must(t, move(team, leipzig, 1))
	b.now = b.now.Add(time.Minute)
	for _, p := range []Place{team, other} {
		if h := b.holding(p, lot); !h.CarryDue || h.Doses != h.OpenDoses || b.stock(p, "comirnaty", b.now).Vials != 0 {
			t.Errorf("a minute later in %s: %+v", p, h)
		}
		if err := move(p, leipzig, 1); !errors.Is(err, ErrCarriedTooLong) || !errors.Is(err, ErrLotExpired) {
			t.Errorf("back to the centre from %s: %v", p, err)
		}
	}
	lots, err := b.s.Lots(b.ctx, b.pool, team, "comirnaty", b.now)
	if err != nil || len(lots) != 1 || lots[0].Vials != 0 || lots[0].OpenDoses != 4 {
		t.Errorf("to choose from: %+v, %v", lots, err)
	}
	for range 4 {
		must(t, b.give(team, lot))
	}
	if err := b.give(team, lot); !errors.Is(err, ErrCarriedTooLong) {
		t.Errorf("another vial: %v", err)
	}
	// Thrown away by mistake and taken back they are as old as before.
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.Waste(b.ctx, tx, Waste{Place: other, LotID: lot, Vials: 2, Reason: ColdChain, Actor: "x", At: b.now})
	}))
	must(t, b.correct(b.last(other).ID))
	b.now = b.now.Add(12 * time.Hour)
	if h := b.holding(other, lot); h.Vials != 2 || !h.CarryDue {
		t.Errorf("taken back: %+v", h)
	}
	must(t, move(other, Central, 2))
	// A delivery of the lot is received all the same, and shared out among the others.
	must(t, b.setPlan(AllocationPlan{ProductID: "comirnaty", Method: ByShares, Automatic: true, Shares: []Share{{team, 1}, {CentrePlace("pirna"), 1}}}))
	b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 6)
	if n := b.stock(CentrePlace("pirna"), "comirnaty", b.now).Vials; n != 6 {
		t.Errorf("Pirna got %d of six", n)
	}
	// What is too old is taken out before more of the lot comes into the box.
	if err := move(leipzig, team, 1); !errors.Is(err, ErrCarriedTooLong) {
		t.Errorf("loaded to what is too old: %v", err)
	}
	// An empty box begins anew; a rule without an amount ends the limit.
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.Waste(b.ctx, tx, Waste{Place: team, LotID: lot, Vials: 1, Reason: ColdChain, Actor: "x", At: b.now})
	}))
	must(t, move(leipzig, team, 1))
	if h := b.holding(team, lot); h.CarryDue || h.Doses != 5 {
		t.Errorf("loaded anew: %+v", h)
	}
	b.tx(func(tx pgx.Tx) error {
		return b.s.SetShelfLife(b.ctx, tx, ShelfRule{ProductID: "comirnaty", Kind: AfterLoad, ValidFrom: day(2021, 1, 1)}, b.by)
	})
	b.now = b.now.AddDate(0, 0, 3)
	if h := b.holding(team, lot); h.Carried != nil || h.CarryDue || h.Doses != 5 {
		t.Errorf("without a limit: %+v", h)
	}
	if sent.Kind != "give" {
		t.Errorf("the last movement of the box was a %s", sent.Kind)
	}
	b.reconciled()
}
