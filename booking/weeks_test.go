package booking

import (
	"testing"

	"impfportal/internal/clock"
)

// What the picture of the weeks shows is what is booked and offered.
func TestWeekDemandIsWhatIsBookedAndOffered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webOnly(leipzig)
	b.stock(leipzig, comirnaty, 20) // 100 doses
	b.replan(leipzig, comirnaty)
	count := func() (first, later, free int) {
		t.Helper()
		d, err := b.s.WeekDemand(b.ctx, b.pool, day(2021, 1, 11), 10)
		b.ok(err)
		for _, w := range d.Weeks {
			if w.CentreID != leipzig || w.ProductID != comirnaty || w.Week < 0 || w.Week > 9 {
				t.Errorf("%+v", w)
			}
			first, later, free = first+w.First, later+w.Later, free+w.Free
		}
		return first, later, free
	}
	if first, later, free := count(); first != 0 || later != 0 || free != 100 {
		t.Errorf("%d first, %d later, %d free; want 0, 0, 100", first, later, free)
	}
	p := b.person()
	choice := b.choices(leipzig, pair(comirnaty))[0]
	s, err := b.take(p.ID, "k1", pair(comirnaty), choice.SlotIDs()...)
	b.ok(err)
	if first, later, free := count(); first != 1 || later != 1 || free != 98 {
		t.Errorf("after a hold: %d first, %d later, %d free; want 1, 1, 98", first, later, free)
	}
	needs, _, err := b.s.DayNeeds(b.ctx, b.pool, comirnaty)
	b.ok(err)
	if len(needs) != 2 || needs[0].CentreID != leipzig || needs[0].Doses != 1 || !needs[0].Day.Equal(clock.Day(s.Appointments[0].Start)) || !needs[1].Day.Equal(clock.Day(s.Appointments[1].Start)) {
		t.Errorf("by day: %+v of %+v", needs, s.Appointments)
	}
	if other, _, err := b.s.DayNeeds(b.ctx, b.pool, "janssen"); err != nil || len(other) != 0 {
		t.Errorf("of another product: %+v, %v", other, err)
	}
	b.s.Inventory.Demand = b.s.WeekDemand
	all, err := b.s.Inventory.Outlooks(b.ctx, b.pool, b.now(), 10)
	b.ok(err)
	if len(all) != 1 || all[0].Sum().Stock != 100 || all[0].Sum().Left != 0 || all[0].Sum().Short != 0 {
		t.Errorf("outlook: %+v", all)
	}
	b.at(clock.At(day(2021, 1, 20), 23, 0)) // what has passed is demanded no more
	d, err := b.s.WeekDemand(b.ctx, b.pool, day(2021, 1, 18), 10)
	b.ok(err)
	for _, w := range d.Weeks {
		if w.First > 0 && w.Week == 0 && s.Appointments[0].Start.Before(b.now()) {
			t.Errorf("passed: %+v", w)
		}
	}
}
