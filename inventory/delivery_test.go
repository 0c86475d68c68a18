package inventory

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
)

func TestDeliveryLife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	plan := func(n NewDelivery) (did string) {
		t.Helper()
		b.tx(func(tx pgx.Tx) (err error) { did, err = b.s.PlanDelivery(b.ctx, tx, n, b.by); return err })
		return did
	}
	direct := plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 18), Vials: 20})
	shared := plan(NewDelivery{ProductID: "comirnaty", Place: Central, Day: day(2021, 1, 19), Vials: 13*195 + 5, EqualShares: true})
	plan(NewDelivery{ProductID: "comirnaty", Place: Central, Day: day(2021, 1, 20), Vials: 1000})
	gone := plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 21), Vials: 7})

	if n := b.events()[leipzig]; n != 3 {
		t.Errorf("%d events for leipzig, want 3", n)
	}
	b.tx(func(tx pgx.Tx) error { return b.s.CancelDelivery(b.ctx, tx, gone, b.by) })
	got, err := b.s.Planned(b.ctx, b.pool, leipzig, "comirnaty", b.now)
	if err != nil || len(got) != 2 || got[0].Vials != 20 || got[1].Vials != 195 || got[1].ID != shared {
		t.Errorf("planned for leipzig: %+v, %v", got, err)
	}
	if got, err := b.s.Planned(b.ctx, b.pool, leipzig, "comirnaty", day(2021, 1, 19)); err != nil || len(got) != 1 {
		t.Errorf("planned from the 19th: %+v, %v", got, err)
	}
	receive := func(did string, lots ...ReceivedLot) error {
		return b.try(func(tx pgx.Tx) error { return b.s.ReceiveDelivery(b.ctx, tx, did, lots, b.by) })
	}
	ok := ReceivedLot{Number: " ex1 ", Expiry: day(2021, 5, 1), Vials: 18}
	for name, c := range map[string]struct {
		did  string
		lot  ReceivedLot
		want error
	}{
		"cancelled":      {gone, ok, ErrState},
		"unknown":        {id.New(), ok, ErrNotFound},
		"expired":        {direct, ReceivedLot{"EX1", day(2021, 1, 10), 18}, ErrLotExpired},
		"no number":      {direct, ReceivedLot{" ", day(2021, 5, 1), 18}, ErrInvalid},
		"no vials":       {direct, ReceivedLot{"EX1", day(2021, 5, 1), 0}, ErrInvalid},
		"negative vials": {direct, ReceivedLot{"EX1", day(2021, 5, 1), -1}, ErrInvalid},
	} {
		if err := receive(c.did, c.lot); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := receive(direct, ok, ReceivedLot{"EX2", day(2021, 6, 1), 1}); err != nil { // one vial less than planned
		t.Fatal(err)
	}
	if err := receive(direct, ok); !errors.Is(err, ErrState) {
		t.Errorf("received twice: %v", err)
	}
	lots, err := b.s.Lots(b.ctx, b.pool, leipzig, "comirnaty", b.now)
	if err != nil || len(lots) != 2 || lots[0].Number != "EX1" || lots[0].Vials != 18 {
		t.Errorf("lots: %+v, %v", lots, err)
	}
	if err := receive(shared, ReceivedLot{"EX1", day(2021, 5, 2), 10}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a known lot with another expiry: %v", err)
	}
	if err := receive(shared, ReceivedLot{"EX3", day(2021, 7, 1), 13*195 + 5}); err != nil {
		t.Fatal(err)
	}
	if l, c := b.stock(leipzig, "comirnaty", b.now).Vials, b.stock(Central, "comirnaty", b.now).Vials; l != 19+195 || c != 5 {
		t.Errorf("after equal shares: leipzig %d, central %d", l, c)
	}
	b.reconciled()
}

func TestAssumedLotIsCorrected(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.importText("2021-01-08,Moderna,100"); err != nil {
		t.Fatal(err)
	}
	lots, err := b.s.Lots(b.ctx, b.pool, Central, "spikevax", b.now)
	if err != nil || len(lots) != 1 || !lots[0].Assumed || lots[0].Number != "IMPORT-2021-01-08" {
		t.Fatalf("lots: %+v, %v", lots, err)
	}
	b.tx(func(tx pgx.Tx) error {
		return b.s.SetLotExpiry(b.ctx, tx, lots[0].ID, "300042460", day(2021, 1, 31), b.by)
	})
	if got := b.stock(Central, "spikevax", day(2021, 2, 1)).Doses; got != 0 {
		t.Errorf("doses after the printed expiry: %d", got)
	}
	if err := b.try(func(tx pgx.Tx) error {
		return b.s.SetLotExpiry(b.ctx, tx, lots[0].ID, "OTHER", day(2021, 1, 31), b.by)
	}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a printed number was changed: %v", err)
	}
}

func TestSeedDemoGivesEveryCentreVaccine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 { // the second time does nothing
		b.tx(func(tx pgx.Tx) error { return b.s.SeedDemo(b.ctx, tx, b.now) })
	}
	centres, err := centre.List(b.ctx, b.pool)
	if err != nil || len(centres) != 13 {
		t.Fatalf("%d centres, %v", len(centres), err)
	}
	for _, c := range centres {
		if st := b.stock(CentrePlace(c.ID), "comirnaty", b.now); st.Vials != 585 || st.DosesPerVial != 5 {
			t.Errorf("%s: %+v", c.ID, st)
		}
		if st := b.stock(CentrePlace(c.ID), "influvac", b.now); st.Doses != 200 {
			t.Errorf("%s: %+v", c.ID, st)
		}
		if p, err := b.s.Planned(b.ctx, b.pool, CentrePlace(c.ID), "comirnaty", b.now); err != nil || len(p) != 2 {
			t.Errorf("%s: planned %+v, %v", c.ID, p, err)
		}
	}
	if n := b.stock(Central, "comirnaty", b.now).Vials; n != 0 {
		t.Errorf("central store: %d", n)
	}
	b.reconciled()
}

// TestDivide: everybody gets the same, no vial is lost or invented, no lot is
// overdrawn, and less than one vial per place stays.
func TestDivide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lots := rapid.SliceOfN(rapid.IntRange(0, 7000), 0, 8).Draw(rt, "lots")
		n := rapid.IntRange(1, 20).Draw(rt, "places")
		total := 0
		for _, v := range lots {
			total += v
		}
		parts := divide(lots, n)
		used := make([]int, len(lots))
		for _, p := range parts {
			sum := 0
			for i, v := range p {
				if v < 0 || v > lots[i]/n+n+lots[i] {
					rt.Fatalf("part %v of %v", p, lots)
				}
				used[i] += v
				sum += v
			}
			if sum != total/n {
				rt.Fatalf("share %d, want %d", sum, total/n)
			}
		}
		for i := range used {
			if used[i] > lots[i] {
				rt.Fatalf("lot %d: %d of %d given out", i, used[i], lots[i])
			}
		}
	})
}

// TestLedgerModel runs random movements against a plain model.
func TestLedgerModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	places := []Place{Central, CentrePlace("leipzig"), CentrePlace("dresden"), TeamPlace("t1")}
	for round := range uint64(12) { // each step is a transaction: rapid's hundred rounds would take long
		rnd := rand.New(rand.NewPCG(1, round)) //nolint:gosec // repeatable, no secret
		lot := b.receive(Central, "comirnaty", id.New(), day(2021, 5, 31), 10)
		type held struct{ vials, doses int }
		model := map[Place]held{Central: {10, 0}}
		for step := range 15 {
			from, to := places[rnd.IntN(4)], places[rnd.IntN(4)]
			v, d := rnd.IntN(5), rnd.IntN(4)
			h := model[from]
			var err error
			fits := true
			switch []string{"transfer", "give", "waste"}[rnd.IntN(3)] {
			case "transfer":
				fits = v+d > 0 && from != to && v <= h.vials && (d == 0 || (d == h.doses && model[to].doses == 0)) // a vial goes whole
				err = b.try(func(tx pgx.Tx) error {
					return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: v, Doses: d, Actor: "a", Why: "w", At: b.now})
				})
				if fits {
					model[from] = held{h.vials - v, h.doses - d}
					model[to] = held{model[to].vials + v, model[to].doses + d}
				}
			case "give":
				fits = from != Central && h.vials+h.doses > 0
				err = b.give(from, lot)
				if fits {
					if h.doses == 0 {
						h = held{h.vials - 1, 5}
					}
					model[from] = held{h.vials, h.doses - 1}
				}
			case "waste":
				fits = v+d > 0 && v <= h.vials && d <= h.doses
				err = b.try(func(tx pgx.Tx) error {
					return b.s.Waste(b.ctx, tx, Waste{Place: from, LotID: lot, Vials: v, Doses: d, Reason: ColdChain, Actor: "a", At: b.now})
				})
				if fits {
					model[from] = held{h.vials - v, h.doses - d}
				}
			}
			if (err == nil) != fits {
				t.Fatalf("round %d, step %d: from %s %+v: %v, fits %v", round, step, from, h, err, fits)
			}
		}
		for _, p := range places {
			got := held{}
			hs, err := b.s.Holdings(b.ctx, b.pool, p, "comirnaty", clock.Day(b.now))
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hs {
				if h.LotID == lot {
					got = held{h.Vials, h.OpenDoses}
				}
			}
			if got != model[p] {
				t.Fatalf("%s holds %+v, want %+v", p, got, model[p])
			}
		}
	}
	b.reconciled()
}
