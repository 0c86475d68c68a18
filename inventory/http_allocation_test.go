package inventory

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web/webtest"
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
	mustSee(t, a.PostForm("/admin/allocation/population", "product", "comirnaty", "people_centre_leipzig", "200000", "people_centre_dresden", "100000",
		"source", "Statistisches Landesamt", "as_of", "2020-12-31"), "population")
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
	var people populationOut
	if r := a.JSON(http.MethodGet, "/api/v1/population", nil, &people); r.Status != http.StatusOK || people.Centres["leipzig"] != (figureOut{200_000, "Statistisches Landesamt", "2020-12-31"}) {
		t.Errorf("API population: %d %+v", r.Status, people)
	}
	b.reconciled()
}

// TestAllocationKeepsWhatWasTyped: an error, a way back and a stock that has changed
// leave every number where it stood, also the fields that were emptied.
func TestAllocationKeepsWhatWasTyped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 30)
	lot, err := LotByNumber(b.ctx, b.pool, "comirnaty", "AB1")
	must(t, err)
	a := b.app()
	mustSee(t, a.PostForm("/admin/allocation/plan", "product", "comirnaty", "method", "fixed", "weight_centre_leipzig", "2", "weight_centre_dresden", "1"), "plan")
	seen := func(r webtest.Answer, leipzig, dresden string) {
		t.Helper()
		for name, want := range map[string]string{"leipzig": leipzig, "dresden": dresden} {
			if !strings.Contains(r.Body, `name="vials_centre_`+name+`" type="number" value="`+want+`"`) {
				t.Errorf("%s does not hold %q any more", name, want)
			}
		}
	}
	seen(a.Get("/admin/allocation?product=comirnaty"), "20", "10")
	typed := []string{"product", "comirnaty", "seen", "30", "seen_at", "2021-01-11T12:00:00Z", "vials_centre_leipzig", "", "vials_centre_dresden", "25"}
	if r := a.PostForm("/admin/allocation/check", typed...); r.Status != http.StatusOK || !strings.Contains(r.Body, `type="hidden" name="vials_centre_dresden" value="25"`) || strings.Contains(r.Body, `id="changed"`) {
		t.Errorf("check: %d", r.Status)
	}
	r := a.PostForm("/admin/allocation/edit", typed...)
	seen(r, "", "25")
	over := append([]string(nil), typed...)
	over[len(over)-1] = "31"
	r = a.PostForm("/admin/allocation/check", over...)
	seen(r, "", "31")
	if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `href="#amounts"`) || !strings.Contains(r.Body, "Nach Plan: 20.") {
		t.Errorf("more than there is: %d", r.Status)
	}
	word := append([]string(nil), typed...)
	word[len(word)-3] = "viele"
	r = a.PostForm("/admin/allocation/check", word...)
	seen(r, "viele", "25")

	// Meanwhile somebody else sends ten vials away.
	b.tx(func(tx pgx.Tx) error {
		return b.s.Transfer(b.ctx, tx, Transfer{From: Central, To: CentrePlace("pirna"), LotID: lot.ID, Vials: 10, Actor: "staff:other", Why: "w", At: b.now})
	})
	if r := a.PostForm("/admin/allocation/check", typed[:len(typed)-1:len(typed)-1]...); r.Status == http.StatusOK {
		t.Error("a form cut off in the middle is taken")
	}
	less := append(append([]string(nil), typed[:len(typed)-1]...), "12")
	if r := a.PostForm("/admin/allocation/check", less...); r.Status != http.StatusOK || !strings.Contains(r.Body, `id="changed"`) {
		t.Errorf("the check does not tell that the stock has changed: %d", r.Status)
	}
	r = a.PostForm("/admin/allocation/send", less...)
	seen(r, "", "12")
	for _, want := range []string{"lagen 30 Flaschen im Zentrallager. Jetzt sind es 20.", "Charge AB1, -10 Flaschen", `name="seen" value="20"`, "Nach Plan: 13."} {
		if !strings.Contains(strings.ReplaceAll(r.Body, "−", "-"), want) {
			t.Errorf("stale: %q is not said", want)
		}
	}
	less[3] = "20"
	mustSee(t, a.PostForm("/admin/allocation/send", less...), "send again")
	if n := b.stock(CentrePlace("dresden"), "comirnaty", b.now).Vials; n != 12 {
		t.Errorf("dresden has %d vials", n)
	}

	// The plan keeps what was typed, too.
	r = a.PostForm("/admin/allocation/plan", "product", "comirnaty", "method", "fixed", "weight_centre_leipzig", "", "weight_centre_dresden", "viel")
	if r.Status != http.StatusUnprocessableEntity || strings.Contains(r.Body, `name="weight_centre_leipzig" type="number" value="2"`) || !strings.Contains(r.Body, `value="viel"`) {
		t.Errorf("plan: %d", r.Status)
	}
	b.reconciled()
}

func TestPopulationNamesItsSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	good := []string{"people_centre_leipzig", "600000", "source", "Statistisches Landesamt, Fortschreibung", "as_of", "2020-12-31"}
	for name, change := range map[string][2]string{"no source": {"source", ""}, "no day": {"as_of", ""}, "tomorrow": {"as_of", "2021-01-12"}, "a word": {"people_centre_leipzig", "viele"}} {
		f := append([]string(nil), good...)
		for i := 0; i < len(f); i += 2 {
			if f[i] == change[0] {
				f[i+1] = change[1]
			}
		}
		if r := a.PostForm("/admin/allocation/population", f...); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, r.Status)
		}
	}
	mustSee(t, a.PostForm("/admin/allocation/population", good...), "population")
	if r := a.Get("/admin/allocation/population"); r.Status != http.StatusOK || !strings.Contains(r.Body, "Statistisches Landesamt, Fortschreibung</td>") || strings.Contains(r.Body, "nicht amtlich") {
		t.Errorf("page: %d", r.Status)
	}
	if r := a.JSON(http.MethodPut, "/api/v1/population", map[string]any{"people": map[string]int{"leipzig": 1}, "source": "", "as_of": "2020-12-31"}, nil); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("API without a source: %d", r.Status)
	}
	b.tx(func(tx pgx.Tx) error { return b.s.SeedDemo(b.ctx, tx, b.now) })
	if r := a.Get("/admin/allocation/population"); !strings.Contains(r.Body, "nicht amtlich") || !strings.Contains(r.Body, "600.000") {
		t.Error("the demo's figures are not marked, or replace real ones")
	}
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

// TestSharesStayUnderAnotherMethod: who goes back to fixed shares finds them again, and
// they count for nothing until then.
func TestSharesStayUnderAnotherMethod(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	save := func(f ...string) {
		t.Helper()
		mustSee(t, a.PostForm("/admin/allocation/plan", append([]string{"product", "comirnaty"}, f...)...), "plan")
	}
	shown := func(want ...string) {
		t.Helper()
		r := a.Get("/admin/allocation/plan?product=comirnaty")
		for _, w := range want {
			if r.Status != http.StatusOK || !strings.Contains(r.Body, w) {
				t.Errorf("%d, %s is not there", r.Status, w)
			}
		}
	}
	leipzig, dresden := `name="weight_centre_leipzig" type="number" value="`, `name="weight_centre_dresden" type="number" value="`
	save("method", "fixed", "weight_centre_leipzig", "2", "weight_centre_dresden", "1")
	save("method", "hand", "weight_centre_leipzig", "2", "weight_centre_dresden", "1") // as the page sends it
	shown(leipzig+`2"`, dresden+`1"`)
	save("method", "population", "weight_centre_leipzig", "5", "weight_centre_dresden", "") // typed, then another method
	shown(leipzig+`5"`, dresden+`"`)
	p, err := Plan(b.ctx, b.pool, "comirnaty")
	if err != nil || p.Method != ByPopulation {
		t.Fatalf("%+v, %v", p, err)
	}
	if w, err := weights(b.ctx, b.pool, p); err != nil || len(w) != 13 {
		t.Errorf("by population it divides by %+v, %v", w, err)
	}
	must(t, b.setPlan(AllocationPlan{ProductID: "comirnaty", Method: ByHand})) // an operation that names none
	shown(leipzig + `5"`)
	if r := a.PostForm("/admin/allocation/plan", "product", "comirnaty", "method", "fixed", "weight_centre_leipzig", ""); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("fixed shares without a share: %d", r.Status)
	}
	save("method", "hand", "weight_centre_leipzig", "", "weight_centre_dresden", "")
	shown(leipzig+`"`, dresden+`"`)
}
