package mobileteams_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/mobileteams"
)

// TestABoxThatWasUnderWayForTooLong: its vials show, are not brought back to be used,
// and are discarded as many as were seen.
func TestABoxThatWasUnderWayForTooLong(t *testing.T) {
	b := setup(t)
	v := b.today()
	lot := func() mobileteams.BoxLot {
		t.Helper()
		got, err := b.s.Box(b.ctx, b.pool, v.TeamID, b.now)
		if err != nil || len(got) != 1 {
			t.Fatalf("box: %+v, %v", got, err)
		}
		return got[0]
	}
	if l := lot(); l.Vials != 5 || l.Late != 0 || !l.Until.Equal(b.now.Add(12*time.Hour)) {
		t.Errorf("loaded: %+v", l)
	}
	d := b.app(web.RoleDispatcher, "")
	page := "/teams/visits/" + v.ID
	if r := d.Get(page); r.Status != http.StatusOK || !strings.Contains(r.Body, "ungeöffnet verwendbar bis") || strings.Contains(r.Body, "discard-vials") {
		t.Errorf("page: %d", r.Status)
	}
	b.now = b.now.Add(12*time.Hour + time.Minute)
	if l := lot(); l.Vials != 0 || l.Late != 5 || l.LateWhy != "carried" || l.Doses != 0 {
		t.Errorf("too late: %+v", l)
	}
	if err := b.s.Load(b.ctx, b.now, v.ID, b.lot, 1, "staff:d", inventory.Request{}); !errors.Is(err, mobileteams.ErrClearFirst) {
		t.Errorf("loaded to what is too old: %v", err)
	}
	if err := b.s.BringBack(b.ctx, b.now, v.ID, b.lot, 5, "staff:d", inventory.Request{}); !errors.Is(err, mobileteams.ErrNotEnough) {
		t.Errorf("brought back: %v", err)
	}
	d = b.app(web.RoleDispatcher, "")
	if r := d.Get(page); r.Status != http.StatusOK || !strings.Contains(r.Body, "5 Flaschen waren zu lange in der Box") {
		t.Errorf("page: %d", r.Status)
	}
	if r := d.PostForm(page+"/discard-vials", "lot", b.lot, "vials", "4"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "seit diese Seite geladen wurde") {
		t.Errorf("four of five: %d", r.Status)
	}
	form := []string{"once", id.New(), "lot", b.lot, "vials", "5"}
	for range 2 {
		if r := d.PostForm(page+"/discard-vials", form...); r.Status != http.StatusSeeOther {
			t.Errorf("discard: %d", r.Status)
		}
	}
	if b.holds(leipzig) != [2]int{10, 0} {
		t.Errorf("centre: %v", b.holds(leipzig))
	}
	var wasted int
	if err := b.pool.QueryRow(b.ctx, `SELECT coalesce(sum(vials), 0) FROM inventory.entry WHERE place = 'waste:cold-chain'`).Scan(&wasted); err != nil || wasted != 5 {
		t.Errorf("wasted %d, %v", wasted, err)
	}
}

// TestABlockedLotInABox: the team sees it and keeps it.
func TestABlockedLotInABox(t *testing.T) {
	b := setup(t)
	v := b.today()
	b.tx(func(tx pgx.Tx) error {
		return b.stock.BlockLot(b.ctx, tx, b.lot, "recall", inventory.By{Actor: "staff:test", Role: "admin"})
	})
	got, err := b.s.Box(b.ctx, b.pool, v.TeamID, b.now)
	if err != nil || len(got) != 1 || got[0].Vials != 0 || got[0].Late != 5 || got[0].LateWhy != "blocked" {
		t.Errorf("box: %+v, %v", got, err)
	}
	if err := b.s.DiscardLate(b.ctx, b.now, v.ID, b.lot, 5, "staff:d", inventory.Request{}); !errors.Is(err, mobileteams.ErrState) {
		t.Errorf("discarded: %v", err)
	}
	if r := b.app(web.RoleTeam, mobileteams.DemoTeam1).Get("/teams/today"); r.Status != http.StatusOK || !strings.Contains(r.Body, "5 Flaschen sind gesperrt") {
		t.Errorf("the team's page: %d", r.Status)
	}
}
