package stop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/dualcontrol/dualcontroltest"
)

var start = time.Date(2021, 7, 21, 14, 0, 0, 0, time.UTC)

// bench is the switch with two approvers and made-up issuers.
type bench struct {
	*stop.Service
	t      testing.TB
	pool   *pgxpool.Pool
	desk   *dualcontroltest.Desk
	mu     sync.Mutex
	now    time.Time
	leaves []translog.Leaf
	bad    map[string]string // who does not pass the verification
	told   []string
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) Append(_ context.Context, _ pgx.Tx, _ string, l translog.Leaf) error {
	if _, err := l.Encode(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaves = append(b.leaves, l)
	return nil
}

func (b *bench) Pseudonym(_, _ string) string { return strings.Repeat("0", 32) }

const pharmacies = 60

func (b *bench) issuers(context.Context, pg.Querier) (out []stop.Issuer, _ error) {
	out = append(out, stop.Issuer{Ref: "centre:leipzig", Kind: "centre", Region: "04"})
	for i := range pharmacies {
		out = append(out, stop.Issuer{Ref: ref(i), Kind: "pharmacy", Region: []string{"01", "04"}[i%2]})
	}
	return out, nil
}

func ref(i int) string { return fmt.Sprintf("issuer:%02d", i) }

func setup(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, pool: pgtest.New(t), now: start, bad: map[string]string{}}
	b.desk = dualcontroltest.New(t, b.pool, redistest.New(t), b.clock)
	b.Service = b.service(b.pool, b.desk.Service)
	return b
}

// service is the switch of one process.
func (b *bench) service(pool *pgxpool.Pool, dual *dualcontrol.Service) *stop.Service {
	return stop.New(stop.Config{
		Pool: pool, Now: b.clock, Log: b, Dual: dual, Issuers: b.issuers,
		Signers: func(*web.Ctx) []web.Option { return nil },
		Verify: func(_ context.Context, _ pg.Querier, refs []string) (map[string]string, error) {
			out := map[string]string{}
			for _, r := range refs {
				if why := b.bad[r]; why != "" {
					out[r] = why
				}
			}
			return out, nil
		},
		Lifted: func(_ context.Context, _ pgx.Tx, refs []string) error { b.told = append(b.told, refs...); return nil },
	})
}

func order(s stop.Scope) stop.Order {
	return stop.Order{Scope: s, ReasonDE: "Wir prüfen.", ReasonEN: "We check.", Internal: "test", Actor: "staff:" + id.New(), Role: "admin"}
}

func (b *bench) order(s stop.Scope) string {
	b.t.Helper()
	stopID, err := b.Order(b.t.Context(), order(s))
	if err != nil {
		b.t.Fatal(err)
	}
	return stopID
}

func (b *bench) check(c stop.Subject) error {
	b.t.Helper()
	return pg.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error { return b.Check(b.t.Context(), tx, c) })
}

func (b *bench) approve(proposalID string, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.desk.ApproveByTwo(proposalID); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) state(stopID string) string {
	b.t.Helper()
	s, err := stop.Get(b.t.Context(), b.pool, stopID)
	if err != nil {
		b.t.Fatal(err)
	}
	return s.State
}

var (
	centre   = stop.Subject{IssuerRef: "centre:leipzig", IssuerKind: "centre", Path: "site", Region: "04", KID: []byte("sites-01")}
	pharmacy = stop.Subject{IssuerRef: ref(1), IssuerKind: "pharmacy", Path: "card", Region: "04", KID: []byte("pharm-01")}
)

func TestScopes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		scope            stop.Scope
		centre, pharmacy bool // stopped
	}{
		"all":                {stop.Scope{}, true, true},
		"kind":               {stop.Scope{Kind: "pharmacy"}, false, true},
		"path":               {stop.Scope{Path: "card"}, false, true},
		"region":             {stop.Scope{Region: "04"}, true, true},
		"another region":     {stop.Scope{Region: "01"}, false, false},
		"signer":             {stop.Scope{KID: fmt.Sprintf("%x", "sites-01")}, true, false},
		"kind in a region":   {stop.Scope{Kind: "centre", Region: "04"}, true, false},
		"kind on a path":     {stop.Scope{Kind: "pharmacy", Path: "web"}, false, false},
		"kind, path, region": {stop.Scope{Kind: "pharmacy", Path: "card", Region: "04"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := errors.Join(b.check(centre), b.check(pharmacy)); err != nil {
				t.Fatal(err)
			}
			b.order(c.scope)
			for s, want := range map[*stop.Subject]bool{&centre: c.centre, &pharmacy: c.pharmacy} {
				if err := b.check(*s); errors.Is(err, stop.ErrStopped) != want || err != nil && !want {
					t.Errorf("%s: %v", s.IssuerRef, err)
				}
			}
			if len(b.leaves) != 1 || b.leaves[0].Kind != translog.KindStop {
				t.Errorf("leaves %+v", b.leaves)
			}
		})
	}
}

// When Order has returned, nobody signs any more, in whatever process: it waits
// for those that are at it, and those who come later wait for it.
func TestOrderWaitsForSignatures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other, err := pgxpool.New(t.Context(), b.pool.Config().ConnString()) // another process
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	second := b.service(other, dualcontrol.New(dualcontrol.Config{Pool: other, Keys: b.desk.Keys, Now: b.clock}))
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Check(t.Context(), tx, pharmacy); err != nil {
		t.Fatal(err)
	}
	ordered := make(chan error, 1)
	go func() {
		_, err := second.Order(context.WithoutCancel(t.Context()), order(stop.Scope{Kind: "pharmacy"}))
		ordered <- err
	}()
	// The order waits for the signature that is under way.
	var waits bool
	for !waits {
		if err := b.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() WHERE locktype = 'advisory' AND NOT granted)`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-ordered:
		t.Fatalf("ordered over a signature: %v", err)
	default:
	}
	late := make(chan error, 1)
	go func() { late <- b.check(pharmacy) }() // comes while the order waits
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ordered; err != nil {
		t.Fatal(err)
	}
	if err := <-late; err != nil && !errors.Is(err, stop.ErrStopped) {
		t.Error(err)
	}
	if err := b.check(pharmacy); !errors.Is(err, stop.ErrStopped) {
		t.Errorf("signs after the order: %v", err)
	}
	if err := b.check(centre); err != nil {
		t.Errorf("who is not in the scope: %v", err)
	}
}

// A signer that hangs in the middle of a signature keeps nobody from stopping: the
// order counts for all others from its commit on, and says what is under way.
func TestOrderOverASignerThatHangs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if err := b.Check(t.Context(), tx, pharmacy); err != nil {
		t.Fatal(err)
	}
	stopID, err := b.Order(t.Context(), order(stop.Scope{Kind: "pharmacy"}))
	if !errors.Is(err, stop.ErrUnderWay) || stopID == "" {
		t.Fatalf("%q, %v", stopID, err)
	}
	if err := b.check(pharmacy); !errors.Is(err, stop.ErrStopped) {
		t.Errorf("signs beside the hanging one: %v", err)
	}
	if b.state(stopID) != stop.Stopped {
		t.Error("there is no stop")
	}
}

// The way back takes two people; no statement of the program does it without.
func TestBackGoTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stopID := b.order(stop.Scope{Kind: "pharmacy"})
	for what, sql := range map[string]string{
		"stop_two":    `UPDATE certificate.stop SET state = 'lifted', lifted_at = now(), lifted_by = gen_random_uuid()`,
		"stop_two ":   `UPDATE certificate.stop SET state = 'returning'`,
		"stop_keep":   `DELETE FROM certificate.stop`,
		"stop_keep ":  `UPDATE certificate.stop SET kind = 'practice'`,
		"stop_begins": `INSERT INTO certificate.stop SELECT gen_random_uuid(), kind, path, region, kid, 'returning', reason_de, reason_en, internal, expected, since, ordered_by, budget, lifted_at, lifted_by, changed_at FROM certificate.stop`,
	} {
		if _, err := b.pool.Exec(t.Context(), sql); !pg.Violates(err, strings.TrimSpace(what)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	proposalID, err := b.ProposeLift(t.Context(), stopID, "mended", b.desk.Approvers[0].AccountID)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.desk.ApproveBy(b.desk.Approvers[0], proposalID); err != nil {
		t.Fatal(err)
	}
	if b.state(stopID) != stop.Stopped || !errors.Is(b.check(pharmacy), stop.ErrStopped) {
		t.Error("one person ended a stop")
	}
	if err := b.desk.ApproveBy(b.desk.Approvers[1], proposalID); err != nil {
		t.Fatal(err)
	}
	if b.state(stopID) != stop.Lifted || b.check(pharmacy) != nil {
		t.Error("not lifted")
	}
	if len(b.told) != pharmacies {
		t.Errorf("%d issuers were told", len(b.told))
	}
	if _, err := b.ProposeLift(t.Context(), stopID, "again", b.desk.Approvers[0].AccountID); !errors.Is(err, stop.ErrState) {
		t.Errorf("lifted twice: %v", err)
	}
}

// Cohorts return one after the other, each after its verification.
func TestReturnInCohorts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stopID := b.order(stop.Scope{Kind: "pharmacy"})
	b.pass(time.Hour)
	b.approve(b.ProposeReturn(t.Context(), stopID, stop.Plan{Shares: []int{5, 20}, Budget: 10}, "mended", b.desk.Approvers[0].AccountID))
	cohorts, err := stop.Cohorts(t.Context(), b.pool, stopID)
	if err != nil || len(cohorts) != 3 || cohorts[0].Members != 3 || cohorts[1].Members != 12 || cohorts[2].Members != pharmacies-15 {
		t.Fatalf("%+v, %v", cohorts, err)
	}
	allowed := func() (n int) {
		for i := range pharmacies {
			if b.check(stop.Subject{IssuerRef: ref(i), IssuerKind: "pharmacy", Path: "card", Region: "04"}) == nil {
				n++
			}
		}
		return n
	}
	if n := allowed(); n != 0 {
		t.Fatalf("%d issue before any cohort is admitted", n)
	}
	if _, err := b.Admit(t.Context(), stopID, 2, "staff:x", "admin"); !errors.Is(err, stop.ErrState) {
		t.Errorf("the second before the first: %v", err)
	}
	var first string
	if err := b.pool.QueryRow(t.Context(), `SELECT min(issuer_ref) FROM certificate.stop_member WHERE stop_id = $1 AND cohort = 1`, stopID).Scan(&first); err != nil {
		t.Fatal(err)
	}
	b.bad[first] = "no licence"
	failed, err := b.Admit(t.Context(), stopID, 1, "staff:x", "admin")
	if err != nil || len(failed) != 1 || failed[first] != "no licence" || allowed() != 2 {
		t.Fatalf("first cohort: %v, %v, %d", failed, err, allowed())
	}
	if err := b.check(stop.Subject{IssuerRef: first, IssuerKind: "pharmacy", Path: "card", Region: "04"}); !errors.Is(err, stop.ErrStopped) {
		t.Errorf("who did not pass issues: %v", err)
	}
	delete(b.bad, first)
	if failed, err := b.Admit(t.Context(), stopID, 1, "staff:x", "admin"); err != nil || len(failed) != 0 || allowed() != 3 {
		t.Errorf("verified again: %v, %v", failed, err)
	}
	if _, err := b.Admit(t.Context(), stopID, 2, "staff:x", "admin"); err != nil || allowed() != 15 {
		t.Errorf("second cohort: %v, %d", err, allowed())
	}
	if len(b.told) != 15 {
		t.Errorf("%d were told", len(b.told))
	}
	// An issuer that was not there when the cohorts were dealt waits for the end.
	if err := b.check(stop.Subject{IssuerRef: "issuer:new", IssuerKind: "pharmacy", Path: "card"}); !errors.Is(err, stop.ErrStopped) {
		t.Errorf("a new issuer: %v", err)
	}
}

// Too many errors halt the return by themselves; going on takes two again.
func TestErrorBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stopID := b.order(stop.Scope{Kind: "pharmacy"})
	b.approve(b.ProposeReturn(t.Context(), stopID, stop.Plan{Shares: []int{10}, Budget: 10}, "mended", b.desk.Approvers[0].AccountID))
	if _, err := b.Admit(t.Context(), stopID, 1, "staff:x", "admin"); err != nil {
		t.Fatal(err)
	}
	var in, out string
	if err := b.pool.QueryRow(t.Context(), `SELECT min(issuer_ref) FILTER (WHERE cohort = 1), min(issuer_ref) FILTER (WHERE cohort = 2) FROM certificate.stop_member WHERE stop_id = $1`, stopID).Scan(&in, &out); err != nil {
		t.Fatal(err)
	}
	fail := func(ref string) {
		t.Helper()
		if err := pg.InTx(t.Context(), b.pool, func(tx pgx.Tx) error { return b.Fail(t.Context(), tx, ref, "test") }); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		fail(out) // not admitted: not counted
	}
	fail(in)
	fail(in)
	if b.state(stopID) != stop.Returning {
		t.Fatal("halted too early")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { fail(in) })
	}
	wg.Wait()
	if b.state(stopID) != stop.Halted {
		t.Fatal("not halted")
	}
	if err := b.check(stop.Subject{IssuerRef: in, IssuerKind: "pharmacy", Path: "card"}); !errors.Is(err, stop.ErrStopped) {
		t.Errorf("issues after the halt: %v", err)
	}
	halts := 0
	for _, l := range b.leaves {
		if l.Detail["what"] == "halted" {
			halts++
		}
	}
	if halts != 1 {
		t.Errorf("%d leaves of the halt", halts)
	}
	if _, err := b.Admit(t.Context(), stopID, 2, "staff:x", "admin"); !errors.Is(err, stop.ErrState) {
		t.Errorf("admitted after the halt: %v", err)
	}
	b.approve(b.ProposeReturn(t.Context(), stopID, stop.Plan{Shares: []int{1}, Budget: 10}, "mended again", b.desk.Approvers[1].AccountID))
	if b.state(stopID) != stop.Returning {
		t.Error("no second try")
	}
}

// Fail-closed: whoever cannot ask does not sign.
func TestNoAnswerIsNoLeave(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if err := tx.Conn().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(t.Context(), tx, centre); err == nil {
		t.Error("an answer without a database")
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{stop.Assets}})
	has := func(a webtest.Answer, status int, wants ...string) {
		t.Helper()
		for _, w := range wants {
			if a.Status != status || !strings.Contains(a.Body, w) {
				t.Errorf("%d, lacks %q in %s", a.Status, w, a.Body)
			}
		}
	}
	has(app.Get("/certificates/notice"), http.StatusOK, "Ja, alles arbeitet")
	public := app.Another()
	app.LoginAs(b.desk.Approvers[0].User())
	has(app.Get("/admin/stop"), http.StatusOK, "Es ist nichts gestoppt", "Apotheken", "Postleitzahlen 04")
	form := []string{"reason_de", "Wir prüfen.", "reason_en", "We check.", "internal", "Hinweis"}
	has(app.PostForm("/admin/stop", form...), http.StatusUnprocessableEntity, "Sie haben nichts ausgewählt")
	a := app.PostForm("/admin/stop", append(form, "kind", "pharmacy", "expected", "2021-07-28")...)
	if a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	page := a.Header.Get("Location")
	has(app.Get(page), http.StatusOK, "gestoppt", "Hinweis", "Rückkehr vorschlagen")
	has(public.Get("/certificates/notice"), http.StatusOK, "Impfzertifikate der Apotheken", "Mittwoch, 21. Juli 2021", "Mittwoch, 28. Juli 2021", "Impfzentren stellen weiter Zertifikate aus", "Wir prüfen.", "Impfungen und Termine laufen weiter")
	var notices struct {
		Notices []struct{ What, State string } `json:"notices"`
	}
	if public.JSON(http.MethodGet, "/api/v1/certificates/notices", nil, &notices); len(notices.Notices) != 1 || notices.Notices[0].State != "stopped" {
		t.Errorf("%+v", notices)
	}
	for _, path := range []string{"/admin/stop", page} {
		if a := public.Get(path); a.Status != http.StatusSeeOther {
			t.Errorf("%s for anybody: %d", path, a.Status)
		}
	}
	has(app.PostForm(page+"/return", "shares", "90, 20", "budget", "2", "why", "x"), http.StatusUnprocessableEntity, "zusammen weniger als 100")
	if a := app.PostForm(page+"/return", "shares", "10, 20", "budget", "2 %", "why", "geprüft"); a.Status != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	has(app.Get(page), http.StatusOK, "Ein Vorschlag wartet auf zwei Zustimmungen")
	has(app.PostForm(page+"/cohorts/1/admit"), http.StatusConflict, "inzwischen geändert")
}
