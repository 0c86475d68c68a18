package vaccination_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/web"
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
	if came.Status != http.StatusSeeOther || came.Location != "/site/walk-in" {
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
