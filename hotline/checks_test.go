package hotline_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web/webtest"
)

// choices are the series that a citizen could hold over the web, by first day.
func (b *bundle) choices() (out []booking.Choice) {
	b.t.Helper()
	p, err := b.citizens.Register(b.ctx, stranger("Probe", 1940), "citizen")
	b.ok(err)
	days, err := b.booking.Offers(b.ctx, b.pool, booking.OfferQuery{Person: p.Person, CentreID: "leipzig", Channel: booking.Web, From: b.now(), To: b.now().AddDate(0, 0, 60)})
	b.ok(err)
	for _, d := range days {
		for _, t := range d.First {
			if c, ok := d.Choice(t.SlotID); ok {
				out = append(out, c)
			}
		}
	}
	return out
}

func stranger(family string, year int) citizen.Registration {
	return citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: family, GivenName: "Erika",
		Birth: citizen.PartialDate{Year: year, Month: 3, Day: 14}, Sex: citizen.SexFemale, Email: "fremd@example.org", Lang: "de",
	}
}

// A second registration books over the web like any other. The agent sees both
// sides with their appointments, the nearest first, and books for it only when
// it is clarified.
func TestQueueOfChecks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stock("leipzig", 100, 50)
	list := b.choices()
	register := func(family string) citizen.Person {
		t.Helper()
		b.wait(time.Second)
		r, err := b.citizens.Register(b.ctx, stranger(family, 1938), "citizen")
		b.ok(err)
		return r.Person
	}
	book := func(p citizen.Person, c booking.Choice, confirm bool) booking.Series {
		t.Helper()
		s, err := b.booking.Hold(b.ctx, booking.HoldRequest{PersonID: p.ID, Channel: booking.Web, SlotIDs: c.SlotIDs(), Key: id.New()})
		b.ok(err)
		if confirm {
			s, err = b.booking.Confirm(b.ctx, s.ID, p.ID, "")
			b.ok(err)
		}
		return s
	}
	known := register("Müller")
	book(known, list[1], true)
	for _, family := range []string{"Weiss", "Krause"} {
		register(family)
	}
	none := register("Weiß") // nothing booked, the oldest
	late := register("Krause")
	lateSeries := book(late, list[len(list)-1], true)
	near := register("MUELLER")
	nearSeries := book(near, list[0], true)
	newest := register("Weiss") // nothing booked either; its hold has run out
	book(newest, list[2], false)
	b.wait(11 * time.Minute)

	want := []string{near.ID, late.ID, none.ID, newest.ID}
	queue, err := b.Queue(b.ctx, 100)
	b.ok(err)
	var got []string
	for _, c := range queue {
		got = append(got, c.New.ID)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("order %v, want %v", got, want)
	}
	if c := queue[0]; len(c.NewVisits) != 2 || len(c.KnownVisits) != 2 || c.Known.ID != known.ID || c.NewVisits[0].Centre == "" || !c.NewVisits[0].Start.Equal(nearSeries.Appointments[0].Start) {
		t.Errorf("%+v", c)
	}
	if c := queue[3]; len(c.NewVisits) != 0 {
		t.Errorf("a hold that is over is shown: %+v", c.NewVisits)
	}
	if short, err := b.Queue(b.ctx, 1); err != nil || len(short) != 1 || short[0].New.ID != near.ID {
		t.Errorf("the first of the queue: %+v, %v", short, err)
	}
	page := b.app.Get("/hotline/checks").Body
	if !strings.Contains(page, "Termine unter Vorbehalt") || !strings.Contains(page, "Keine Termine.") || strings.Index(page, near.ID) > strings.Index(page, late.ID) {
		t.Errorf("the page: %s", page)
	}
	var out struct {
		Checks []struct {
			New   struct{ ID string } `json:"new"`
			Mine  []any               `json:"new_appointments"`
			Known []any               `json:"known_appointments"`
		} `json:"checks"`
	}
	if a := b.app.JSON("GET", "/api/v1/hotline/checks", nil, &out); a.Status != 200 || len(out.Checks) != 4 || out.Checks[0].New.ID != near.ID || len(out.Checks[0].Mine) != 2 || len(out.Checks[0].Known) != 2 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if body := b.app.Get("/hotline/persons/" + near.ID).Body; !strings.Contains(body, "Termine unter Vorbehalt") || strings.Contains(body, "/book\"") {
		t.Errorf("the case: %s", body)
	}
	if a := b.app.JSON("GET", "/api/v1/hotline/persons/"+near.ID, nil, nil); !strings.Contains(a.Body, `"check":{`) {
		t.Error("the case as JSON does not tell of the check")
	}

	// Not before it is clarified: page and JSON, offers and booking.
	says := "muss erst geklärt werden"
	slots := list[5].SlotIDs()
	path, api := "/hotline/persons/"+none.ID, "/api/v1/hotline/persons/"+none.ID
	for what, a := range map[string]webtest.Answer{
		"page":     b.app.Get(path + "/book"),
		"form":     b.app.PostForm(path+"/book", "offer", "1,2", "key", id.New(), "centre", "leipzig"),
		"empty":    b.app.PostForm(path+"/book", "key", id.New(), "centre", "leipzig"),
		"offers":   b.app.JSON("GET", api+"/offers?centre=leipzig", nil, nil),
		"api book": b.app.JSON("POST", api+"/series", map[string]any{"slot_ids": slots, "key": id.New()}, nil),
	} {
		if a.Status != http.StatusConflict || !strings.Contains(a.Body, says) {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
	}
	if n := b.count(`SELECT count(*) FROM booking.series WHERE person_id = $1`, none.ID); n != 0 {
		t.Error("booked all the same")
	}

	// The same person: its series is cancelled with it. Another one: it stands.
	if a := b.app.PostForm("/hotline/checks/"+near.ID, "finding", "same"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, a.Body)
	}
	if n := b.count(`SELECT count(*) FROM booking.series WHERE id = $1 AND state = 'cancelled'`, nearSeries.ID); n != 1 {
		t.Error("the second registration's series stands")
	}
	if a := b.app.JSON("POST", "/api/v1/hotline/checks/"+late.ID, map[string]any{"finding": "other"}, nil); a.Status != 204 {
		t.Fatal(a.Status, a.Body)
	}
	if n := b.count(`SELECT count(*) FROM booking.series WHERE id = $1 AND state = 'confirmed'`, lateSeries.ID); n != 1 {
		t.Error("another person's series does not stand")
	}
	if a := b.app.PostForm("/hotline/checks/"+none.ID, "finding", "other"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, a.Body)
	}
	if a := b.app.Get(path + "/book"); a.Status != http.StatusOK {
		t.Errorf("clarified, still refused: %d", a.Status)
	}
}
