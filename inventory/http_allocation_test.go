package inventory

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestAllocationPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 11)
	a := b.app()
	if r := a.Get("/admin/allocation"); r.Status != http.StatusOK {
		t.Fatalf("page: %d", r.Status)
	}
	if r := a.Get("/admin/allocation?product=sputnik"); r.Status != http.StatusNotFound {
		t.Errorf("unknown product: %d", r.Status)
	}
	mustSee(t, a.PostForm("/admin/allocation/population", "product", "comirnaty", "people_centre_leipzig", "200000", "people_centre_dresden", "100000"), "population")
	mustSee(t, a.PostForm("/admin/allocation/plan", "product", "comirnaty", "method", "population", "automatic", "1"), "plan")
	for name, f := range map[string][]string{
		"by hand, by itself": {"product", "comirnaty", "method", "hand", "automatic", "1"},
		"no method":          {"product", "comirnaty", "method", ""},
		"no shares":          {"product", "comirnaty", "method", "fixed"},
		"a word":             {"product", "comirnaty", "method", "fixed", "weight_centre_leipzig", "viel"},
	} {
		if r := a.PostForm("/admin/allocation/plan", f...); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
	if r := a.Get("/admin/allocation?product=comirnaty"); !strings.Contains(r.Body, `name="vials_centre_leipzig" type="number" value="7"`) {
		t.Errorf("by population: %s", r.Body)
	}
	send := []string{"product", "comirnaty", "vials_centre_leipzig", "7", "vials_centre_dresden", "3"}
	if r := a.PostForm("/admin/allocation/check", send...); r.Status != http.StatusOK || !strings.Contains(r.Body, "Jetzt verteilen") || !strings.Contains(r.Body, `name="seen" value="11"`) {
		t.Errorf("check: %d", r.Status)
	}
	if n := b.stock(leipzig, "comirnaty", b.now).Vials; n != 0 {
		t.Errorf("%d vials were sent without being confirmed", n)
	}
	if r := a.PostForm("/admin/allocation/check", "product", "comirnaty", "vials_centre_leipzig", "12"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `value="12"`) {
		t.Errorf("more than there is: %d", r.Status)
	}
	if r := a.PostForm("/admin/allocation/send", append(send, "seen", "10")...); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("stale: %d", r.Status)
	}
	mustSee(t, a.PostForm("/admin/allocation/send", append(send, "seen", "11")...), "send")
	if l, d, c := b.stock(leipzig, "comirnaty", b.now).Vials, b.stock(dresden, "comirnaty", b.now).Vials, b.stock(Central, "comirnaty", b.now).Vials; l != 7 || d != 3 || c != 1 {
		t.Errorf("leipzig %d, dresden %d, central %d", l, d, c)
	}
	var audited int
	if err := b.pool.QueryRow(b.ctx, `SELECT count(*) FROM audit.entry WHERE action IN ('inventory.allocate', 'inventory.allocation-plan', 'inventory.population')`).Scan(&audited); err != nil || audited != 3 {
		t.Errorf("audited %d times, want 3 (%v)", audited, err)
	}
	var out allocationOut
	if r := a.JSON(http.MethodGet, "/api/v1/allocation/comirnaty", nil, &out); r.Status != http.StatusOK || out.Plan.Method != ByPopulation || out.Preview.Central != 1 {
		t.Errorf("API: %d %+v", r.Status, out)
	}
	set := map[string]any{"method": "fixed", "automatic": false, "shares": []map[string]any{{"place": "centre:leipzig", "weight": 1}}}
	if r := a.JSON(http.MethodPut, "/api/v1/allocation/comirnaty", set, nil); r.Status >= 300 {
		t.Errorf("API plan: %d %s", r.Status, r.Body)
	}
	if r := a.JSON(http.MethodPost, "/api/v1/allocation/comirnaty/send", map[string]any{"amounts": []Amount{{leipzig, 1}}, "seen": 2, "why": "x"}, nil); r.Status != http.StatusConflict {
		t.Errorf("API stale: %d %s", r.Status, r.Body)
	}
	if r := a.JSON(http.MethodPost, "/api/v1/allocation/comirnaty/send", map[string]any{"amounts": []Amount{{leipzig, 1}}, "seen": 1, "why": "x"}, nil); r.Status >= 300 {
		t.Errorf("API send: %d %s", r.Status, r.Body)
	}
	var people populationIn
	if r := a.JSON(http.MethodGet, "/api/v1/population", nil, &people); r.Status != http.StatusOK || people.People["leipzig"] != 200_000 {
		t.Errorf("API population: %d %+v", r.Status, people)
	}
	b.reconciled()
}

func TestSeedDemoKnowsTheDistricts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tx(func(tx pgx.Tx) error { return b.s.SeedDemo(b.ctx, tx, b.now) })
	people, err := Population(b.ctx, b.pool)
	sum := 0
	for _, n := range people {
		sum += n
	}
	if err != nil || len(people) != 13 || sum < 4_050_000 || sum > 4_090_000 {
		t.Errorf("%d districts with %d people, %v", len(people), sum, err)
	}
}
