package wiring

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/web/webtest"
)

// world is a whole portal in which somebody has registered and booked before
// the stranger comes.
type world struct {
	*Slices
	t      *testing.T
	ctx    context.Context
	worker *jobs.Worker
	app    *webtest.App // the stranger's browser
	known  citizen.Registered

	time atomic.Pointer[time.Time]

	flow, number, secret string // the stranger's
	steps                []step
	told                 int // how often the known contact heard of it
}

// step is something that the stranger did, and all that could be seen of it.
type step struct{ what, seen string }

// opening is the day on which booking opened: 11 January 2021, 14:00 in Berlin.
var opening = clock.At(time.Date(2021, 1, 11, 0, 0, 0, 0, time.UTC), 14, 0)

// newWorld makes a portal on the demo state with one person who has confirmed
// appointments.
func newWorld(t *testing.T, first citizen.Registration) *world {
	t.Helper()
	w := &world{t: t, ctx: context.Background()}
	w.time.Store(&opening)
	env := testEnv(t)
	env.Now = func() time.Time { return *w.time.Load() }
	s, err := Build(env)
	if err != nil {
		t.Fatal(err)
	}
	app, err := s.App()
	if err != nil {
		t.Fatal(err)
	}
	w.Slices, w.app = s, webtest.Wrap(t, app)
	w.worker = jobs.NewWorker(env.Pool, env.Redis, s.mux, nil, env.Now, slog.New(slog.DiscardHandler), 2)
	w.ok(s.Prepare(w.ctx))
	w.ok(s.Seed(w.ctx))
	w.ok(s.Booking.ReplanAll(w.ctx, "system", nil))
	w.settle()
	w.known, err = s.Citizen.Register(w.ctx, first, citizen.SessionKind)
	w.ok(err)
	held, err := s.Booking.Hold(w.ctx, booking.HoldRequest{PersonID: w.known.Person.ID, Channel: booking.Web, SlotIDs: w.offer(w.known.Person, 0), Key: id.New()})
	w.ok(err)
	_, err = s.Booking.Confirm(w.ctx, held.ID, w.known.Person.ID, "")
	w.ok(err)
	w.settle()
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// offer returns the slots of the n-th series that could be held in Leipzig.
func (w *world) offer(p citizen.Person, n int) []int64 {
	w.t.Helper()
	now := w.env.Now()
	days, err := w.Booking.Offers(w.ctx, w.env.Pool, booking.OfferQuery{Person: p, CentreID: "leipzig", Channel: booking.Web, From: now, To: now.AddDate(0, 0, 20)})
	w.ok(err)
	for _, d := range days {
		for _, x := range d.First {
			if c, ok := d.Choice(x.SlotID); ok {
				if n--; n < 0 {
					return c.SlotIDs()
				}
			}
		}
	}
	w.t.Fatal("nothing is free")
	return nil
}

// settle does what the background does: tasks, holds that are over, plans, and
// the picture of the free places.
func (w *world) settle() {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.worker.Run(ctx) }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var open int
		w.ok(w.env.Pool.QueryRow(w.ctx, `SELECT count(*) FROM jobs.outbox WHERE done_at IS NULL`).Scan(&open))
		if open == 0 {
			break
		}
		if time.Now().After(end) {
			w.t.Fatal("tasks are not done")
		}
	}
	stop()
	w.ok(<-done)
	_, err := w.Booking.ExpireHolds(w.ctx)
	w.ok(err)
	w.ok(w.Booking.Replan(w.ctx, "leipzig", "comirnaty"))
	_, err = w.Booking.RefreshAvailability(w.ctx)
	w.ok(err)
	w.ok(w.Rooms.Refresh(w.ctx))
}

// random is what is drawn anew for everybody.
var random = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`name="_csrf" value="[^"]*"`),
	regexp.MustCompile(`(?:Fehlernummer: |"reference":")[0-9A-Z]{4}-[0-9A-Z]{4}\b`), // of an error in the log
	regexp.MustCompile(`wr_p_[a-z]+=…; max-age=[0-9]+`),                             // the seconds go by
	regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){4}\b`),      // a secret sent on request
}

// clean takes out what is random or names this one registration.
func (w *world) clean(s string) string {
	w.t.Helper()
	pairs := []string{}
	add := func(what string, values ...string) {
		for _, v := range values {
			if v != "" {
				pairs = append(pairs, v, what)
			}
		}
	}
	add("FLOW", w.flow)
	add("NUMBER", w.number, strings.ReplaceAll(w.number, "-", ""))
	add("SECRET", w.secret, strings.ReplaceAll(w.secret, "-", ""))
	rows, err := w.env.Pool.Query(w.ctx, `SELECT reference FROM booking.series`)
	w.ok(err)
	refs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.ok(err)
	for _, r := range refs {
		add("REFERENCE", booking.PrintReference(r), r)
	}
	s = strings.NewReplacer(pairs...).Replace(s)
	for i, re := range random {
		s = re.ReplaceAllString(s, fmt.Sprintf("RANDOM%d", i))
	}
	return s
}

// show is an answer as text: status, headers and body, of a PDF what it says.
func (w *world) show(a webtest.Answer) string {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", a.Status)
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		switch name {
		case "Date", "Content-Length": // the length follows from the body, which is compared
			continue
		}
		for _, v := range a.Header[name] {
			if name == "Set-Cookie" {
				v = regexp.MustCompile(`^([^=]+)=[^;]*`).ReplaceAllString(v, "$1=…")
			}
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	body := a.Body
	if strings.HasPrefix(body, "%PDF") {
		body = w.pdfText(body)
	}
	return w.clean(b.String() + "\n" + body)
}

func (w *world) pdfText(body string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "x.pdf")
	w.ok(os.WriteFile(path, []byte(body), 0o600))
	out, err := exec.Command("pdftotext", "-layout", path, "-").Output()
	if err != nil {
		w.t.Fatalf("pdftotext (Debian: poppler-utils): %v", err)
	}
	return string(out)
}

// messages are all that have come to the stranger, with their attachments.
func (w *world) messages() (out []string) {
	w.t.Helper()
	type mail struct{ ID, Kind, Channel, To, Subject, Text, At string }
	var all []struct {
		mail
		Attachments []string
	}
	browser := w.app.Another()
	w.ok(json.Unmarshal([]byte(browser.Get("/dev/mailbox.json").Body), &all))
	for _, m := range all {
		if m.To != strangerMail && m.To != strangerPhone {
			continue
		}
		text := fmt.Sprintf("%+v", m.mail)
		for i := range m.Attachments {
			text += "\n" + w.show(browser.Get(fmt.Sprintf("/dev/mailbox/%s/files/%d", m.ID, i)))
		}
		out = append(out, w.clean(text))
	}
	slices.Sort(out)
	return out
}

// traces are what the stranger's doings have left in the database, by kind. What
// the known person has got of it is left out: that is meant to differ.
func (w *world) traces() string {
	w.t.Helper()
	var out string
	w.ok(w.env.Pool.QueryRow(w.ctx, `SELECT string_agg(x, E'\n' ORDER BY x) FROM (
		SELECT 'task ' || kind || ' ' || count(*) FROM jobs.outbox WHERE kind NOT LIKE 'notify.%' GROUP BY kind
		UNION ALL SELECT 'audit ' || action || ' ' || count(*) FROM audit.entry WHERE subject <> $1 GROUP BY action
		UNION ALL SELECT 'series ' || state || ' ' || count(*) FROM booking.series GROUP BY state
		UNION ALL SELECT 'places ' || sum(taken) FROM booking.place) t (x)`, citizen.Subject(w.known.Person.ID)).Scan(&out))
	return out
}

// note keeps what could be seen, for the comparison.
func (w *world) note(what, seen string) {
	w.steps = append(w.steps, step{fmt.Sprintf("%s %s", w.time.Load().Format("Jan 2 15:04"), what), seen})
}

// see notes an answer. Its status is asked for, so that the way is really gone:
// two refusals are alike as well.
func (w *world) see(status int, what string, a webtest.Answer) webtest.Answer {
	w.t.Helper()
	if a.Status != status {
		w.t.Fatalf("%s: %d, want %d: %.3000s", what, a.Status, status, a.Body[max(0, strings.Index(a.Body, "<main")):])
	}
	w.note(what, w.show(a))
	return a
}

func (w *world) get(status int, paths ...string) (last webtest.Answer) {
	w.t.Helper()
	for _, path := range paths {
		last = w.see(status, "GET "+w.clean(path), w.app.Get(path))
	}
	return last
}

func (w *world) post(status int, path string, kv ...string) webtest.Answer {
	w.t.Helper()
	return w.see(status, "POST "+w.clean(path), w.app.PostForm(path, kv...))
}

func (w *world) json(status int, method, path string, in, out any) {
	w.t.Helper()
	w.see(status, method+" "+w.clean(path), w.app.JSON(method, path, in, out))
}

// background runs and notes what came to the stranger of it.
func (w *world) background(messages int) {
	w.t.Helper()
	w.settle()
	all := w.messages()
	if len(all) != messages {
		w.t.Fatalf("%d messages to the stranger, want %d:\n%s", len(all), messages, strings.Join(all, "\n\n"))
	}
	w.note("messages", strings.Join(all, "\n\n"))
	w.note("traces", w.traces())
}

func (w *world) wait(d time.Duration) {
	later := w.time.Load().Add(d)
	w.time.Store(&later)
}

// back is the stranger coming back: another browser, the line, the login.
func (w *world) back() {
	w.t.Helper()
	w.settle()
	w.app = w.app.Another()
	w.enter()
	w.post(http.StatusSeeOther, "/login", "case_number", w.number, "secret", w.secret)
}

func (w *world) enter() {
	w.t.Helper()
	w.post(http.StatusSeeOther, "/rooms/registration/join")
	w.get(http.StatusOK, "/register")
}

// look visits all that the stranger can look at; appointments is the status of
// the page where times are chosen.
func (w *world) look(appointments, times int) {
	w.t.Helper()
	w.get(http.StatusOK, "/", "/my-case", "/my-data", "/my-data/contact", "/my-data/delete", "/certificates", "/api/v1/me", "/api/v1/appointments", "/api/v1/availability")
	w.post(http.StatusSeeOther, "/rooms/appointments/join")
	w.get(http.StatusOK, "/api/v1/appointments/offers?centre=leipzig", "/api/v1/appointments/offers?centre=leipzig&from=2021-01-12&to=2021-02-10")
	w.get(appointments, "/appointments")
	w.get(times, "/appointments/at/leipzig")
}

// field returns the value of a hidden input.
func (w *world) field(a webtest.Answer, name string) string {
	w.t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(a.Body)
	if m == nil {
		w.t.Fatalf("no %q in %.3000s", name, a.Body)
	}
	return m[1]
}

const (
	strangerMail  = "fremd@example.org"
	strangerPhone = "+4915123456789"
)

// register goes through the form.
func (w *world) register() {
	w.t.Helper()
	w.enter()
	a := w.app.PostForm("/register", "who", "self", "group", "covid-19/s2-age", "proof_ready", "1")
	w.flow = strings.Split(a.Location, "/")[2]
	w.see(http.StatusSeeOther, "POST /register", a)
	for i, kv := range [][]string{
		{"family_name", "MUELLER-Mustermann", "given_name", "erika", "birth_day", "14", "birth_month", "3", "birth_year", "1938", "sex", "female"},
		{"prior", "none"},
		{"phone", strangerPhone, "email", strangerMail, "street", "Weg 1", "postcode", "04109", "city", "Leipzig", "country", "DE", "lang", "de"},
	} {
		w.post(http.StatusSeeOther, fmt.Sprintf("/register/%s/%d", w.flow, i+2), kv...)
	}
	w.get(http.StatusOK, "/register/"+w.flow+"/5")
	a = w.app.PostForm("/register/" + w.flow + "/finish")
	done := w.app.Get("/register/" + w.flow + "/done")
	codes := regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{1,4}){2,4}`).FindAllString(done.Body, -1)
	if len(codes) < 2 {
		w.t.Fatalf("no login data: %d %s", done.Status, done.Body)
	}
	w.number, w.secret = codes[0], codes[1]
	w.see(http.StatusSeeOther, "finish", a)
	w.see(http.StatusOK, "login data", done)
	w.get(http.StatusOK, "/register/"+w.flow+"/login-data.pdf")
	w.post(http.StatusSeeOther, "/register/"+w.flow+"/done", "secret", w.secret)
	w.get(http.StatusGone, "/register/"+w.flow+"/done")
}

// strangersWay is everything that somebody does who names this person: today,
// tomorrow, and in ten days.
func (w *world) strangersWay() {
	w.register()
	w.look(http.StatusOK, http.StatusOK)
	w.get(http.StatusNotFound, "/appointments/at/nowhere")
	w.background(2)

	// Held over the API, looked at, given back.
	p := w.stranger()
	var held, again booking.SeriesOut
	hold := func(status int, n int, out *booking.SeriesOut) {
		w.t.Helper()
		w.json(status, http.MethodPost, "/api/v1/appointments/hold", booking.HoldIn{SlotIDs: w.offer(p, n), Key: fmt.Sprint("key ", len(w.steps))}, out)
	}
	hold(http.StatusOK, 0, &held)
	w.look(http.StatusSeeOther, http.StatusSeeOther)
	w.get(http.StatusOK, "/appointments/held")
	hold(http.StatusConflict, 3, nil)
	w.json(http.StatusOK, http.MethodPost, "/api/v1/appointments/"+held.ID+"/cancel", nil, nil)
	w.json(http.StatusGone, http.MethodPost, "/api/v1/appointments/"+held.ID+"/confirm", nil, nil)
	// Held, and the time ran out.
	hold(http.StatusOK, 0, &held)
	w.wait(11 * time.Minute)
	w.post(http.StatusGone, "/appointments/confirm", "series", held.ID)
	w.background(2)

	w.wait(25 * time.Hour)
	w.back()
	w.look(http.StatusOK, http.StatusOK)
	w.post(http.StatusOK, "/appointments/near", "postcode", "01067")
	days := regexp.MustCompile(`/appointments/at/leipzig\?day=[0-9-]+`).FindAllString(w.app.Get("/appointments/at/leipzig").Body, -1)
	times := w.get(http.StatusOK, days[len(days)-1])
	slots := regexp.MustCompile(`name="slots"[^>]* value="([0-9,]+)"`).FindStringSubmatch(times.Body)
	if slots == nil {
		w.t.Fatalf("nothing is free: %.3000s", times.Body)
	}
	w.post(http.StatusSeeOther, "/appointments/hold", "centre", "leipzig", "key", w.field(times, "key"), "slots", slots[1])
	page := w.get(http.StatusOK, "/appointments/held")
	w.get(http.StatusOK, "/my-case")
	w.post(http.StatusSeeOther, "/appointments/confirm", "series", w.field(page, "series"))
	w.get(http.StatusOK, "/appointments", "/my-case", "/my-data", "/appointments/confirmation.pdf", "/appointments/calendar.ics", "/appointments/cancel")
	w.background(4)
	w.post(http.StatusOK, "/login/lost", "family_name", "Müller-Mustermann", "given_name", "Erika", "birth_day", "14", "birth_month", "3", "birth_year", "1938")
	w.settle()
	w.note("messages", strings.Join(w.messages(), "\n\n"))
	w.post(http.StatusSeeOther, "/my-data/contact", "phone", strangerPhone, "email", strangerMail, "country", "DE", "lang", "de")

	w.wait(10 * 24 * time.Hour)
	w.back()
	w.look(http.StatusOK, http.StatusSeeOther)
	w.post(http.StatusConflict, "/my-data/delete", "sure", "1")
	page = w.get(http.StatusOK, "/appointments/cancel")
	w.post(http.StatusSeeOther, "/appointments/cancel", "series", w.field(page, "series"))
	w.look(http.StatusOK, http.StatusOK)
	hold(http.StatusOK, 1, &again)
	w.json(http.StatusOK, http.MethodPost, "/api/v1/appointments/"+again.ID+"/confirm", nil, nil)
	w.json(http.StatusConflict, http.MethodDelete, "/api/v1/me", nil, nil)
	w.json(http.StatusOK, http.MethodPost, "/api/v1/appointments/"+again.ID+"/cancel", nil, nil)
	w.post(http.StatusOK, "/my-data/delete", "sure", "1")
	w.get(http.StatusSeeOther, "/my-case", "/appointments")
	w.post(http.StatusUnprocessableEntity, "/login", "case_number", w.number, "secret", w.secret)
	w.settle()
	w.note("traces", w.traces())
	w.ok(w.env.Pool.QueryRow(w.ctx, `SELECT count(*) FROM notify.message WHERE kind = 'citizen.registered_twice'`).Scan(&w.told))
}

// stranger is the registration that the login data belongs to.
func (w *world) stranger() citizen.Person {
	w.t.Helper()
	list, err := w.Citizen.Search(w.ctx, w.env.Pool, citizen.SearchQuery{CaseNumber: w.number})
	w.ok(err)
	if len(list) != 1 {
		w.t.Fatalf("%d registrations with the case number", len(list))
	}
	return list[0]
}

// Two portals differ in one thing: in one of them, the person whom the stranger
// names is registered and has appointments. What the stranger gets is the same
// in both, to the last byte.
func TestNobodyLearnsThatSomebodyIsRegistered(t *testing.T) {
	t.Parallel()
	known := citizen.Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Mu\u0308ller-Mustermann", GivenName: "Erika",
		Birth: citizen.PartialDate{Year: 1938, Month: 3, Day: 14}, Sex: citizen.SexFemale, Email: "erika@example.org", Phone: "0170 1234567", Lang: "de",
	}
	other := known
	other.FamilyName, other.Birth = "Schmidt", citizen.PartialDate{Year: 1939, Month: 7, Day: 2}
	var a, b *world
	t.Run("worlds", func(t *testing.T) {
		t.Run("registered", func(t *testing.T) { t.Parallel(); a = newWorld(t, known); a.strangersWay() })
		t.Run("nobody", func(t *testing.T) { t.Parallel(); b = newWorld(t, other); b.strangersWay() })
	})
	if t.Failed() {
		return
	}
	if a.told != 2 || b.told != 0 { // by e-mail and SMS
		t.Fatalf("the known contact was told %d times, and %d times where nobody is known", a.told, b.told)
	}
	if len(a.steps) != len(b.steps) {
		t.Fatalf("%d and %d steps", len(a.steps), len(b.steps))
	}
	for i, s := range a.steps {
		if s != b.steps[i] {
			t.Errorf("step %d can be told apart: %s", i, difference(s, b.steps[i]))
		}
	}
	t.Logf("%d steps are alike", len(a.steps))
}

// difference is the first line in which two steps differ.
func difference(known, nobody step) string {
	if known.what != nobody.what {
		return known.what + " | " + nobody.what
	}
	a, b := strings.Split(known.seen, "\n"), strings.Split(nobody.seen, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%s, line %d: who names somebody who is registered gets\n%s\nothers get\n%s", known.what, i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%s: %d lines and %d", known.what, len(a), len(b))
}
