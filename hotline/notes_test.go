package hotline_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"impfportal/booking"
	"impfportal/hotline"
	"impfportal/internal/web"
)

var chosenResult = regexp.MustCompile(`<option value="([a-z]*)" selected`)

// The note begins with what was done in this call, and with nothing when nothing was.
func TestTheNoteSaysWhatWasDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 50)
	personID, _ := b.register()
	base := "/hotline/persons/" + personID
	result := func(want string) {
		t.Helper()
		b.wait(time.Second) // entries of one moment have no order between subjects
		a := b.app.Get(base)
		if m := chosenResult.FindStringSubmatch(a.Body); a.Status != 200 || m == nil && want != "" || m != nil && m[1] != want {
			t.Errorf("the note begins with %q, want %q", m, want)
		}
	}
	noted := func(what string) {
		t.Helper()
		b.wait(time.Second)
		if a := b.app.PostForm(base+"/notes", "disposition", what, "text", "x"); a.Status != http.StatusSeeOther {
			t.Fatal(a.Status, a.Body)
		}
	}
	result("registered")
	b.wait(2 * time.Hour) // another call
	b.app.LoginAs(web.User{Kind: "staff", ID: strings.TrimPrefix(b.by.Actor, "staff:"), Name: "Agentin", Roles: []web.Role{web.RoleAgent}})
	result("")
	if a := b.app.PostForm(base+"/notes", "text", "x"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("a note without a result: %d", a.Status)
	}
	_, err := b.booking.PutOnList(b.ctx, personID, booking.Wishes{Centres: []string{"leipzig"}, Weekdays: []int{1}, Parts: []string{booking.PartMorning}}, booking.Hotline, booking.By(b.by))
	b.ok(err)
	result("waiting")
	noted("waiting")
	result("")
	series, err := b.Book(b.ctx, personID, b.slots(personID), "", "k", b.by)
	b.ok(err)
	result("booked")
	noted("booked")
	times, err := b.booking.MoveOffers(b.ctx, b.pool, series, 2, "leipzig", booking.Hotline, time.Time{})
	b.ok(err)
	series, err = b.Rebook(b.ctx, personID, series.ID, "2", []int64{times[0].SlotID}, "k2", b.by)
	b.ok(err)
	result("changed")
	b.ok(b.Cancel(b.ctx, personID, series.ID, 2, b.by))
	result("cancelled")
	noted("changed")
	// What another agent does, or the person, is not of this call.
	b.ok(b.Cancel(b.ctx, personID, series.ID, 1, hotline.By{Actor: "staff:another", Role: "agent"}))
	result("")
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'hotline.book' AND subject = $1`, "person:"+personID); n != 1 {
		t.Errorf("%d entries of one booking", n)
	}
}
