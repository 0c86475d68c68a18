package inventory

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func (b *bundle) correct(movementID string) error {
	return b.try(func(tx pgx.Tx) error { return b.s.Correct(b.ctx, tx, movementID, "mistake", b.by) })
}

func (b *bundle) receiveInto(did string, lots ...ReceivedLot) error {
	return b.try(func(tx pgx.Tx) error { return b.s.ReceiveDelivery(b.ctx, tx, did, lots, b.by) })
}

// TestACorrectionSendsNoBlockedLot: what came back because it was recalled does not
// return to the centre by a counter-movement.
func TestACorrectionSendsNoBlockedLot(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	give()
	given := b.last(leipzig)
	move := func(from, to Place) Movement {
		b.tx(func(tx pgx.Tx) error {
			return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: 2, Actor: "x", Why: "x", At: b.now})
		})
		return b.last(leipzig)
	}
	move(leipzig, Central)
	out := move(Central, leipzig)
	b.tx(func(tx pgx.Tx) error { return b.s.BlockLot(b.ctx, tx, lot, "recall", b.by) })
	back := move(leipzig, Central)
	if err := b.correct(back.ID); !errors.Is(err, ErrLotBlocked) {
		t.Errorf("sent to the centre again: %v", err)
	}
	must(t, b.correct(out.ID)) // from the centre to the central store
	must(t, b.correct(given.ID))
	b.tx(func(tx pgx.Tx) error { return b.s.ReleaseLot(b.ctx, tx, lot, "mistake", b.by) })
	must(t, b.correct(back.ID))
	b.reconciled()
}

// TestRemaindersAreNotPooled: what is left of an opened vial goes whole, while it may
// be given, and to where no other is open.
func TestRemaindersAreNotPooled(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	dresden, pirna := CentrePlace("dresden"), CentrePlace("pirna")
	move := func(from, to Place, vials, doses int) error {
		return b.try(func(tx pgx.Tx) error {
			return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: vials, Doses: doses, Actor: "x", Why: "x", At: b.now})
		})
	}
	give()
	must(t, move(leipzig, dresden, 2, 0))
	must(t, b.give(dresden, lot))
	for what, err := range map[string]error{
		"to another open vial": move(leipzig, dresden, 0, 4), "a part": move(leipzig, pirna, 0, 3), "a part, with closed ones": move(leipzig, pirna, 1, 1),
	} {
		if !errors.Is(err, ErrPooled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, move(leipzig, pirna, 1, 4))
	sent := b.last(leipzig)
	if h := b.holding(pirna, lot); h.OpenDoses != 4 || h.Vials != 1 || !h.OpenedAt.Equal(b.now) {
		t.Errorf("Pirna: %+v", h)
	}
	give() // the next vial in Leipzig
	if err := b.correct(sent.ID); !errors.Is(err, ErrPooled) {
		t.Errorf("taken back to where the next is open: %v", err)
	}
	must(t, b.discard(leipzig, lot))
	must(t, b.correct(sent.ID))
	b.now = b.now.Add(7 * time.Hour)
	if err := move(leipzig, pirna, 0, 4); !errors.Is(err, ErrOpenedTooLong) || !errors.Is(err, ErrLotExpired) {
		t.Errorf("opened too long ago: %v", err)
	}
	must(t, move(leipzig, Central, 0, 4))
	b.reconciled()
}

// TestARestDoesNotComeBackToTheNextVial: it was thrown away by mistake, and meanwhile
// the next vial is open.
func TestARestDoesNotComeBackToTheNextVial(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	give()
	must(t, b.discard(leipzig, lot))
	thrown := b.last(leipzig)
	must(t, b.correct(thrown.ID)) // nothing is open: it comes back
	if h := b.holding(leipzig, lot); h.OpenDoses != 4 {
		t.Errorf("%+v", h)
	}
	must(t, b.discard(leipzig, lot))
	thrown = b.last(leipzig)
	b.now = b.now.Add(5 * time.Hour)
	give()
	before := b.holding(leipzig, lot)
	if err := b.correct(thrown.ID); !errors.Is(err, ErrPooled) {
		t.Errorf("back to the next vial: %v", err)
	}
	if h := b.holding(leipzig, lot); h.OpenDoses != before.OpenDoses {
		t.Errorf("%d open doses, %d before", h.OpenDoses, before.OpenDoses)
	}
	// A part of the vial that is open comes back to it.
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.Waste(b.ctx, tx, Waste{Place: leipzig, LotID: lot, Doses: 2, Reason: OpenVial, Actor: "x", Why: "x", At: b.now})
	}))
	must(t, b.correct(b.last(leipzig).ID))
	b.reconciled()
}

// TestACorrectedReceiptIsToComeAgain: the delivery says what is left of it.
func TestACorrectedReceiptIsToComeAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	e := day(2021, 5, 31)
	state := func(did, want string, vials, ordered, rest int) {
		t.Helper()
		if d := b.delivery(did); d.State != want || d.Vials != vials || d.Ordered != ordered || d.Rest != rest || (d.ReceivedAt == nil) != (want == StatePlanned) {
			t.Errorf("delivery: %+v; want %s with %d of %d, %d missing", d, want, vials, ordered, rest)
		}
	}
	// A figure with a zero too many.
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: b.now, Vials: 100})
	must(t, b.receiveInto(did, ReceivedLot{"EX1", e, 1000}))
	b.events()
	must(t, b.correct(b.last(leipzig).ID))
	if b.events()[leipzig] == 0 {
		t.Error("Leipzig was not told")
	}
	state(did, StatePlanned, 100, 100, 0)
	if p, err := b.s.Planned(b.ctx, b.pool, leipzig, "comirnaty", b.now); err != nil || len(p) != 1 || p[0].Vials != 100 {
		t.Errorf("planned again: %+v, %v", p, err)
	}
	must(t, b.receiveInto(did, ReceivedLot{"EX1", e, 60}, ReceivedLot{"EX2", e, 40}))
	state(did, StateReceived, 100, 100, 0)
	// One of two lots.
	must(t, b.correct(b.last(leipzig).ID))
	state(did, StateShort, 60, 100, 40)
	// What is missing was planned anew in part: that does not come a second time.
	b.tx(func(tx pgx.Tx) error {
		return b.s.SettleRest(b.ctx, tx, did, Settlement{Vials: 30, Day: day(2021, 1, 20)}, b.by)
	})
	ms, err := Movements(b.ctx, b.pool, leipzig, 10)
	must(t, err)
	for _, m := range ms {
		if m.Kind == "receive" && !m.Corrected {
			must(t, b.correct(m.ID))
		}
	}
	state(did, StatePlanned, 70, 70, 0)
	if n := b.stock(leipzig, "comirnaty", b.now).Vials; n != 0 {
		t.Errorf("%d vials, want none", n)
	}
	b.reconciled()
}
