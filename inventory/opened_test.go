package inventory

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
)

func openingSetup(t *testing.T) (b *bundle, leipzig Place, lot string, give func()) {
	t.Helper()
	b, leipzig = setup(t), CentrePlace("leipzig")
	lot = b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	return b, leipzig, lot, func() { must(t, b.give(leipzig, lot)) }
}

// TestASixthDoseOfYesterdayLeavesTodaysVialAlone: what is noted about an older
// vial makes the open doses of the newest no older.
func TestASixthDoseOfYesterdayLeavesTodaysVialAlone(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	for range 5 {
		give()
	}
	b.now = clock.At(day(2021, 1, 12), 9, 0)
	give()
	vials, err := OpenedVials(b.ctx, b.pool, leipzig, b.now.AddDate(0, 0, -3))
	must(t, err)
	b.tx(func(tx pgx.Tx) error { return b.s.NoteYield(b.ctx, tx, vials[1].ID, 6, b.by) })
	if h := b.holding(leipzig, lot); h.OpenDoses != 5 || h.OpenDue {
		t.Errorf("%d open, due %v: a sixth dose of yesterday and four of today's vial", h.OpenDoses, h.OpenDue)
	}
}

// TestACorrectionRenewsNoHours: doses that come back are as old as their vial.
func TestACorrectionRenewsNoHours(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	give()
	opened := b.now
	b.now = b.now.Add(5*time.Hour + 55*time.Minute)
	must(t, b.discard(leipzig, lot))
	list, err := Movements(b.ctx, b.pool, leipzig, 1)
	must(t, err)
	b.tx(func(tx pgx.Tx) error { return b.s.Correct(b.ctx, tx, list[0].ID, "mistake", b.by) })
	if h := b.holding(leipzig, lot); h.OpenDoses != 4 || h.OpenDue || !h.OpenUntil.Equal(opened.Add(6*time.Hour)) {
		t.Errorf("%d open, due %v, until %v, opened %v", h.OpenDoses, h.OpenDue, h.OpenUntil, opened)
	}
	b.now = opened.Add(6*time.Hour + time.Minute)
	if h := b.holding(leipzig, lot); !h.OpenDue {
		t.Error("good for longer than six hours")
	}
	// Nor does the plan count them.
	supply, err := b.s.Supply(b.ctx, b.pool, leipzig, "comirnaty", clock.Day(b.now), 2)
	must(t, err)
	for _, s := range supply {
		if s.Doses == 4 {
			t.Errorf("the plan counts what is too old: %+v", supply)
		}
	}
}
