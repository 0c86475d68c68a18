package inventory

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// vials are those that were opened at a place, the newest first.
func (b *bundle) vials(place Place) []OpenedVial {
	b.t.Helper()
	vs, err := OpenedVials(b.ctx, b.pool, place, b.now.AddDate(0, 0, -3))
	must(b.t, err)
	return vs
}

func (b *bundle) note(vialID string, gave int) error {
	return b.try(func(tx pgx.Tx) error { return b.s.NoteYield(b.ctx, tx, vialID, gave, b.by) })
}

func (b *bundle) discard(place Place, lotID string) error {
	h := b.holding(place, lotID)
	return b.try(func(tx pgx.Tx) error {
		return b.s.Discard(b.ctx, tx, place, lotID, OpenRest{h.OpenDoses, h.OpenedAt}, "left over", b.by)
	})
}

// last is the newest movement of a place.
func (b *bundle) last(place Place) Movement {
	b.t.Helper()
	ms, err := Movements(b.ctx, b.pool, place, 1)
	if err != nil || len(ms) != 1 {
		b.t.Fatalf("movements: %+v, %v", ms, err)
	}
	return ms[0]
}

// TestLessAfterTheRestWasThrownAway: a vial gave four of five, its rest was thrown
// away, and only then somebody notes it. The next vial loses nothing by that.
func TestLessAfterTheRestWasThrownAway(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	for range 4 {
		give()
	}
	must(t, b.discard(leipzig, lot))
	thrown := b.last(leipzig)
	b.now = b.now.Add(time.Minute)
	give()
	b.now = b.now.Add(time.Minute)
	first := b.vials(leipzig)[1].ID
	open := func(want int, what string) {
		t.Helper()
		if h := b.holding(leipzig, lot); h.OpenDoses != want {
			t.Errorf("%s: %d open, want %d", what, h.OpenDoses, want)
		}
	}
	gave := func(want int) {
		t.Helper()
		if v := b.vials(leipzig)[1]; v.Gave() != want {
			t.Errorf("noted %d, want %d", v.Gave(), want)
		}
	}
	for _, c := range []struct{ gave, open int }{
		{4, 4}, {4, 4}, // the one that was thrown away
		{3, 3}, // one more is missing: it was taken from what is open
		{4, 4}, {5, 4}, {6, 5}, {4, 4},
	} {
		must(t, b.note(first, c.gave))
		open(c.open, "noted")
		gave(c.gave)
	}
	// What was thrown away does not come back into the vial that is open now.
	if err := b.correct(thrown.ID); !errors.Is(err, ErrPooled) {
		t.Errorf("taken back: %v", err)
	}
	open(4, "not taken back")
	must(t, b.note(first, 3))
	// A note is taken back like every movement.
	b.tx(func(tx pgx.Tx) error { return b.s.Correct(b.ctx, tx, b.last(leipzig).ID, "another vial", b.by) })
	gave(5)
	b.reconciled()
}

// TestLessOfAVialThatStayedOpenTooLong: the rest that the next dose threw away counts
// as thrown away, what is thrown away of the next vial does not.
func TestLessOfAVialThatStayedOpenTooLong(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, give := openingSetup(t)
	for range 3 {
		give()
	}
	b.now = b.now.Add(7 * time.Hour)
	give()
	must(t, b.discard(leipzig, lot))
	b.now = b.now.Add(time.Minute)
	give()
	vs := b.vials(leipzig)
	must(t, b.note(vs[2].ID, 3)) // two were thrown away
	if h := b.holding(leipzig, lot); h.OpenDoses != 4 {
		t.Errorf("%d open, want 4", h.OpenDoses)
	}
	must(t, b.note(vs[1].ID, 2)) // three of the four that were thrown away
	if h := b.holding(leipzig, lot); h.OpenDoses != 4 {
		t.Errorf("%d open, want 4", h.OpenDoses)
	}
	for range 4 {
		give()
	}
	if err := b.note(vs[0].ID, 4); !errors.Is(err, ErrNotEnough) {
		t.Errorf("five were given: %v", err)
	}
	b.reconciled()
}
