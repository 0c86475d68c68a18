package wiring

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/waitingroom"
)

// somebody is a citizen who has just registered, logged in on a browser.
func (w *world) somebody(name string) (*webtest.App, citizen.Person) {
	w.t.Helper()
	r, err := w.Citizen.Register(w.ctx, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: name, GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1938, Month: 3, Day: 14}, Sex: citizen.SexFemale, Email: strings.ToLower(name) + "@example.org", Lang: "de",
	}, citizen.SessionKind)
	w.ok(err)
	b := w.app.Another()
	b.LoginAs(web.User{Kind: citizen.SessionKind, ID: r.Person.ID, Roles: []web.Role{web.RoleCitizen}})
	return b, r.Person
}

// A pass of a minute and a hold of ten: whoever holds appointments is not put
// out, may give them back and choose others; whoever does nothing is.
func TestNobodyIsPutOutUnderAHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Schmidt", GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1939, Month: 7, Day: 2}, Sex: citizen.SexFemale, Email: "schmidt@example.org", Lang: "de",
	})
	minute := time.Minute
	_, err := w.Rooms.EditRoom(w.ctx, "staff:test", "admin", "appointments", waitingroom.Settings{PassLength: &minute})
	w.ok(err)
	const times = "/appointments/at/leipzig"
	holder, person := w.somebody("Halter")
	idle, _ := w.somebody("Leerlauf")
	api, apiPerson := w.somebody("Programm")
	for _, b := range []*webtest.App{holder, idle, api} {
		if a := b.Get(times); a.Status != http.StatusOK {
			t.Fatalf("the times: %d", a.Status)
		}
	}
	hold := func(b *webtest.App, p citizen.Person, n int) webtest.Answer {
		t.Helper()
		return b.PostForm("/appointments/hold", "centre", "leipzig", "key", id.New(), "slots", strings.Trim(strings.ReplaceAll(fmt.Sprint(w.offer(p, n)), " ", ","), "[]"))
	}
	if a := hold(holder, person, 0); a.Location != "/appointments/held" {
		t.Fatalf("hold: %d %s", a.Status, a.Location)
	}
	if a := api.JSON(http.MethodPost, "/api/v1/appointments/hold", map[string]any{"slot_ids": w.offer(apiPerson, 3), "key": id.New()}, nil); a.Status != http.StatusOK {
		t.Fatalf("hold as JSON: %d %s", a.Status, a.Body)
	}

	w.wait(5 * time.Minute)
	w.settle()
	if a := idle.PostForm("/appointments/hold"); a.Status != http.StatusForbidden || !strings.Contains(a.Body, "/rooms/appointments") {
		t.Errorf("who holds nothing is still inside: %d", a.Status)
	}
	if a := api.JSON(http.MethodGet, "/api/v1/appointments/offers?centre=leipzig", nil, nil); a.Status != http.StatusOK {
		t.Errorf("out under a hold that was made as JSON: %d", a.Status)
	}
	page := holder.Get("/appointments/held")
	series := w.field(page, "series")
	if a := holder.PostForm("/appointments/cancel", "series", series); !strings.HasPrefix(a.Location, times) {
		t.Fatalf("give back: %d %s", a.Status, a.Location)
	}
	w.settle()
	if a := holder.Get(times); a.Status != http.StatusOK {
		t.Errorf("other times after giving back: %d", a.Status)
	}
	if a := hold(holder, person, 1); a.Location != "/appointments/held" {
		t.Fatalf("hold others: %d %s", a.Status, a.Location)
	}
	w.wait(9 * time.Minute)
	if a := holder.PostForm("/appointments/confirm", "series", w.field(holder.Get("/appointments/held"), "series")); a.Location != "/appointments" {
		t.Errorf("confirm: %d %s", a.Status, a.Location)
	}
	var passes, open int
	w.ok(w.env.Pool.QueryRow(w.ctx, `SELECT count(*), count(*) FILTER (WHERE released_at IS NULL AND expires_at > $1) FROM waitingroom.pass WHERE room_id = 'appointments'`,
		w.env.Now()).Scan(&passes, &open))
	if passes != 3 || open != 0 {
		t.Errorf("%d passes of three people, %d of them count", passes, open)
	}
}

// Logging out and ending a registration leave nothing behind in the rooms.
func TestLeavingFreesTheSeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Schmidt", GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1939, Month: 7, Day: 2}, Sex: citizen.SexFemale, Email: "schmidt@example.org", Lang: "de",
	})
	b, p := w.somebody("Gast")
	seats := func() (seats, places int) {
		t.Helper()
		w.ok(w.env.Pool.QueryRow(w.ctx, `SELECT (SELECT count(*) FROM waitingroom.pass WHERE released_at IS NULL AND expires_at > $1),
			(SELECT count(*) FROM waitingroom.holder WHERE person_id = $2)`, w.env.Now(), p.ID).Scan(&seats, &places))
		return seats, places
	}
	if a := b.Get("/appointments/at/leipzig"); a.Status != http.StatusOK {
		t.Fatalf("the times: %d", a.Status)
	}
	if s, n := seats(); s != 1 || n != 1 {
		t.Errorf("%d seats, %d places", s, n)
	}
	if a := b.PostForm("/logout"); a.Status != http.StatusSeeOther {
		t.Fatalf("logout: %d", a.Status)
	}
	if s, n := seats(); s != 0 || n != 1 {
		t.Errorf("after logging out: %d seats, %d places", s, n)
	}
	w.ok(w.Citizen.Delete(w.ctx, p.ID, "citizen:"+p.ID, "citizen"))
	if s, n := seats(); s != 0 || n != 0 {
		t.Errorf("after the registration: %d seats, %d places", s, n)
	}
}

// Whoever ends the registration while inside gives the seat back, also where no
// cookie tells which it is.
func TestDeletingTheRegistrationFreesTheSeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Schmidt", GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1939, Month: 7, Day: 2}, Sex: citizen.SexFemale, Email: "schmidt@example.org", Lang: "de",
	})
	for name, end := range map[string]func(b *webtest.App, p citizen.Person){
		"Seite": func(b *webtest.App, _ citizen.Person) {
			if a := b.PostForm("/my-data/delete", "sure", "yes"); a.Status != http.StatusOK {
				t.Errorf("the page: %d %s", a.Status, a.Body)
			}
		},
		"Programm": func(b *webtest.App, _ citizen.Person) {
			if a := b.JSON(http.MethodDelete, "/api/v1/me", nil, nil); a.Status >= 300 {
				t.Errorf("the API: %d %s", a.Status, a.Body)
			}
		},
		"Telefon": func(_ *webtest.App, p citizen.Person) {
			w.ok(w.Citizen.Delete(w.ctx, p.ID, "staff:test", "agent"))
			w.settle()
		},
	} {
		b, p := w.somebody(name)
		if a := b.Get("/appointments/at/leipzig"); a.Status != http.StatusOK {
			t.Fatalf("%s: the times: %d", name, a.Status)
		}
		seats := func() (rows, seats int64) {
			t.Helper()
			w.ok(w.env.Pool.QueryRow(w.ctx, `SELECT count(*) FROM waitingroom.pass WHERE room_id = 'appointments' AND released_at IS NULL AND expires_at > $1`,
				w.env.Now()).Scan(&rows))
			seats, err := w.env.Redis.ZCard(w.ctx, "wr:{appointments}:act").Result()
			w.ok(err)
			return rows, seats
		}
		if rows, inside := seats(); rows != 1 || inside != 1 {
			t.Errorf("%s: %d passes, %d inside", name, rows, inside)
		}
		end(b, p)
		if rows, inside := seats(); rows != 0 || inside != 0 {
			t.Errorf("%s: %d passes, %d inside after the registration", name, rows, inside)
		}
		w.settle() // what the worker does of it once more changes nothing
		if rows, inside := seats(); rows != 0 || inside != 0 {
			t.Errorf("%s: %d passes, %d inside in the end", name, rows, inside)
		}
	}
}

// What is left behind the room of booking is what the web has to offer.
func TestRoomTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Schmidt", GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1939, Month: 7, Day: 2}, Sex: citizen.SexFemale, Email: "schmidt@example.org", Lang: "de",
	})
	a, err := w.Booking.Availability(w.ctx)
	w.ok(err)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		w.ok(w.Rooms.Refresh(w.ctx))
		st, err := w.Rooms.State("appointments")
		w.ok(err)
		if st.Left != nil && a.Free() > 0 && *st.Left == int64(a.Free()) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left %v, free %d", st.Left, a.Free())
		}
	}
	if st, err := w.Rooms.State("registration"); err != nil || st.Left != nil {
		t.Errorf("registering has %v left, %v", st.Left, err)
	}
}
