package booking

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
)

const janssen = "janssen"

var admin = By{"staff:test", "admin"}

// single is what anybody may have of a product of one dose.
func single(productID string) []Entitlement {
	return []Entitlement{{ProductID: productID, Legs: 1, FirstDose: 1}}
}

// wide is a centre with so much vaccine of one dose that the stations are what
// bounds a day.
func wide(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	b.exec(`UPDATE centre.centre SET stations = 1 WHERE id = $1`, leipzig)
	b.stock(leipzig, janssen, 5000)
	b.replan(leipzig, janssen)
	return b
}

// dayPlaces are a day's first places and what of them is taken, by channel.
type dayPlaces map[Channel][2]int

func (b *bundle) places(day time.Time) dayPlaces {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, `SELECT channel, sum(places)::int, sum(taken)::int FROM booking.place WHERE first_day = $1 AND leg = 1 GROUP BY 1`, day)
	b.ok(err)
	out := dayPlaces{}
	defer rows.Close()
	for rows.Next() {
		var ch Channel
		var n [2]int
		b.ok(rows.Scan(&ch, &n[0], &n[1]))
		out[ch] = n
	}
	return out
}

func (p dayPlaces) total() (n int) {
	for _, x := range p {
		n += x[0]
	}
	return n
}

// sell takes n single places of a day over a channel.
func (b *bundle) sell(ch Channel, day time.Time, n int) {
	b.t.Helper()
	for range n {
		days, err := b.s.offers(b.ctx, b.pool, leipzig, ch, day, day, single(janssen))
		b.ok(err)
		if len(days) == 0 {
			b.t.Fatalf("nothing free over %s on %s: %v", ch, day.Format(time.DateOnly), b.places(day))
		}
		person := id.New()
		_, err = b.s.take(b.ctx, takeRequest{
			ProgrammeID: "covid-19", Entitlements: single(janssen),
			HoldRequest: HoldRequest{PersonID: person, Channel: ch, SlotIDs: []int64{days[0].First[0].SlotID}, Key: "k", Actor: "citizen:" + person, Role: "citizen"},
		})
		b.ok(err)
	}
}

// worker does what the worker does every two seconds.
func (b *bundle) worker() {
	b.t.Helper()
	b.ok(b.s.PassMoments(b.ctx))
	b.ok(b.s.ReplanWanted(b.ctx))
}

func TestPlacesPercentAndReserve(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 2, 1)
	total := b.places(on).total()
	if total < 40 {
		t.Fatalf("%d places a day", total)
	}
	b.ok(b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: on, Quotas: Quotas{Web: {Percent: 80}, Mobile: {Places: 7}, Reserve: {Percent: 20}, Hotline: {Places: 10}}}}, admin))
	b.worker()
	rest := total - 17
	got := b.places(on)
	if got[Hotline][0] != 10 || got[Mobile][0] != 7 || got[Web][0]+got[Reserve][0] != rest || got[Reserve][0] < rest/5 || got[Reserve][0] > rest/5+1 {
		t.Errorf("%v of %d", got, total)
	}
	if next := b.places(on.AddDate(0, 0, 1)); next[Reserve][0] != 0 || next.total() != total {
		t.Errorf("the day after: %v", next)
	}
	if _, err := b.s.offers(b.ctx, b.pool, leipzig, Reserve, on, on, single(janssen)); !errors.Is(err, ErrNotEligible) {
		t.Errorf("somebody books the reserve: %v", err)
	}
}

func TestFixedPlacesAreSharedByTheProducts(t *testing.T) {
	t.Parallel()
	b := wide(t)
	b.exec(`UPDATE centre.centre SET stations = 4 WHERE id = $1`, leipzig)
	b.stock(leipzig, "vaxzevria", 5000)
	b.ok(b.s.SetLane(b.ctx, Lane{leipzig, janssen, b.now(), 3}, admin))
	b.ok(b.s.SetLane(b.ctx, Lane{leipzig, "vaxzevria", b.now(), 1}, admin))
	b.ok(b.s.SetQuotas(b.ctx, leipzig, Quotas{Web: {Percent: 100}, Hotline: {Places: 21}}, admin))
	b.ok(b.s.ReplanCentre(b.ctx, leipzig))
	rows := map[string]int{}
	for _, p := range []string{janssen, "vaxzevria"} {
		rows[p] = b.count(`SELECT coalesce(sum(p.places), 0)::int FROM booking.place p JOIN booking.slot s ON s.id = p.slot_id
			WHERE p.first_day = $1 AND leg = 1 AND channel = 'hotline' AND product_id = $2`, day(2021, 2, 1), p)
	}
	if rows[janssen] != 16 || rows["vaxzevria"] != 5 {
		t.Errorf("%v", rows)
	}
}

func TestAChangeBelowWhatIsTakenIsRefused(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 2, 1)
	b.sell(Hotline, on, 12)
	refused := func(err error, places int) {
		t.Helper()
		var below *BelowTakenError
		if !errors.As(err, &below) {
			t.Fatalf("not refused: %v", err)
		}
		c := below.Conflicts[0]
		if len(below.Conflicts) != 1 || c.CentreID != leipzig || c.Centre == "" || !c.Day.Equal(on) || c.Channel != Hotline || c.Taken != 12 || c.Places != places {
			t.Errorf("%+v", below.Conflicts)
		}
	}
	refused(b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: on, Quotas: Quotas{Web: {Percent: 100}, Hotline: {Places: 11}}}}, admin), 11)
	refused(b.s.SetQuotas(b.ctx, leipzig, Quotas{Web: {Percent: 100}}, admin), 0)
	refused(b.s.SetQuotas(b.ctx, "", Quotas{Web: {Percent: 100}}, admin), 0)
	if n := b.count(`SELECT count(*) FROM booking.share`); n != 0 {
		t.Errorf("%d shares written by a refused change", n)
	}
	// What is taken may be all there is; other days may have less.
	b.ok(b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: on, Quotas: Quotas{Web: {Percent: 100}, Hotline: {Places: 12}}}}, admin))
	b.ok(b.s.SetQuotas(b.ctx, leipzig, Quotas{Web: {Percent: 100}}, admin))
	b.worker()
	if got := b.places(on)[Hotline]; got != [2]int{12, 12} {
		t.Errorf("hotline %v", got)
	}
	b.sound()
}

func TestChangesAreAuditedAndUndone(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 2, 1)
	audits := func(action string) int {
		return b.count(`SELECT count(*) FROM audit.entry WHERE action = $1 AND before IS NOT NULL AND after IS NOT NULL`, action)
	}
	b.ok(b.s.SetQuotas(b.ctx, leipzig, Quotas{Web: {Percent: 60}, Hotline: {Percent: 40}}, admin))
	b.ok(b.s.SetDays(b.ctx, leipzig, []DayQuota{{Day: on, Quotas: Quotas{Web: {Percent: 50}, Hotline: {Percent: 50}}}}, admin))
	b.worker()
	total := b.places(on).total()
	b.sell(Hotline, on, total*2/5+2)
	var below *BelowTakenError
	if err := b.s.Undo(b.ctx, leipzig, admin); !errors.As(err, &below) {
		t.Fatalf("undone although more is taken: %v", err)
	}
	b.exec(`DELETE FROM booking.series`)
	b.exec(`UPDATE booking.place SET taken = 0`)
	b.ok(b.s.Undo(b.ctx, leipzig, admin))
	b.worker()
	if n := b.count(`SELECT count(*) FROM booking.share_day`); n != 0 {
		t.Errorf("%d exceptions", n)
	}
	b.ok(b.s.Undo(b.ctx, leipzig, admin))
	if n := b.count(`SELECT count(*) FROM booking.share`); n != 0 {
		t.Errorf("%d shares, the centre had the default", n)
	}
	if err := b.s.Undo(b.ctx, leipzig, admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("a third time: %v", err)
	}
	if audits("booking.shares") != 1 || audits("booking.shares-day") != 1 || audits("booking.quota-undo") != 2 {
		t.Errorf("audit: %d, %d, %d", audits("booking.shares"), audits("booking.shares-day"), audits("booking.quota-undo"))
	}
	b.ok(b.s.SetQuotas(b.ctx, "", Quotas{Web: {Percent: 90}, Reserve: {Percent: 10}}, admin))
	b.worker()
	if got := b.places(on); got[Reserve][0] == 0 || got.total() != total {
		t.Errorf("with the new default: %v", got)
	}
	b.ok(b.s.Undo(b.ctx, "", admin))
}

// TestReleaseTakesEffectAtTheMinute: also on the days on which the clocks change.
func TestReleaseTakesEffectAtTheMinute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		on     time.Time
		before int
		minute int
		at     time.Time
	}{
		{day(2021, 2, 3), 2, 18*60 + 30, time.Date(2021, 2, 1, 17, 30, 0, 0, time.UTC)},
		{day(2021, 3, 30), 2, 1 * 60, time.Date(2021, 3, 28, 0, 0, 0, 0, time.UTC)},
		{day(2021, 3, 30), 2, 2*60 + 30, time.Date(2021, 3, 28, 1, 30, 0, 0, time.UTC)}, // skipped: 03:30
		{day(2021, 3, 30), 2, 18*60 + 30, time.Date(2021, 3, 28, 16, 30, 0, 0, time.UTC)},
		{day(2023, 10, 31), 2, 1 * 60, time.Date(2023, 10, 28, 23, 0, 0, 0, time.UTC)},
		{day(2023, 10, 31), 2, 18*60 + 30, time.Date(2023, 10, 29, 17, 30, 0, 0, time.UTC)},
	} {
		t.Run(c.at.Format(time.RFC3339), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(`UPDATE centre.centre SET stations = 1 WHERE id = $1`, leipzig)
			b.exec(`UPDATE booking.setting SET horizon_days = 10`)
			b.exec(`UPDATE booking.channel SET lead_days = 0`)
			on, at := c.on, c.at
			b.at(at.Add(-time.Hour))
			b.stock(leipzig, janssen, 500)
			b.ok(b.s.SetRelease(b.ctx, ReleaseRule{From: Hotline, FromDay: on.AddDate(0, 0, -3), To: Web, DaysBefore: c.before, AtMinute: c.minute}, admin))
			b.replan(leipzig, janssen)
			b.worker()
			total := b.places(on).total()
			b.sell(Hotline, on, 3)
			b.at(at.Add(-time.Second))
			b.worker()
			if got := b.places(on); got[Hotline][0] <= 3 || got[Web][0] == 0 {
				t.Fatalf("a second before: %v", got)
			}
			b.at(at)
			b.worker()
			if got := b.places(on); got[Hotline] != [2]int{3, 3} || got[Web][0] != total-3 {
				t.Errorf("at the minute: %v of %d", got, total)
			}
			if got := b.places(on.AddDate(0, 0, 1)); got[Hotline][0] == 0 {
				t.Errorf("the day after is released, too: %v", got)
			}
			made := b.count(`SELECT max(made) FROM booking.plan`)
			b.at(at.Add(10 * time.Second))
			b.worker()
			if n := b.count(`SELECT max(made) FROM booking.plan`); n != made {
				t.Errorf("planned again for nothing")
			}
			b.sound()
		})
	}
}

func TestReleaseRules(t *testing.T) {
	t.Parallel()
	b := wide(t)
	channels, err := Channels(b.ctx, b.pool)
	b.ok(err)
	c, err := centre.Get(b.ctx, b.pool, leipzig)
	b.ok(err)
	set := func(centreID string, from Channel, fromDay time.Time, to Channel, days int) {
		t.Helper()
		b.ok(b.s.SetRelease(b.ctx, ReleaseRule{CentreID: centreID, From: from, FromDay: fromDay, To: to, DaysBefore: days, AtMinute: 600}, admin))
	}
	set("", Hotline, day(2021, 1, 1), Web, 6)
	set("", Web, day(2021, 1, 1), Hotline, 5)
	set(leipzig, Web, day(2021, 2, 1), "", 0)
	for _, x := range []struct {
		on   time.Time
		now  time.Time
		want string
	}{
		{day(2021, 1, 20), clock.At(day(2021, 1, 14), 9, 59), "[]"},
		{day(2021, 1, 20), clock.At(day(2021, 1, 14), 10, 0), "[0 0 2 3]"},
		{day(2021, 1, 20), clock.At(day(2021, 1, 15), 10, 0), "[1 1 2 3]"}, // the web's release is the later one
		{day(2021, 1, 20), clock.At(day(2021, 1, 16), 10, 0), "[0 0 2 3]"}, // the hotline cannot book it any more
		{day(2021, 2, 3), clock.At(day(2021, 1, 29), 10, 0), "[0 0 2 3]"},  // here nothing flows from the web
	} {
		book, err := b.s.quotaBook(b.ctx, b.pool, c, channels, clock.Day(x.now))
		b.ok(err)
		if got := fmt.Sprint(book.flows(x.on, x.now)); got != x.want {
			t.Errorf("%s at %s: %s, want %s", x.on.Format(time.DateOnly), x.now, got, x.want)
		}
	}
	for _, r := range []ReleaseRule{
		{From: Hotline, To: Hotline},
		{From: "nobody", To: Web},
		{From: Web, To: Reserve},
		{From: Web, To: Hotline, DaysBefore: 4},
		{From: Hotline, To: Web, DaysBefore: 91},
		{From: Hotline, To: Web, AtMinute: 1440},
	} {
		if err := b.s.SetRelease(b.ctx, r, admin); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	b.ok(b.s.RemoveRelease(b.ctx, leipzig, Web, day(2021, 2, 1), admin))
	if err := b.s.RemoveRelease(b.ctx, leipzig, Web, day(2021, 2, 1), admin); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}
