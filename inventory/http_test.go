package inventory

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func (b *bundle) app() *webtest.App {
	b.t.Helper()
	a := webtest.New(b.t, webtest.Config{Pool: b.pool, Now: func() time.Time { return b.now }, Routes: b.s.Routes(), Bundles: []web.Bundle{Assets}})
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}})
	return a
}

// mustSee fails unless the answer sends the browser on.
func mustSee(t *testing.T, r webtest.Answer, what string) {
	t.Helper()
	if r.Status != http.StatusSeeOther {
		t.Fatalf("%s: %d\n%s", what, r.Status, r.Body)
	}
}

func TestDeliveryPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	plan := []string{"product", "comirnaty", "place", "central", "day", "2021-01-18", "vials", "2535", "equal_shares", "1", "note", "Woche 3"}
	mustSee(t, a.PostForm("/admin/deliveries", plan...), "plan")
	for _, bad := range [][]string{{"product", ""}, {"place", "person"}, {"day", "2021-02-30"}, {"vials", "0"}, {"vials", "viele"}, {"place", "centre:leipzig"}} {
		f := append([]string(nil), plan...)
		for i := 0; i < len(f); i += 2 {
			if f[i] == bad[0] {
				f[i+1] = bad[1]
			}
		}
		if r := a.PostForm("/admin/deliveries", f...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "Woche 3") {
			t.Errorf("%v: %d", bad, r.Status)
		}
	}
	ds, err := Deliveries(b.ctx, b.pool, "planned", 10)
	if err != nil || len(ds) != 1 {
		t.Fatalf("deliveries: %+v, %v", ds, err)
	}
	page := "/admin/deliveries/" + ds[0].ID
	if r := a.Get("/admin/deliveries"); !strings.Contains(r.Body, page) || !strings.Contains(r.Body, "zu gleichen Teilen") {
		t.Errorf("list: %d", r.Status)
	}
	if r := a.Get(page); r.Status != http.StatusOK || !strings.Contains(r.Body, `value="2535"`) {
		t.Errorf("page: %d", r.Status)
	}
	for name, f := range map[string][]string{
		"no lot":     {"expiry_1", "2021-05-01", "vials_1", "2535"},
		"no expiry":  {"lot_1", "EX1", "vials_1", "2535"},
		"expired":    {"lot_1", "EX1", "expiry_1", "2021-01-01", "vials_1", "2535"},
		"second lot": {"lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "2535", "lot_2", "EX2"},
	} {
		if r := a.PostForm(page+"/receive", f...); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
	mustSee(t, a.PostForm(page+"/receive", "lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "2000", "lot_2", "EX2", "expiry_2", "2021-06-01", "vials_2", "535"), "receive")
	if n := b.stock(CentrePlace("zwickau"), "comirnaty", b.now).Vials; n != 195 {
		t.Errorf("zwickau: %d vials, want 195", n)
	}
	if r := a.PostForm(page + "/cancel"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `href="#delivery"`) || !strings.Contains(r.Body, "angekommen") {
		t.Errorf("cancel what was received: %d", r.Status)
	}
	for _, path := range []string{"/admin/deliveries/" + id.New(), "/admin/deliveries/x", "/admin/stock/movements/x", "/admin/stock/move?place=central&lot=x"} {
		if r := a.Get(path); r.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.Status)
		}
	}
}

func TestStockPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	lot := b.receive(Central, "comirnaty", "EX1", day(2021, 5, 1), 30)
	if r := a.Get("/admin/allocation?product=comirnaty&fill=equal"); strings.Count(r.Body, `type="number" value="2"`) != 13 {
		t.Errorf("equal shares: %d %s", r.Status, r.Body)
	}
	b.tx(func(tx pgx.Tx) error {
		_, err := b.s.EqualShares(b.ctx, tx, "comirnaty", "equal shares", By{Actor: "staff:other", Role: "admin"})
		return err
	})
	if r := a.Get("/admin/stock?product=comirnaty"); r.Status != http.StatusOK || !strings.Contains(r.Body, "Impfzentrum Löbau") || !strings.Contains(r.Body, "zu gleichen Teilen verteilt") || !strings.Contains(r.Body, "movements=all#") {
		t.Errorf("stock: %d", r.Status)
	}
	if r := a.Get("/admin/stock?movements=all"); r.Status != http.StatusOK || strings.Contains(r.Body, "movements=all#") || strings.Count(r.Body, "/admin/stock/movements/") != 14 {
		t.Errorf("all movements: %d, %d", r.Status, strings.Count(r.Body, "/admin/stock/movements/"))
	}
	if r := a.Get("/admin/stock/move?place=centre:leipzig&lot=" + lot); r.Status != http.StatusOK {
		t.Fatalf("move: %d", r.Status)
	}
	transfer := func(kv ...string) webtest.Answer {
		return a.PostForm("/admin/stock/transfer", append(kv, "place", "centre:leipzig", "lot", lot)...)
	}
	for name, r := range map[string]webtest.Answer{
		"too many":  transfer("to", "centre:pirna", "transfer_vials", "3", "transfer_doses", "0", "transfer_why", "w"),
		"nothing":   transfer("to", "centre:pirna", "transfer_vials", "0", "transfer_doses", "0", "transfer_why", "w"),
		"no reason": transfer("to", "centre:pirna", "transfer_vials", "1", "transfer_doses", "0", "transfer_why", ""),
		"to itself": transfer("to", "centre:leipzig", "transfer_vials", "1", "transfer_doses", "0", "transfer_why", "w"),
	} {
		if r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
	if r := transfer("to", "centre:pirna", "transfer_vials", "1", "transfer_doses", "0", "transfer_why", ""); !strings.Contains(r.Body, `name="expiry" type="date" value="2021-05-01"`) || !strings.Contains(r.Body, `name="thawed_on" type="date" value="2021-01-11"`) {
		t.Errorf("an error of one form empties the others: %s", r.Body)
	}
	mustSee(t, transfer("to", "centre:pirna", "transfer_vials", "1", "transfer_doses", "0", "transfer_why", "Pirna hat zu wenig"), "transfer")
	if n := b.stock(CentrePlace("pirna"), "comirnaty", b.now).Vials; n != 3 {
		t.Errorf("pirna: %d", n)
	}
	mustSee(t, a.PostForm("/admin/stock/waste", "place", "centre:pirna", "lot", lot, "reason", "cold-chain", "waste_vials", "1", "waste_doses", "0", "waste_why", "Kühlschrank"), "waste")
	ms, err := Movements(b.ctx, b.pool, CentrePlace("pirna"), 1)
	if err != nil || ms[0].Kind != "waste" {
		t.Fatalf("movements: %+v, %v", ms, err)
	}
	page := "/admin/stock/movements/" + ms[0].ID
	if r := a.Get(page); r.Status != http.StatusOK || !strings.Contains(r.Body, "Verworfen: Kühlkette unterbrochen") {
		t.Errorf("movement: %d", r.Status)
	}
	if r := a.PostForm(page+"/correct", "why", ""); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("correct without a reason: %d", r.Status)
	}
	mustSee(t, a.PostForm(page+"/correct", "why", "war noch kalt"), "correct")
	if r := a.PostForm(page+"/correct", "why", "noch einmal"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "schon zurückgenommen") {
		t.Errorf("correct twice: %d", r.Status)
	}
	mustSee(t, a.PostForm("/admin/stock/lots/"+lot, "place", "centre:pirna", "expiry", "2021-04-01"), "lot")
	if l, err := LotByID(b.ctx, b.pool, lot); err != nil || !l.Expiry.Equal(day(2021, 4, 1)) {
		t.Errorf("lot: %+v, %v", l, err)
	}
	var audited int
	if err := b.pool.QueryRow(b.ctx, `SELECT count(DISTINCT action) FROM audit.entry WHERE actor LIKE 'staff:%' AND action IN
		('inventory.equal-shares', 'inventory.transfer', 'inventory.waste', 'inventory.correct', 'inventory.lot')`).Scan(&audited); err != nil || audited != 5 {
		t.Errorf("%d of 5 actions are audited, %v", audited, err)
	}
	b.reconciled()
}

func TestDosesPerVialPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	mustSee(t, a.PostForm("/admin/doses-per-vial", "product", "comirnaty", "valid_from", "2021-01-15", "doses", "6"), "set")
	if r := a.Get("/admin/doses-per-vial"); r.Status != http.StatusOK || !strings.Contains(r.Body, "→ kommt") || !strings.Contains(r.Body, "gilt heute") {
		t.Errorf("page: %d", r.Status)
	}
	if n, err := DosesPerVial(b.ctx, b.pool, "comirnaty", clock.At(day(2021, 1, 15), 0, 0)); err != nil || n != 6 {
		t.Errorf("on 15 January: %d, %v", n, err)
	}
	for _, f := range [][]string{{"product", "x", "valid_from", "2021-01-15", "doses", "6"}, {"product", "comirnaty", "valid_from", "", "doses", "6"}, {"product", "comirnaty", "valid_from", "2021-01-15", "doses", "51"}} {
		if r := a.PostForm("/admin/doses-per-vial", f...); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", f, r.Status)
		}
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	upload := func(content string) webtest.Answer {
		t.Helper()
		r := a.PostFile("/admin/deliveries/import", "file", "deliveries.csv", []byte(content))
		b.s.Wait()
		return r
	}
	if r := upload("date,vaccine,doses\n2021-01-08,Moderna,viele\n<b>,x,1\n"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "Zeile 2: Das ist keine ganze Zahl von Dosen. (viele)") ||
		!strings.Contains(r.Body, "(&lt;b&gt;)") {
		t.Errorf("malformed: %d %s", r.Status, r.Body)
	}
	if r := a.PostForm("/admin/deliveries/import"); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("without a file: %d", r.Status)
	}
	r := upload("date,vaccine,doses\n2021-01-06,Moderna,1003\n2021-01-07,Valneva,20\n")
	mustSee(t, r, "upload")
	p, err := jobs.ProgressByID(b.ctx, b.pool, progressID(r))
	if err != nil || p.FinishedAt == nil || p.Error != nil || p.Percent() != 100 {
		t.Errorf("progress: %+v, %v", p, err)
	}
	if got := a.Get(r.Location); got.Status != http.StatusOK {
		t.Errorf("progress page: %d", got.Status)
	}
	if r := a.Get("/admin/deliveries/import"); !strings.Contains(r.Body, "Valneva: 1 Zeilen") || !strings.Contains(r.Body, "Ungeklärte Dosen") {
		t.Errorf("import page: %d", r.Status)
	}
	r = upload("date,vaccine,doses\n2021-01-09,Moderna,-9999990\n")
	mustSee(t, r, "upload of a return of what is not there")
	p, err = jobs.ProgressByID(b.ctx, b.pool, progressID(r))
	if err != nil || p.Error == nil || !strings.Contains(*p.Error, "2: So viele Flaschen hat das Zentrallager nicht mehr") {
		t.Errorf("progress: %+v, %v", p, err)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	ok := func(method, path string, in, out any, want int) {
		t.Helper()
		if r := a.JSON(method, path, in, out); r.Status != want {
			t.Errorf("%s %s: %d, want %d\n%s", method, path, r.Status, want, r.Body)
		}
	}
	var planned planOut
	ok(http.MethodPost, "/api/v1/deliveries", planIn{ProductID: "comirnaty", Place: "central", Day: "2021-01-12", Vials: 20}, &planned, http.StatusCreated)
	ok(http.MethodPost, "/api/v1/deliveries", planIn{ProductID: "x", Place: "central", Day: "2021-01-12", Vials: 20}, nil, http.StatusNotFound)
	ok(http.MethodPost, "/api/v1/deliveries", planIn{ProductID: "comirnaty", Place: "central", Day: "now", Vials: 20}, nil, http.StatusUnprocessableEntity)
	ok(http.MethodPost, "/api/v1/deliveries/"+planned.ID+"/receive", receiveIn{Lots: []receiveLotIn{{"EX1", "2021-05-01", 20}}}, nil, http.StatusNoContent)
	ok(http.MethodPost, "/api/v1/deliveries/"+planned.ID+"/cancel", nil, nil, http.StatusConflict)
	var ds deliveriesOut
	ok(http.MethodGet, "/api/v1/deliveries?state=received", nil, &ds, http.StatusOK)
	if len(ds.Deliveries) != 1 || ds.Deliveries[0].Day != "2021-01-12" || ds.Deliveries[0].ReceivedAt == nil {
		t.Errorf("deliveries: %+v", ds)
	}
	var sh Shares
	ok(http.MethodPost, "/api/v1/stock/equal-shares", sharesIn{"comirnaty"}, &sh, http.StatusOK)
	if sh != (Shares{Each: 1, Places: 13, Left: 7}) {
		t.Errorf("shares: %+v", sh)
	}
	var st stockOut
	ok(http.MethodGet, "/api/v1/stock?product=comirnaty&place=central&on=2021-01-20", nil, &st, http.StatusOK)
	if len(st.Stock) != 1 || st.Stock[0].Vials != 7 || st.Stock[0].Doses != 35 || st.Stock[0].Expiry != "2021-05-01" {
		t.Fatalf("stock: %+v", st)
	}
	lot := st.Stock[0].LotID
	ok(http.MethodPost, "/api/v1/stock/transfers", transferIn{From: "central", To: "centre:pirna", LotID: lot, Vials: 2, Why: "w"}, nil, http.StatusNoContent)
	ok(http.MethodPost, "/api/v1/stock/transfers", transferIn{From: "central", To: "centre:atlantis", LotID: lot, Vials: 2, Why: "w"}, nil, http.StatusNotFound)
	ok(http.MethodPost, "/api/v1/stock/transfers", transferIn{From: "centre:Ätna", To: "central", LotID: lot, Vials: 2, Why: "w"}, nil, http.StatusUnprocessableEntity)
	ok(http.MethodPost, "/api/v1/stock/transfers", transferIn{From: "central", To: "centre:pirna", LotID: lot, Vials: 6, Why: "w"}, nil, http.StatusConflict)
	ok(http.MethodPost, "/api/v1/stock/waste", wasteIn{Place: "central", LotID: lot, Vials: 1, Reason: "cold-chain", Why: "w"}, nil, http.StatusNoContent)
	ok(http.MethodPost, "/api/v1/stock/waste", wasteIn{Place: "central", LotID: lot, Vials: 1, Reason: "eaten", Why: "w"}, nil, http.StatusUnprocessableEntity)
	var ms movementsOut
	ok(http.MethodGet, "/api/v1/stock/movements?place=central&limit=1", nil, &ms, http.StatusOK)
	if len(ms.Movements) != 1 || ms.Movements[0].Kind != "waste" {
		t.Fatalf("movements: %+v", ms)
	}
	ok(http.MethodPost, "/api/v1/stock/movements/"+ms.Movements[0].ID+"/correct", correctIn{Why: "w"}, nil, http.StatusNoContent)
	ok(http.MethodPost, "/api/v1/stock/movements/"+ms.Movements[0].ID+"/correct", correctIn{Why: "w"}, nil, http.StatusConflict)
	ok(http.MethodGet, "/api/v1/stock/movements?limit=5000", nil, nil, http.StatusUnprocessableEntity)
	var rep ImportReport
	ok(http.MethodPost, "/api/v1/deliveries/import", importIn{CSV: "date,vaccine,doses\n2021-01-06,Moderna,1003\n"}, &rep, http.StatusOK)
	if rep.New != 1 || len(rep.Unreconciled) != 1 {
		t.Errorf("import: %+v", rep)
	}
	ok(http.MethodPost, "/api/v1/deliveries/import", importIn{CSV: "date,vaccine\n"}, nil, http.StatusUnprocessableEntity)
	ok(http.MethodPost, "/api/v1/doses-per-vial", vialRuleOut{"comirnaty", "2021-01-15", 6}, nil, http.StatusNoContent)
	ok(http.MethodPost, "/api/v1/doses-per-vial", vialRuleOut{"comirnaty", "2021-01-15", 0}, nil, http.StatusUnprocessableEntity)
	var rules vialRulesOut
	ok(http.MethodGet, "/api/v1/doses-per-vial", nil, &rules, http.StatusOK)
	if len(rules.Rules) != 6 || rules.Rules[0] != (vialRuleOut{"comirnaty", "2021-01-15", 6}) {
		t.Errorf("rules: %+v", rules)
	}
	other := a.Another()
	other.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Site", Roles: []web.Role{web.RoleSite}})
	if r := other.Get("/api/v1/stock"); r.Status != http.StatusForbidden {
		t.Errorf("another role: %d", r.Status)
	}
	b.reconciled()
}

// TestPagesWithTheWholeYear: the lists stay usable with the real volume.
func TestPagesWithTheWholeYear(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	b.tx(func(tx pgx.Tx) error { return b.s.SeedDemo(b.ctx, tx, b.now) })
	var csv strings.Builder
	csv.WriteString("date,vaccine,doses\n")
	for i := range 300 {
		csv.WriteString(day(2020, 12, 1).AddDate(0, 0, i).Format(time.DateOnly) + ",Moderna," + strconv.Itoa(100+i) + "\n")
	}
	if _, err := b.s.ImportDeliveries(b.ctx, strings.NewReader(csv.String()), "system", nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/admin/deliveries", "/admin/deliveries/import", "/admin/stock", "/admin/stock?place=central", "/admin/doses-per-vial"} {
		for _, lang := range []string{"de", "en"} {
			a.Lang = lang
			if r := a.Get(path); r.Status != http.StatusOK {
				t.Errorf("%s in %s: %d", path, lang, r.Status)
			}
		}
	}
}

// progressID is that of the progress an answer leads to.
func progressID(r webtest.Answer) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(r.Location, "/admin/progress/"), "?")
	return id
}
