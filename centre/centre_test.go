package centre

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

var (
	january = clock.At(day(2021, 1, 11), 14, 0) // a Monday
	who     = By{Actor: "staff:test", Role: "admin"}
)

type bundle struct {
	t    *testing.T
	ctx  context.Context
	pool *pgxpool.Pool
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t, context.Background(), pgtest.New(t)}
	for range 2 { // the second time does nothing
		b.tx(func(tx pgx.Tx) error { return SeedDemo(b.ctx, tx, january) })
	}
	return b
}

func (b *bundle) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	if err := b.try(fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) try(fn func(tx pgx.Tx) error) error { return pg.InTx(b.ctx, b.pool, fn) }

func TestDemoCentres(t *testing.T) {
	t.Parallel()
	b := setup(t)
	centres, err := List(b.ctx, b.pool)
	if err != nil || len(centres) != 13 {
		t.Fatalf("%d centres, %v", len(centres), err)
	}
	for _, c := range centres {
		// Saxony lies between these.
		if c.Lat < 50.1 || c.Lat > 51.7 || c.Lon < 11.8 || c.Lon > 15.1 || c.PerHour() < 24 {
			t.Errorf("%+v", c)
		}
	}
	if _, err := Get(b.ctx, b.pool, "atlantis"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
}

func TestHours(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tx(func(tx pgx.Tx) error {
		week := [7]Span{{420, 1200}, {420, 1200}, {420, 1200}, {420, 1200}, {420, 1200}, {}, {600, 1440}}
		if err := SetWeek(b.ctx, tx, january, "leipzig", day(2021, 2, 1), week, who); err != nil {
			return err
		}
		if err := SetException(b.ctx, tx, january, "leipzig", Exception{day(2021, 1, 13), Span{}, "Wartung"}, who); err != nil {
			return err
		}
		return SetException(b.ctx, tx, january, "leipzig", Exception{day(2021, 1, 17), Span{540, 720}, "Sondersonntag"}, who)
	})
	for _, c := range []struct {
		day    time.Time
		opens  time.Time
		closes time.Time
		open   bool
	}{
		{day(2021, 1, 11), clock.At(day(2021, 1, 11), 8, 0), clock.At(day(2021, 1, 11), 18, 0), true},
		{day(2021, 1, 13), time.Time{}, time.Time{}, false},                                                            // exception: closed
		{day(2021, 1, 17), clock.At(day(2021, 1, 17), 9, 0), clock.At(day(2021, 1, 17), 12, 0), true},                  // exception: open on Sunday
		{day(2021, 1, 24), time.Time{}, time.Time{}, false},                                                            // Sunday
		{day(2021, 1, 30), clock.At(day(2021, 1, 30), 8, 0), clock.At(day(2021, 1, 30), 18, 0), true},                  // the last Saturday of the old hours
		{day(2021, 2, 1), clock.At(day(2021, 2, 1), 7, 0), clock.At(day(2021, 2, 1), 20, 0), true},                     // the first Monday of the new ones
		{day(2021, 2, 6), time.Time{}, time.Time{}, false},                                                             // Saturday closed from then on
		{day(2021, 2, 7), clock.At(day(2021, 2, 7), 10, 0), clock.At(day(2021, 2, 8), 0, 0), true},                     // until midnight
		{day(2021, 3, 28), clock.At(day(2021, 3, 28), 10, 0), clock.At(day(2021, 3, 29), 0, 0), true},                  // the clocks change that night
		{day(2020, 11, 30), time.Time{}, time.Time{}, false},                                                           // before there were hours
		{clock.At(day(2021, 1, 12), 0, 30), clock.At(day(2021, 1, 12), 8, 0), clock.At(day(2021, 1, 12), 18, 0), true}, // half past midnight in Berlin
	} {
		opens, closes, open, err := Hours(b.ctx, b.pool, "leipzig", c.day)
		if err != nil || open != c.open || !opens.Equal(c.opens) || !closes.Equal(c.closes) {
			t.Errorf("%s: %s to %s, open %v, %v; want %s to %s, %v", c.day, opens, closes, open, err, c.opens, c.closes, c.open)
		}
	}
	days, err := HoursBetween(b.ctx, b.pool, "leipzig", day(2021, 1, 11), day(2021, 3, 31))
	if err != nil || len(days) != 80 {
		t.Fatalf("%d days, %v", len(days), err)
	}
	for _, d := range days {
		if opens, _, open, err := Hours(b.ctx, b.pool, "leipzig", d.Day); err != nil || open != d.Open || !opens.Equal(d.Opens) {
			t.Errorf("%s: one by one %s, in bulk %s", d.Day, opens, d.Opens)
		}
	}
	if _, _, open, err := Hours(b.ctx, b.pool, "atlantis", january); open || err != nil {
		t.Errorf("unknown centre: open %v, %v", open, err)
	}
	if next, err := NextWeeks(b.ctx, b.pool, "leipzig", january); err != nil || len(next) != 1 || !next[0].Equal(day(2021, 2, 1)) {
		t.Errorf("coming: %v, %v", next, err)
	}
	b.tx(func(tx pgx.Tx) error { return RemoveException(b.ctx, tx, january, "leipzig", day(2021, 1, 13), who) })
	if _, _, open, _ := Hours(b.ctx, b.pool, "leipzig", day(2021, 1, 13)); !open {
		t.Error("the weekday's hours did not come back")
	}
	if err := b.try(func(tx pgx.Tx) error { return RemoveException(b.ctx, tx, january, "leipzig", day(2021, 1, 13), who) }); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestChangesAreToldAndAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, err := Get(b.ctx, b.pool, "leipzig")
	if err != nil {
		t.Fatal(err)
	}
	b.tx(func(tx pgx.Tx) error { return Update(b.ctx, tx, january, c, who) }) // nothing changed, nothing told
	c.Stations = 12
	b.tx(func(tx pgx.Tx) error { return Update(b.ctx, tx, january, c, who) })
	c.Active = false
	b.tx(func(tx pgx.Tx) error { return Update(b.ctx, tx, january, c, who) })
	if centres, err := List(b.ctx, b.pool); err != nil || len(centres) != 12 {
		t.Errorf("%d active centres, %v", len(centres), err)
	}
	var told, audited int
	err = b.pool.QueryRow(b.ctx, `SELECT (SELECT count(*) FROM jobs.outbox WHERE kind = 'centre.changed' AND payload->>'centre_id' = 'leipzig'),
		(SELECT count(*) FROM audit.entry WHERE subject = 'centre:leipzig' AND before->>'stations' IS NOT NULL AND after->>'stations' = '12')`).Scan(&told, &audited)
	if err != nil || told != 2 || audited != 2 {
		t.Errorf("told %d, audited %d, %v", told, audited, err)
	}
	c.ID = "leipzig-2"
	c.Stations = 1000
	if err := b.try(func(tx pgx.Tx) error { return Create(b.ctx, tx, january, c, who) }); !errors.Is(err, ErrInvalid) {
		t.Errorf("a thousand stations: %v", err)
	}
	c.ID, c.Stations = "dresden", 1
	if err := b.try(func(tx pgx.Tx) error { return Create(b.ctx, tx, january, c, who) }); !errors.Is(err, ErrExists) {
		t.Errorf("id taken: %v", err)
	}
}

func app(t *testing.T) *webtest.App {
	t.Helper()
	b := setup(t)
	return webtest.New(t, webtest.Config{Pool: b.pool, Now: clock.Fixed(january), Routes: New(b.pool).Routes(), Bundles: []web.Bundle{Assets}})
}

func TestPages(t *testing.T) {
	t.Parallel()
	a := app(t)
	if r := a.Get("/centres"); r.Status != http.StatusOK || !strings.Contains(r.Body, "Impfzentrum Löbau") || !strings.Contains(r.Body, "08:00 Uhr") {
		t.Errorf("public list: %d", r.Status)
	}
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}})
	for _, path := range []string{"/admin/centres", "/admin/centres/new", "/admin/centres/leipzig"} {
		if r := a.Get(path); r.Status != http.StatusOK {
			t.Errorf("%s: %d", path, r.Status)
		}
	}
	if r := a.Get("/admin/centres/atlantis"); r.Status != http.StatusNotFound {
		t.Errorf("unknown: %d", r.Status)
	}
	form := func(change ...string) []string {
		f := []string{"name", "Impfzentrum Görlitz", "street", "Weg 1", "postcode", "02826", "city", "Görlitz", "lat", "51,15", "lon", "14.97", "stations", "4", "minutes_per_person", "10", "active", "1"}
		for i := 0; i+1 < len(change); i += 2 {
			for j := 0; j < len(f); j += 2 {
				if f[j] == change[i] {
					f[j+1] = change[i+1]
				}
			}
		}
		return f
	}
	if r := a.PostForm("/admin/centres/new", append(form(), "id", "goerlitz")...); r.Status != http.StatusSeeOther || r.Location != "/admin/centres/goerlitz" {
		t.Fatalf("create: %d %s", r.Status, r.Body)
	}
	if r := a.PostForm("/admin/centres/new", append(form(), "id", "goerlitz")...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "gibt es schon") {
		t.Errorf("create twice: %d", r.Status)
	}
	for _, bad := range [][]string{{"postcode", "0282"}, {"lat", "Nord"}, {"lon", "181"}, {"lat", "NaN"}, {"stations", "-1"}, {"minutes_per_person", "0"}, {"name", strings.Repeat("x", 101)}, {"city", ""}} {
		if r := a.PostForm("/admin/centres/goerlitz", form(bad...)...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "Weg 1") {
			t.Errorf("%v: %d", bad, r.Status)
		}
	}
	week := []string{"valid_from", "2021-01-12"}
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		week = append(week, "opens_"+n, "08:00", "closes_"+n, "20:00")
	}
	if r := a.PostForm("/admin/centres/goerlitz/hours", week...); r.Status != http.StatusSeeOther {
		t.Errorf("hours: %d %s", r.Status, r.Body)
	}
	for _, bad := range [][]string{{"opens_6", "18:00", "closes_6", "08:00"}, {"opens_6", "18:00"}, {"opens_6", "x", "closes_6", "20:00"}, {"closes_6", "25:00"}} {
		if r := a.PostForm("/admin/centres/goerlitz/hours", append(week, bad...)...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "Impfzentrum Görlitz") {
			t.Errorf("%v: %d", bad, r.Status)
		}
	}
	if r := a.PostForm("/admin/centres/goerlitz/exceptions", "day", "2021-01-13", "reason", "Feiertag"); r.Status != http.StatusSeeOther {
		t.Errorf("exception: %d", r.Status)
	}
	if r := a.Get("/admin/centres/goerlitz"); !strings.Contains(r.Body, "Feiertag") {
		t.Error("the exception is not shown")
	}
	if r := a.PostForm("/admin/centres/goerlitz/exceptions", "day", "2021-01-13", "reason", ""); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("exception without a reason: %d", r.Status)
	}
	for _, want := range []int{http.StatusSeeOther, http.StatusNotFound} {
		if r := a.PostForm("/admin/centres/goerlitz/exceptions/2021-01-13/remove"); r.Status != want {
			t.Errorf("remove: %d, want %d", r.Status, want)
		}
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	a := app(t)
	var list centresOut
	if r := a.JSON(http.MethodGet, "/api/v1/centres", nil, &list); r.Status != http.StatusOK || len(list.Centres) != 13 {
		t.Errorf("list: %d, %d", r.Status, len(list.Centres))
	}
	var one centreOut
	if r := a.JSON(http.MethodGet, "/api/v1/centres/leipzig?days=7", nil, &one); r.Status != http.StatusOK || len(one.Days) != 7 || !one.Days[0].Open || one.Days[6].Open || one.Days[6].Opens != nil {
		t.Errorf("get: %d, %+v", r.Status, one)
	}
	for path, want := range map[string]int{"/api/v1/centres/atlantis": 404, "/api/v1/centres/leipzig?days=1000": 422} {
		if r := a.JSON(http.MethodGet, path, nil, nil); r.Status != want {
			t.Errorf("%s: %d, want %d", path, r.Status, want)
		}
	}
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}})
	ce := one.Centre
	ce.ID, ce.Stations = "torgau", 3
	if r := a.JSON(http.MethodPost, "/api/v1/centres", ce, nil); r.Status != http.StatusNoContent {
		t.Errorf("create: %d %s", r.Status, r.Body)
	}
	if r := a.JSON(http.MethodPost, "/api/v1/centres", ce, nil); r.Status != http.StatusConflict {
		t.Errorf("create twice: %d", r.Status)
	}
	up := updateIn(ce)
	up.MinutesPerPerson = 5
	if r := a.JSON(http.MethodPut, "/api/v1/centres/torgau", up, nil); r.Status != http.StatusNoContent {
		t.Errorf("update: %d %s", r.Status, r.Body)
	}
	up.Postcode = "x"
	if r := a.JSON(http.MethodPut, "/api/v1/centres/torgau", up, nil); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("bad postcode: %d", r.Status)
	}
	week := weekIn{ValidFrom: "2021-01-12", Week: make([]spanIn, 7)}
	week.Week[0] = spanIn{"08:00", "18:00"}
	if r := a.JSON(http.MethodPut, "/api/v1/centres/torgau/hours", week, nil); r.Status != http.StatusNoContent {
		t.Errorf("hours: %d %s", r.Status, r.Body)
	}
	week.Week = week.Week[:6]
	if r := a.JSON(http.MethodPut, "/api/v1/centres/torgau/hours", week, nil); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("six days: %d", r.Status)
	}
	if r := a.JSON(http.MethodPut, "/api/v1/centres/torgau/exceptions/2021-01-13", exceptionIn{Opens: "10:00", Closes: "12:00", Reason: "Probe"}, nil); r.Status != http.StatusNoContent {
		t.Errorf("exception: %d %s", r.Status, r.Body)
	}
	if r := a.JSON(http.MethodDelete, "/api/v1/centres/torgau/exceptions/2021-01-13", nil, nil); r.Status != http.StatusNoContent {
		t.Errorf("remove: %d %s", r.Status, r.Body)
	}
}
