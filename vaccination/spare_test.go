package vaccination_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
	"impfportal/programme"
)

// waits registers somebody with a telephone who could come to Leipzig, at so many
// days' notice.
func (b *bundle) waits(family, phone string, notice int) citizen.Person {
	b.t.Helper()
	b.people++
	r, err := b.citizen.Register(b.ctx, citizen.Registration{
		ProgrammeID: programme.CovidID, GroupCode: "s2-age", ProofReady: true, FamilyName: family, GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1935, Month: 1 + b.people%12, Day: 1 + b.people%28}, Sex: citizen.SexFemale, Phone: phone, Email: "w@example.org", Lang: "de",
	}, "citizen")
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = b.booking.PutOnList(b.ctx, r.Person.ID, booking.Wishes{
		Centres: []string{leipzig}, Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, Parts: []string{booking.PartMorning, booking.PartNoon, booking.PartAfternoon}, NoticeDays: notice,
	}, booking.Web, booking.By{Actor: "citizen:" + r.Person.ID, Role: "citizen"})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Person
}

var callOf = regexp.MustCompile(`/site/leftover/comirnaty/calls/([0-9a-f-]{36})`)

// A vial is open and four of its doses are for nobody: the site calls people of the
// waiting list who can come on the same day, never more than there are doses, and
// sees a number only while it calls.
func TestLeftoverDosesGoToTheWaitingList(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "REST", day(2021, 5, 31), 1)
	a := b.app(web.RoleSite, leipzig)
	if _, err := b.s.Record(b.ctx, b.walkIn("Erster", lot)); err != nil {
		t.Fatal(err)
	}
	left := b.doses(leipzig)
	want(t, "nobody waits", a.PostForm("/site/leftover/comirnaty"), http.StatusConflict, "niemand, der jetzt noch kommen könnte")
	b.waits("Morgen", "+4915112345600", 1)
	b.waits("Ohne", "", 0)
	for i, n := range []string{"Anton", "Berta", "Caesar", "Dora", "Emil", "Fritz", "Gustav"} {
		b.waits("Wartet"+n, fmt.Sprintf("+491511234560%d", i+1), 0)
	}
	want(t, "day", a.Get("/site"), 200, "/site/leftover/comirnaty")
	page := a.Get("/site/leftover/comirnaty")
	want(t, "before", page, 200, "Nächste Person anrufen")
	if strings.Contains(page.Body, "Wartet") || strings.Contains(page.Body, "49151123456") {
		t.Error("somebody is shown before they are called")
	}
	for range left {
		want(t, "next", a.PostForm("/site/leftover/comirnaty"), http.StatusSeeOther)
	}
	want(t, "one too many", a.PostForm("/site/leftover/comirnaty"), http.StatusConflict, "Für jede übrige Dosis ist jemand angerufen")
	page = a.Get("/site/leftover/comirnaty")
	calls := map[string]bool{}
	var order []string
	for _, m := range callOf.FindAllStringSubmatch(page.Body, -1) {
		if !calls[m[1]] {
			order = append(order, m[1])
		}
		calls[m[1]] = true
	}
	if len(calls) != left || strings.Contains(page.Body, "Morgen") || strings.Contains(page.Body, "Ohne,") || !strings.Contains(page.Body, "49151123456") {
		t.Fatalf("%d calls for %d doses: %s", len(calls), left, page.Body)
	}
	want(t, "enough", page, 200, "Für jede übrige Dosis ist jemand angerufen")
	base := "/site/leftover/comirnaty/calls/"
	want(t, "not reached", a.PostForm(base+order[0], "outcome", "not_reached"), http.StatusSeeOther)
	want(t, "again", a.PostForm(base+order[0], "outcome", "not_reached"), http.StatusSeeOther)
	want(t, "otherwise", a.PostForm(base+order[0], "outcome", "came"), http.StatusConflict)
	came := a.PostForm(base+order[1], "outcome", "came")
	if came.Status != http.StatusSeeOther || came.Location != base+order[1] {
		t.Errorf("%d %s", came.Status, came.Location)
	}
	for _, id := range order[2:] {
		want(t, "declined", a.PostForm(base+id, "outcome", "declined"), http.StatusSeeOther)
	}
	page = a.Get("/site/leftover/comirnaty")
	want(t, "after", page, 200, "nicht erreicht", "gekommen", "kommt nicht")
	if strings.Contains(page.Body, "Wartet") || strings.Contains(page.Body, "49151123456") {
		t.Error("somebody is shown after the call")
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting WHERE state = 'done'`); n != 1 {
		t.Errorf("%d are off the list", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting WHERE state = 'waiting' AND declined = 0`); n != 8 {
		t.Errorf("%d are on the list", n)
	}
	// Nobody is called twice a day, and a dose for who has come is for nobody else.
	again := 0
	for {
		next := a.JSON(http.MethodPost, "/api/v1/site/leftovers/comirnaty/calls", nil, nil)
		if next.Status != 200 {
			want(t, "all called", next, http.StatusConflict)
			break
		}
		again++
	}
	if again != min(7-left, left-1) {
		t.Errorf("%d more were called", again)
	}
	if n := b.count(`SELECT count(*) - count(DISTINCT person_id) FROM booking.leftover_call`); n != 0 {
		t.Errorf("%d were called twice", n)
	}
	// Each call is in the record with the person, and can be recomputed.
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.leftover-call' AND subject LIKE 'person:%' AND role = 'site'`); n != left+again {
		t.Errorf("%d calls in the record", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting_asked`); n != left+again {
		t.Errorf("%d orders are kept", n)
	}
	// Another centre sees and ends nothing of it.
	other := b.app(web.RoleSite, dresden)
	want(t, "other centre", other.Get("/site/leftover/comirnaty"), http.StatusNotFound)
	want(t, "other centre", other.PostForm(base+order[0], "outcome", "came"), http.StatusNotFound)
}

// The record says as what somebody acted: an administrator who helps at a centre is
// no site.
func TestTheRecordNamesTheRole(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "REST", day(2021, 5, 31), 1)
	a := b.app(web.RoleAdmin, "")
	want(t, "centre", a.PostForm("/site/centre", "centre", leipzig), http.StatusSeeOther)
	if _, err := b.s.Record(b.ctx, b.walkIn("Erster", lot)); err != nil {
		t.Fatal(err)
	}
	b.waits("Wartet", "+4915112345601", 0)
	want(t, "next", a.PostForm("/site/leftover/comirnaty"), http.StatusSeeOther)
	call := callOf.FindStringSubmatch(a.Get("/site/leftover/comirnaty").Body)
	if call == nil {
		t.Fatal("nobody is called")
	}
	want(t, "came", a.PostForm("/site/leftover/comirnaty/calls/"+call[1], "outcome", "came"), http.StatusSeeOther)
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action LIKE 'booking.leftover-call%' AND role = 'admin'`); n != 2 {
		t.Errorf("%d entries of an administrator", n)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE actor LIKE 'staff:%' AND actor <> 'staff:test' AND role = 'site'`); n != 0 {
		t.Errorf("%d entries as site", n)
	}
}

// called calls the next person about a leftover dose, notes that they have come, and
// returns the address where their dose is recorded.
func (b *bundle) called(a *webtest.App, product string) (page string) {
	b.t.Helper()
	var call struct {
		ID string `json:"id"`
	}
	want(b.t, "next", a.JSON(http.MethodPost, "/api/v1/site/leftovers/"+product+"/calls", nil, &call), 200)
	page = "/site/leftover/" + product + "/calls/" + call.ID
	came := a.PostForm(page, "outcome", "came")
	if came.Status != http.StatusSeeOther || came.Location != page {
		b.t.Fatalf("came: %d %s", came.Status, came.Location)
	}
	return page
}

// eligible returns the product and number of the first dose that a person may have now.
func (b *bundle) eligible(p citizen.Person) (dose int, err error) {
	offers, err := b.booking.Offers(b.ctx, b.pool, booking.OfferQuery{Person: p, CentreID: leipzig, Channel: booking.Web, From: b.now, To: b.now.AddDate(0, 0, 60)})
	if err == nil && len(offers) > 0 {
		dose = offers[0].FirstDose
	}
	return dose, err
}

// TestTheDoseAfterACallIsThePersons: it counts for the registration of the person who
// was called; they are not offered it again, and can book the second one.
func TestTheDoseAfterACallIsThePersons(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "REST", day(2021, 5, 31), 2)
	a := b.app(web.RoleSite, leipzig)
	if _, err := b.s.Record(b.ctx, b.walkIn("Erster", lot)); err != nil {
		t.Fatal(err)
	}
	before := b.doses(leipzig)
	p := b.waits("Anton", "+4915112345601", 0)
	page := b.called(a, "comirnaty")
	if n := b.count(`SELECT count(*) FROM booking.appointment`); n != 0 {
		t.Fatalf("%d appointments before the dose", n)
	}
	want(t, "list", a.Get("/site/leftover/comirnaty"), 200, "gekommen", `href="`+page+`"`)
	want(t, "card", a.Get(page), 200, "Anton", p.Birth.German(), "1. von 2", `action="`+page+`/dose"`)
	want(t, "without consent", a.PostForm(page+"/dose", "key", "k0", "lot", lot, "forms", "2021-01-11"), http.StatusUnprocessableEntity, "Anton")
	form := []string{"key", "k1", "lot", lot, "forms", "2021-01-11", "consent", "on"}
	given := a.PostForm(page+"/dose", form...)
	want(t, "dose", given, http.StatusSeeOther)
	want(t, "record", a.Get(given.Location), 200, "Anton", "1. von 2", "hat noch keinen Termin")
	if again := a.PostForm(page+"/dose", form...); again.Status != http.StatusSeeOther || again.Location != given.Location {
		t.Errorf("the same dose again: %d %s", again.Status, again.Location)
	}
	form[1] = "k2"
	want(t, "from another station", a.PostForm(page+"/dose", form...), http.StatusUnprocessableEntity)
	want(t, "card after it", a.Get(page), 200, given.Location)
	want(t, "list after it", a.Get("/site/leftover/comirnaty"), 200, "geimpft")
	want(t, "another centre", b.app(web.RoleSite, dresden).Get(page), http.StatusNotFound)

	if n := b.doses(leipzig); n != before-1 {
		t.Errorf("%d doses are left of %d", n, before)
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record WHERE login_person_id = $1 AND channel = 'walkin' AND dose_number = 1 AND appointment_id IS NULL`, p.ID); n != 1 {
		t.Errorf("%d records of the registration", n)
	}
	if n := b.count(`SELECT count(*) FROM booking.appointment WHERE person_id = $1 AND state = 'done' AND dose_number = 1 AND slot_id = 0`, p.ID); n != 1 {
		t.Errorf("%d doses of the registration", n)
	}
	if bad, err := b.booking.Verify(b.ctx); err != nil || len(bad) != 0 {
		t.Errorf("places: %+v, %v", bad, err)
	}
	d, err := b.s.Today(b.ctx, b.pool, leipzig, b.now)
	if err != nil || d.WalkIns() != 2 || len(d.Visitors) != 2 {
		t.Errorf("the day: %+v, %v", d.Visitors, err)
	}
	var spare struct {
		There int `json:"there"`
		Left  int `json:"left"`
	}
	if r := a.JSON(http.MethodGet, "/api/v1/site/leftovers/comirnaty", nil, &spare); r.Status != 200 || spare.There != 0 || spare.Left != 3 {
		t.Errorf("leftover: %d %+v", r.Status, spare)
	}
	b.consistent(2)

	// Who enters the list again is not called: the first dose is had, the second is too early.
	b.now = b.now.AddDate(0, 0, 1)
	if _, err := b.booking.PutOnList(b.ctx, p.ID, booking.Wishes{
		Centres: []string{leipzig}, Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, Parts: []string{booking.PartMorning, booking.PartNoon, booking.PartAfternoon},
	}, booking.Web, booking.By{Actor: "citizen:" + p.ID, Role: "citizen"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.booking.CallNext(b.ctx, leipzig, "comirnaty", 5, 0, booking.By{Actor: "staff:test", Role: "site"}); !errors.Is(err, booking.ErrNobodyToCall) {
		t.Errorf("called again: %v", err)
	}
	// The second dose is offered, and nothing before its distance.
	b.receive(inventory.CentrePlace(leipzig), "comirnaty", "MORE", day(2021, 5, 31), 40)
	if err := b.booking.Replan(b.ctx, leipzig, "comirnaty"); err != nil {
		t.Fatal(err)
	}
	if dose, err := b.eligible(p); err != nil || dose != 2 {
		t.Errorf("offered is dose %d, %v", dose, err)
	}
}

// TestTheDoseAfterACallCompletesASeriesOfOne: nothing is offered after that.
func TestTheDoseAfterACallCompletesASeriesOfOne(t *testing.T) {
	b := setup(t)
	b.now = clock.At(day(2021, 4, 12), 10, 0)
	lot := b.receive(inventory.CentrePlace(leipzig), "janssen", "JJ1", day(2021, 8, 31), 2)
	a := b.app(web.RoleSite, leipzig)
	p := b.waits("Anton", "+4915112345601", 0)
	first := b.walkIn("Erster", lot)
	first.ProductID, first.Forms = "janssen", day(2021, 3, 15)
	if _, err := b.s.Record(b.ctx, first); err != nil {
		t.Fatal(err)
	}
	page := b.called(a, "janssen")
	// Meanwhile they have booked something themselves.
	b.tx(func(tx pgx.Tx) error {
		_, err := tx.Exec(b.ctx, `
			INSERT INTO booking.series (id, person_id, programme_id, product_id, centre_id, channel, reference, booked_by, role, state, hold_until, created_at, confirmed_at)
			VALUES ($1, $2, 'covid-19', 'comirnaty', 'dresden', 'web', $3, 'test', 'citizen', 'confirmed', $4, $4, $4)`, id.New(), p.ID, reference(t, 900), b.now)
		return err
	})
	want(t, "dose", a.PostForm(page+"/dose", "key", "k1", "lot", lot, "forms", "2021-03-15", "consent", "on"), http.StatusSeeOther)
	if n := b.count(`SELECT count(*) FROM citizen.person WHERE id = $1 AND vaccinated_at IS NOT NULL`, p.ID); n != 1 {
		t.Error("the registration does not count as served")
	}
	var not *booking.IneligibleError
	if _, err := b.eligible(p); !errors.As(err, &not) || not.Reason != booking.ReasonComplete {
		t.Errorf("offered again: %v", err)
	}
	if s, err := b.booking.SeriesOf(b.ctx, b.pool, p.ID); err != nil || s == nil || s.ProductID != "janssen" || len(s.Appointments) != 1 || s.Appointments[0].State != booking.StateDone {
		t.Errorf("what the person sees: %+v, %v", s, err)
	}
}
