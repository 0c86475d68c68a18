package inventory

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"impfportal/internal/pg"
)

// TestProject: every dose is somewhere, and each week begins with what the one
// before has left.
func TestProject(t *testing.T) {
	t.Parallel()
	today := day(2021, 1, 13) // a Wednesday
	rapid.Check(t, func(rt *rapid.T) {
		var batches []Batch
		for range rapid.IntRange(0, 6).Draw(rt, "batches") {
			from := today.AddDate(0, 0, rapid.SampledFrom([]int{0, 0, 1, 5, 9, 20}).Draw(rt, "from"))
			batches = append(batches, Batch{From: from, Until: from.AddDate(0, 0, rapid.IntRange(0, 90).Draw(rt, "lasts")), Doses: rapid.IntRange(0, 500).Draw(rt, "doses")})
		}
		var demand []DemandWeek
		for w := range 10 {
			demand = append(demand, DemandWeek{Week: w, First: rapid.IntRange(0, 80).Draw(rt, "first"), Later: rapid.IntRange(0, 80).Draw(rt, "later"), Free: rapid.IntRange(0, 80).Draw(rt, "free")})
		}
		before := 0
		for i, w := range project(today, 10, batches, demand) {
			if w.From.Before(today) || w.To.Weekday() != time.Sunday || (i > 0 && (w.From.Weekday() != time.Monday || w.Stock != before)) {
				rt.Fatalf("week %d: %+v after %d", i, w, before)
			}
			used := w.Stock + w.Comes - w.Lost - w.Left
			if w.Left < 0 || w.Lost < 0 || w.Short < 0 || used < w.First+w.Later-w.Short || used > w.First+w.Later-w.Short+w.Free {
				rt.Fatalf("week %d: %d used: %+v", i, used, w)
			}
			if w.Short > 0 && w.Left > 0 {
				rt.Fatalf("week %d: something is missing although something is left: %+v", i, w)
			}
			before = w.Left
		}
	})
}

func TestOutlook(t *testing.T) {
	t.Parallel()
	b := setup(t) // Monday, 11 January 2021
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 20)
	must(t, b.thaw(leipzig, lot, 4, b.now)) // until Saturday
	b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 3)
	b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 24), Vials: 2})
	var asked []time.Time
	b.s.Demand = func(_ context.Context, _ pg.Querier, monday time.Time, _ int) (Demand, error) {
		asked = append(asked, monday)
		return Demand{MarginDays: 2, Weeks: []DemandWeek{
			{"leipzig", "comirnaty", 0, 10, 5, 0}, {"leipzig", "comirnaty", 1, 0, 30, 20}, {"leipzig", "comirnaty", 2, 0, 0, 40}, {"dresden", "comirnaty", 1, 3, 0, 0},
		}}, nil
	}
	all, err := b.s.Outlooks(b.ctx, b.pool, b.now, 10)
	if err != nil || len(all) != 2 || all[0].CentreID != "dresden" || len(asked) != 1 || !asked[0].Equal(day(2021, 1, 11)) {
		t.Fatalf("%+v, %v, asked %v", all, err, asked)
	}
	w := all[1].Weeks
	// 100 doses, 20 of them until Saturday: 15 are needed, 5 run out.
	if w[0].Stock != 100 || w[0].Lost != 5 || w[0].Left != 80 || w[1].Left != 30 || w[2].Comes != 10 || w[2].Left != 0 || all[1].Dry() != 2 {
		t.Errorf("leipzig: %+v, dry in %d", w[:4], all[1].Dry())
	}
	if all[0].Weeks[1].Short != 3 {
		t.Errorf("dresden: %+v", all[0].Weeks[:2])
	}
	a := b.app()
	if r := a.Get("/admin/outlook"); r.Status != http.StatusOK || !strings.Contains(r.Body, "<svg") || !strings.Contains(r.Body, "Impfzentrum Dresden") || !strings.Contains(r.Body, `class="inv-bar inv-bar--later"`) {
		t.Errorf("page: %d\n%s", r.Status, r.Body)
	}
	if r := a.Get("/admin/outlook?product=comirnaty&centre=leipzig"); r.Status != http.StatusOK || !strings.Contains(r.Body, "inv-dry") || !strings.Contains(r.Body, "aufgebraucht") {
		t.Errorf("leipzig: %d", r.Status)
	}
	if r := a.Get("/admin/outlook?product=janssen"); r.Status != http.StatusOK || strings.Contains(r.Body, "inv-chart") {
		t.Errorf("nothing: %d", r.Status)
	}
	var out outlookOut
	if r := a.JSON(http.MethodGet, "/api/v1/outlook?centre=leipzig&weeks=4", nil, &out); r.Status != http.StatusOK || len(out.Outlooks) != 1 || len(out.Outlooks[0].Weeks) != 4 || out.Outlooks[0].DryFrom != "2021-02-01" {
		t.Errorf("API: %d %+v", r.Status, out)
	}
	if r := a.JSON(http.MethodGet, "/api/v1/outlook?weeks=100", nil, nil); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("a hundred weeks: %d", r.Status)
	}
}

// TestThePlanAndThePictureCountAlike: a delivery counts by the rule of the day from
// which appointments may count on it, for both.
func TestThePlanAndThePictureCountAlike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	b.tx(func(tx pgx.Tx) error { return b.s.SetDosesPerVial(b.ctx, tx, "comirnaty", day(2021, 1, 15), 6, b.by) })
	b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 14), Vials: 100})
	const margin = 2 // from the 16th on
	supply, err := b.s.Supply(b.ctx, b.pool, leipzig, "comirnaty", b.now, margin)
	if err != nil || len(supply) != 1 || supply[0].Doses != 600 || !supply[0].From.Equal(day(2021, 1, 16)) {
		t.Errorf("the plan: %+v, %v", supply, err)
	}
	b.s.Demand = func(context.Context, pg.Querier, time.Time, int) (Demand, error) {
		return Demand{MarginDays: margin}, nil
	}
	all, err := b.s.Outlooks(b.ctx, b.pool, b.now, 2)
	if err != nil || len(all) != 1 || all[0].Weeks[0].Comes != 600 {
		t.Errorf("the picture: %+v, %v", all, err)
	}
}

// TestOneCentreIsShort: what another centre has too much of does not make it last.
func TestOneCentreIsShort(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receive(CentrePlace("leipzig"), "comirnaty", "AB1", day(2021, 5, 31), 100)
	b.receive(CentrePlace("dresden"), "comirnaty", "AB1", day(2021, 5, 31), 2)
	weeks := []DemandWeek{{"dresden", "comirnaty", 1, 10, 0, 0}}
	b.s.Demand = func(context.Context, pg.Querier, time.Time, int) (Demand, error) { return Demand{Weeks: weeks}, nil }
	a := b.app()
	page := func(query string, want, not string) {
		t.Helper()
		if r := a.Get("/admin/outlook" + query); r.Status != http.StatusOK || !strings.Contains(r.Body, want) || strings.Contains(r.Body, not) {
			t.Errorf("%s: %d, want %q and not %q", query, r.Status, want, not)
		}
	}
	page("", "In einem Impfzentrum geht der Impfstoff zu Ende", "reicht in allen")
	page("?product=comirnaty&centre=leipzig", "reicht in allen", "aufgebraucht")
	page("?product=comirnaty&centre=dresden", "aufgebraucht", "reicht in allen")
	weeks[0].First = 9
	page("", "reicht in allen", "reicht der Impfstoff nicht")
}

// TestWhereItRunsDryIsSaidInWords: the first centre by name when there is a first one.
func TestWhereItRunsDryIsSaidInWords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []string{"leipzig", "dresden", "eich"} {
		b.receive(CentrePlace(c), "comirnaty", "AB1", day(2021, 5, 31), 2) // 10 doses each
	}
	var weeks []DemandWeek
	b.s.Demand = func(context.Context, pg.Querier, time.Time, int) (Demand, error) { return Demand{Weeks: weeks}, nil }
	a := b.app()
	for _, c := range []struct {
		weeks []DemandWeek
		want  string
	}{
		{[]DemandWeek{{"dresden", "comirnaty", 1, 10, 0, 0}}, "<br>Impfzentrum Dresden</td>"},
		{[]DemandWeek{{"dresden", "comirnaty", 1, 10, 0, 0}, {"eich", "comirnaty", 1, 10, 0, 0}}, "<br>in 2 von 3 Impfzentren</td>"},
		{[]DemandWeek{{"dresden", "comirnaty", 1, 10, 0, 0}, {"eich", "comirnaty", 1, 10, 0, 0}, {"leipzig", "comirnaty", 1, 10, 0, 0}}, "<br>in allen 3 Impfzentren</td>"},
		{[]DemandWeek{{"dresden", "comirnaty", 3, 10, 0, 0}, {"eich", "comirnaty", 1, 10, 0, 0}}, "<br>zuerst Impfzentrum Eich, insgesamt in 2 von 3 Impfzentren</td>"},
		{[]DemandWeek{{"dresden", "comirnaty", 3, 10, 0, 0}, {"eich", "comirnaty", 3, 10, 0, 0}, {"leipzig", "comirnaty", 2, 11, 0, 0}}, "<br>zuerst Impfzentrum Leipzig, dann in allen 3 Impfzentren</td>"},
	} {
		weeks = c.weeks
		if r := a.Get("/admin/outlook"); r.Status != http.StatusOK || !strings.Contains(r.Body, c.want) {
			t.Errorf("%+v: %d, %q is not there", c.weeks, r.Status, c.want)
		}
	}
}
