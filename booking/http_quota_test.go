package booking

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"impfportal/internal/clock"
)

func TestQuotaPages(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 2, 1) // a Monday
	b.sell(Hotline, on, 12)
	app := b.app()
	app.LoginAs(adminUser())
	week := "/admin/quotas?centre=leipzig&from=2021-02-01"
	b.see(app.Get(week), 200, "Vorgabe aller Zentren", "70 %", "12 von", `<rect class="quota-used"`, "Woche ab Montag, 1. Februar 2021")
	b.see(app.Get("/admin/quotas?centre=leipzig&from=2021-02-03"), 200, "Woche ab Montag, 1. Februar 2021")
	if a := app.Get("/admin/quotas/live?centre=leipzig&from=2021-02-01"); a.Status != 200 || strings.Contains(a.Body, "<html") || !strings.Contains(a.Body, "12 von") {
		t.Errorf("live: %d %.200s", a.Status, a.Body)
	}
	// The addresses on the page are whole.
	page := app.Get(week).Body
	for _, want := range []string{`data-url="/admin/quotas/live?centre=leipzig&amp;from=2021-02-01"`, `action="/admin/quotas/shift?centre=leipzig&amp;from=2021-02-01"`, `/admin/quotas/shares?centre=leipzig&amp;from=2021-02-01&amp;default=1`, `href="/admin/quotas/day?centre=leipzig&amp;from=2021-02-01&amp;day=2021-02-02"`} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.ReplaceAll(want, "&amp;", "&")) {
			t.Errorf("the page lacks %s", want)
		}
	}
	// Below what is taken: refused with the reason, what was typed is there.
	b.see(app.PostForm("/admin/quotas/day?centre=leipzig&from=2021-02-01", "day", "2021-02-01", "product", "", "day_web", "100", "places_hotline", "11"), 422,
		"Impfzentrum Leipzig, Mo., 01.02.2021: Über Telefon sind schon 12 Plätze vergeben, es blieben nur 11.", `value="11"`, `value="2021-02-01"`)
	b.see(app.PostForm("/admin/quotas/shares?centre=leipzig", "share_web", "100"), 422, "sind schon 12 Plätze vergeben, es blieben nur 0")
	b.goTo(app.PostForm("/admin/quotas/day?centre=leipzig&from=2021-02-01", "day", "2021-02-01", "product", "", "day_web", "100", "places_hotline", "15"), week)
	b.worker()
	b.see(app.Get(week), 200, "Ausnahme</span>", "15 Plätze", "Ausnahmen für Tage")
	b.see(app.Get("/admin/quotas/day?centre=leipzig&day=2021-02-01"), 200, `name="places_hotline" type="text" value="15"`, "Ausnahme entfernen")
	// Copy: preview, conflict, all or none.
	b.sell(Hotline, day(2021, 2, 8), 16)
	b.see(app.Get("/admin/quotas/copy?centre=leipzig&from=2021-02-01&weeks=2"), 200, "Mo., 08.02.2021", "Mo., 15.02.2021", "sind schon 16 Plätze vergeben, es blieben nur 15")
	b.see(app.PostForm("/admin/quotas/copy?centre=leipzig&from=2021-02-01", "weeks", "2"), 422, "sind schon 16 Plätze vergeben")
	b.see(app.Get("/admin/quotas/copy?centre=leipzig&from=2021-02-01&weeks=99"), 422, "ganze Zahl von 1 bis 26")
	if n := b.count(`SELECT count(DISTINCT day) FROM booking.share_day`); n != 1 {
		t.Errorf("%d exceptions after a refused copy", n)
	}
	b.goTo(app.PostForm("/admin/quotas/day?centre=leipzig&from=2021-02-01", "day", "2021-02-01", "product", "", "day_web", "100", "places_hotline", "25"), week)
	b.goTo(app.PostForm("/admin/quotas/copy?centre=leipzig&from=2021-02-01", "weeks", "2"), week)
	if n := b.count(`SELECT count(DISTINCT day) FROM booking.share_day WHERE places = 25`); n != 3 {
		t.Errorf("%d exceptions after the copy", n)
	}
	undo := func() string {
		return fmt.Sprint(b.count(`SELECT max(id)::int FROM booking.quota_change WHERE undone_at IS NULL`))
	}
	b.see(app.PostForm("/admin/quotas/undo?centre=leipzig&from=2021-02-01", "change", "0"), 422, "Inzwischen ist etwas anderes")
	b.goTo(app.PostForm("/admin/quotas/undo?centre=leipzig&from=2021-02-01", "change", undo()), week)
	if n := b.count(`SELECT count(DISTINCT day) FROM booking.share_day`); n != 1 {
		t.Errorf("%d exceptions after the copy was undone", n)
	}
	b.worker()
	b.goTo(app.PostForm("/admin/quotas/shift?centre=leipzig&from=2021-02-01", "shift_day", "2021-02-01", "shift_places", "5", "shift_from", "hotline", "shift_to", "reserve", "shift_product", ""), week)
	b.see(app.PostForm("/admin/quotas/shift?centre=leipzig&from=2021-02-01", "shift_day", "2021-02-01", "shift_places", "9", "shift_from", "hotline", "shift_to", "reserve"), 422,
		"Am Mo., 01.02.2021 sind über Telefon nur 8 Plätze frei", `value="9"`)
	b.see(app.PostForm("/admin/quotas/shift?centre=leipzig&from=2021-02-01", "shift_day", "2021-02-01", "shift_places", "9", "shift_from", "web", "shift_to", "web"), 422, "zwei verschiedene Wege")
	b.see(app.Get(week), 200, "Verschiebung von Hand", "0 von 5 vergeben")
	// Who leaves the centre out changes nothing.
	b.see(app.PostForm("/admin/quotas/shares", "share_web", "100"), 404)
	b.see(app.PostForm("/admin/quotas/undo", "change", undo()), 404)
	// The default of all centres, and a centre's own.
	b.see(app.Get("/admin/quotas/shares?centre=leipzig&default=1"), 200, "Vorgabe für alle Zentren", `value="70"`)
	b.goTo(app.PostForm("/admin/quotas/shares?centre=leipzig&from=2021-02-01&default=1", "share_web", "60", "share_hotline", "40"), week)
	b.see(app.Get("/admin/quotas/shares?centre=leipzig&default=1"), 200, "Letzte Änderung", `value="60"`)
	b.see(app.PostForm("/admin/quotas/undo?centre=leipzig&default=1", "change", "0"), 422, "Inzwischen ist etwas anderes", "Vorgabe für alle Zentren")
	b.goTo(app.PostForm("/admin/quotas/undo?centre=leipzig&from=2021-02-01&default=1", "change", fmt.Sprint(b.count(`SELECT max(id)::int FROM booking.quota_change WHERE centre_id = '' AND undone_at IS NULL`))), week)
	b.see(app.Get("/admin/quotas/shares?centre=leipzig&default=1"), 200, `value="70"`)
	b.goTo(app.PostForm("/admin/quotas/shares?centre=leipzig&from=2021-02-01", "share_web", "50", "share_hotline", "50"), week)
	b.see(app.Get("/admin/quotas/shares?centre=leipzig"), 200, "Wieder die Vorgabe aller Zentren nehmen")
	b.goTo(app.PostForm("/admin/quotas/shares?centre=leipzig&from=2021-02-01", "remove", "1"), week)
	if n := b.count(`SELECT count(*) FROM booking.share`); n != 0 {
		t.Errorf("%d shares of its own", n)
	}
	b.sound()
}

func TestRulePages(t *testing.T) {
	t.Parallel()
	b := wide(t)
	app := b.app()
	app.LoginAs(adminUser())
	b.see(app.Get("/admin/quotas/rules?centre=leipzig"), 200, "Hier wird nichts freigegeben", "Keine Gruppe hat hier")
	b.see(app.Get("/admin/quotas/rules?centre=nowhere"), 404)
	b.goTo(app.PostForm("/admin/quotas/release?centre=all", "release_from", "hotline", "release_to", "web", "release_days", "3", "release_time", "18:30", "release_since", "2021-01-11"), "/admin/quotas/rules?centre=all")
	b.see(app.Get("/admin/quotas/rules?centre=leipzig"), 200, "Telefon an Internet: 3 Tage vor dem Termin um 18:30 Uhr", "gilt für alle Zentren")
	b.see(app.PostForm("/admin/quotas/release?centre=leipzig", "release_from", "web", "release_to", "hotline", "release_days", "2", "release_time", "18:30", "release_since", "2021-01-11"), 422, "muss zu diesem Zeitpunkt noch buchen können")
	b.see(app.PostForm("/admin/quotas/release?centre=leipzig", "release_from", "hotline", "release_to", "web", "release_days", "x", "release_time", "25:00", "release_since", "2021-01-10"), 422, "Uhrzeit angeben", "ganze Zahl")
	b.goTo(app.PostForm("/admin/quotas/release?centre=leipzig", "release_from", "hotline", "release_to", "", "release_since", "2021-01-11"), "/admin/quotas/rules?centre=leipzig")
	b.see(app.Get("/admin/quotas/rules?centre=leipzig"), 200, "Telefon: nichts wird freigegeben")
	b.goTo(app.PostForm("/admin/quotas/release?centre=leipzig", "remove", "1", "release_from", "hotline", "release_since", "2021-01-11"), "/admin/quotas/rules?centre=leipzig")
	kept := []string{
		"kept_group", "covid-19|s2-age", "kept_channel", "web", "kept_product", "", "kept_number", "10", "kept_unit", "percent",
		"kept_first", "2021-01-11", "kept_last", "2021-01-31", "kept_until_day", "2021-01-20", "kept_until_time", "12:00",
	}
	b.goTo(app.PostForm("/admin/quotas/contingent?centre=leipzig", kept...), "/admin/quotas/rules?centre=leipzig")
	b.worker()
	b.see(app.Get("/admin/quotas/rules?centre=leipzig"), 200, "10 %, Internet", "bis Mittwoch, 20. Januar 2021, 12:00 Uhr")
	b.see(app.Get("/admin/quotas?centre=leipzig"), 200, "davon für s2-age: 0 von")
	kept[7], kept[15] = "0", "2021-01-10"
	b.see(app.PostForm("/admin/quotas/contingent?centre=leipzig", kept...), 422, "ganze Zahl von 1 bis", `value="2021-01-31"`)
	b.goTo(app.PostForm("/admin/quotas/contingent?centre=leipzig", "end", fmt.Sprint(b.count(`SELECT max(id)::int FROM booking.contingent`))), "/admin/quotas/rules?centre=leipzig")

	b.see(app.Get("/admin/booking-settings"), 200, "Es gibt keine Regel")
	b.goTo(app.PostForm("/admin/booking-settings/opening", "opening_from", "2021-01-12", "opening_day", "1", "opening_day", "4", "stage_time_1", "08:00", "stage_percent_1", "50", "stage_time_2", "18:00", "stage_percent_2", "100"), "/admin/booking-settings")
	b.see(app.Get("/admin/booking-settings"), 200, "Montag, Donnerstag", "50 % um 08:00 Uhr", "Neue Termine gibt es ab Donnerstag, 14. Januar 2021, 08:00 Uhr.")
	b.see(app.PostForm("/admin/booking-settings/opening", "opening_from", "2021-01-12", "opening_day", "1", "stage_time_1", "08:00", "stage_percent_1", "50"), 422, "Die letzte Stufe muss 100 Prozent freigeben", `href="#stage_percent_1"`, `value="08:00"`)
	b.goTo(app.PostForm("/admin/booking-settings/opening", "remove", "2021-01-12"), "/admin/booking-settings")
}

func TestQuotaAPI(t *testing.T) {
	t.Parallel()
	b := wide(t)
	on := day(2021, 2, 1)
	b.sell(Hotline, on, 12)
	app := b.app()
	app.LoginAs(adminUser())
	const base = "/api/v1/admin/quotas/leipzig"
	for _, c := range []struct {
		method, path string
		in           any
		want         int
		text         string
	}{
		{"PUT", base + "/days/2021-02-01", map[string]any{"shares": map[string]int{"web": 100}, "places": map[string]int{"hotline": 11}}, 409, `"taken":12`},
		{"PUT", base + "/days/2021-02-01", map[string]any{"shares": map[string]int{"web": 100}, "places": map[string]int{"hotline": 12}}, 204, ""},
		{"POST", base + "/weeks/2021-02-01/copy", map[string]any{"weeks": 1, "dry_run": true}, 200, `"changed":1`},
		{"POST", base + "/weeks/2021-02-01/copy", map[string]any{"weeks": 1}, 200, `"changed":1`},
		{"POST", base + "/weeks/2021-02-01/copy", map[string]any{"weeks": 0}, 422, ""},
		{"POST", base + "/weeks/monday/copy", map[string]any{"weeks": 1}, 422, ""},
		{"POST", base + "/undo", nil, 204, ""},
		{"POST", base + "/shifts", map[string]any{"day": "2021-02-02", "from": "web", "to": "reserve", "places": 3}, 204, ""},
		{"POST", base + "/shifts", map[string]any{"day": "2021-02-02", "from": "web", "to": "reserve", "places": 9999}, 409, "booking.error.not_free"},
		{"PUT", base, map[string]any{"shares": map[string]int{"web": 90, "reserve": 10}, "places": map[string]int{"hotline": 20}}, 200, `"own":true`},
		{"PUT", base, map[string]any{"shares": nil, "reset": true}, 200, `"own":false`},
		{"GET", "/api/v1/admin/quotas/default", nil, 200, `"web":70`},
		{"PUT", "/api/v1/admin/quotas/default", map[string]any{"shares": map[string]int{"web": 60, "hotline": 40}}, 200, `"web":60`},
		{"POST", "/api/v1/admin/quotas/default/undo", nil, 204, ""},
		{"POST", "/api/v1/admin/quotas/default/undo", nil, 404, ""},
		{"PUT", base + "/releases/hotline/2021-01-20", map[string]any{"to": "web", "days_before": 2, "at": "18:00"}, 200, `"at":"18:00"`},
		{"PUT", base + "/releases/hotline/2021-01-20", map[string]any{"to": "reserve", "days_before": 2}, 422, ""},
		{"PUT", base + "/releases/hotline/2021-01-20", map[string]any{"to": "web", "days_before": 2, "at": "half"}, 422, ""},
		{"GET", base + "/releases", nil, 200, `"days_before":2`},
		{"DELETE", base + "/releases/hotline/2021-01-20", nil, 204, ""},
		{"DELETE", base + "/releases/hotline/2021-01-20", nil, 404, ""},
		{"POST", base + "/contingents", map[string]any{"channel": "web", "programme_id": "covid-19", "group": "s2-age", "from_day": "2021-02-01", "to_day": "2021-02-05", "places": 5, "until": b.now().Add(time.Hour)}, 200, `"places":5`},
		{"POST", base + "/contingents", map[string]any{"channel": "web", "programme_id": "covid-19", "group": "nobody", "from_day": "2021-02-01", "to_day": "2021-02-05", "places": 5, "until": b.now().Add(time.Hour)}, 422, ""},
		{"GET", base + "/contingents", nil, 200, "s2-age"},
		{"DELETE", "/api/v1/admin/contingents/0", nil, 404, ""},
		{"PUT", "/api/v1/admin/booking/openings/2021-01-11", map[string]any{"weekdays": []int{1}, "stages": []map[string]any{{"at": "15:00", "percent": 100}}}, 200, `"next":"2021-01-11T14:00:00Z"`},
		{"PUT", "/api/v1/admin/booking/openings/2021-01-11", map[string]any{"weekdays": []int{7}, "stages": []map[string]any{{"at": "15:00", "percent": 100}}}, 422, ""},
		{"GET", "/api/v1/admin/booking/openings", nil, 200, `"percent":100`},
		{"DELETE", "/api/v1/admin/booking/openings/2021-01-11", nil, 204, ""},
	} {
		if ans := app.JSON(c.method, c.path, c.in, nil); ans.Status != c.want || !strings.Contains(ans.Body, c.text) {
			t.Errorf("%s %s %v: %d, want %d %s: %.300s", c.method, c.path, c.in, ans.Status, c.want, c.text, ans.Body)
		}
	}
	b.worker()
	var week WeekOut
	if ans := app.JSON("GET", base+"/weeks/2021-02-01", nil, &week); ans.Status != 200 || len(week.Days) != 7 || week.Days[0].Channels["hotline"].Taken != 12 || week.Days[1].Channels["reserve"].Places != 3 {
		t.Errorf("%d %+v", ans.Status, week)
	}
	if ans := app.JSON("GET", "/api/v1/admin/quotas/nowhere/weeks/2021-02-01", nil, nil); ans.Status != 404 {
		t.Errorf("a centre that is none: %d", ans.Status)
	}
	if got := Monday(clock.Day(b.now())); !got.Equal(day(2021, 1, 11)) || !Monday(day(2021, 1, 17)).Equal(got) {
		t.Errorf("Monday %s", got)
	}
}

// TestTheStageThatIsWrongIsMarked, and not the first one.
func TestTheStageThatIsWrongIsMarked(t *testing.T) {
	t.Parallel()
	b := wide(t)
	app := b.app()
	app.LoginAs(adminUser())
	stages := func(days bool, values ...string) []string {
		f := []string{"opening_from", "2021-01-12"}
		if days {
			f = append(f, "opening_day", "1")
		}
		for i := range 3 {
			f = append(f, fmt.Sprintf("stage_time_%d", i+1), values[2*i], fmt.Sprintf("stage_percent_%d", i+1), values[2*i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		form   []string
		fields []string // in this order
	}{
		"the second is not later":         {stages(true, "08:00", "30", "08:00", "60", "18:00", "100"), []string{"stage_time_2"}},
		"the third is earlier":            {stages(true, "08:00", "30", "12:00", "60", "07:00", "100"), []string{"stage_time_3"}},
		"the second opens less":           {stages(true, "08:00", "30", "12:00", "20", "18:00", "100"), []string{"stage_percent_2"}},
		"the last does not open all":      {stages(true, "08:00", "30", "12:00", "60", "18:00", "90"), []string{"stage_percent_3"}},
		"an empty line between":           {stages(true, "08:00", "30", "", "", "07:00", "100"), []string{"stage_time_3"}},
		"only the second, and not all":    {stages(true, "", "", "08:00", "50", "", ""), []string{"stage_percent_2"}},
		"a stage without a percentage":    {stages(true, "08:00", "30", "12:00", "", "18:00", "100"), []string{"stage_percent_2"}},
		"two at once":                     {stages(true, "08:00", "30", "07:00", "20", "18:00", "100"), []string{"stage_time_2", "stage_percent_2"}},
		"no weekday":                      {stages(false, "08:00", "100", "", "", "", ""), []string{"opening_day"}},
		"no stage":                        {stages(true, "", "", "", "", "", ""), []string{"stage_time_1"}},
		"no weekday, and the last one":    {stages(false, "08:00", "50", "09:00", "60", "", ""), []string{"opening_day", "stage_percent_2"}},
		"a time that is none, the second": {stages(true, "08:00", "30", "25:00", "60", "18:00", "100"), []string{"stage_time_2"}},
	} {
		r := app.PostForm("/admin/booking-settings/opening", c.form...)
		var got []string
		for _, part := range strings.Split(r.Body, `href="#`)[1:] {
			if field, _, _ := strings.Cut(part, `"`); strings.HasPrefix(field, "stage_") || field == "opening_day" {
				got = append(got, field)
			}
		}
		if r.Status != 422 || !slices.Equal(got, c.fields) {
			t.Errorf("%s: %d, %q is marked", name, r.Status, got)
		}
		for _, field := range c.fields {
			if !strings.Contains(r.Body, `id="`+field+`"`) {
				t.Errorf("%s: the link leads nowhere", name)
			}
		}
	}
}

// TestQuotasOpenOnAWeekThatIsStillToCome: once the centre has closed for the week the
// page begins with the next one.
func TestQuotasOpenOnAWeekThatIsStillToCome(t *testing.T) {
	t.Parallel()
	b := wide(t) // open from Monday to Saturday, 8 to 18 o'clock
	app := b.app()
	app.LoginAs(adminUser())
	const this, next = "Woche ab Montag, 11. Januar 2021", "Woche ab Montag, 18. Januar 2021"
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{clock.At(day(2021, 1, 11), 7, 0), this},
		{clock.At(day(2021, 1, 16), 17, 59), this}, // Saturday
		{clock.At(day(2021, 1, 16), 18, 0), next},
		{clock.At(day(2021, 1, 17), 20, 0), next}, // Sunday
		{clock.At(day(2021, 1, 18), 0, 1), next},
	} {
		b.at(c.at)
		app.LoginAs(adminUser())
		b.see(app.Get("/admin/quotas?centre=leipzig"), 200, c.want)
	}
	b.at(clock.At(day(2021, 1, 17), 20, 0))
	app.LoginAs(adminUser())
	b.see(app.Get("/admin/quotas?centre=leipzig&from=2021-01-11"), 200, this) // who asks for it sees it
	b.see(app.Get("/admin/quotas/copy?centre=leipzig&weeks=1"), 200)
	// Open on this Sunday by way of exception; and a centre that is not going to open.
	b.exec(`INSERT INTO centre.exception (centre_id, day, opens, closes, reason) VALUES ('leipzig', '2021-01-17', 600, 1320, 'Sonderaktion')`)
	b.see(app.Get("/admin/quotas?centre=leipzig"), 200, this)
	b.exec(`UPDATE centre.hours SET opens = NULL, closes = NULL WHERE centre_id = 'dresden'`)
	b.see(app.Get("/admin/quotas?centre=dresden"), 200, this)
}
