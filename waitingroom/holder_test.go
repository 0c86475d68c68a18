package waitingroom

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// loginRoom is the room in front of booking.
const loginRoom = appointmentsRoom

func person() web.User {
	return web.User{Kind: "citizen", ID: id.New(), Roles: []web.Role{web.RoleCitizen}}
}

// roomOf changes settings of a room and lets all replicas know.
func (f *fixture) edit(t *testing.T, roomID string, c Settings) Room {
	t.Helper()
	r, err := f.replicas[0].EditRoom(context.Background(), "staff:test", "admin", roomID, c)
	if err != nil {
		t.Fatalf("settings: %v", err)
	}
	f.refresh(t)
	return r
}

func (f *fixture) phase(t *testing.T, roomID string, p Phase) {
	t.Helper()
	if _, err := f.replicas[0].SetValve(context.Background(), "staff:test", "admin", roomID, Change{Phase: &p}); err != nil {
		t.Fatalf("valve: %v", err)
	}
	f.refresh(t)
}

func (f *fixture) joinAs(t *testing.T, s *Service, personID string) Ticket {
	t.Helper()
	ticket, _, err := s.joinAs(context.Background(), s.rooms.Load().views[loginRoom], personID)
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return ticket
}

func (f *fixture) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	if err := f.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// People join from several devices at once, over several replicas: each has one
// place, the same everywhere.
func TestOnePlacePerPerson(t *testing.T) {
	t.Parallel()
	f := setup(t, 3)
	const people, each = 20, 50
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got = map[string]map[Ticket]int{}
	)
	for range people {
		got[id.New()] = map[Ticket]int{}
	}
	for _, p := range slices.Collect(maps.Keys(got)) { // got changes meanwhile
		for i := range each {
			wg.Go(func() {
				s := f.replicas[i%3]
				ticket, inside, err := s.joinAs(context.Background(), s.rooms.Load().views[loginRoom], p)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || inside {
					t.Errorf("join: %v, inside %v", err, inside)
					return
				}
				got[p][ticket]++
			})
		}
	}
	wg.Wait()
	seen := map[int64]bool{}
	for p, tickets := range got {
		if len(tickets) != 1 {
			t.Errorf("a person has %d places: %v", len(tickets), tickets)
		}
		for ticket := range tickets {
			if seen[ticket.Index] || ticket.Key != HashPerson(p) || ticket.Cohort != CohortLive || ticket.Room != loginRoom {
				t.Errorf("place %+v", ticket)
			}
			seen[ticket.Index] = true
		}
	}
	if n := f.count(t, `SELECT count(*) FROM waitingroom.holder`); n != people {
		t.Errorf("%d rows of %d people", n, people)
	}
	f.refresh(t)
	st, err := f.replicas[0].State(loginRoom)
	if err != nil || st.Issued > 3*people {
		t.Errorf("%d numbers were given out for %d people, %v", st.Issued, people, err)
	}
	// A replica that was never there before knows them as well.
	late := f.replica()
	if err := late.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for p, tickets := range got {
		if ticket := f.joinAs(t, late, p); tickets[ticket] == 0 {
			t.Errorf("another place on another replica: %+v, not %v", ticket, tickets)
		}
		break
	}
}

// A place is used once; after it comes a new one, at the end of the line.
func TestPlaceAfterAStay(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	ctx, s := context.Background(), f.replicas[0]
	p := id.New()
	first := f.joinAs(t, s, p)
	pass := f.enter(t, s, first, Admitted)
	again, inside, err := s.joinAs(ctx, s.rooms.Load().views[loginRoom], p)
	if err != nil || !inside || again != first {
		t.Fatalf("on another device: %+v, inside %v, %v", again, inside, err)
	}
	if second := f.enter(t, f.replicas[1], again, Admitted); second != pass {
		t.Errorf("another pass on another device: %+v, not %+v", second, pass)
	}
	if n := f.liveRows(t); n != 1 {
		t.Errorf("%d seats", n)
	}
	if err := s.Release(ctx, pass.ID()); err != nil {
		t.Fatal(err)
	}
	next := f.joinAs(t, s, p)
	if next.Index <= first.Index {
		t.Errorf("after the stay: %d, before %d", next.Index, first.Index)
	}
	f.enter(t, s, first, Used)
	// A pass that has run out is no different.
	f.enter(t, s, next, Admitted)
	f.pass(t, 31*time.Minute)
	third := f.joinAs(t, s, p)
	if third.Index <= next.Index {
		t.Errorf("after the pass has run out: %d, before %d", third.Index, next.Index)
	}
	// A place that nobody used for a week is void, and so is the row.
	f.pass(t, TicketLife+time.Minute)
	if _, _, err := s.Enter(ctx, third); !errors.Is(err, ErrVoid) {
		t.Errorf("enter after a week: %v", err)
	}
	if fourth := f.joinAs(t, s, p); fourth.Index <= third.Index {
		t.Errorf("after a week: %d, before %d", fourth.Index, third.Index)
	}
	if n := f.count(t, `SELECT count(*) FROM waitingroom.holder`); n != 1 {
		t.Errorf("%d rows of one person", n)
	}
}

func TestLoginRoomBeforeTheDraw(t *testing.T) {
	t.Parallel()
	f := setup(t, 2)
	now := f.now()
	opens := now.Add(time.Hour)
	_, err := f.replicas[0].SetPlan(context.Background(), "staff:test", "admin", loginRoom, Plan{PreQueueFrom: &now, OpensAt: &opens}, Settings{Beacon: ptr(LocalBeacon)})
	if err != nil {
		t.Fatal(err)
	}
	f.pass(t, time.Second)
	p := id.New()
	ticket := f.joinAs(t, f.replicas[0], p)
	if ticket.Cohort != CohortDrawn {
		t.Errorf("cohort %d before the opening, want %d", ticket.Cohort, CohortDrawn)
	}
	if again := f.joinAs(t, f.replicas[1], p); again != ticket {
		t.Errorf("another lot for the same person: %+v, not %+v", again, ticket)
	}
	f.phase(t, loginRoom, Closed)
	if again := f.joinAs(t, f.replicas[1], p); again != ticket {
		t.Errorf("the place is lost with the closing: %+v", again)
	}
	v := f.replicas[0].rooms.Load().views[loginRoom]
	if _, _, err := f.replicas[0].joinAs(context.Background(), v, id.New()); !errors.Is(err, ErrNotTaking) {
		t.Errorf("a place in a closed room: %v", err)
	}
	if _, err := f.replicas[0].SetValve(context.Background(), "staff:test", "admin", loginRoom, Change{NewLine: true}); err != nil {
		t.Fatal(err)
	}
	f.refresh(t)
	f.phase(t, loginRoom, Open)
	if again := f.joinAs(t, f.replicas[0], p); again.Epoch != ticket.Epoch+1 && again.Epoch <= ticket.Epoch {
		t.Errorf("a new line, and the place of the old one: %+v", again)
	}
}

// loginSite is a portal with pages behind the room that demands login.
func loginSite(t *testing.T) *site {
	t.Helper()
	f := setup(t, 1)
	s := f.replicas[0]
	guarded := func(c *web.Ctx) error { return c.SendString("inside") }
	citizens := []web.Role{web.RoleCitizen}
	app := webtest.New(t, webtest.Config{
		Pool: f.pool, Now: f.now, Gate: s.Gate, Fast: s.MountFast, Bundles: []web.Bundle{Assets},
		Routes: append(s.Routes(),
			web.Route{Method: http.MethodGet, Path: "/register", Gate: "register", Handle: guarded},
			web.Route{Method: http.MethodGet, Path: "/times", Gate: "hold", Roles: citizens, Handle: guarded},
			web.Route{Method: http.MethodPost, Path: "/hold", Gate: "hold", CrossSite: true, Roles: citizens, Handle: func(c *web.Ctx) error {
				s.ExtendRequest(c, s.roomNow().Add(10*time.Minute))
				return c.SendString("held")
			}},
			web.Route{Method: http.MethodPost, Path: "/done", CrossSite: true, Roles: citizens, Handle: func(c *web.Ctx) error {
				s.ReleaseRequest(c)
				return c.SendString("done")
			}},
			web.Route{Method: http.MethodGet, Path: "/api/v1/times", Gate: "hold", Roles: citizens, API: web.JSON("Times", func(*web.Ctx, struct{}) (struct{}, error) { return struct{}{}, nil })},
		),
	})
	return &site{f, s, app}
}

// line makes somebody wait, so that nobody is let in on the way.
func (w *site) line(t *testing.T) {
	t.Helper()
	w.edit(t, loginRoom, Settings{Rate: ptr(60), Bound: ptr(1)})
	for range 6 {
		ticket := w.joinAs(t, w.s, id.New())
		if _, _, err := w.s.Enter(context.Background(), ticket); err != nil {
			t.Fatal(err)
		}
	}
	w.refresh(t)
	if st, err := w.s.State(loginRoom); err != nil || st.NoLine() {
		t.Fatalf("nobody waits: %+v, %v", st, err)
	}
}

func TestLoginComesFirst(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	const toLogin = "/login?to=%2Frooms%2Fappointments%3Fto%3D%252Ftimes"
	mustContain(t, w.app.Get("/rooms/appointments?to=/times"), http.StatusOK, `href="/login?to=%2Ftimes"`) // nobody waits
	w.line(t)
	others := w.count(t, `SELECT count(*) FROM waitingroom.holder`)
	mustContain(t, w.app.Get("/times"), http.StatusForbidden, "/rooms/appointments?to=%2Ftimes")
	page := w.app.Get("/rooms/appointments?to=/times")
	mustContain(t, page, http.StatusOK, "Bitte melden Sie sich zuerst an", `href="`+strings.ReplaceAll(toLogin, "+", "&#43;")+`"`)
	if strings.Contains(page.Body, `action="/rooms/appointments/join"`) {
		t.Error("a place is offered to somebody who is not logged in")
	}
	if a := w.app.PostForm("/rooms/appointments/join", "to", "/times"); a.Status != http.StatusSeeOther || a.Location != toLogin {
		t.Errorf("join without login: %d %s", a.Status, a.Location)
	}
	for _, path := range []string{"/api/v1/rooms/appointments/join", "/api/v1/rooms/appointments/enter"} {
		if a := w.app.JSON(http.MethodPost, path, nil, nil); a.Status != http.StatusUnauthorized || !strings.Contains(a.Body, "/login?to=") {
			t.Errorf("%s without login: %d %s", path, a.Status, a.Body)
		}
	}
	if n := w.count(t, `SELECT count(*) FROM waitingroom.holder`); n != others {
		t.Errorf("%d places, before %d", n, others)
	}
	// Staff are nobody there; a place would be of no use to them.
	staff := w.app.Another()
	staff.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "A", Roles: []web.Role{web.RoleAgent}})
	if a := staff.PostForm("/rooms/appointments/join"); !strings.HasPrefix(a.Location, "/login") {
		t.Errorf("staff joins: %d %s", a.Status, a.Location)
	}
	// But they need no pass where citizens register.
	mustContain(t, staff.Get("/register"), http.StatusOK, "inside")
	mustContain(t, w.app.Get("/register"), http.StatusForbidden)
}

func TestSecondDeviceAndStranger(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	w.line(t)
	me := person()
	w.app.LoginAs(me)
	if a := w.app.PostForm("/rooms/appointments/join", "to", "/times"); a.Location != "/rooms/appointments?to=%2Ftimes" {
		t.Fatalf("join: %d %s", a.Status, a.Location)
	}
	index := func(b *webtest.App) string {
		t.Helper()
		a := b.Get("/rooms/appointments")
		_, rest, ok := strings.Cut(a.Body, `data-index="`)
		if !ok {
			t.Fatalf("no place: %d %.2000s", a.Status, a.Body)
		}
		n, _, _ := strings.Cut(rest, `"`)
		return n
	}
	mine := index(w.app)
	logins := w.app.Cookie("sid")
	w.app.SetCookie("sid", "")
	mustContain(t, w.app.Get("/rooms/appointments"), http.StatusOK, "Er ist noch da")
	w.app.SetCookie("sid", logins)
	// A new device, which has no cookie but the login: the place is there at once.
	tablet := w.app.Another()
	tablet.LoginAs(me)
	if n := index(tablet); n != mine {
		t.Errorf("number %s on the tablet, %s on the phone", n, mine)
	}
	if a := tablet.PostForm("/rooms/appointments/join"); a.Status != http.StatusSeeOther || index(tablet) != mine {
		t.Error("joining on the tablet changes the place")
	}

	// What is copied is worth nothing: without login, and with another one.
	steal := func(cookies ...string) (thieves [2]*webtest.App) {
		for i := range thieves {
			thieves[i] = w.app.Another()
			if i == 1 {
				thieves[i].LoginAs(person())
			}
			for _, name := range cookies {
				thieves[i].SetCookie(name, w.app.Cookie(name))
			}
		}
		return thieves
	}
	for i, thief := range steal("wr_key", "wr_t_appointments") {
		if a := thief.PostForm("/rooms/appointments/enter"); a.Location != "/rooms/appointments" {
			t.Errorf("thief %d enters: %d %s", i, a.Status, a.Location)
		}
		if a := thief.Get("/rooms/appointments"); strings.Contains(a.Body, `data-index="`+mine+`"`) {
			t.Errorf("thief %d has the place", i)
		}
	}

	// Inside on one device, inside on the other.
	w.edit(t, loginRoom, Settings{Bound: ptr(100), Rate: ptr(6000)})
	w.pass(t, 5*time.Second)
	if a := w.app.PostForm("/rooms/appointments/enter", "to", "/times"); a.Location != "/times" {
		t.Fatalf("enter: %d %s", a.Status, a.Location)
	}
	mustContain(t, w.app.Get("/times"), http.StatusOK, "inside")
	for i, thief := range steal("wr_key", "wr_t_appointments", "wr_p_appointments") {
		if a := thief.PostForm("/hold"); a.Status != http.StatusForbidden {
			t.Errorf("thief %d is inside: %d", i, a.Status)
		}
	}
	seats := w.liveRows(t)
	w.phase(t, loginRoom, Paused)
	desktop := w.app.Another()
	desktop.LoginAs(me)
	mustContain(t, desktop.Get("/times"), http.StatusForbidden)
	if a := desktop.PostForm("/rooms/appointments/join", "to", "/times"); a.Location != "/times" {
		t.Errorf("on the desktop, in a room that is paused: %d %s", a.Status, a.Location)
	}
	mustContain(t, desktop.PostForm("/hold"), http.StatusOK, "held")
	if n := w.liveRows(t); n != seats {
		t.Errorf("%d seats, before %d", n, seats)
	}
	// Somebody who logs out leaves nothing behind for the next one at the device.
	next := person()
	desktop.LoginAs(next)
	if a := desktop.PostForm("/hold"); a.Status != http.StatusForbidden {
		t.Errorf("the next one at the device is inside: %d", a.Status)
	}
}

// A person who has more than one ticket has one place: the last.
func TestOldTicketFollowsThePlace(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	me := person()
	w.app.LoginAs(me)
	old := w.joinAs(t, w.s, me.ID)
	w.enter(t, w.s, old, Admitted)
	if err := w.s.Release(context.Background(), old.ID()); err != nil {
		t.Fatal(err)
	}
	now := w.joinAs(t, w.s, me.ID)
	w.app.SetCookie("wr_t_appointments", w.s.keys.SignTicket(old))
	var out EnterOut
	if a := w.app.JSON(http.MethodPost, "/api/v1/rooms/appointments/enter", nil, &out); a.Status != http.StatusOK || out.Verdict != Admitted {
		t.Fatalf("enter: %d %s", a.Status, a.Body)
	}
	if p, err := w.s.keys.Pass(w.app.Cookie("wr_p_appointments")); err != nil || p.Place != now.Place {
		t.Errorf("pass of %+v, want %+v, %v", p.Place, now.Place, err)
	}
	// The rows are lost, the ticket presents itself.
	other := person()
	w.app.LoginAs(other)
	ticket := w.joinAs(t, w.s, other.ID)
	w.app.SetCookie("wr_t_appointments", w.s.keys.SignTicket(ticket))
	w.count(t, `WITH gone AS (DELETE FROM waitingroom.holder RETURNING 1) SELECT count(*) FROM gone`)
	if a := w.app.JSON(http.MethodPost, "/api/v1/rooms/appointments/enter", nil, &out); a.Status != http.StatusOK || out.Verdict != Admitted {
		t.Fatalf("enter: %d %s", a.Status, a.Body)
	}
	if again, inside, err := w.s.joinAs(context.Background(), w.s.rooms.Load().views[loginRoom], other.ID); err != nil || !inside || again != ticket {
		t.Errorf("afterwards: %+v, inside %v, %v", again, inside, err)
	}
}

// While nobody waits a citizen opens the pages behind the room without one more
// click; whatever else comes without a pass is refused, and costs nothing.
func TestLetInOnTheWay(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	w.app.LoginAs(person())
	refused := func(what string, a webtest.Answer) {
		t.Helper()
		if a.Status != http.StatusForbidden || w.app.Cookie("wr_p_appointments") != "" {
			t.Errorf("%s: %d", what, a.Status)
		}
	}
	refused("a form", w.app.PostForm("/hold"))
	refused("the API", w.app.JSON(http.MethodGet, "/api/v1/times", nil, nil))
	refused("a browser that guesses", w.app.Do(http.MethodGet, "/times", "", nil, map[string]string{"Sec-Purpose": "prefetch;prerender"}))
	refused("JSON of a page", w.app.Do(http.MethodGet, "/times", "", nil, map[string]string{"Accept": "application/json"}))
	refused("a question for the head", w.app.Do(http.MethodHead, "/times", "", nil, nil))
	w.phase(t, loginRoom, Paused)
	refused("a pause", w.app.Get("/times"))
	w.phase(t, loginRoom, Open)
	if n := w.count(t, `SELECT count(*) FROM waitingroom.holder`); n != 0 {
		t.Errorf("refusals took %d places", n)
	}

	// The pass of registering is given back on the way.
	if a := w.app.PostForm("/rooms/registration/join"); a.Location != "/register" {
		t.Fatalf("registration: %d %s", a.Status, a.Location)
	}
	mustContain(t, w.app.Get("/times"), http.StatusOK, "inside")
	if w.app.Cookie("wr_p_appointments") == "" || w.app.Cookie("wr_t_appointments") == "" || w.app.Cookie("wr_p_registration") != "" {
		t.Error("the cookies are not those of somebody who is inside")
	}
	if n := w.count(t, `SELECT count(*) FROM waitingroom.pass WHERE released_at IS NULL AND room_id = 'registration'`); n != 0 {
		t.Errorf("%d seats for registering are still taken", n)
	}
	mustContain(t, w.app.PostForm("/hold"), http.StatusOK, "held")

	// Done: the seat is free, and the next look takes a new place.
	mustContain(t, w.app.PostForm("/done"), http.StatusOK)
	if n := w.liveRows(t); n != 0 || w.app.Cookie("wr_p_appointments") != "" {
		t.Errorf("%d seats are taken", n)
	}
	mustContain(t, w.app.Get("/times"), http.StatusOK, "inside")

	// Others wait: nobody gets past them, and nothing is asked of Postgres for it.
	w.line(t)
	other := w.app.Another()
	other.LoginAs(person())
	before := w.count(t, `SELECT count(*) FROM waitingroom.holder`)
	mustContain(t, other.Get("/times"), http.StatusForbidden, "/rooms/appointments?to=%2Ftimes")
	if n := w.count(t, `SELECT count(*) FROM waitingroom.holder`); n != before {
		t.Error("a refusal took a place")
	}
}

// A pass does not run out under somebody who holds something.
func TestPassIsKeptUnderAHold(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	w.edit(t, loginRoom, Settings{PassLength: ptr(time.Minute)})
	idle := w.app.Another()
	for _, b := range []*webtest.App{w.app, idle} {
		b.LoginAs(person())
		mustContain(t, b.Get("/times"), http.StatusOK, "inside")
	}
	mustContain(t, w.app.PostForm("/hold"), http.StatusOK, "held")
	seated := func(b *webtest.App) bool {
		t.Helper()
		w.refresh(t)
		a := b.PostForm("/hold") // a form: nobody is let in on the way
		if a.Status != http.StatusOK && a.Status != http.StatusForbidden {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return a.Status == http.StatusOK
	}
	w.pass(t, 5*time.Minute)
	if seated(idle) {
		t.Error("who held nothing is still inside after five minutes")
	}
	if !seated(w.app) { // and holds anew for ten minutes
		t.Error("who holds something is out after five minutes")
	}
	w.pass(t, 10*time.Minute+50*time.Second)
	mustContain(t, w.app.PostForm("/done"), http.StatusOK)
	if n := w.count(t, `SELECT count(*) FROM waitingroom.pass WHERE released_at IS NOT NULL`); n != 1 {
		t.Errorf("%d passes were given back", n)
	}
	w.app.SetCookie("wr_p_appointments", "")
	if seated(w.app) {
		t.Error("inside after giving the pass back")
	}
	// Without doing anything the pass ends a minute after the hold.
	mustContain(t, idle.Get("/times"), http.StatusOK, "inside")
	if !seated(idle) {
		t.Error("not inside")
	}
	w.pass(t, 11*time.Minute+time.Second)
	if seated(idle) {
		t.Error("the pass goes on after the hold")
	}
}

// Without Postgres nobody can be told which place is theirs: nobody gets one,
// and everybody is told in words.
func TestLoginRoomFailsClosed(t *testing.T) {
	t.Parallel()
	w := loginSite(t)
	w.app.LoginAs(person())
	w.s.postgresLost.Store(true)
	w.s.probing.Lock() // somebody is finding out, and it takes long
	defer w.s.probing.Unlock()
	if a := w.app.PostForm("/rooms/appointments/join"); a.Status != http.StatusServiceUnavailable || !strings.Contains(a.Body, "Platz") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	mustContain(t, w.app.Get("/times"), http.StatusForbidden)
}
