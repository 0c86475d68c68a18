package waitingroom

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/waitingroom/defence"
)

// fortress is two replicas behind a proxy that says who the client is.
type fortress struct {
	*fixture
	t    *testing.T
	apps []*webtest.App
}

func newFortress(t *testing.T, limits defence.Limits) *fortress {
	t.Helper()
	f := setup(t, 1)
	f.replicas = nil
	w := &fortress{fixture: f, t: t}
	for range 2 {
		s := New(Config{
			Pool: f.pool, Redis: f.rdb, Now: f.now, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler),
			Defence: Defence{Limits: limits, Work: defence.Work{Cost: 10, Most: 20}},
		})
		f.replicas = append(f.replicas, s)
		w.apps = append(w.apps, webtest.New(t, webtest.Config{
			Pool: f.pool, Now: f.now, Gate: s.Gate, Fast: s.MountFast, Bundles: []web.Bundle{Assets}, Routes: s.Routes(), TrustedProxies: []string{"0.0.0.0"},
		}))
	}
	f.refresh(t)
	return w
}

func (w *fortress) setChallenge(c Challenge) {
	w.t.Helper()
	if _, err := w.pool.Exec(context.Background(), `UPDATE waitingroom.room SET challenge = $2, version = version + 1 WHERE id = $1`, room, c); err != nil {
		w.t.Fatal(err)
	}
	w.refresh(w.t)
}

// visitor is a browser at one address.
type visitor struct {
	*webtest.App
	t    *testing.T
	addr string
}

func (w *fortress) visitor(replica int, addr string) *visitor {
	v := &visitor{w.apps[replica].Another(), w.t, addr}
	v.SetCookie("wr_key", NewKey())
	return v
}

func (v *visitor) do(method, path, contentType, body string, more ...string) webtest.Answer {
	v.t.Helper()
	h := map[string]string{"X-Real-Ip": v.addr}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return v.Do(method, path, contentType, strings.NewReader(body), h)
}

func (v *visitor) join(kv ...string) webtest.Answer {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	return v.do(http.MethodPost, "/rooms/"+room+"/join", "application/x-www-form-urlencoded", form.Encode())
}

func (v *visitor) challenge() (ch defence.Challenge) {
	v.t.Helper()
	a := v.do(http.MethodGet, "/rooms/"+room+"/challenge.json", "", "")
	if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
		v.t.Fatalf("challenge: %d %s", a.Status, a.Body)
	}
	if err := json.Unmarshal([]byte(a.Body), &ch); err != nil {
		v.t.Fatal(err)
	}
	return ch
}

// place returns the ticket in the browser; the zero one when there is none.
func (v *visitor) place() Place {
	t, err := NewSigner(testKeys...).Ticket(v.Cookie("wr_t_" + room))
	if err != nil {
		return Place{}
	}
	return t.Place
}

// solve computes as the widget does.
func solve(t testing.TB, ch defence.Challenge) string {
	t.Helper()
	p := ch.Parameters
	nonce, _ := hex.DecodeString(p.Nonce)
	salt, _ := hex.DecodeString(p.Salt)
	for n := range uint32(10_000) {
		key, err := pbkdf2.Key(sha256.New, string(binary.BigEndian.AppendUint32(nonce, n)), salt, p.Cost, p.KeyLength)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(hex.EncodeToString(key), p.KeyPrefix) {
			return answer(t, ch, n, hex.EncodeToString(key))
		}
	}
	t.Fatal("no solution")
	return ""
}

func answer(t testing.TB, ch defence.Challenge, counter uint32, key string) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"challenge": ch, "solution": map[string]any{"counter": counter, "derivedKey": key, "time": 1.5}})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestChallengeByHand(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	w.setChallenge(ChallengeOn)
	if st, err := w.replicas[0].State(room); err != nil || !st.Challenge {
		t.Errorf("the snapshot does not tell: %v, %v", st.Challenge, err)
	}

	// Without a proof: sent for one, with what is needed for it.
	v := w.visitor(0, "192.0.2.1")
	if a := v.join(); a.Status != http.StatusSeeOther || a.Location != "/rooms/registration?answer=proof" || v.place() != (Place{}) {
		t.Errorf("without proof: %d %s %+v", a.Status, a.Location, v.place())
	}
	mustContain(t, v.do(http.MethodGet, "/rooms/"+room+"?answer=proof", "", ""), http.StatusOK, `data-challenge="/rooms/registration/challenge.json"`, "Platz hinten in der Schlange nehmen", "0800 000 2021")
	// With one.
	v.join("altcha", solve(t, v.challenge()))
	if p := v.place(); p.Cohort != CohortLive || p.Index != 1 {
		t.Errorf("with proof: %+v", p)
	}
	// Whoever cannot compute says so and gets a place behind.
	late := w.visitor(1, "192.0.2.2")
	late.join("behind", "1")
	if p := late.place(); p.Cohort != CohortBehind || p.Index != 1 {
		t.Errorf("without JavaScript: %+v", p)
	}

	// The same as JSON.
	api := w.visitor(1, "198.51.100.1")
	path := "/api/v1/rooms/" + room + "/join"
	a := api.do(http.MethodPost, path, "", "", "Accept", "application/json")
	var problem web.ProblemJSON
	if err := json.Unmarshal([]byte(a.Body), &problem); err != nil || a.Status != http.StatusForbidden || !strings.HasSuffix(problem.Type, "waitingroom.defence.proof_needed") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	body, _ := json.Marshal(map[string]any{"altcha": solve(t, api.challenge())})
	if a := api.do(http.MethodPost, path, "application/json", string(body)); a.Status != http.StatusOK || api.place().Cohort != CohortLive {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	behind := w.visitor(0, "198.51.100.2")
	if a := behind.do(http.MethodPost, path, "application/json", `{"behind": true}`); a.Status != http.StatusOK || behind.place().Cohort != CohortBehind {
		t.Errorf("%d %s", a.Status, a.Body)
	}

	w.setChallenge(ChallengeOff)
	free := w.visitor(0, "192.0.2.3")
	if free.join(); free.place().Cohort != CohortLive || free.place().Index == 0 {
		t.Errorf("switched off: %+v", free.place())
	}
}

// Whatever an attacker presents: no place in the line for it.
func TestForgedSolutions(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	w.setChallenge(ChallengeOn)
	_, err := w.pool.Exec(context.Background(), `INSERT INTO waitingroom.room
		(id, name, groups, phase, rate_per_minute, active_bound, pass_seconds, grace_seconds, message, version, changed_at, challenge)
		SELECT 'other', name, '{}', phase, rate_per_minute, active_bound, pass_seconds, grace_seconds, message, 1, changed_at, 'on' FROM waitingroom.room WHERE id = $1`, room)
	if err == nil {
		_, err = w.pool.Exec(context.Background(), `INSERT INTO waitingroom.line (room_id) VALUES ('other')`)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.refresh(t)
	const home, elsewhere = "192.0.2.1", "192.0.3.1"
	v := w.visitor(0, home)

	var foreign defence.Challenge
	if err := json.Unmarshal([]byte(v.do(http.MethodGet, "/rooms/other/challenge.json", "", "").Body), &foreign); err != nil {
		t.Fatal(err)
	}
	altered := func(change func(*defence.Parameters)) string {
		ch := v.challenge()
		change(&ch.Parameters)
		return answer(t, ch, 1, ch.Parameters.KeyPrefix)
	}
	used := solve(t, v.challenge())
	if first := w.visitor(1, home); first.join("altcha", used).Status != http.StatusSeeOther || first.place().Cohort != CohortLive || first.place().Index == 0 {
		t.Fatalf("the first use does not count: %+v", first.place())
	}
	for name, text := range map[string]string{
		"replayed":                 used,
		"of another room":          solve(t, foreign),
		"of another network":       solve(t, w.visitor(0, elsewhere).challenge()),
		"unsolved":                 func() string { ch := v.challenge(); return answer(t, ch, 1<<31, ch.Parameters.KeyPrefix) }(),
		"less work":                altered(func(p *defence.Parameters) { p.Cost = 1 }),
		"no work":                  altered(func(p *defence.Parameters) { p.KeyPrefix = "" }),
		"longer":                   altered(func(p *defence.Parameters) { p.ExpiresAt += 1000 }),
		"negative cost":            altered(func(p *defence.Parameters) { p.Cost = -1 }),
		"rubbish":                  "rubbish",
		"the widget's test mode":   base64.StdEncoding.EncodeToString([]byte(`{"challenge":null,"solution":null,"test":true}`)),
		"huge":                     strings.Repeat("QUFB", 500_000),
		"server signature payload": base64.StdEncoding.EncodeToString([]byte(`{"algorithm":"SHA-256","verified":true,"verificationData":"verified=true","signature":""}`)),
	} {
		b := w.visitor(0, home)
		if a := b.join("altcha", text); a.Status != http.StatusSeeOther || b.place() != (Place{}) {
			t.Errorf("%s: %d %+v", name, a.Status, b.place())
		}
		if b.join("altcha", text, "behind", "1"); b.place().Cohort != CohortBehind {
			t.Errorf("%s and behind: %+v", name, b.place())
		}
	}

	// Too late.
	text := solve(t, v.challenge())
	w.shift.Add(int64(defence.ChallengeLife))
	if v.join("altcha", text); v.place() != (Place{}) {
		t.Errorf("expired: %+v", v.place())
	}
	if v.join("altcha", solve(t, v.challenge())); v.place().Cohort != CohortLive || v.place().Index == 0 {
		t.Errorf("a new one: %+v", v.place())
	}
}

// A wrong answer uses the challenge up: it cannot be tried on us for nothing.
func TestOneAttemptPerChallenge(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	w.setChallenge(ChallengeOn)
	v := w.visitor(0, "192.0.2.1")
	ch := v.challenge()
	v.join("altcha", answer(t, ch, 1<<31, ""))
	if v.join("altcha", solve(t, ch)); v.place() != (Place{}) {
		t.Errorf("%+v", v.place())
	}
}

// The same solution at two replicas at the same time: exactly one counts.
func TestSolutionCountsOnceOverReplicas(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	w.setChallenge(ChallengeOn)
	text := solve(t, w.visitor(0, "192.0.2.1").challenge())
	var places atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			v := w.visitor(i%2, "192.0.2.1")
			if v.join("altcha", text); v.place().Index > 0 {
				places.Add(1)
			}
		})
	}
	wg.Wait()
	if places.Load() != 1 {
		t.Errorf("%d places for one solution", places.Load())
	}
}

// A challenge of a line whose state was lost, and with it which challenges were
// used, is worthless.
func TestChallengesEndWithTheLine(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	w.setChallenge(ChallengeOn)
	v := w.visitor(0, "192.0.2.1")
	text := solve(t, v.challenge())
	v.join("altcha", text)
	if v.place().Index == 0 {
		t.Fatal("no place")
	}
	if err := w.rdb.FlushDB(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	w.refresh(t)
	w.refresh(t)
	if again := w.visitor(1, "192.0.2.1"); again.join("altcha", text).Status != http.StatusSeeOther || again.place() != (Place{}) {
		t.Errorf("used twice after the loss of Redis: %+v", again.place())
	}
}

func TestLimitsOfANetwork(t *testing.T) {
	t.Parallel()
	// So slow that a busy test machine gives nothing back meanwhile.
	w := newFortress(t, defence.Limits{Soft: 1, SoftBurst: 3, Hard: 3})
	standing := func(replica int, addr string) string {
		v := w.visitor(replica, addr)
		a := v.join()
		switch {
		case a.Status == http.StatusTooManyRequests:
			if a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "0800 000 2021") || !strings.Contains(a.Body, "Sie sind nicht gesperrt") {
				t.Errorf("an unkind 429: %v %s", a.Header, a.Body)
			}
			return "limited"
		case strings.HasSuffix(a.Location, "answer=proof"):
			return "proof"
		case v.place().Index > 0:
			return "free"
		}
		t.Fatalf("%d %s", a.Status, a.Location)
		return ""
	}
	count := func(n, replica int, addr func(i int) string) map[string]int {
		got := map[string]int{}
		for i := range n {
			got[standing(replica, addr(i))]++
		}
		return got
	}
	house := func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }
	if got := count(12, 0, house); got["free"] != 3 || got["proof"] != 6 || got["limited"] != 3 {
		t.Errorf("one network: %v", got)
	}
	if got := count(12, 0, func(i int) string { return fmt.Sprintf("203.0.%d.1", i) }); got["free"] != 12 {
		t.Errorf("twelve networks: %v", got)
	}
	// Proof does not help over the hard limit, and the page tells that a proof is wanted.
	v := w.visitor(0, house(1))
	if a := v.join("altcha", solve(t, v.challenge())); a.Status != http.StatusTooManyRequests {
		t.Errorf("%d", a.Status)
	}
	// The other replica knows a second later.
	w.refresh(t)
	standing(1, house(2))
	w.refresh(t)
	if got := standing(1, house(3)); got == "free" {
		t.Errorf("at the other replica: %s", got)
	}
	// Minutes later all is forgotten.
	w.pass(t, 10*time.Minute)
	if got := standing(0, house(4)); got != "free" {
		t.Errorf("later: %s", got)
	}
}

// What a client says about its address does not count unless the proxy says it.
func TestFakeAddressesChangeNothing(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{Soft: 1, SoftBurst: 1, Hard: 2})
	limited := 0
	for i := range 30 {
		v := w.visitor(0, "203.0.113.1")
		fake := fmt.Sprintf("192.0.%d.1", i)
		a := v.do(http.MethodPost, "/rooms/"+room+"/join", "application/x-www-form-urlencoded", "",
			"X-Forwarded-For", fake, "Forwarded", "for="+fake, "X-Client-Ip", fake, "True-Client-Ip", fake, "X-Real-Ip", fake+", 203.0.113.1")
		if a.Status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 27 {
		t.Errorf("%d of 30 limited", limited)
	}
}

func TestChallengeFetchesAreLimited(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{Soft: 1, SoftBurst: 1, Hard: 2})
	statuses := map[int]int{}
	for range 10 {
		statuses[w.visitor(0, "203.0.113.1").do(http.MethodGet, "/rooms/"+room+"/challenge.json", "", "").Status]++
	}
	if statuses[http.StatusOK] != 4 || statuses[http.StatusTooManyRequests] != 6 {
		t.Errorf("%v", statuses)
	}
	if a := w.visitor(0, "203.0.114.1").do(http.MethodGet, "/rooms/none/challenge.json", "", ""); a.Status != http.StatusNotFound {
		t.Errorf("no such room: %d", a.Status)
	}
}

func TestHugeBodies(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	w.setChallenge(ChallengeOn)
	big := strings.Repeat("x", 3<<20)
	for _, x := range []struct{ contentType, body string }{
		{"application/x-www-form-urlencoded", "altcha=" + big},
		{"application/json", `{"altcha":"` + big + `"}`},
		{"application/json", strings.Repeat("[", 1<<20)},
		{"text/plain", big},
	} {
		v := w.visitor(0, "192.0.2.1")
		if a := v.do(http.MethodPost, "/rooms/"+room+"/join", x.contentType, x.body); a.Status >= 500 || v.place() != (Place{}) {
			t.Errorf("%s: %d %+v", x.contentType, a.Status, v.place())
		}
	}
}

// A flood without keys from many networks switches the challenge on in all
// replicas by itself, once in the audit, and off again when it is over.
func TestFloodSwitchesTheChallengeOnAndOff(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{})
	for i := range 2 * defence.MinJoins {
		bot := w.apps[i%2].Another()
		(&visitor{bot, t, fmt.Sprintf("10.%d.%d.1", i/200, i%200)}).join()
	}
	w.refresh(t)
	w.pass(t, time.Second)
	w.pass(t, time.Second)
	for i, s := range w.replicas {
		if st, err := s.State(room); err != nil || !st.Challenge {
			t.Fatalf("replica %d does not challenge: %v", i, err)
		}
	}
	v := w.visitor(1, "192.0.2.1")
	if a := v.join(); !strings.HasSuffix(a.Location, "answer=proof") {
		t.Errorf("%d %s", a.Status, a.Location)
	}
	if v.join("altcha", solve(t, v.challenge())); v.place().Cohort != CohortLive || v.place().Index == 0 {
		t.Errorf("a person with proof: %+v", v.place())
	}
	admin := w.apps[0].Another()
	admin.LoginAs(web.User{Kind: "staff", ID: "0190a000-0000-7000-8000-000000000001", Roles: []web.Role{web.RoleAdmin}})
	var out DefenceOut
	admin.JSON(http.MethodGet, "/api/v1/rooms/"+room+"/defence", nil, &out)
	if !out.Machines || !out.Challenged || len(out.Because) != 1 || out.Because[0].Code != defence.Keyless || !strings.Contains(out.Because[0].Text, "Kennung") {
		t.Errorf("%+v", out)
	}
	for _, n := range out.Top {
		if p, err := netip.ParsePrefix(n.Network); err != nil || p.Bits() > 48 || p.Addr().Is4() && p.Bits() != 24 {
			t.Errorf("the administration sees %q", n.Network)
		}
	}
	audited := func(action string) (n int) {
		t.Helper()
		if err := w.pool.QueryRow(context.Background(), `SELECT count(*) FROM audit.entry WHERE action = $1 AND actor = 'system' AND subject = 'room:registration'`, action).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := audited("waitingroom.defence.machines"); n != 1 {
		t.Errorf("%d audit entries", n)
	}

	// Redis is emptied: nobody forgets, and nothing is noted twice.
	if err := w.rdb.FlushDB(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	w.pass(t, time.Second)
	w.pass(t, time.Second)
	if st, err := w.replicas[1].State(room); err != nil || !st.Challenge {
		t.Errorf("forgotten with Redis: %v", err)
	}

	// It stays on for five minutes after the flood has left the window.
	w.pass(t, 4*time.Minute)
	if st, _ := w.replicas[0].State(room); !st.Challenge {
		t.Error("off too early")
	}
	w.pass(t, 2*time.Minute)
	w.pass(t, time.Second)
	for i, s := range w.replicas {
		if st, _ := s.State(room); st.Challenge {
			t.Errorf("replica %d still challenges", i)
		}
	}
	if on, off := audited("waitingroom.defence.machines"), audited("waitingroom.defence.people"); on != 1 || off != 1 {
		t.Errorf("audited %d times on, %d times off", on, off)
	}
	var open int
	if err := w.pool.QueryRow(context.Background(), `SELECT count(*) FROM waitingroom.alarm WHERE ended_at IS NULL`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d alarms are open (%v)", open, err)
	}
}

// A join costs the same Redis commands as before.
func TestDefenceCostsNoCommandPerJoin(t *testing.T) {
	t.Parallel()
	w := newFortress(t, defence.Limits{Soft: 10_000, SoftBurst: 10_000})
	v := w.visitor(0, "192.0.2.1")
	v.do(http.MethodGet, "/rooms/"+room, "", "")
	count := &countCommands{}
	w.rdb.AddHook(count)
	for range 50 {
		w.visitor(0, "192.0.2.1").do(http.MethodPost, "/api/v1/rooms/"+room+"/join", "", "")
	}
	if n := count.n.Load(); n > 60 { // one for each join, and a round of the tick
		t.Errorf("%d Redis commands for 50 joins one after the other", n)
	}
}
