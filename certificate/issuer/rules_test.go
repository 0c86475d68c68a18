package issuer

import (
	"net/http"
	"testing"
	"time"

	"impfportal/certificate/issuer/brake"
	"impfportal/internal/pg"
)

func (b *bench) openRule(kind, subject string) (proposalID string) {
	b.t.Helper()
	b.ok(b.Pool.QueryRow(b.t.Context(), `SELECT id::text FROM staff.proposal WHERE kind = $1 AND subject = $2 AND state = 'open'`, kind, subject).Scan(&proposalID))
	return proposalID
}

// One administrator tightens at once; more needs two, in page, API and database.
func TestAllowancesOfAKindAreRaisedByTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	i := b.active("A-000")
	ad := b.asAdmin(b.app())
	const path = "/admin/issuer-rules/allowances/pharmacy/new"
	set := func(hourly, why string) {
		b.pass(time.Minute)
		b.wants(ad.PostForm(path, "hourly", hourly, "burst", "20", "operator_hourly", "10", "operator_burst", "10", "seen_hourly", "5", "seen_burst", "5", "weekly_doses", "120", "why", why), 303)
	}
	holds := func(want int) {
		b.t.Helper()
		if l, own, err := LimitsOf(t.Context(), b.Pool, i.ID, b.clock()); err != nil || own || l.Hourly != want {
			t.Errorf("%+v %v %v, wanted %d", l, own, err, want)
		}
	}
	b.wants(ad.Get(path), 200, "Apotheke, neu", `value="20"`)
	b.wants(ad.PostForm(path, "hourly", "0", "burst", "20", "operator_hourly", "10", "operator_burst", "10", "seen_hourly", "5", "seen_burst", "5", "weekly_doses", "x", "why", ""), 422, "ganze Zahl")
	b.wants(ad.Get("/admin/issuer-rules/allowances/pharmacy/guest"), 404)
	b.says = nil
	set("10", "weniger, bis das geklärt ist")
	holds(10)
	if len(b.says) != 1 {
		t.Errorf("leaves: %v", b.says)
	}
	b.wants(ad.Get("/admin/issuer-rules"), 200, "10 je Stunde, 20 auf einmal", "Vorher: Stelle 20/20")
	set("50", "Impfaktion am Samstag")
	holds(10)
	b.wants(ad.Get(path), 200, "Liegt seit")
	var out RulesOut
	b.wants(ad.JSON(http.MethodGet, "/api/v1/admin/issuer-rules", nil, &out), 200)
	if len(out.Allowances) != 8 || len(out.Thresholds) != len(ruleAlarms)*len(ruleKinds) || out.Allowances[0].Limits.Hourly != 10 {
		t.Errorf("%+v", out)
	}
	// Nobody writes it past the two.
	insert := func(hourly int, approval any) error {
		_, err := b.Pool.Exec(t.Context(), `
			INSERT INTO certificate.issuer_allowance (kind, settled, from_at, hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, approval)
			VALUES ('pharmacy', false, $1, $2, 20, 10, 10, 5, 5, 120, $3)`, b.clock().Add(time.Second), hourly, approval)
		return err
	}
	p := b.openRule(KindAllowance, "pharmacy:new")
	if err := insert(50, p); !pg.Violates(err, "issuer_rule_two_approved") {
		t.Error(err)
	}
	if _, err := b.Pool.Exec(t.Context(), `UPDATE certificate.issuer_allowance SET hourly = 9999`); !pg.Violates(err, "issuer_rule_dated") {
		t.Error(err)
	}
	b.pass(time.Minute)
	b.ok(b.desk.ApproveByTwo(p))
	holds(50)
	b.pass(time.Minute)
	b.wants(ad.Get("/admin/issuer-rules"), 200, "zwei Personen der Verwaltung", "50 je Stunde")
	if err := insert(51, p); !pg.Violates(err, "issuer_rule_two_approved") {
		t.Errorf("one approval twice: %v", err)
	}
}

func TestAlarmsAreLoosenedByTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	i := b.active("A-000")
	b.wide(i)
	ad := b.asAdmin(b.app())
	crowd := func() brake.Threshold {
		list, err := thresholds(t.Context(), b.Pool, "pharmacy", b.clock())
		b.ok(err)
		return list[brake.Crowd]
	}
	put := func(alarm, kind string, body map[string]any, status int) {
		b.t.Helper()
		b.pass(time.Minute)
		body["why"] = "nach dem Gespräch"
		b.wants(ad.JSON(http.MethodPut, "/api/v1/admin/issuer-rules/thresholds/"+alarm+"/"+kind, body, nil), status)
	}
	put("crowd", "pharmacy", map[string]any{"at_least": 3, "percent": 0, "minutes": 1}, 201)
	if c := crowd(); c.AtLeast != 3 {
		t.Fatalf("%+v", c)
	}
	// It counts at once.
	b.ok(b.attempt(i))
	b.ok(b.attempt(i))
	if err := b.attempt(i); err == nil {
		t.Error("three in a minute pass")
	}
	put("crowd", "pharmacy", map[string]any{"at_least": 3, "percent": 0, "minutes": 1}, 409)
	put("crowd", "pharmacy", map[string]any{"at_least": 3, "percent": 10, "minutes": 1}, 422)
	put("crowd", "pharmacy", map[string]any{"at_least": 3, "percent": 0, "minutes": 5000}, 422)
	put("lot_over", "all", map[string]any{"at_least": 3, "percent": 0, "minutes": 5}, 404)
	put("crowd", "pharmacy", map[string]any{"at_least": 30, "percent": 0, "minutes": 1}, 201)
	if c := crowd(); c.AtLeast != 3 {
		t.Errorf("loosened by one: %+v", c)
	}
	if _, err := b.Pool.Exec(t.Context(), `INSERT INTO certificate.issuer_threshold (alarm, issuer_kind, from_at, at_least, seconds) VALUES ('crowd', 'pharmacy', $1, 4, 60)`, b.clock()); !pg.Violates(err, "issuer_rule_two_approved") {
		t.Error(err)
	}
	b.pass(time.Minute)
	b.ok(b.desk.ApproveByTwo(b.openRule(KindThreshold, "crowd:pharmacy")))
	if c := crowd(); c.AtLeast != 30 {
		t.Errorf("after two: %+v", c)
	}
	b.wants(ad.Get("/admin/issuer-rules"), 200, "Viele Personen auf einmal", "ab 30 in 1 Minute", "ab 15 und 40 % in 24 Stunden", "Vorher: ab 3 in 1 Minute. Jetzt: ab 30 in 1 Minute.")
	b.wants(ad.Get("/admin/issuer-rules/thresholds/odd_hours/mobile"), 200, "Hier gilt bisher", `value="40"`)
	b.wants(ad.PostForm("/admin/issuer-rules/thresholds/odd_hours/mobile", "at_least", "", "percent", "20", "minutes", "1440", "why", "x"), 422, "ganze Zahl")
}

// What is stricter never trips later.
func TestStricter(t *testing.T) {
	t.Parallel()
	of := func(least int, ratio float64, minutes int) Threshold {
		return Threshold{Threshold: brake.Threshold{AtLeast: least, Ratio: ratio, Window: time.Duration(minutes) * time.Minute}}
	}
	held, share := of(10, 0, 5), of(10, 0.5, 5)
	for _, c := range []struct {
		is, than Threshold
		want     bool
	}{
		{of(9, 0, 5), held, true},
		{of(10, 0, 9), held, true},
		{of(11, 0, 5), held, false},
		{of(5, 0, 4), held, false},
		{of(10, 0.4, 5), share, true},
		{of(10, 0.4, 9), share, false}, // another time is another share
		{of(10, 0.6, 5), share, false},
		{of(5, 0.6, 5), share, false},
	} {
		if got := c.is.stricter(c.than); got != c.want {
			t.Errorf("%+v than %+v: %v", c.is, c.than, got)
		}
	}
}
