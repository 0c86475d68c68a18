package alert_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/notify"
	"impfportal/staff"
	"impfportal/staff/alert"
)

var start = time.Date(2021, 7, 21, 8, 0, 0, 0, time.UTC)

type bench struct {
	*alert.Service

	t      *testing.T
	pool   *pgxpool.Pool
	staff  *staff.Service
	now    time.Time
	events []alert.Event
	err    error
	app    *webtest.App
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, pool: pgtest.New(t), now: start}
	v, now := vault.ForTest(), func() time.Time { return b.now }
	b.staff = staff.New(b.pool, v, redistest.New(t), now, nil, false)
	b.Service = alert.New(alert.Config{
		Pool: b.pool, Vault: v, Now: now, Log: slog.New(slog.DiscardHandler), BaseURL: "https://impfen.example/",
		Notify: notify.New(notify.Config{Pool: b.pool, Vault: v, Now: now, Local: true, Sender: []string{"Impfportal"}}),
		Sources: []alert.Source{
			{Name: "one", Open: func(context.Context, time.Time) ([]alert.Event, error) { return b.events, b.err }},
			{Name: "quiet", Open: func(context.Context, time.Time) ([]alert.Event, error) { return nil, nil }},
		},
	})
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: now, Routes: append(b.Routes(), staff.OverviewRoutes([]web.Card{b.AdminCard()})...), Bundles: []web.Bundle{alert.Assets, staff.Assets}})
	return b
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) admin(login string) string {
	b.t.Helper()
	accountID, _, err := b.staff.Create(b.t.Context(), staff.NewAccount{Login: login, Name: login, Password: "correct horse battery", Roles: []string{"admin"}}, "system")
	b.ok(err)
	return accountID
}

func event(key string) alert.Event {
	return alert.Event{Key: key, Since: start.Add(-time.Minute), Path: "/admin/issuers/" + key, Say: func(lang string) (string, string) { return "Alarm " + key + " " + lang, "Das ist nicht gut." }}
}

// look lets a minute pass and looks; it wants so many events told and so many messages in all.
func (b *bench) look(told, messages int) {
	b.t.Helper()
	b.now = b.now.Add(time.Minute)
	n, err := b.Look(b.t.Context(), b.now)
	b.ok(err)
	var all int
	b.ok(b.pool.QueryRow(b.t.Context(), `SELECT count(*) FROM notify.message WHERE kind = 'staff.alert'`).Scan(&all))
	if n != told || all != messages {
		b.t.Fatalf("%d told, %d messages; wanted %d, %d", n, all, told, messages)
	}
}

// One event, one message; again after a day, and no more when it ends.
func TestOnceForAnEventAndDailyWhileItLasts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ada := b.admin("ada")
	b.events = []alert.Event{event("a")}
	b.look(0, 0) // nobody could be told
	b.ok(b.SetAddress(t.Context(), ada, " Ada@verwaltung.example ", "de", "staff:"+ada))
	b.ok(b.SetAddress(t.Context(), b.admin("emil"), "emil@verwaltung.example", "en", "staff:x"))
	if err := b.SetAddress(t.Context(), ada, "nowhere", "de", "staff:"+ada); !errors.Is(err, alert.ErrAddress) {
		t.Error(err)
	}
	b.look(1, 2)
	for range 3 {
		b.look(0, 2)
	}
	b.events = append(b.events, event("b"), event("c"))
	b.look(2, 4) // both in one message
	b.now = b.now.Add(24 * time.Hour)
	b.look(3, 6)
	b.events = nil
	b.look(0, 6)
	// What comes and goes is told once a day.
	b.events = []alert.Event{event("a")}
	b.look(0, 6)
	b.events = nil
	b.look(0, 6)
	b.now = b.now.Add(25 * time.Hour)
	b.events = []alert.Event{event("a")}
	b.look(1, 8)
	// Who is no administrator any more is not told.
	_, err := b.pool.Exec(t.Context(), `UPDATE staff.account SET disabled_at = $1 WHERE login = 'emil'`, b.now)
	b.ok(err)
	b.now = b.now.Add(24 * time.Hour)
	b.look(1, 9)
}

// A source that cannot look ends nothing, and stops no other.
func TestSourceThatFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ok(b.SetAddress(t.Context(), b.admin("ada"), "ada@verwaltung.example", "de", "staff:x"))
	b.events = []alert.Event{event("a")}
	b.look(1, 1)
	b.err = errors.New("no database")
	if _, err := b.Look(t.Context(), b.now); err == nil || !strings.Contains(err.Error(), "alerts of one") {
		t.Error(err)
	}
	b.err = nil
	b.look(0, 1)
}

// Two replicas of the worker at the same moment.
func TestTwoWorkersTellOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ok(b.SetAddress(t.Context(), b.admin("ada"), "ada@verwaltung.example", "de", "staff:x"))
	b.events = []alert.Event{event("a"), event("b")}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := b.Look(context.Background(), b.now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.look(0, 1)
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ada := b.admin("ada")
	b.app.LoginAs(web.User{Kind: "staff", ID: ada, Name: "Ada", Roles: []web.Role{web.RoleAdmin}})
	wants := func(a webtest.Answer, status int, parts ...string) {
		t.Helper()
		if a.Status != status {
			t.Fatal(a.Status, a.Body)
		}
		for _, p := range parts {
			if !strings.Contains(a.Body, p) {
				t.Errorf("lacks %q in %s", p, a.Body)
			}
		}
	}
	wants(b.app.Get("/admin"), 200, "Niemand wird benachrichtigt")
	wants(b.app.Get("/admin/alerts"), 200, "Nichts. Alles läuft.", "keine Adresse")
	wants(b.app.PostForm("/admin/alerts/address", "email", "ada"), 422, "Bitte geben Sie eine E-Mail-Adresse ein", `value="ada"`)
	wants(b.app.PostForm("/admin/alerts/address", "email", "ada@verwaltung.example"), 303)
	b.events = []alert.Event{event("a")}
	wants(b.app.Get("/admin/alerts"), 200, "Alarm a de", "Noch niemandem gemeldet", "bekommt E-Mails", `value="ada@verwaltung.example"`)
	b.look(1, 1)
	wants(b.app.Get("/admin/alerts"), 200, "Zuletzt gemeldet")
	wants(b.app.Get("/admin"), 200, "Alarm a de")
	var out alert.ListOut
	wants(b.app.JSON(http.MethodGet, "/api/v1/admin/alerts", nil, &out), 200)
	if len(out.Alerts) != 1 || out.Alerts[0].Told != 1 || out.Readers != 1 || !out.Complete {
		t.Errorf("%+v", out)
	}
	b.err = errors.New("no database")
	wants(b.app.Get("/admin"), 200, "Nicht alles konnte geprüft werden")
	wants(b.app.JSON(http.MethodPut, "/api/v1/admin/alerts/address", map[string]string{"email": ""}, nil), 204)
	b.err, b.events = nil, nil
	wants(b.app.Get("/admin"), 200, "Niemand wird benachrichtigt")
}
