package hotline_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/programme"
)

var (
	offerIn  = regexp.MustCompile(`name="offer" value="([0-9,]+)"`)
	changeIn = regexp.MustCompile(`name="key" value="([^"]+)"`)
)

// booked registers a caller and books the first pair for them.
func (b *bundle) booked(change ...string) (personID string, series booking.Series) {
	b.t.Helper()
	personID, _ = b.register(change...)
	series, err := b.Book(b.ctx, personID, b.slots(personID), "", id.New(), b.by)
	b.ok(err)
	return personID, series
}

func (b *bundle) series(personID string) booking.Series {
	b.t.Helper()
	s, err := b.booking.SeriesOf(b.ctx, b.pool, personID)
	b.ok(err)
	if s == nil {
		b.t.Fatal("nothing is booked")
	}
	return *s
}

// audited counts what the record has of the agent about a case and about its series.
func (b *bundle) audited(action, subject string) int {
	return b.count(`SELECT count(*) FROM audit.entry WHERE action = $1 AND subject = $2 AND actor = $3 AND role = 'agent'`, action, subject, b.by.Actor)
}

func joined(slots []int64) string {
	var parts []string
	for _, s := range slots {
		parts = append(parts, strconv.FormatInt(s, 10))
	}
	return strings.Join(parts, ",")
}

// With a caller on the line an agent changes one appointment, the other and the
// pair, gives the second one back and books it again, all from the case.
func TestAgentChangesAppointments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 50)
	personID, series := b.booked()
	path := "/hotline/persons/" + personID
	if page := b.app.Get(path); !strings.Contains(page.Body, path+"/change") || !strings.Contains(page.Body, `accesskey="u"`) {
		t.Fatalf("the case does not lead to the change: %s", page.Body)
	}
	for n, what := range []string{"1", "2", "all"} {
		page := b.app.Get(path + "/change?what=" + what)
		all := offerIn.FindAllStringSubmatch(page.Body, -1)
		if page.Status != 200 || len(all) < 2 {
			t.Fatalf("%s: %d %s", what, page.Status, page.Body)
		}
		wanted := all[len(all)-1-n/2][1] // the last pair is what the first two steps lead to
		form := []string{"series", series.ID, "what", what, "offer", wanted, "key", changeIn.FindStringSubmatch(page.Body)[1], "centre", "leipzig"}
		for range 2 { // a double click changes once
			if a := b.app.PostForm(path+"/change", form...); a.Status != http.StatusSeeOther || a.Location != path {
				t.Fatalf("%s: %d %s", what, a.Status, a.Body)
			}
		}
		after := b.series(personID)
		if after.ID != series.ID || after.Reference != series.Reference || after.Revision != n+1 {
			t.Errorf("%s: %+v", what, after)
		}
		var have []int64
		for _, a := range after.Visits() {
			if what == "all" || what == strconv.Itoa(a.DoseNumber) {
				have = append(have, a.SlotID)
			}
			if a.Channel != string(booking.Hotline) || clock.Day(a.Start).Before(clock.Day(monday).AddDate(0, 0, 5)) {
				t.Errorf("%s: %+v", what, a)
			}
		}
		if joined(have) != wanted {
			t.Errorf("%s: %v, wanted %s", what, have, wanted)
		}
		if b.audited("booking.change", "series:"+series.ID) != n+1 || b.audited("hotline.change", "person:"+personID) == 0 {
			t.Errorf("%s: not in the record", what)
		}
	}
	// Without a choice the page says what is missing; with a strange one nothing happens.
	if a := b.app.PostForm(path+"/change", "series", series.ID, "what", "2", "key", "x"); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "Das ist jetzt gebucht") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := b.app.PostForm(path+"/change", "series", id.New(), "what", "2", "offer", "1", "key", "x"); a.Status != http.StatusNotFound {
		t.Errorf("somebody else's series: %d", a.Status)
	}
	// The second one alone is given back and booked again.
	if a := b.app.PostForm(path+"/cancel", "series", series.ID, "sure", "1", "from", "2"); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if n := b.audited("booking.cancel", "series:"+series.ID); n != 1 || b.audited("hotline.cancel", "person:"+personID) != 1 {
		t.Errorf("%d cancellations in the record", n)
	}
	page := b.app.Get(path)
	if !strings.Contains(page.Body, "2. Impfung wieder buchen") || !strings.Contains(page.Body, "Für eine Impfung gibt es keinen Termin") {
		t.Errorf("%s", page.Body)
	}
	page = b.app.Get(path + "/change?what=2")
	offer := offerIn.FindStringSubmatch(page.Body)
	if offer == nil {
		t.Fatalf("%s", page.Body)
	}
	if a := b.app.PostForm(path+"/change", "series", series.ID, "what", "2", "offer", offer[1], "key", "again"); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if v := b.series(personID); len(v.Visits()) != 2 {
		t.Errorf("%+v", v)
	}
	// Who wants both at once back gives both back.
	if a := b.app.PostForm(path+"/cancel", "series", series.ID, "sure", "1"); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if s, _ := b.booking.SeriesOf(b.ctx, b.pool, personID); s != nil {
		t.Errorf("%+v", s)
	}
	if a := b.app.Get(path + "/change"); a.Status != http.StatusSeeOther || a.Location != path {
		t.Errorf("nothing to change: %d %s", a.Status, a.Location)
	}
	if wrong, err := b.booking.Verify(b.ctx); err != nil || len(wrong) > 0 {
		t.Errorf("%v %v", wrong, err)
	}
}

// What was free a moment ago: three others in the same answer, and the caller
// keeps what they have. The same as JSON, and nobody changes for a registration
// that is not clarified.
func TestAgentChangeTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 50)
	personID, series := b.booked()
	path, api := "/hotline/persons/"+personID, "/api/v1/hotline/persons/"+personID
	var moves struct{ Days []booking.OfferDay }
	if a := b.app.JSON(http.MethodGet, api+"/series/"+series.ID+"/moves?what=2", nil, &moves); a.Status != 200 || len(moves.Days) == 0 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	slot := moves.Days[0].First[1].SlotID
	_, err := b.pool.Exec(b.ctx, `UPDATE booking.place SET places = taken WHERE slot_id = $1`, slot)
	b.ok(err)
	a := b.app.PostForm(path+"/change", "series", series.ID, "what", "2", "offer", strconv.FormatInt(slot, 10), "key", "k", "centre", "leipzig")
	if a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "Die bisherigen Termine gelten weiter") || len(offerIn.FindAllString(a.Body, -1)) != 3 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	other := moves.Days[0].First[2].SlotID
	for range 2 {
		var out struct {
			Series struct{ Appointments []booking.Appointment }
		}
		a := b.app.JSON(http.MethodPost, api+"/series/"+series.ID+"/change", map[string]any{"what": "2", "slot_ids": []int64{other}, "key": "k2"}, &out)
		if a.Status != 200 || out.Series.Appointments[1].SlotID != other {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	again, _ := b.register()
	if a := b.app.JSON(http.MethodPost, api[:len(api)-36]+again+"/series/"+series.ID+"/change", map[string]any{"what": "2", "slot_ids": []int64{other}, "key": "k3"}, nil); a.Status != http.StatusConflict {
		t.Errorf("not clarified: %d %s", a.Status, a.Body)
	}
}

// A caller is put on the list, and answers at the telephone what is offered.
func TestAgentAnswersAnOffer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ok(b.booking.SetReturns(b.ctx, booking.ReturnSettings{Delay: time.Hour}, booking.By{Actor: "staff:test", Role: "admin"}))
	b.stock("leipzig", 200, 100)
	_, first := b.booked("family_name", "Zuerst", "birth_year", "1931")
	_, second := b.booked("family_name", "Danach", "birth_year", "1933")
	personID, _ := b.register("phone", "0341 123456")
	path := "/hotline/persons/" + personID
	a := b.app.PostForm(path+"/waiting", "centres", "leipzig", "weekdays", "1", "weekdays", "2", "weekdays", "3", "weekdays", "4", "weekdays", "5", "weekdays", "6", "weekdays", "7",
		"parts", "morning", "parts", "noon", "parts", "afternoon", "notice", "0")
	if a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if page := b.app.Get(path); !strings.Contains(page.Body, "auf der Warteliste") {
		t.Errorf("%s", page.Body)
	}
	offer := func(s booking.Series) {
		t.Helper()
		b.ok(b.booking.Cancel(b.ctx, s.ID, s.PersonID, "staff:test"))
		if n, err := b.booking.OfferPlaces(b.ctx); n != 1 || err != nil {
			t.Fatalf("%d offers, %v", n, err)
		}
	}
	offer(first)
	page := b.app.Get(path)
	if !strings.Contains(page.Body, "Angebot der Warteliste") || !strings.Contains(page.Body, `accesskey="j"`) || strings.Contains(page.Body, path+"/cancel") {
		t.Errorf("%s", page.Body)
	}
	if a := b.app.PostForm(path+"/offer", "answer", "decline"); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := b.app.PostForm(path+"/offer", "answer", "accept"); a.Status != http.StatusConflict {
		t.Errorf("nothing is offered: %d", a.Status)
	}
	// What was read out is over, and another offer is open: nobody answers that one.
	old := ""
	if err := b.pool.QueryRow(b.ctx, `SELECT id::text FROM booking.waiting_offer WHERE answer = 'declined'`).Scan(&old); err != nil {
		t.Fatal(err)
	}
	offer(second)
	if page := b.app.Get(path); strings.Contains(page.Body, old) || !strings.Contains(page.Body, `name="offer"`) {
		t.Error("the page does not say which offer is answered")
	}
	for _, answer := range []string{"accept", "decline", "remove"} {
		b.app.PostForm(path+"/offer", "offer", old, "answer", answer)
		b.app.JSON(http.MethodPost, "/api/v1"+path+"/offer/answer", map[string]string{"offer": old, "answer": answer}, nil)
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting_offer WHERE answer IS NULL`); n != 1 {
		t.Fatalf("%d offers are open", n)
	}
	var out struct{ Answer string }
	if a := b.app.JSON(http.MethodPost, "/api/v1"+path+"/offer/answer", map[string]string{"answer": "accept"}, &out); a.Status != 200 || out.Answer != "accepted" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if s := b.series(personID); s.State != booking.StateConfirmed || s.Appointments[0].SlotID != second.Appointments[0].SlotID {
		t.Errorf("%+v", s)
	}
	if b.audited("hotline.offer", "person:"+personID) != 2 || b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.offer-answer' AND actor = $1 AND role = 'agent'`, b.by.Actor) != 2 {
		t.Error("the answers are not in the record")
	}
	b.work()
	reference := booking.PrintReference(b.series(personID).Reference)
	if n := strings.Count(strings.Join(b.printed(), " "), reference); n != 1 {
		t.Errorf("%d letters with the papers of the one who accepted", n)
	}
}

// A day is closed: the case shows the other times that are kept, and the caller
// takes them or chooses otherwise, before and after the administrator confirms.
func TestAgentAndAProposal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 200, 100)
	takes, one := b.booked("family_name", "Nimmt", "birth_year", "1931")
	chooses, two := b.booked("family_name", "Wählt", "birth_year", "1933")
	stays, _ := b.booked("family_name", "Bleibt", "birth_year", "1934")
	closed := clock.Day(one.Appointments[0].Start)
	b.tx(func(tx pgx.Tx) error {
		return centre.SetException(b.ctx, tx, b.now(), "leipzig", centre.Exception{Day: closed, Reason: "Sturm"}, centre.By{Actor: "staff:test", Role: "admin"})
	})
	b.ok(b.booking.Replan(b.ctx, "leipzig", "comirnaty"))
	boss := booking.By{Actor: "staff:boss", Role: "admin"}
	b.ok(b.booking.Propose(b.ctx, "leipzig", "comirnaty", boss, nil))
	page := b.app.Get("/hotline/persons/" + takes)
	m := regexp.MustCompile(`name="proposal" value="([^"]+)"`).FindStringSubmatch(page.Body)
	if m == nil {
		t.Fatalf("%s", page.Body)
	}
	if a := b.app.PostForm("/hotline/persons/"+chooses+"/proposal", "proposal", m[1]); a.Status != http.StatusNotFound {
		t.Errorf("somebody else's proposal: %d", a.Status)
	}
	for range 2 {
		if a := b.app.PostForm("/hotline/persons/"+takes+"/proposal", "proposal", m[1]); a.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if clock.Day(b.series(takes).Appointments[0].Start).Equal(closed) || b.audited("booking.proposal-confirmed", "series:"+one.ID) != 1 {
		t.Error("not moved, or not in the record")
	}
	change := func(personID string, s booking.Series) {
		t.Helper()
		page := b.app.Get("/hotline/persons/" + personID + "/change?what=all")
		list := offerIn.FindAllStringSubmatch(page.Body, -1)
		if len(list) == 0 {
			t.Fatalf("%s", page.Body)
		}
		if a := b.app.PostForm("/hotline/persons/"+personID+"/change", "series", s.ID, "what", "all", "offer", list[len(list)-1][1], "key", id.New()); a.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	change(chooses, two) // instead of the proposal
	own := b.series(chooses).Appointments[0].SlotID
	if _, err := b.booking.ConfirmProposals(b.ctx, "leipzig", "comirnaty", boss, nil); err != nil {
		t.Fatal(err)
	}
	if got := b.series(chooses).Appointments[0].SlotID; got != own {
		t.Error("the proposal went over what the caller chose")
	}
	if page := b.app.Get("/hotline/persons/" + stays); !strings.Contains(page.Body, "Wegen eines Ausfalls umgebucht") {
		t.Errorf("%s", page.Body)
	}
	change(stays, b.series(stays)) // after it was moved
	if page := b.app.Get("/hotline/persons/" + stays); strings.Contains(page.Body, "Wegen eines Ausfalls umgebucht") {
		t.Error("an old proposal is shown still")
	}
	if wrong, err := b.booking.Verify(b.ctx); err != nil || len(wrong) > 0 {
		t.Errorf("%v %v", wrong, err)
	}
}

// Where the programme's rule allows it an agent books the first dose alone, with
// the reason that the caller gives.
func TestAgentBooksOneDose(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tx(func(tx pgx.Tx) error {
		rule, err := programme.SeriesFor(b.ctx, tx, "comirnaty", b.now())
		if err != nil {
			return err
		}
		rule.MayWaive = true
		return programme.SetSeries(b.ctx, tx, b.now(), "comirnaty", b.now(), rule, programme.By{Actor: "staff:test", Role: "admin"})
	})
	b.stock("leipzig", 200, 100)
	personID, _ := b.register()
	path := "/hotline/persons/" + personID + "/book"
	if page := b.app.Get(path); !strings.Contains(page.Body, `name="one"`) || !strings.Contains(offerIn.FindStringSubmatch(page.Body)[1], ",") {
		t.Fatalf("%s", page.Body)
	}
	page := b.app.Get(path + "?one=1")
	slot := offerIn.FindStringSubmatch(page.Body)[1]
	form := []string{"offer", slot, "key", changeIn.FindStringSubmatch(page.Body)[1], "centre", "leipzig", "one", "1"}
	if a := b.app.PostForm(path, form...); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "warum die zweite Impfung entfällt") {
		t.Errorf("without a reason: %d %s", a.Status, a.Body)
	}
	if a := b.app.PostForm(path, append(form, "waive", booking.WaiveMedical)...); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if s := b.series(personID); len(s.Appointments) != 1 || s.Waived != booking.WaiveMedical || b.audited("booking.waive", "series:"+s.ID) != 1 {
		t.Errorf("%+v", s)
	}
}
