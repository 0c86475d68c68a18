package waitingroom

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/notify"
)

// remindSite is a site that offers reminders, with n replicas.
func remindSite(t *testing.T, n int) *site {
	t.Helper()
	f := setup(t, 0)
	v := vault.ForTest()
	for range n {
		f.replicas = append(f.replicas, New(Config{
			Pool: f.pool, Redis: f.rdb, Now: f.now, Keys: NewSigner(testKeys...), Log: slog.New(slog.DiscardHandler), Vault: v,
			Notify:  notify.New(notify.Config{Pool: f.pool, Vault: v, Now: f.now, Local: true, Sender: []string{"Test", "Straße 1", "01067 Dresden"}}),
			BaseURL: "https://portal.test",
		}))
	}
	f.refresh(t)
	s := f.replicas[0]
	return &site{f, s, webtest.New(t, webtest.Config{
		Pool: f.pool, Now: f.now, Bundles: []web.Bundle{Assets}, Routes: s.Routes(), TrustedProxies: []string{"0.0.0.0"},
	})}
}

// waiter is a browser that waits.
func (w *site) waiter(t *testing.T) *webtest.App {
	t.Helper()
	b := w.app.Another()
	b.Get(linePath0)
	if a := b.PostForm(linePath0 + "/join"); a.Status != http.StatusSeeOther {
		t.Fatalf("join: %d", a.Status)
	}
	return b
}

func (w *site) remind(t *testing.T, b *webtest.App, kv ...string) {
	t.Helper()
	if a := b.PostForm(linePath0+"/reminder", append([]string{"action", "store"}, kv...)...); a.Status != http.StatusSeeOther {
		t.Fatalf("reminder: %d %s", a.Status, a.Body)
	}
}

// due lets the worker look.
func (w *site) due(t *testing.T) {
	t.Helper()
	w.refresh(t)
	if err := w.s.remindDue(context.Background(), w.now()); err != nil {
		t.Fatal(err)
	}
}

func (w *site) messages(t *testing.T) int {
	t.Helper()
	return w.count(t, `SELECT count(*) FROM notify.message WHERE kind = 'waitingroom.reminder'`)
}

func TestReminderForm(t *testing.T) {
	t.Parallel()
	w := remindSite(t, 1)
	w.valve(t, Change{Phase: ptr(Paused)})
	b := w.waiter(t)
	mustContain(t, b.Get(linePath0), http.StatusOK, "Kurz vorher eine Nachricht bekommen")
	for _, c := range []struct{ email, mobile, want string }{
		{"", "", "Bitte geben Sie eine E-Mail-Adresse oder eine Handynummer an"},
		{"erika", "", "nicht vollständig"},
		{"", "0341 123456", "keine Handynummer"},
		{"erika@example.org", "12", "keine Handynummer"},
	} {
		a := b.PostForm(linePath0+"/reminder", "action", "store", "email", c.email, "mobile", c.mobile)
		mustContain(t, a, http.StatusUnprocessableEntity, c.want, `value="`+c.email+`"`, "<details id=\"reminder\"", " open>", "vor Ihnen")
		if strings.Contains(a.Body, "http-equiv") {
			t.Error("the page with the mistake loads itself again")
		}
	}
	w.remind(t, b, "email", " Erika@example.org ")
	if c := b.Cookie(reminderCookie + room); !strings.HasPrefix(c, "email~1.0.") || strings.Contains(c, "rika") {
		t.Errorf("cookie %q", c)
	}
	mustContain(t, b.Get(linePath0), http.StatusOK, "Sie bekommen kurz vorher eine E-Mail", "Wir schicken Ihnen kurz vorher eine E-Mail.", "Doch keine Nachricht")
	w.remind(t, b, "mobile", "0151 23456789")
	mustContain(t, b.Get(linePath0), http.StatusOK, "Sie bekommen kurz vorher eine SMS")
	var sealed []byte
	if err := w.pool.QueryRow(context.Background(), `SELECT sealed FROM waitingroom.reminder`).Scan(&sealed); err != nil { // one row
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("151")) {
		t.Error("the number stands there in clear")
	}
	keys := w.count(t, `SELECT count(*) FROM vault.key`)
	if a := b.PostForm(linePath0+"/reminder", "action", "withdraw"); a.Status != http.StatusSeeOther {
		t.Fatalf("withdraw: %d", a.Status)
	}
	if rows, left := w.count(t, `SELECT count(*) FROM waitingroom.reminder`), w.count(t, `SELECT count(*) FROM vault.key`); rows != 0 || left != keys-1 {
		t.Errorf("withdrawn: %d rows, %d of %d keys", rows, left, keys)
	}
	mustContain(t, b.Get(linePath0), http.StatusOK, "Kurz vorher eine Nachricht bekommen")

	// Who gives up the place takes the address along.
	w.remind(t, b, "email", "erika@example.org")
	b.PostForm(linePath0 + "/leave")
	if rows := w.count(t, `SELECT count(*) FROM waitingroom.reminder`); rows != 0 {
		t.Errorf("%d rows after leaving", rows)
	}
	// Nobody without a place, and no other site, can ask for one.
	if a := w.app.Another().PostForm(linePath0+"/reminder", "email", "x@example.org"); a.Location != linePath0 {
		t.Errorf("without a place: %d %s", a.Status, a.Location)
	}
	if a := b.Do(http.MethodPost, linePath0+"/reminder", "", nil, map[string]string{"Sec-Fetch-Site": "cross-site"}); a.Status != http.StatusForbidden {
		t.Errorf("another site: %d", a.Status)
	}
}

// An address that had enough is not told apart from any other, and nothing more
// is sent to it.
func TestReminderLimits(t *testing.T) {
	t.Parallel()
	w := remindSite(t, 1)
	w.valve(t, Change{Phase: ptr(Paused)})
	const mobile = "0151 23456789"
	var first *webtest.App
	for i := range remindersPerAddress {
		b := w.waiter(t)
		w.remind(t, b, "email", fmt.Sprintf("Victim+%d@example.org", i))
		if first == nil {
			first = b
		}
	}
	for _, address := range []string{"victim@example.org", "Victim@Example.ORG", "victim+7@example.org"} {
		b := w.waiter(t)
		w.remind(t, b, "email", address)
		if a, c := first.Cookie(reminderCookie+room), b.Cookie(reminderCookie+room); !strings.HasPrefix(a, "email~") || !strings.HasPrefix(c, "email~") {
			t.Errorf("%s: cookies %q and %q", address, a, c)
		}
		mustContain(t, b.Get(linePath0), http.StatusOK, "Wir schicken Ihnen kurz vorher eine E-Mail.", "Sie bekommen kurz vorher eine E-Mail")
	}
	// Nor does a place that had another address before keep that one.
	changed := w.waiter(t)
	w.remind(t, changed, "email", "before@example.org")
	w.remind(t, changed, "email", "victim+8@example.org")
	// The other one of two is used.
	w.remind(t, w.waiter(t), "email", "victim+9@example.org", "mobile", mobile)
	if n := w.count(t, `SELECT count(*) FROM waitingroom.reminder`); n != remindersPerAddress+5 {
		t.Errorf("%d rows", n)
	}

	b := w.waiter(t)
	for i := range remindersPerBrowser {
		w.remind(t, b, "email", fmt.Sprintf("p%d@example.org", i))
	}
	counters := func() int {
		keys, err := w.rdb.Keys(context.Background(), "wr:remind:a:*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	before := counters()
	mustContain(t, b.PostForm(linePath0+"/reminder", "action", "store", "email", "p@example.org"), http.StatusUnprocessableEntity, "heute schon mehrere Nachrichten")
	if n := counters(); n != before {
		t.Errorf("%d addresses counted, %d before a wish that was refused", n, before)
	}
	keys, err := w.rdb.Keys(context.Background(), "wr:remind:*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%v, %v", keys, err)
	}
	for _, k := range keys {
		if strings.Contains(k, "example") || w.rdb.TTL(context.Background(), k).Val() <= 0 {
			t.Errorf("key %s", k)
		}
	}

	// A network that had enough: nothing is counted of browser or address.
	network := "wr:remind:n:203.0.113.0/24"
	if err := w.rdb.Set(context.Background(), network, remindersPerNetwork, time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	mustContain(t, w.waiter(t).Do(http.MethodPost, linePath0+"/reminder", "application/x-www-form-urlencoded",
		strings.NewReader("action=store&email=q@example.org"), map[string]string{"X-Real-Ip": "203.0.113.7"}), http.StatusUnprocessableEntity, "aus diesem Netz")
	if more, err := w.rdb.Keys(context.Background(), "wr:remind:*").Result(); err != nil || len(more) != len(keys)+1 {
		t.Errorf("%d counters, %d before, %v", len(more), len(keys), err)
	}

	w.valve(t, Change{Phase: ptr(Open), Rate: ptr(1000)})
	w.due(t)
	if n := w.messages(t); n != remindersPerAddress+2 { // one SMS, one of the browser
		t.Errorf("%d messages, want %d", n, remindersPerAddress+2)
	}
	if n := w.count(t, `SELECT count(*) FROM waitingroom.reminder WHERE told_at IS NULL`); n != 0 {
		t.Errorf("%d rows are not told", n)
	}
}

func TestMailbox(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"Erika@Example.org": "erika@example.org", "erika+1@example.org": "erika@example.org", "erika+a+b@example.org": "erika@example.org",
		"+a@example.org": "+a@example.org", "+4915123456789": "+4915123456789",
	} {
		if got := mailbox(address); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

func TestReminderIsSentOnceInTime(t *testing.T) {
	t.Parallel()
	w := remindSite(t, 2)
	w.valve(t, Change{Phase: ptr(Paused)})
	var near, far *webtest.App
	for i := range 30 {
		switch i {
		case 7:
			near = w.waiter(t)
		case 28:
			far = w.waiter(t)
		default:
			w.join(t, w.s)
		}
	}
	w.remind(t, near, "email", "near@example.org", "mobile", "0151 23456789")
	w.remind(t, far, "email", "far@example.org")
	w.due(t)
	if n := w.messages(t); n != 0 {
		t.Fatalf("%d messages while nobody is called", n)
	}
	w.valve(t, Change{Phase: ptr(Open), Rate: ptr(1), Bound: ptr(1)}) // ten minutes are ten people
	var wg sync.WaitGroup
	for range 4 {
		for _, s := range w.replicas {
			wg.Go(func() {
				if err := s.remindDue(context.Background(), w.now()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := w.messages(t); n != 2 { // e-mail and SMS
		t.Fatalf("%d messages, want 2", n)
	}
	if n := w.count(t, `SELECT count(*) FROM waitingroom.reminder WHERE told_at IS NULL AND position = 29`); n != 1 {
		t.Error("the other one is not waiting for its time")
	}
	mustContain(t, near.PostForm(linePath0+"/reminder", "action", "store", "email", "late@example.org"), http.StatusSeeOther)
	mustContain(t, near.Get(linePath0), http.StatusOK, "Die Nachricht ist schon unterwegs")

	// Some hours later nothing is left of the address, whatever became of the message.
	w.pass(t, reminderLife+time.Minute)
	w.due(t)
	if rows, told := w.count(t, `SELECT count(*) FROM waitingroom.reminder`), w.count(t, `SELECT count(*) FROM waitingroom.reminder WHERE told_at < now()`); rows != 1 {
		t.Errorf("%d rows, %d of them told", rows, told)
	}
	if n := w.count(t, `SELECT count(*) FROM notify.message m WHERE kind = 'waitingroom.reminder' AND NOT EXISTS (SELECT FROM vault.key k WHERE k.id = m.key_id)`); n != 2 {
		t.Errorf("%d messages cannot be read any more, want 2", n)
	}
	// The line ends: the other row goes with it.
	w.valve(t, Change{Phase: ptr(Closed)})
	w.valve(t, Change{NewLine: true})
	w.due(t)
	if rows := w.count(t, `SELECT count(*) FROM waitingroom.reminder`); rows != 0 {
		t.Errorf("%d rows of the line before", rows)
	}
}

func TestReminderOfSomebodyInside(t *testing.T) {
	t.Parallel()
	w := remindSite(t, 1)
	w.valve(t, Change{Phase: ptr(Paused)})
	b := w.waiter(t)
	w.remind(t, b, "email", "erika@example.org")
	w.valve(t, Change{Phase: ptr(Open)})
	if a := b.PostForm(linePath0 + "/enter"); a.Location != "/register" {
		t.Fatalf("enter: %s", a.Location)
	}
	w.due(t)
	if n, rows := w.messages(t), w.count(t, `SELECT count(*) FROM waitingroom.reminder`); n != 0 || rows != 0 {
		t.Errorf("%d messages, %d rows for somebody who is inside", n, rows)
	}
}

func TestReminderAfterTheDraw(t *testing.T) {
	t.Parallel()
	w := remindSite(t, 1)
	w.valve(t, Change{Phase: ptr(Closed), Rate: ptr(1), Bound: ptr(1)})
	w.plan(t, time.Minute, 2*time.Minute, 0, Settings{Draw: ptr(true), Beacon: ptr(LocalBeacon)})
	w.pass(t, time.Minute+time.Second)
	const people = 40
	for i := range people {
		w.remind(t, w.waiter(t), "email", fmt.Sprintf("p%d@example.org", i))
	}
	w.due(t)
	if n := w.count(t, `SELECT count(*) FROM waitingroom.reminder WHERE position IS NOT NULL`); n != 0 {
		t.Fatalf("%d places are known before the draw", n)
	}
	w.pass(t, time.Minute)
	for range 3 {
		w.pass(t, time.Second)
	}
	w.wantPhase(t, Open)
	w.due(t)
	lot := w.s.rooms.Load().views[room].lot.Load()
	rows, err := w.pool.Query(context.Background(), `SELECT ticket_index, position, told_at IS NOT NULL FROM waitingroom.reminder ORDER BY position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen, told := int64(0), 0
	for rows.Next() {
		var (
			index, position int64
			sent            bool
		)
		if err := rows.Scan(&index, &position, &sent); err != nil {
			t.Fatal(err)
		}
		seen++
		if want, _ := lot.Place(index); position != want || position != seen {
			t.Errorf("ticket %d: position %d, the lot says %d", index, position, want)
		}
		if sent {
			told++
		}
		if sent != (position <= 12) { // one called, eleven within ten minutes
			t.Errorf("position %d: told %v", position, sent)
		}
	}
	if seen != people || w.messages(t) != told {
		t.Errorf("%d rows, %d told, %d messages", seen, told, w.messages(t))
	}
}
