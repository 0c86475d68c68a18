package booking

import "testing"

// Before the first plan nothing is free, but nothing is sold out either.
func TestBeforeTheFirstPlanNothingIsSoldOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	if !a.Unplanned() {
		t.Error("without a plan everything is sold out")
	}
	b, _ = small(t)
	_, err = b.pool.Exec(b.ctx, `UPDATE booking.place SET places = taken`)
	b.ok(err)
	a, err = b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	if a.Unplanned() {
		t.Error("what is sold out counts as not planned")
	}
}
