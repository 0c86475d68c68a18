package inventory

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// as is somebody of the staff with that role and scope.
func (b *bundle) as(role web.Role, scope string) *webtest.App {
	b.t.Helper()
	a := webtest.New(b.t, webtest.Config{Pool: b.pool, Now: b.s.now, Routes: b.s.Routes(), Bundles: []web.Bundle{Assets}})
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Test", Roles: []web.Role{role}, Scope: scope})
	return a
}

func TestSiteNotesVialsAndThawing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	must(t, b.give(leipzig, lot))
	vials, err := OpenedVials(b.ctx, b.pool, leipzig, clock.Day(b.now))
	must(t, err)
	vial := vials[0].ID
	a := b.as(web.RoleSite, "leipzig")
	if r := a.Get("/site/stock"); r.Status != http.StatusOK || !strings.Contains(r.Body, "AB1") || !strings.Contains(r.Body, "gerade in Gebrauch") {
		t.Fatalf("page: %d\n%s", r.Status, r.Body)
	}
	mustSee(t, a.PostForm("/site/stock/vials/"+vial, "place", "centre:leipzig", "gave_"+vial, "6"), "six of five")
	if got := b.stock(leipzig, "comirnaty", b.now).OpenDoses; got != 5 {
		t.Errorf("%d open doses, want 5", got)
	}
	if r := a.PostForm("/site/stock/vials/"+vial, "gave_"+vial, "viele"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `value="viele"`) {
		t.Errorf("no number: %d", r.Status)
	}
	mustSee(t, a.PostForm("/site/stock/thaw", "thaw_lot", lot, "thaw_vials", "3", "thawed_on", "2021-01-10"), "thaw")
	if r := a.Get("/site/stock"); !strings.Contains(r.Body, "aufgetaut am So 10.01.2021") && !strings.Contains(r.Body, "aufgetaut am") {
		t.Errorf("page after thawing: %s", r.Body)
	}
	for name, f := range map[string][]string{
		"too many": {"thaw_lot", lot, "thaw_vials", "7", "thawed_on", "2021-01-10"},
		"no lot":   {"thaw_lot", "", "thaw_vials", "1", "thawed_on", "2021-01-10"},
		"tomorrow": {"thaw_lot", lot, "thaw_vials", "1", "thawed_on", "2021-01-12"},
		"no day":   {"thaw_lot", lot, "thaw_vials", "1", "thawed_on", ""},
	} {
		if r := a.PostForm("/site/stock/thaw", f...); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
	// Somebody gives a dose after the page was loaded: the button throws nothing away.
	seen := b.holding(leipzig, lot)
	button := []string{"doses", strconv.Itoa(seen.OpenDoses), "opened", seen.Opened()}
	if r := a.Get("/site/stock"); !strings.Contains(r.Body, `name="opened" value="`+seen.Opened()+`"`) {
		t.Errorf("the button does not say which vial it means: %s", r.Body)
	}
	must(t, b.give(leipzig, lot))
	for name, f := range map[string][]string{"other doses": button, "nothing said": nil, "another vial": {"doses", "4", "opened", "2021-01-11T12:00:00Z"}} {
		if r := a.PostForm("/site/stock/lots/"+lot+"/discard", f...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "seit diese Seite geladen wurde") {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
	waste := func(opened string, doses string) int {
		return b.app().PostForm("/admin/stock/waste", "place", "centre:leipzig", "lot", lot, "reason", "open-vial", "waste_vials", "0", "waste_doses", doses,
			"waste_why", "fiel", "opened", opened).Status
	}
	if got := waste("2021-01-11T12:00:00Z", "1"); got != http.StatusUnprocessableEntity {
		t.Errorf("waste of another vial: %d", got)
	}
	if got := waste(seen.Opened(), "1"); got != http.StatusSeeOther {
		t.Errorf("waste of a dose: %d", got)
	}
	button[1] = "3"
	mustSee(t, a.PostForm("/site/stock/lots/"+lot+"/discard", button...), "discard")
	if h := b.holding(leipzig, lot); h.OpenDoses != 0 || h.ThawedVials() != 3 {
		t.Errorf("holding = %+v", h)
	}
	b.reconciled()
}

// TestOnlyWhatLastsFromItsThawingIsNoted: a syringe from the refrigerator is not.
func TestOnlyWhatLastsFromItsThawingIsNoted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receive(CentrePlace("leipzig"), "comirnaty", "AB1", day(2021, 5, 31), 10)
	b.receive(CentrePlace("leipzig"), "janssen", "JA1", day(2021, 5, 31), 10)
	b.tx(func(tx pgx.Tx) error {
		return b.s.SetShelfLife(b.ctx, tx, ShelfRule{"janssen", AfterThaw, b.now, 0}, b.by)
	})
	a := b.as(web.RoleSite, "leipzig")
	if r := a.Get("/site/stock"); !strings.Contains(r.Body, "Charge AB1 (10 ohne Auftaudatum)") || strings.Contains(r.Body, "Charge JA1 (") || !strings.Contains(r.Body, "JA1") {
		t.Errorf("page: %d", r.Status)
	}
}

func TestNobodyNotesForAnotherPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	must(t, b.give(leipzig, lot))
	vials, err := OpenedVials(b.ctx, b.pool, leipzig, clock.Day(b.now))
	must(t, err)
	dresden, team := b.as(web.RoleSite, "dresden"), b.as(web.RoleTeam, id.New())
	for name, a := range map[string]*webtest.App{"another centre": dresden, "a team": team} {
		if r := a.Get("/site/stock"); r.Status != http.StatusOK || strings.Contains(r.Body, "AB1") {
			t.Errorf("%s sees: %d", name, r.Status)
		}
		for path, want := range map[string]int{
			"/site/stock/vials/" + vials[0].ID: http.StatusForbidden, "/site/stock/lots/" + lot + "/discard": http.StatusForbidden, "/site/stock/thaw": http.StatusForbidden,
		} {
			if r := a.PostForm(path, "place", "centre:leipzig", "gave_"+vials[0].ID, "6", "thaw_lot", lot, "thaw_vials", "1", "thawed_on", "2021-01-11"); r.Status != want {
				t.Errorf("%s %s: %d, want %d", name, path, r.Status, want)
			}
		}
		if r := a.JSON(http.MethodPost, "/api/v1/site/stock/vials/"+vials[0].ID, map[string]any{"gave": 6}, nil); r.Status != http.StatusForbidden {
			t.Errorf("%s over the API: %d", name, r.Status)
		}
	}
	if r := b.as(web.RoleTeam, "leipzig").Get("/site/stock"); r.Status != http.StatusForbidden {
		t.Errorf("a team account without a team: %d", r.Status)
	}
	// Who answers for all centres chooses one.
	all := b.as(web.RoleSite, "")
	if r := all.Get("/site/stock"); r.Status != http.StatusOK || strings.Contains(r.Body, "AB1") {
		t.Errorf("no centre chosen: %d", r.Status)
	}
	if r := all.Get("/site/stock?place=centre:leipzig"); r.Status != http.StatusOK || !strings.Contains(r.Body, "AB1") {
		t.Errorf("leipzig chosen: %d", r.Status)
	}
	if r := all.Get("/site/stock?place=central"); r.Status != http.StatusNotFound {
		t.Errorf("central: %d", r.Status)
	}
}

func TestSiteOverTheAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	must(t, b.give(leipzig, lot))
	a := b.as(web.RoleSite, "leipzig")
	if r := a.JSON(http.MethodPost, "/api/v1/site/stock/thaw", map[string]any{"lot_id": lot, "vials": 2, "thawed_on": "2021-01-11"}, nil); r.Status >= 300 {
		t.Fatalf("thaw: %d %s", r.Status, r.Body)
	}
	var out siteOut
	if r := a.JSON(http.MethodGet, "/api/v1/site/stock", nil, &out); r.Status != http.StatusOK || len(out.Stock) != 1 || len(out.Opened) != 1 ||
		len(out.Stock[0].Portions) != 2 || out.Stock[0].Portions[0] != (portionOut{"2021-01-11", "2021-01-16", 2, false}) {
		t.Fatalf("stock: %d %+v", r.Status, out)
	}
	if r := a.JSON(http.MethodPost, "/api/v1/site/stock/vials/"+out.Opened[0].ID, map[string]any{"gave": 4}, nil); r.Status >= 300 {
		t.Errorf("yield: %d %s", r.Status, r.Body)
	}
	for _, in := range []map[string]any{{}, {"doses": 4}, {"doses": 3, "opened_at": "2021-01-11T12:00:00Z"}} {
		if r := a.JSON(http.MethodPost, "/api/v1/site/stock/lots/"+lot+"/discard", in, nil); r.Status != http.StatusConflict {
			t.Errorf("discard of something else %v: %d %s", in, r.Status, r.Body)
		}
	}
	if r := a.JSON(http.MethodPost, "/api/v1/site/stock/lots/"+lot+"/discard", map[string]any{"doses": 3, "opened_at": out.Stock[0].OpenedAt}, nil); r.Status >= 300 {
		t.Errorf("discard: %d %s", r.Status, r.Body)
	}
	if got := b.stock(leipzig, "comirnaty", b.now); got.OpenDoses != 0 || got.Vials != 9 {
		t.Errorf("stock = %+v", got)
	}
}

func TestShelfLifeIsARuleWithADate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 10)
	must(t, b.thaw(leipzig, lot, 2, day(2021, 1, 10)))
	must(t, b.thaw(leipzig, lot, 3, day(2021, 1, 11)))
	b.events()
	a := b.app()
	rule := func(from string, amount int) []string {
		return []string{"shelf_product", "comirnaty", "shelf_kind", "thawed", "shelf_from", from, "shelf_amount", strconv.Itoa(amount)}
	}
	mustSee(t, a.PostForm("/admin/shelf-life", rule("2021-01-11", 31)...), "rule")
	if n := b.events(); n[leipzig] != 1 || len(n) != 1 {
		t.Errorf("events after the rule: %v, want one for leipzig", n)
	}
	h := b.holding(leipzig, lot)
	if len(h.Portions) != 3 || !h.Portions[0].UseBy.Equal(day(2021, 1, 15)) || !h.Portions[1].UseBy.Equal(day(2021, 2, 11)) {
		t.Errorf("portions = %+v", h.Portions)
	}
	mustSee(t, a.PostForm("/admin/shelf-life", rule("2021-01-11", 0)...), "no limit")
	if h := b.holding(leipzig, lot); !h.Portions[1].UseBy.Equal(day(2021, 5, 31)) {
		t.Errorf("portions without a limit = %+v", h.Portions)
	}
	if r := a.PostForm("/admin/shelf-life", rule("2021-01-11", 401)...); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("401 days: %d", r.Status)
	}
	if r := a.Get("/admin/doses-per-vial"); r.Status != http.StatusOK || !strings.Contains(r.Body, "31 Tage") {
		t.Errorf("page: %d", r.Status)
	}
	var out shelfRulesOut
	if r := a.JSON(http.MethodGet, "/api/v1/shelf-life", nil, &out); r.Status != http.StatusOK || len(out.Rules) < 8 {
		t.Errorf("API: %d %+v", r.Status, out)
	}
	if r := a.JSON(http.MethodPost, "/api/v1/shelf-life", map[string]any{"product_id": "comirnaty", "kind": "opened", "valid_from": "2021-01-11", "amount": 12}, nil); r.Status >= 300 {
		t.Errorf("API set: %d %s", r.Status, r.Body)
	}
	// The stock page tells what runs out, and lets the administrator choose.
	if r := a.Get("/admin/stock"); r.Status != http.StatusOK || !strings.Contains(r.Body, "Läuft bald ab") {
		t.Errorf("stock page: %d", r.Status)
	}
	if r := a.Get("/admin/stock/move?place=centre:leipzig&lot=" + lot); r.Status != http.StatusOK || !strings.Contains(r.Body, "was zuerst abläuft") {
		t.Errorf("move page: %d", r.Status)
	}
	mustSee(t, a.PostForm("/admin/stock/waste", "place", "centre:leipzig", "lot", lot, "reason", "closed-vial", "waste_vials", "1", "waste_doses", "0",
		"waste_why", "fiel", "waste_portion", "frozen"), "waste a frozen one")
	mustSee(t, a.PostForm("/admin/stock/thaw", "place", "centre:leipzig", "lot", lot, "thaw_vials", "1", "thawed_on", "2021-01-11"), "thaw")
	if h := b.holding(leipzig, lot); h.FrozenVials() != 3 || h.ThawedVials() != 6 {
		t.Errorf("holding = %+v", h)
	}
	if r := a.Get("/admin/stock/lots/" + lot); r.Status != http.StatusOK || !strings.Contains(r.Body, "aufgetaut am") {
		t.Errorf("lot page: %d", r.Status)
	}
	b.reconciled()
}
