package hotline_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/hotline"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/inventory"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/waitingroom"
)

// monday is the opening day: Monday, 11 January 2021, 14:00 in Berlin.
var monday = time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)

// bundle is the desk with everything below it, real Postgres and Redis.
type bundle struct {
	t         testing.TB
	ctx       context.Context
	pool      *pgxpool.Pool
	citizens  *citizen.Service
	booking   *booking.Service
	notify    *notify.Service
	inventory *inventory.Service
	rooms     *waitingroom.Service
	*hotline.Service
	app    *webtest.App
	by     hotline.By
	mux    *jobs.Mux
	worker *jobs.Worker

	mu   sync.Mutex
	time time.Time
}

func (b *bundle) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.time
}

func (b *bundle) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.time = b.time.Add(d)
}

func setup(t testing.TB) *bundle {
	t.Helper()
	b := &bundle{t: t, ctx: context.Background(), pool: pgtest.New(t), time: monday}
	v := vault.ForTest()
	rdb := redistest.New(t)
	const phone, url = "0800 0899 089", "https://impfportal.example"
	b.notify = notify.New(notify.Config{
		Pool: b.pool, Vault: v, Now: b.now, Local: true, From: "Impfportal <termin@example.org>",
		Sender: []string{"Impfportal Sachsen", "Musterstraße 1", "01067 Dresden"},
	})
	b.inventory = inventory.New(b.pool, b.now, slog.New(slog.DiscardHandler))
	b.citizens = citizen.New(citizen.Config{
		Pool: b.pool, Redis: rdb, Vault: v, Notify: b.notify, Now: b.now, Bookings: booking.Standing, CancelBookings: booking.CancelStanding,
		Sender: b.notify.Sender(), Hotline: phone, BaseURL: url,
	})
	b.booking = booking.New(booking.Deps{Pool: b.pool, Now: b.now, Citizens: b.citizens, Inventory: b.inventory, Notify: b.notify, BaseURL: url, Hotline: phone})
	b.rooms = waitingroom.New(waitingroom.Config{
		Pool: b.pool, Redis: rdb, Now: b.now, Log: slog.New(slog.DiscardHandler), Keys: waitingroom.NewSigner(waitingroom.SignKey{ID: 1, Secret: v.MAC("rooms", nil)}),
	})
	b.Service = hotline.New(hotline.Config{Pool: b.pool, Now: b.now, Vault: v, Citizens: b.citizens, Booking: b.booking, Notify: b.notify, Rooms: b.rooms, Phone: phone, BaseURL: url})
	b.tx(func(tx pgx.Tx) error {
		if err := programme.SeedDemo(b.ctx, tx, b.now()); err != nil {
			return err
		}
		return centre.SeedDemo(b.ctx, tx, b.now())
	})
	b.mux = jobs.NewMux()
	for _, j := range []func(*jobs.Mux) []jobs.Periodic{b.citizens.Jobs, b.booking.Jobs, b.notify.Jobs, b.Jobs} {
		j(b.mux)
	}
	b.worker = jobs.NewWorker(b.pool, rdb, b.mux, nil, b.now, slog.New(slog.DiscardHandler), 2)
	user := web.User{Kind: "staff", ID: id.New(), Name: "Agentin", Roles: []web.Role{web.RoleAgent}}
	b.by = hotline.By{Actor: user.Actor(), Role: "agent"}
	b.app = webtest.New(t, webtest.Config{
		Pool: b.pool, Now: b.now, Routes: slices.Concat(b.Routes(), b.booking.Routes(), b.booking.DeskRoutes(), b.notify.Routes(), b.rooms.Routes()),
		Bundles: []web.Bundle{hotline.Assets, citizen.Assets, notify.Assets, booking.Assets, waitingroom.Assets},
	})
	b.app.LoginAs(user)
	return b
}

func (b *bundle) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) tx(fn func(tx pgx.Tx) error) { b.t.Helper(); b.ok(pg.InTx(b.ctx, b.pool, fn)) }

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	b.ok(b.pool.QueryRow(b.ctx, sql, args...).Scan(&n))
	return n
}

// work runs the worker until its tasks are done.
func (b *bundle) work() {
	b.t.Helper()
	ctx, stop := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- b.worker.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); b.count(`SELECT count(*) FROM jobs.outbox WHERE done_at IS NULL`) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatal("tasks are not done")
		}
	}
	stop()
	b.ok(<-done)
}

// stock gives a centre vials and has its places planned; only the hotline books.
func (b *bundle) stock(centreID string, vials int, hotlinePercent int) {
	b.t.Helper()
	by := inventory.By{Actor: "staff:test", Role: "admin"}
	b.tx(func(tx pgx.Tx) error {
		did, err := b.inventory.PlanDelivery(b.ctx, tx, inventory.NewDelivery{ProductID: "comirnaty", Place: inventory.CentrePlace(centreID), Day: b.now(), Vials: vials}, by)
		if err != nil {
			return err
		}
		return b.inventory.ReceiveDelivery(b.ctx, tx, did, []inventory.ReceivedLot{{Number: "T" + id.New()[24:], Expiry: clock.Day(b.now()).AddDate(0, 0, 180), Vials: vials}}, by)
	})
	b.ok(b.booking.SetShares(b.ctx, centreID, booking.Shares{booking.Hotline: hotlinePercent, booking.Web: 100 - hotlinePercent}, booking.By{Actor: "staff:test", Role: "admin"}))
	b.ok(b.booking.Replan(b.ctx, centreID, "comirnaty"))
}

// caller is what an agent types for a caller with a postal address alone.
func caller(change ...string) []string {
	f := map[string]string{
		"key": id.New(), "who": "self", "group": "covid-19/s2-age", "proof_ready": "1", "family_name": "Großmann-Łučina", "given_name": "Jiří",
		"birth_day": "1", "birth_month": "2", "birth_year": "1935", "sex": "male", "street": "Straße des 17. Juni 135", "postcode": "02625", "city": "Bautzen",
		"country": "DE", "lang": "de", "prior": "none",
	}
	for i := 0; i+1 < len(change); i += 2 {
		f[change[i]] = change[i+1]
	}
	var kv []string
	for k, v := range f {
		kv = append(kv, k, v)
	}
	return kv
}

func (b *bundle) register(change ...string) (personID, body string) {
	b.t.Helper()
	a := b.app.PostForm("/hotline/register", caller(change...)...)
	if a.Status != http.StatusOK {
		b.t.Fatalf("%d %s", a.Status, a.Body)
	}
	return regexp.MustCompile(`/hotline/persons/([0-9a-f-]{36})`).FindStringSubmatch(a.Body)[1], a.Body
}

var codePattern = regexp.MustCompile(`<dd class="[^"]*\bcode">([^<]+)</dd>`)

func (b *bundle) offers(personID string) []booking.OfferDay {
	b.t.Helper()
	p, err := b.citizens.Person(b.ctx, b.pool, personID)
	b.ok(err)
	days, err := b.booking.Offers(b.ctx, b.pool, booking.OfferQuery{Person: p, CentreID: "leipzig", Channel: booking.Hotline, From: b.now(), To: b.now().AddDate(0, 0, 60)})
	b.ok(err)
	return days
}

func (b *bundle) slots(personID string) []int64 {
	b.t.Helper()
	for _, d := range b.offers(personID) {
		for _, t := range d.First {
			if c, ok := d.Choice(t.SlotID); ok {
				return c.SlotIDs()
			}
		}
	}
	b.t.Fatal("nothing is free")
	return nil
}

// printed takes the waiting letters and returns their texts.
func (b *bundle) printed() []string {
	b.t.Helper()
	a := b.app.PostForm("/hotline/letters/take")
	if a.Status != http.StatusSeeOther {
		b.t.Fatal(a.Status, a.Body)
	}
	page := b.app.Get("/hotline/letters")
	m := regexp.MustCompile(`/hotline/letters/[0-9a-f-]{36}/letters\.zip`).FindString(page.Body)
	if m == "" {
		return nil
	}
	dl := b.app.Get(m)
	z, err := zip.NewReader(bytes.NewReader([]byte(dl.Body)), int64(len(dl.Body)))
	b.ok(err)
	var out []string
	for _, f := range z.File {
		r, err := f.Open()
		b.ok(err)
		raw, err := io.ReadAll(r)
		b.ok(err)
		out = append(out, b.text(raw, fmt.Sprintf("letter%d", len(out))))
	}
	done := b.app.PostForm(strings.TrimSuffix(m, "letters.zip") + "printed")
	if done.Status != http.StatusSeeOther {
		b.t.Fatal(done.Status, done.Body)
	}
	return out
}

func (b *bundle) text(letter []byte, name string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	if keep := os.Getenv("PDF_KEEP"); keep != "" {
		dir = keep
		name = b.t.Name() + name
	}
	path := filepath.Join(dir, name+".pdf")
	b.ok(os.WriteFile(path, letter, 0o600))
	out, err := exec.Command("pdftotext", "-layout", path, "-").Output()
	if err != nil {
		b.t.Fatalf("pdftotext (Debian: poppler-utils): %v", err)
	}
	return string(out)
}
