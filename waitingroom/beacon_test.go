package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"impfportal/waitingroom/draw"
)

// quicknet1000 is what the League of Entropy's servers answer for round 1000.
const quicknet1000 = `{"round":1000,"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",` +
	`"signature":"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"}`

func drandServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestFetchRound(t *testing.T) {
	t.Parallel()
	const name = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971/public/1000"
	good := drandServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+name {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, quicknet1000)
	})
	moved := drandServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, good+"/"+name, http.StatusFound) })
	mute := drandServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	bad := map[string]string{
		"refuses":             drandServer(t, text(http.StatusInternalServerError, quicknet1000)),
		"redirects":           moved,
		"says nothing":        drandServer(t, text(http.StatusOK, "")),
		"says no JSON":        drandServer(t, text(http.StatusOK, "<html>")),
		"says too much":       drandServer(t, text(http.StatusOK, quicknet1000+strings.Repeat(" ", drandAnswer))),
		"another round":       drandServer(t, text(http.StatusOK, strings.Replace(quicknet1000, "1000", "1001", 1))),
		"a changed signature": drandServer(t, text(http.StatusOK, strings.Replace(quicknet1000, "b44679", "b44678", 1))),
		"another's signature": drandServer(t, text(http.StatusOK, strings.Replace(quicknet1000, "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39", "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b", 1))),
		"never answers":       mute,
		"is not there":        "http://127.0.0.1:1",
	}
	const want = "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd"
	c := newConductor(DrawConfig{Drand: Drand{URLs: []string{good + "/"}}})
	if value, _, err := c.fetchRound(t.Context(), draw.Quicknet, name); err != nil || value != want {
		t.Errorf("%s, %v", value, err)
	}
	for what, address := range bad {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newConductor(DrawConfig{Drand: Drand{URLs: []string{address}}})
			c.http.Timeout = 200 * time.Millisecond
			if value, _, err := c.fetchRound(context.Background(), draw.Quicknet, name); err == nil || !errors.Is(err, errNoRound) {
				t.Errorf("alone: %q, %v", value, err)
			}
			c.drand.URLs = append(c.drand.URLs, good)
			if value, _, err := c.fetchRound(context.Background(), draw.Quicknet, name); err != nil || value != want {
				t.Errorf("before a good one: %q, %v", value, err)
			}
		})
	}
	for _, other := range []string{"", "x", strings.Replace(name, "52", "53", 1), name + "/../1"} {
		if _, _, err := c.fetchRound(context.Background(), draw.Quicknet, other); err == nil {
			t.Errorf("round %q", other)
		}
	}
}

func TestDrandConfiguration(t *testing.T) {
	t.Parallel()
	chain := draw.Quicknet
	chain.PublicKey = strings.Repeat("00", 96)
	for _, c := range []struct {
		drand Drand
		ok    bool
	}{
		{Drand{}, true},
		{Drand{URLs: []string{"https://api.drand.sh", "https://drand.cloudflare.com"}}, true},
		{Drand{URLs: []string{"api.drand.sh"}}, false},
		{Drand{URLs: []string{"ftp://api.drand.sh"}}, false},
		{Drand{Chain: draw.Quicknet}, true},
		{Drand{Chain: chain}, false},
		{Drand{Chain: draw.Chain{Hash: draw.Quicknet.Hash}}, false},
	} {
		if err := c.drand.Check(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.drand, err)
		}
	}
}

func TestNormalWord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"3, 12, 17, 25, 38, 44; Superzahl 7":   "3 12 17 25 38 44 superzahl 7",
		" 03  12-17/25 | 38 44 SUPERZAHL: 07 ": "3 12 17 25 38 44 superzahl 7",
		"０３ １２":                                "3 12",
		"000":                                  "0",
		"10 0 00 100":                          "10 0 0 100",
		"":                                     "",
		" ,;- ":                                "",
		"Straße\n1\x00 2":                      "straße 1 2",
	} {
		if got := NormalWord(in); got != want || NormalWord(got) != got || draw.CheckText(got) != nil {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

const (
	anna = "staff:anna"
	ben  = "staff:ben"
)

// closedLottery is a draw that waits for its lottery.
func closedLottery(t *testing.T) (*drawFixture, []Ticket) {
	t.Helper()
	f := setupDraw(t, 2)
	f.plan(t, LotteryBeacon)
	drawn := f.joins(t, 20)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	return f, drawn
}

func (f *drawFixture) value(t *testing.T, by, text string, want said) {
	t.Helper()
	if got, err := f.replicas[0].sayValue(context.Background(), by, "admin", room, text); err != nil || got != want {
		t.Errorf("%s says %q: %d, %v, want %d", by, text, got, err, want)
	}
}

func wantProblem(t *testing.T, err error, key string) {
	t.Helper()
	var p Problems
	if !errors.As(err, &p) || p[0].Key != "waitingroom.draw.error."+key {
		t.Errorf("%v, want %s", err, key)
	}
}

func TestLotteryByTwoAdministrators(t *testing.T) {
	t.Parallel()
	f, drawn := closedLottery(t)
	ctx := context.Background()
	s := f.replicas[0]
	_, err := s.sayValue(ctx, anna, "admin", room, "1 2 3 4 5 6")
	wantProblem(t, err, "early")
	f.pass(t, lotteryWait+time.Minute)
	for _, bad := range []string{"", " ", "sieben", strings.Repeat("1 ", 200)} {
		_, err := s.sayValue(ctx, anna, "admin", room, bad)
		wantProblem(t, err, "value")
	}
	f.value(t, anna, "3, 12, 17, 25, 38, 44, Superzahl 7", saidFirst)
	f.value(t, anna, "3, 12, 17, 25, 38, 44, Superzahl 7", saidFirst) // alone she stays
	f.refresh(t)
	f.phase(t, Drawing)
	f.value(t, ben, "3 12 17 25 38 45 Superzahl 7", saidDiffers)
	f.phase(t, Drawing)
	f.value(t, ben, "03 12 17 25 38 44 superzahl 7", saidDone)
	f.until(t, Open)
	p := f.drawnRight(t, drawn, nil)
	if a := p.Attempts[0]; *a.Value != "3 12 17 25 38 44 superzahl 7" || p.Trust != draw.TrustEntry || a.Name != "Lotto 6 aus 49 am Samstag" {
		t.Errorf("%+v", a)
	}
	_, err = s.sayValue(ctx, anna, "admin", room, "1 2 3")
	wantProblem(t, err, "not_drawing")
	if n := f.audits(t, "waitingroom.draw.word"); n != 4 {
		t.Errorf("%d words audited", n)
	}
}

// One person with two accounts is not two: an account that was made or renewed
// after the draw was committed has no say in it.
func TestTwoAccountsOfOnePerson(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	s := f.replicas[0]
	f.pass(t, time.Minute)
	committed := f.now()
	f.plan(t, LotteryBeacon)
	since := map[string]time.Time{anna: committed.Add(-time.Second), ben: committed.Add(5 * time.Minute)}
	s.staffSince = func(_ context.Context, actor string) (time.Time, error) {
		at, ok := since[actor]
		if !ok {
			return at, errors.New("no such account")
		}
		return at, nil
	}
	f.joins(t, 3)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	f.pass(t, lotteryWait+2*time.Hour)
	f.value(t, anna, "1 2 3", saidFirst)
	refused := func(by, key string) {
		t.Helper()
		_, err := s.sayValue(context.Background(), by, "admin", room, "1 2 3")
		wantProblem(t, err, key)
		_, err = s.sayFailed(context.Background(), by, "admin", room, LotteryBeacon, "Lotto", f.now().Add(time.Hour))
		wantProblem(t, err, key)
	}
	refused(ben, "account")
	since[anna] = f.now() // renewed by somebody else
	refused(anna, "account")
	if _, err := s.sayValue(context.Background(), "staff:nobody", "admin", room, "1 2 3"); err == nil {
		t.Error("an account that there is not")
	}

	// A second attempt does not make younger accounts old enough.
	s.staffSince = func(context.Context, string) (time.Time, error) { return committed.Add(-time.Hour), nil }
	for _, by := range []string{anna, ben} {
		if _, err := s.sayFailed(context.Background(), by, "admin", room, LotteryBeacon, "Lotto", f.now().Add(time.Hour).Truncate(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	f.pass(t, 4*time.Hour)
	s.staffSince = func(context.Context, string) (time.Time, error) { return committed.Add(time.Minute), nil }
	refused(ben, "account")
	s.staffSince = nil
	refused(ben, "account")
}

func TestLotteryDueIsSetBeforehand(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	f.plan(t, LotteryBeacon)
	s := f.replicas[0]
	opens := *s.rooms.Load().views[room].known.Load().Plan.OpensAt
	wantProblem(t, s.setDue(context.Background(), anna, "admin", room, opens.Add(-time.Minute)), "due")
	wantProblem(t, s.setDue(context.Background(), anna, "admin", room, opens.AddDate(1, 0, 0)), "due_far")
	wantProblem(t, s.setDue(context.Background(), anna, "admin", room, opens.AddDate(0, 0, 7).Add(time.Second)), "due_far")
	if err := s.setDue(context.Background(), anna, "admin", room, opens.AddDate(0, 0, 7)); err != nil {
		t.Error(err)
	}
	at := opens.Add(3 * time.Hour).Truncate(time.Second)
	if err := s.setDue(context.Background(), anna, "admin", room, at); err != nil {
		t.Fatal(err)
	}
	if got := f.published(t).Attempts[0].Due; got.Sub(at).Abs() > time.Second { // two clocks are read
		t.Errorf("due %s, want %s", got, at)
	}
}

// A beacon that does not come is given up by two administrators, not before an
// hour has passed, for a value that does not exist yet.
func TestBeaconDeclaredFailed(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 2)
	f.plan(t, DrandBeacon)
	drawn := f.joins(t, 20)
	ctx := context.Background()
	s := f.replicas[0]
	for _, r := range f.replicas {
		r.draws.drand.URLs = []string{"http://127.0.0.1:1"}
	}
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	first := f.published(t)
	f.pass(t, 59*time.Minute)
	v := s.rooms.Load().views[room]
	if late := v.drawing(v.known.Load().Epoch).now().late(f.now()); late < 58*time.Minute {
		t.Errorf("late by %s", late)
	}
	_, err := s.sayFailed(ctx, anna, "admin", room, DrandBeacon, "", time.Time{})
	wantProblem(t, err, "not_late")
	f.pass(t, 2*time.Minute)
	_, err = s.sayFailed(ctx, anna, "admin", room, LocalBeacon, "", time.Time{})
	wantProblem(t, err, "next")
	_, err = s.sayFailed(ctx, anna, "admin", room, LotteryBeacon, " ", f.now().Add(time.Hour))
	wantProblem(t, err, "name")
	_, err = s.sayFailed(ctx, anna, "admin", room, LotteryBeacon, "Lotto", f.now())
	wantProblem(t, err, "due")
	_, err = s.sayFailed(ctx, anna, "admin", room, LotteryBeacon, "Lotto", f.now().AddDate(1, 0, 0))
	wantProblem(t, err, "due_far_now")
	say := func(by string, next Beacon, name string, due time.Time, want said) {
		t.Helper()
		if got, err := s.sayFailed(ctx, by, "admin", room, next, name, due); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", by, got, err, want)
		}
	}
	due := f.now().Add(2 * time.Hour)
	say(anna, DrandBeacon, "", time.Time{}, saidFirst)
	say(ben, LotteryBeacon, "Lotto", due, saidDiffers)
	say(anna, LotteryBeacon, "Lotto", due.Add(time.Hour), saidDiffers)
	say(anna, LotteryBeacon, " Lotto ", due, saidDone)
	f.refresh(t)
	f.phase(t, Drawing)
	p := f.published(t)
	if len(p.Attempts) != 2 || p.Attempts[0].FailedWhy != draw.FailedDeclared || p.Attempts[0].Statement != first.Attempts[0].Statement ||
		p.Attempts[1].Beacon != draw.BeaconLottery || p.Attempts[1].Value != nil || p.Attempts[0].Seed != "" {
		t.Errorf("%+v", p.Attempts)
	}
	// The first value comes after all: it does not count any more.
	for _, r := range f.replicas {
		r.draws.drand.URLs = []string{f.drand.server.URL}
	}
	f.pass(t, time.Minute)
	f.phase(t, Drawing)
	f.pass(t, 3*time.Hour)
	f.value(t, anna, "1 2 3", saidFirst)
	f.value(t, ben, "1 2 3", saidDone)
	f.until(t, Open)
	p = f.drawnRight(t, drawn, nil)
	if p.Attempts[0].Seed == "" || p.Attempts[0].Value != nil || *p.Attempts[1].Value != "1 2 3" {
		t.Errorf("%+v", p.Attempts)
	}
}

// Two name drand again: the round is the next one after their agreement.
func TestBeaconReplacedByTheNextRound(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	f.plan(t, DrandBeacon)
	drawn := f.joins(t, 5)
	s := f.replicas[0]
	s.draws.drand.URLs = []string{"http://127.0.0.1:1"}
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	f.pass(t, 2*time.Hour)
	for _, by := range []string{anna, ben} {
		if _, err := s.sayFailed(context.Background(), by, "admin", room, DrandBeacon, "", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	s.draws.drand.URLs = []string{f.drand.server.URL}
	f.pass(t, beaconMargin+4*time.Second)
	f.until(t, Open)
	if p := f.drawnRight(t, drawn, nil); len(p.Attempts) != 2 || p.Attempts[1].Beacon != draw.BeaconDrand {
		t.Errorf("%+v", p.Attempts)
	}
}
