package centre

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/web"
)

func TestMinutesPerPersonAreARuleWithADate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	set := func(from, minutes int) error {
		return b.try(func(tx pgx.Tx) error {
			return SetMinutes(b.ctx, tx, january, "leipzig", day(2021, 2, from), minutes, who)
		})
	}
	for _, err := range []error{set(1, 8), set(10, 5), set(10, 6)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := Get(b.ctx, b.pool, "leipzig")
	if err != nil {
		t.Fatal(err)
	}
	days, err := HoursBetween(b.ctx, b.pool, "leipzig", day(2021, 1, 31), day(2021, 2, 11))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{c.MinutesPerPerson, 8, 8, 8, 8, 8, 8, 8, 8, 8, 6, 6} {
		if days[i].MinutesPerPerson != want {
			t.Errorf("%s: %d minutes, want %d", days[i].Day.Format("2006-01-02"), days[i].MinutesPerPerson, want)
		}
	}
	if err := set(1, 0); !errors.Is(err, ErrInvalid) {
		t.Errorf("no minutes: %v", err)
	}
	if err := b.try(func(tx pgx.Tx) error { return SetMinutes(b.ctx, tx, january, "atlantis", january, 5, who) }); !errors.Is(err, ErrNotFound) {
		t.Errorf("atlantis: %v", err)
	}
	var told int
	if err := b.pool.QueryRow(b.ctx, `SELECT count(*) FROM jobs.outbox WHERE kind = 'centre.changed'`).Scan(&told); err != nil || told != 3 {
		t.Errorf("told %d times, want 3 (%v)", told, err)
	}
}

func TestMinutesPage(t *testing.T) {
	t.Parallel()
	a := app(t)
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}})
	if r := a.PostForm("/admin/centres/leipzig/minutes", "minutes_from", "2021-02-01", "minutes_new", "7"); r.Status != http.StatusSeeOther {
		t.Fatalf("save: %d", r.Status)
	}
	if r := a.Get("/admin/centres/leipzig"); r.Status != http.StatusOK || !strings.Contains(r.Body, "7 Minuten") {
		t.Errorf("page: %d", r.Status)
	}
	if r := a.PostForm("/admin/centres/leipzig/minutes", "minutes_from", "2020-12-24", "minutes_new", "3"); r.Status != http.StatusSeeOther {
		t.Fatalf("save: %d", r.Status)
	}
	if r := a.Get("/admin/centres"); r.Status != http.StatusOK || !strings.Contains(r.Body, ">200</td>") { // ten stations, three minutes
		t.Errorf("the list does not show the rule in force: %d", r.Status)
	}
	if r := a.PostForm("/admin/centres/leipzig/minutes", "minutes_from", "", "minutes_new", "0"); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("nothing: %d", r.Status)
	}
	if r := a.JSON(http.MethodPut, "/api/v1/centres/leipzig/minutes", map[string]any{"valid_from": "2021-02-03", "minutes": 9}, nil); r.Status != http.StatusNoContent {
		t.Errorf("API: %d %s", r.Status, r.Body)
	}
}
