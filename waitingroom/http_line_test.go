package waitingroom

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/waitingroom/draw"
)

const linePath0 = "/rooms/registration"

var viewAttribute = regexp.MustCompile(`data-view="([^"]*)"`)

var missingText = regexp.MustCompile(`waitingroom\.[a-z]+[a-z_.]*`)

// shows fetches the waiting page and holds its view and what is visible on it.
func shows(t *testing.T, b *webtest.App, view string, parts ...string) string {
	t.Helper()
	a := b.Get(linePath0)
	mustContain(t, a, http.StatusOK, parts...)
	if m := viewAttribute.FindStringSubmatch(a.Body); m == nil || m[1] != view {
		t.Fatalf("view %v, want %s", m, view)
	}
	if missing := missingText.FindString(strings.ReplaceAll(a.Body, "waitingroom.js", "")); missing != "" {
		t.Errorf("%s: a text is missing: %s", view, missing)
	}
	return a.Body
}

// hidden reports whether the element with this id is hidden.
func hidden(t *testing.T, body, id string) bool {
	t.Helper()
	tag := regexp.MustCompile(`<[a-z0-9]+ [^>]*\bid="` + id + `"[^>]*>`).FindString(body)
	if tag == "" {
		t.Fatalf("no %s on the page", id)
	}
	return strings.Contains(tag, " hidden")
}

func TestPageThroughAnOpening(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Phase: ptr(Closed), Bound: ptr(1), Rate: ptr(60)})
	shows(t, w.app, "closed", "Zurzeit geschlossen")
	w.plan(t, 30*time.Minute, time.Hour, 3*time.Hour, Settings{Draw: ptr(true), Beacon: ptr(LocalBeacon)})
	early, late, english := w.app.Another(), w.app.Another(), w.app.Another()
	english.Lang = "en"
	opens := clockOf(w.s.roomNow().Add(time.Hour))
	body := shows(t, early, "scheduled", "Noch nicht geöffnet", opens, "macht keinen Unterschied", "Noch 60 Minuten.", "nicht abgestürzt")
	if !hidden(t, body, "wr-title") && strings.Contains(body, `data-live="true"`) {
		t.Error("somebody without a place follows the line")
	}
	shows(t, english, "scheduled", "Not open yet", "makes no difference", "60 minutes to go.")

	w.pass(t, 31*time.Minute)
	shows(t, early, "pre-queue", "Sie können jetzt teilnehmen", "Teilnehmen</span>")
	for _, b := range []*webtest.App{early, late, english} {
		b.Get(linePath0)
		if a := b.PostForm(linePath0 + "/join"); a.Location != linePath0 {
			t.Fatalf("join: %d %s", a.Status, a.Location)
		}
	}
	w.refresh(t)
	body = shows(t, early, "pre-queue", "Sie sind dabei", "Sie müssen nichts weiter tun", "3 Personen sind schon da", "Meinen Platz nachprüfen", "/rooms/registration/draw?epoch=2&amp;index=1", "Noch 29 Minuten.")
	for id, want := range map[string]bool{"wr-wait": true, "wr-turn": true, "wr-paused": true, "wr-trouble": true, "wr-message": true, "wr-overdue": true} {
		if hidden(t, body, id) != want {
			t.Errorf("%s: hidden %v", id, !want)
		}
	}
	if strings.Contains(body, "Ahead: 0") || !strings.Contains(body, `<title>Sie sind dabei`) {
		t.Error("title")
	}
	shows(t, english, "pre-queue", "You are in", "3 people are here already")

	// The moment has come; this replica has not taken the step yet.
	w.shift.Add(int64(29*time.Minute + 100*time.Millisecond))
	shows(t, late, "drawing", "Die Reihenfolge wird ausgelost", "Dies ist eine Übung")
	for range 3 {
		w.pass(t, time.Second)
	}
	turns, waits := 0, 0
	for _, b := range []*webtest.App{early, late, english} {
		m := viewAttribute.FindStringSubmatch(b.Get(linePath0).Body)
		switch m[1] {
		case "turn":
			turns++
		case "waiting":
			waits++
		default:
			t.Errorf("after the draw: %s", m[1])
		}
	}
	if turns != 1 || waits != 2 {
		t.Errorf("%d are called, %d wait", turns, waits)
	}
	newcomer := w.app.Another()
	newcomer.Get(linePath0)
	newcomer.PostForm(linePath0 + "/join")
	w.refresh(t)
	shows(t, newcomer, "waiting", "vor Ihnen – Warteschlange", "Der Einlass schließt", "Ihr Platz gilt bis")

	w.pass(t, 3*time.Hour)
	shows(t, newcomer, "shut", "Behalten Sie Ihre Nummer")
}

func clockOf(at time.Time) string { return at.In(clock.Berlin).Format("15:04") + " Uhr" }

func TestPlaceIsKept(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Phase: ptr(Paused)})
	b := w.app.Another()
	a := b.Get(linePath0)
	if b.Cookie(keyCookie) == "" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the first page gives no key, or may be stored: %v", a.Header)
	}
	key := b.Cookie(keyCookie)
	for range 3 { // a second tab, a double click, the Back button
		b.PostForm(linePath0 + "/join")
	}
	w.refresh(t)
	if st, _ := w.s.State(room); st.Issued != 1 || b.Cookie(keyCookie) != key {
		t.Errorf("%d places for one browser", st.Issued)
	}
	again := w.app.Another() // the tab was closed; the cookies are still there
	for _, name := range []string{keyCookie, ticketCookie + room} {
		again.SetCookie(name, b.Cookie(name))
	}
	shows(t, again, "waiting", `id="wr-place">1<`, "Der Einlass macht eine Pause", "Pause – Warteschlange")
	w.pass(t, TicketLife-23*time.Hour)
	shows(t, again, "waiting", "Ihr Platz läuft bald ab")
	w.pass(t, 23*time.Hour+time.Minute)
	shows(t, again, "paused", "Ihre Nummer gilt nicht mehr")

	// A browser that keeps no cookies is told so, instead of asking it for ever.
	none := w.app.Another()
	if a := none.PostForm(linePath0 + "/join"); a.Location != linePath0+"?answer=cookies" {
		t.Errorf("without cookies: %s", a.Location)
	}
	mustContain(t, w.app.Another().Get(linePath0+"?answer=cookies"), http.StatusOK, "merkt sich Ihren Platz nicht")
	none.Get(linePath0)
	if a := none.Get(linePath0 + "?answer=cookies"); strings.Contains(a.Body, "merkt sich") {
		t.Error("a browser with cookies is told that it has none")
	}
}

func TestTheLineEnds(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Phase: ptr(Paused)})
	b := w.app.Another()
	b.Get(linePath0)
	b.PostForm(linePath0 + "/join")
	for range 5 {
		w.join(t, w.s)
	}
	w.valve(t, Change{Phase: ptr(Open), Bound: ptr(1), Rate: ptr(1)})
	w.plan(t, time.Hour, 2*time.Hour, 0, Settings{EndLine: true, Bound: ptr(1)})
	body := shows(t, w.app.Another(), "join", "Diese Warteschlange endet heute um "+clockOf(w.s.roomNow().Add(time.Hour))) // told before joining, too
	if hidden(t, body, "wr-ends") {
		t.Error("it is hidden")
	}
	w.app.Get(linePath0)
	w.app.PostForm(linePath0 + "/join")
	mustContain(t, b.Get(linePath0), http.StatusOK, "Dann beginnt eine neue")
	w.pass(t, time.Hour+time.Second)
	shows(t, b, "pre-queue", "Ihre Nummer gilt nicht mehr")
}

// withTicket is a browser that holds a place.
func (w *site) withTicket(cohort, index int64) *webtest.App {
	b, key := w.app.Another(), NewKey()
	hash, _ := HashKey(key)
	b.SetCookie(keyCookie, key)
	b.SetCookie(ticketCookie+room, w.s.keys.SignTicket(Ticket{Place{room, 1, cohort, index}, w.s.roomNow().Truncate(time.Second), hash}))
	return b
}

func TestOtherPlaces(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Bound: ptr(1), Rate: ptr(60)})
	for range 3 {
		w.join(t, w.s)
	}
	w.refresh(t)
	behind, invited := w.withTicket(CohortBehind, 5), w.withTicket(CohortInvited, 1)
	body := shows(t, behind, "waiting", "Ihr Platz ist hinter der Reihe", "nicht gegen Sie gerichtet", "0800")
	if strings.Contains(body, "wr-place\"") {
		t.Error("a place behind has no place in the line")
	}
	shows(t, invited, "turn", "Die Hotline hat Sie angemeldet")
	w.valve(t, Change{Phase: ptr(Paused)})
	shows(t, invited, "waiting", "Sobald der Einlass läuft")
}

func TestTheDoorAnswers(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Bound: ptr(1), Rate: ptr(6000)})
	w.enter(t, w.s, w.join(t, w.s), Admitted)
	b := w.withTicket(CohortInvited, 1)
	if a := b.PostForm(linePath0 + "/enter"); a.Location != linePath0+"?answer=full" {
		t.Fatalf("full: %s", a.Location)
	}
	mustContain(t, b.Get(linePath0+"?answer=full"), http.StatusOK, "Drinnen ist gerade kein Platz frei", "wr-knock", "url=/rooms/registration?answer=full")
	var out EnterOut
	a := b.Do(http.MethodPost, linePath0+"/enter", "application/x-www-form-urlencoded", strings.NewReader("to=/register"), map[string]string{"Accept": "application/json"})
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil || out.Verdict != Full || out.AskAgain < 1 || out.AskAgain > 10 {
		t.Errorf("knock: %s, %v", a.Body, err)
	}
	if !isLate(State{Serving: 5000, Pace: Pace{Fast: 1000}}, 10, 2*time.Minute) || isLate(State{Serving: 500, Pace: Pace{Fast: 1000}}, 10, 2*time.Minute) {
		t.Error("late")
	}
}

func TestPlacesLeft(t *testing.T) {
	t.Parallel()
	german := tongue{"de", func(key string, args ...any) string { return texts.Say("de", key, args...) }}
	for _, c := range []struct {
		left  int64
		view  string
		ahead int64
		here  int64
		want  []string
	}{
		{1200, viewWaiting, 3400, 9000, []string{"1.200 Personen frei", "Vor Ihnen warten 3.400 Personen", "heute keiner mehr übrig"}},
		{1, viewWaiting, 1, 1, []string{"für 1 Person frei", "Vor Ihnen wartet 1 Person", "keiner mehr übrig"}},
		{5000, viewWaiting, 3400, 9000, []string{"reicht das auch für Sie"}},
		{0, viewWaiting, 0, 0, []string{"kein Termin frei", "laufend dazu"}},
		{500, viewPreQueue, 0, 900, []string{"900 Personen sind da", "Nicht alle werden heute einen bekommen"}},
		{900, viewDrawing, 0, 900, []string{"reicht das für alle"}},
	} {
		got := german.places(State{Left: &c.left}, c.view, c.ahead, c.here)
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%d left, %d ahead: %q lacks %q", c.left, c.ahead, got, part)
			}
		}
	}
	if got := german.places(State{}, viewWaiting, 5, 5); got != "" {
		t.Errorf("nobody knows: %q", got)
	}
}

func TestMomentsInWords(t *testing.T) {
	t.Parallel()
	say := func(lang string) tongue {
		return tongue{lang, func(key string, args ...any) string { return texts.Say(lang, key, args...) }}
	}
	now := time.Date(2021, 1, 11, 12, 0, 0, 0, time.UTC) // 13:00 in Berlin
	for at, want := range map[time.Time][2]string{
		now.Add(time.Hour):       {"heute um 14:00 Uhr", "today at 14:00"},
		now.Add(11 * time.Hour):  {"morgen um 00:00 Uhr", "tomorrow at 00:00"},
		now.Add(49 * time.Hour):  {"am Mittwoch, 13. Januar 2021, um 14:00 Uhr", "on Wednesday, 13 January 2021 at 14:00"},
		now.Add(-24 * time.Hour): {"am Sonntag, 10. Januar 2021, um 13:00 Uhr", "on Sunday, 10 January 2021 at 13:00"},
	} {
		if de, en := say("de").when(at, now), say("en").when(at, now); de != want[0] || en != want[1] {
			t.Errorf("%q, %q; want %q", de, en, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "Gleich geht es los.", 20 * time.Second: "Noch eine Minute.", 61 * time.Second: "Noch 2 Minuten.", 119 * time.Minute: "Noch 119 Minuten.",
		150 * time.Minute: "Noch etwa 3 Stunden.", 47 * time.Hour: "Noch etwa 47 Stunden.", 73 * time.Hour: "Noch etwa 3 Tage.",
	} {
		if got := say("de").countdown(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// TestSnapshotIsSmall fills the snapshot with all it can hold.
func TestSnapshotIsSmall(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	v := w.s.rooms.Load().views[room]
	text := func(s string) string { return string([]rune(strings.Repeat(s, 300))[:300]) }
	r := *v.known.Load()
	at := time.Date(2021, 1, 11, 13, 0, 0, 123456000, time.UTC)
	r.Draw, r.Plan, r.Version = true, Plan{&at, &at, &at}, r.Version+1
	r.Message = Text{
		"de": text("Wegen einer Störung bei der Post verschicken wir die Unterlagen später. Größere Gruppen melden sich bitte unter 0800 000 2021. "),
		"en": text("Because of a failure at the post office we send the papers later. Larger groups please call us on 0800 000 2021. "),
	}
	v.known.Store(&r)
	v.left.Store(ptr(int64(123_456)))
	v.lot.Store(&draw.Lot{Tickets: 987_654, LastIndex: 1_087_654, Gaps: [][2]int64{{100_000, 150_000}, {300_000, 330_000}, {700_000, 720_000}}})
	w.s.publish(v, &Figures{
		At: w.now(), Issued: 1_234_567, Serving: 234_567, Waiting: 998_877, Behind: 4_321, behindServing: 1_234, Pace: Pace{1234.5, 2345.6},
		gaps: []Gap{{987_655, 1_087_654}, {1_100_000, 1_110_000}, {1_150_000, 1_160_000}},
	})
	if n := len(v.snap.Load().Body()); n > 2048 {
		t.Errorf("%d bytes: %s", n, v.snap.Load().Body())
	}
}

func TestSnapshotHeaders(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	get := w.app.Get(linePath0 + "/state.json")
	head := w.app.Do(http.MethodHead, linePath0+"/state.json", "", nil, nil)
	for _, name := range []string{"Etag", "Cache-Control", "Vary", "Content-Type", "Content-Length"} {
		if head.Status != http.StatusOK || head.Header.Get(name) != get.Header.Get(name) {
			t.Errorf("HEAD %d, %s: %q, GET has %q", head.Status, name, head.Header.Get(name), get.Header.Get(name))
		}
	}
	if head.Body != "" || get.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("HEAD has a body, or Vary is %q", get.Header.Get("Vary"))
	}
	if a := w.app.Do(http.MethodHead, linePath0, "", nil, nil); a.Status != http.StatusOK || a.Body != "" {
		t.Errorf("HEAD of the page: %d", a.Status)
	}
}

// TestScriptDecidesTheSame lets the page's script and the server judge the same
// random moments.
func TestScriptDecidesTheSame(t *testing.T) {
	t.Parallel()
	type answer struct {
		Known    bool   `json:"known"`
		Position int64  `json:"position"`
		Ahead    int64  `json:"ahead"`
		Now      bool   `json:"now"`
		View     string `json:"view"`
		In       int64  `json:"in"`
		Late     bool   `json:"late"`
		Low      int    `json:"low"`
		High     int    `json:"high"`
	}
	type question struct {
		State  State   `json:"state"`
		Cohort int64   `json:"cohort"`
		Index  int64   `json:"index"`
		Now    int64   `json:"now"`
		Luck   float64 `json:"luck"`
		Grace  float64 `json:"grace"`
		Want   answer  `json:"want"`
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	n := func(below int64) int64 { return rnd.Int64N(below) }
	zero := time.UnixMilli(1_610_000_000_000).UTC()
	moment := func() *time.Time {
		if n(3) == 0 {
			return nil
		}
		return ptr(zero.Add(time.Duration(n(7200)-3600) * time.Second))
	}
	s := &Service{}
	var questions []question
	for range 2000 {
		v := &view{}
		tickets := 1 + n(5000)
		lot := &draw.Lot{Tickets: tickets, LastIndex: tickets}
		rnd2 := [32]byte{byte(n(4))}
		lot.Key = rnd2
		phases := []Phase{Scheduled, PreQueue, Drawing, Open, Paused, Closed}
		st := State{
			Phase: phases[n(6)], Trouble: n(8) == 0, Serving: n(6000), Issued: 10_000, Waiting: n(6000), Gaps: [][2]int64{}, BehindServing: n(20),
			Pace: []Pace{{0, 0}, {1, 2}, {300, 600}, {0.01, 3000}}[n(4)], PreQueueFrom: moment(), OpensAt: moment(),
		}
		if n(2) == 0 {
			st.Gaps = [][2]int64{{tickets + 1, tickets + 50}, {8000, 8100}}
		}
		switch n(3) {
		case 0:
			st.Draw = &DrawState{BeaconDue: moment()}
		case 1:
			v.lot.Store(lot)
			st.Draw = v.drawState(&Room{})
		}
		st.Poll = AdvicePolls(st.Phase, []int64{5, 50_000, 1_000_000}[n(3)])
		q := question{State: st, Cohort: n(4), Index: 1 + n(10_000), Now: zero.UnixMilli(), Luck: rnd.Float64(), Grace: float64(30 + n(300))}
		if q.Cohort == CohortDrawn {
			q.Index = 1 + n(tickets)
		}
		turn := s.turnOf(v, st, Place{Cohort: q.Cohort, Index: q.Index})
		e := EstimateFor(turn.Ahead, st.Pace)
		q.Want = answer{
			turn.Known, turn.Position, turn.Ahead, turn.Now, viewOf(st, turn, true, zero), st.PollIn(turn.Known, turn.Ahead, zero, q.Luck).Milliseconds(),
			isLate(st, turn.Position, time.Duration(q.Grace)*time.Second), e.Low, e.High,
		}
		questions = append(questions, q)
	}
	body, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/line.mjs", "../web/static/draw.js", "../web/static/waitingroom.js")
	cmd.Stdin = bytes.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out[:min(len(out), 2000)])
	}
}

// TestPageOfAFullRoom looks at a room in which nobody waits and nobody can come in.
func TestPageOfAFullRoom(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Bound: ptr(1), Rate: ptr(6000)})
	body := shows(t, w.app.Another(), "free", "Sie müssen nicht warten")
	if strings.Contains(body, "gleiche Chance") {
		t.Error("an open room speaks of the draw")
	}
	w.enter(t, w.s, w.join(t, w.s), Admitted)
	w.refresh(t)
	if st, _ := w.s.State(room); !st.Full || st.Waiting != 0 || st.NoLine() {
		t.Errorf("full %v, %d wait", st.Full, st.Waiting)
	}
	body = shows(t, w.app.Another(), "join", "Drinnen ist gerade alles besetzt", "Platz in der Schlange nehmen")
	if strings.Contains(body, "Sie müssen nicht warten") || strings.Contains(body, "sofort hinein") {
		t.Error("newcomers are told that they need not wait")
	}
}

// TestPageOfALineThatStands looks at a pause, an end and a new line with the eyes
// of those who had been called and those who had not.
func TestPageOfALineThatStands(t *testing.T) {
	t.Parallel()
	w := newSite(t)
	w.valve(t, Change{Bound: ptr(1), Rate: ptr(6000)})
	for range 3 {
		w.join(t, w.s)
	}
	w.refresh(t)
	st, _ := w.s.State(room)
	calledOne, nextOne := w.withTicket(CohortLive, 1), w.withTicket(CohortLive, st.Serving+1)
	shows(t, calledOne, "turn")
	if body := shows(t, nextOne, "waiting", "<title>Gleich an der Reihe"); hidden(t, body, "wr-next") || !hidden(t, body, "wr-called") {
		t.Error("who is next is not told so")
	}
	w.valve(t, Change{Phase: ptr(Paused), Message: Text{"de": "Wir machen Mittag."}})
	if body := shows(t, calledOne, "waiting", "Nach der Pause geht es für Sie gleich weiter"); hidden(t, body, "wr-called") || !hidden(t, body, "wr-next") || !hidden(t, body, "wr-ahead-box") {
		t.Error("who was called is not told so in the pause")
	}
	if body := shows(t, nextOne, "waiting", "<title>Pause"); !hidden(t, body, "wr-called") || !hidden(t, body, "wr-next") || hidden(t, body, "wr-ahead-box") {
		t.Error("who was next is told something else in the pause")
	}
	english := w.app.Another()
	english.Lang = "en"
	mustContain(t, english.Get(linePath0), http.StatusOK, `id="wr-message-text" lang="de">Wir machen Mittag.`)
	if text, in := notice(Text{"en": "Lunch."}, "de"); text != "Lunch." || in != "en" {
		t.Errorf("a notice in English only: %q in %s", text, in)
	}

	w.valve(t, Change{Phase: ptr(Closed)})
	body := shows(t, nextOne, "shut", "Behalten Sie Ihre Nummer", "Es ist nicht abgestürzt", `id="wr-kept">`+web.FormatNumber("de", st.Serving+1)+"<")
	if strings.Count(body, "Zurzeit geschlossen") != 1 || !regexp.MustCompile(`data-on="shut" class="stack" +aria`).MatchString(body) {
		t.Error("the end is told twice, or not at all")
	}
	w.plan(t, time.Minute, time.Hour, 0, Settings{EndLine: true})
	w.pass(t, time.Minute+time.Second)
	shows(t, nextOne, "pre-queue", "Ihre Nummer gilt nicht mehr", "<title>Bitte neue Nummer nehmen")
}

func TestStartCardKnowsThePlace(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	s := f.replicas[0]
	app := webtest.New(t, webtest.Config{
		Pool: f.pool, Now: f.now, Bundles: []web.Bundle{Assets},
		Routes: []web.Route{{Method: http.MethodGet, Path: "/cards", Handle: func(c *web.Ctx) error {
			cards, err := c.Cards([]web.Card{s.StartCard()})
			if err != nil {
				return err
			}
			return c.SendString(string(cards[0]))
		}}},
	})
	s.ensure(t.Context())
	key := NewKey()
	hash, _ := HashKey(key)
	app.SetCookie(ticketCookie+room, s.keys.SignTicket(Ticket{Place{room, 1, CohortLive, 1}, s.roomNow().Truncate(time.Second), hash}))
	if a := app.Get("/cards"); a.Status != http.StatusOK || strings.Contains(a.Body, "schon einen Platz") {
		t.Errorf("a ticket without its key counts: %s", a.Body)
	}
	app.SetCookie(keyCookie, key)
	mustContain(t, app.Get("/cards"), http.StatusOK, "Sie haben schon einen Platz", "Zu meinem Platz")
	app.SetCookie(passCookie+room, s.keys.SignPass(Pass{Place: Place{room, 1, CohortLive, 1}, Expires: s.roomNow().Add(time.Minute).Truncate(time.Second), Key: hash}))
	if a := app.Get("/cards"); !strings.Contains(a.Body, "Sie sind drinnen") || strings.Contains(a.Body, "schon einen Platz") {
		t.Errorf("inside: %s", a.Body)
	}
}
