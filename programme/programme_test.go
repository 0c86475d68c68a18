package programme

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

var january = clock.At(day(2021, 1, 11), 14, 0)

func setup(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.New(t)
	for range 2 { // the second time does nothing
		err := pg.InTx(context.Background(), pool, func(tx pgx.Tx) error { return SeedDemo(context.Background(), tx, january) })
		if err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

func TestAge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		birth, on time.Time
		want      int
	}{
		{day(1941, 1, 11), january, 80},
		{day(1941, 1, 12), january, 79},
		{day(2004, 2, 29), day(2020, 2, 28), 15},
		{day(2004, 2, 29), day(2020, 2, 29), 16},
		{day(2004, 2, 29), day(2022, 2, 28), 17},
		{day(2004, 2, 29), day(2022, 3, 1), 18},
		{day(2021, 1, 11), january, 0},
		{day(2021, 1, 12), january, -1},
		{day(1941, 1, 12), clock.At(day(2021, 1, 12), 0, 0), 80}, // midnight in Berlin is the day before in UTC
	} {
		if got := Age(c.birth, c.on); got != c.want {
			t.Errorf("Age(%s, %s) = %d, want %d", c.birth.Format(time.DateOnly), c.on, got, c.want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		birth := day(1900, 1, 1).AddDate(0, 0, rapid.IntRange(0, 45000).Draw(rt, "birth"))
		n := rapid.IntRange(0, 110).Draw(rt, "years")
		birthday := birth.AddDate(n, 0, 0) // 29 February becomes 1 March
		if a, b := Age(birth, birthday), Age(birth, birthday.AddDate(0, 0, -1)); a != n || b != n-1 {
			rt.Fatalf("born %s: on the %d. birthday %d, the day before %d", birth, n, a, b)
		}
	})
}

func TestJanuary2021(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), setup(t)
	groups, err := GroupsOn(ctx, pool, CovidID, january, "de")
	if err != nil || len(groups) != 9 {
		t.Fatalf("groups: %+v, %v", groups, err)
	}
	for _, g := range groups {
		if g.Open != (g.Rank == 1) || g.Name == "" || g.Proof == "" {
			t.Errorf("group %+v", g)
		}
		open, err := GroupOpen(ctx, pool, CovidID, g.Code, january)
		if err != nil || open != g.Open {
			t.Errorf("GroupOpen(%s) = %v, %v", g.Code, open, err)
		}
	}
	if g, err := GroupByCode(ctx, pool, CovidID, "s2-age", january, "en"); err != nil || g.MinAge != 80 || !g.FitsAge(day(1941, 1, 11), january) || g.FitsAge(day(1941, 1, 12), january) {
		t.Errorf("s2-age: %+v, %v", g, err)
	}
	if open, err := GroupOpen(ctx, pool, CovidID, "nobody", january); open || err != nil {
		t.Errorf("unknown group: %v, %v", open, err)
	}
	if open, err := GroupOpen(ctx, pool, InfluenzaID, "everybody", january); !open || err != nil {
		t.Errorf("influenza is not open: %v", err)
	}
	ps, err := Programmes(ctx, pool, "en")
	if err != nil || len(ps) != 2 || ps[0].Name != "COVID-19 vaccination" || ps[1].ID != InfluenzaID {
		t.Errorf("programmes: %+v, %v", ps, err)
	}
	if p, err := ProgrammeByID(ctx, pool, CovidID, "hsb"); err != nil || p.Name != "Corona-Schutzimpfung" {
		t.Errorf("a language that is missing: %+v, %v", p, err)
	}
}

func TestSeriesFor(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), setup(t)
	for id, want := range map[string]Series{
		"comirnaty": {Doses: 2, MinDays: 21, MaxDays: 42, PlanDays: 21},
		"spikevax":  {Doses: 2, MinDays: 28, MaxDays: 42, PlanDays: 28},
		"vaxzevria": {Doses: 2, MinDays: 63, MaxDays: 84, PlanDays: 63},
		"nuvaxovid": {Doses: 2, MinDays: 21, MaxDays: NoUpperLimit, PlanDays: 21},
		"janssen":   {Doses: 1, MinDays: 0, MaxDays: 0, PlanDays: 0},
		"influvac":  {Doses: 1, MinDays: 0, MaxDays: 0, PlanDays: 0},
	} {
		got, err := SeriesFor(ctx, pool, id, january)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", id, got, err, want)
		}
	}
	if _, err := SeriesFor(ctx, pool, "comirnaty", day(2020, 12, 20)); !errors.Is(err, ErrNoRule) {
		t.Errorf("before the authorisation: %v", err)
	}
	s := Series{Doses: 2, MinDays: 21, MaxDays: 42, PlanDays: 21}
	for days, want := range map[int]bool{20: false, 21: true, 42: true, 43: false} {
		if s.Allows(days) != want {
			t.Errorf("Allows(%d) = %v", days, !want)
		}
	}
}

func TestAllowedProducts(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), setup(t)
	for _, c := range []struct {
		programme string
		birth, on time.Time
		want      string
	}{
		{CovidID, day(1938, 5, 1), january, "comirnaty spikevax"},
		{CovidID, day(2004, 1, 1), january, "comirnaty"},
		{CovidID, day(2005, 1, 12), january, ""},
		{CovidID, day(1938, 5, 1), day(2021, 2, 1), "comirnaty spikevax"}, // Vaxzevria: 18 to 64 then
		{CovidID, day(1956, 2, 2), day(2021, 2, 1), "comirnaty spikevax vaxzevria"},
		{CovidID, day(1956, 2, 1), day(2021, 2, 1), "comirnaty spikevax"}, // 65 today
		{CovidID, day(1990, 1, 1), day(2021, 4, 1), "comirnaty spikevax janssen"},
		{CovidID, day(1938, 5, 1), day(2022, 1, 1), "comirnaty spikevax vaxzevria janssen nuvaxovid"},
		{CovidID, day(1938, 5, 1), day(2020, 12, 20), ""},
		{InfluenzaID, day(1938, 5, 1), january, "influvac"},
		{InfluenzaID, day(2018, 1, 12), january, ""},
	} {
		ps, err := AllowedProducts(ctx, pool, c.programme, c.birth, c.on)
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]string, len(ps))
		for i, p := range ps {
			ids[i] = p.ID
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("born %s, on %s: %q, want %q", c.birth.Format(time.DateOnly), c.on.Format(time.DateOnly), got, c.want)
		}
	}
}

func TestRulesHaveADate(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), setup(t)
	who := By{Actor: "staff:test", Role: "admin"}
	change := func(fn func(tx pgx.Tx) error) error { return pg.InTx(ctx, pool, fn) }

	rule, err := GroupRuleOn(ctx, pool, CovidID, "s3-age", january)
	if err != nil {
		t.Fatal(err)
	}
	rule.ValidFrom, rule.Open = day(2021, 2, 1), true
	if err := change(func(tx pgx.Tx) error { return SetGroup(ctx, tx, january, rule, who) }); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[time.Time]bool{day(2021, 1, 31): false, day(2021, 2, 1): true, clock.At(day(2021, 2, 1), 0, 0): true} {
		if open, err := GroupOpen(ctx, pool, CovidID, "s3-age", d); err != nil || open != want {
			t.Errorf("open on %s: %v, %v", d, open, err)
		}
	}
	if err := change(func(tx pgx.Tx) error {
		return SetSeries(ctx, tx, january, "comirnaty", day(2021, 2, 1), Series{Doses: 2, MinDays: 21, MaxDays: 0, PlanDays: 42}, who)
	}); err != nil {
		t.Fatal(err)
	}
	if s, err := SeriesFor(ctx, pool, "comirnaty", day(2021, 2, 1)); err != nil || s != (Series{Doses: 2, MinDays: 21, MaxDays: NoUpperLimit, PlanDays: 42}) {
		t.Errorf("series: %+v, %v", s, err)
	}
	if err := change(func(tx pgx.Tx) error {
		return SetAgeRule(ctx, tx, january, AgeRule{ProductID: "vaxzevria", ValidFrom: day(2021, 3, 15), MinAge: 18, Allowed: false}, who)
	}); err != nil {
		t.Fatal(err)
	}
	ps, err := AllowedProducts(ctx, pool, CovidID, day(1980, 1, 1), day(2021, 3, 15))
	if err != nil || slices.ContainsFunc(ps, func(p Product) bool { return p.ID == "vaxzevria" }) {
		t.Errorf("suspended product: %+v, %v", ps, err)
	}
	for name, err := range map[string]error{
		"distances": change(func(tx pgx.Tx) error {
			return SetSeries(ctx, tx, january, "comirnaty", january, Series{Doses: 2, MinDays: 42, MaxDays: 21, PlanDays: 30}, who)
		}),
		"plan": change(func(tx pgx.Tx) error {
			return SetSeries(ctx, tx, january, "comirnaty", january, Series{Doses: 2, MinDays: 21, MaxDays: 42, PlanDays: 50}, who)
		}),
		"no doses": change(func(tx pgx.Tx) error { return SetSeries(ctx, tx, january, "comirnaty", january, Series{}, who) }),
		"huge": change(func(tx pgx.Tx) error {
			return SetSeries(ctx, tx, january, "comirnaty", january, Series{Doses: 2, MinDays: 1, MaxDays: 99999, PlanDays: 1}, who)
		}),
		"ages": change(func(tx pgx.Tx) error {
			return SetAgeRule(ctx, tx, january, AgeRule{ProductID: "janssen", ValidFrom: january, MinAge: 60, MaxAge: 18}, who)
		}),
		"no German": change(func(tx pgx.Tx) error {
			g := rule
			g.Name = map[string]string{"en": "x"}
			return SetGroup(ctx, tx, january, g, who)
		}),
		"proof kind": change(func(tx pgx.Tx) error { g := rule; g.ProofKind = "diagnosis"; return SetGroup(ctx, tx, january, g, who) }),
		"code":       change(func(tx pgx.Tx) error { g := rule; g.Code = "A b"; return SetGroup(ctx, tx, january, g, who) }),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if err := change(func(tx pgx.Tx) error { return SetSeries(ctx, tx, january, "unknown", january, Series{Doses: 1}, who) }); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown product: %v", err)
	}
	var audited int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM audit.entry WHERE actor = 'staff:test' AND before IS NOT NULL AND after IS NOT NULL`).Scan(&audited); err != nil || audited != 3 {
		t.Errorf("%d changes with before and after in the audit, %v; want 3", audited, err)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), setup(t)
	for _, key := range TextKeys() {
		for _, lang := range Languages() {
			d, err := Text(ctx, pool, key, lang)
			if err != nil || d.Title == "" || d.Empty() || d.Lang != lang || d.ChangedAt != nil {
				t.Errorf("%s %s: %+v, %v", key, lang, d, err)
			}
		}
	}
	if d, err := Text(ctx, pool, TextImprint, "hsb"); err != nil || d.Title != "Impressum" {
		t.Errorf("a language that is missing: %+v, %v", d, err)
	}
	if _, err := Text(ctx, pool, "../secret", "de"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown text: %v", err)
	}
	who := By{Actor: "staff:test", Role: "admin"}
	set := func(key, title, body string) error {
		return pg.InTx(ctx, pool, func(tx pgx.Tx) error { return SetText(ctx, tx, january, key, "de", title, body, who) })
	}
	if err := set(TextNotice, "Hinweis", ""); err != nil {
		t.Fatal(err)
	}
	if d, err := Text(ctx, pool, TextNotice, "de"); err != nil || !d.Empty() || d.ChangedAt == nil {
		t.Errorf("emptied notice: %+v, %v", d, err)
	}
	if err := set(TextImprint, "Impressum", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("empty imprint: %v", err)
	}
	if err := set("unknown", "x", "y"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown text: %v", err)
	}
}

func TestRenderLeavesRawHTMLOut(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"<script>alert(1)</script>", "x <img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "<a href='javascript:alert(1)'>x</a>", "![x](data:text/html,x)"} {
		out, err := Render(in)
		if err != nil || strings.Contains(string(out), "<script") || strings.Contains(string(out), "onerror") || strings.Contains(string(out), "javascript:") || strings.Contains(string(out), "data:") {
			t.Errorf("Render(%q) = %q, %v", in, out, err)
		}
	}
	if out, err := Render("Musterstraße 1\n01067 Dresden\n\n**fett** <a@b.example>"); err != nil || !strings.Contains(string(out), "<br>") || !strings.Contains(string(out), "<strong>") || !strings.Contains(string(out), "mailto:a@b.example") {
		t.Errorf("Render = %q, %v", out, err)
	}
}
