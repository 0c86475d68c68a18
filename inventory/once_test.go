package inventory

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// written counts what the slice has written: movements, deliveries, plans, audit.
func (b *bundle) written() (n int) {
	b.t.Helper()
	must(b.t, b.pool.QueryRow(b.ctx, `
		SELECT (SELECT count(*) FROM inventory.movement) + (SELECT count(*) FROM inventory.delivery) + (SELECT count(*) FROM audit.entry)
		     + (SELECT count(*) FROM jobs.outbox)`).Scan(&n))
	return n
}

// keyed calls an operation with a key.
func keyed(a *webtest.App, method, path, key string, in any) webtest.Answer {
	body, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	return a.Do(method, path, "application/json", strings.NewReader(string(body)), map[string]string{"Accept": "application/json", "Idempotency-Key": key})
}

// TestAnOperationThatComesTwice: the client has not seen the answer and asks again.
func TestAnOperationThatComesTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, e := CentrePlace("leipzig"), day(2021, 5, 31)
	lot := b.receive(leipzig, "comirnaty", "AB1", e, 20)
	b.receive(Central, "comirnaty", "AB2", e, 26)
	must(t, b.give(leipzig, lot))
	h := b.holding(leipzig, lot)
	direct := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: b.now, Vials: 20})
	cancelled := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: b.now, Vials: 20})
	a := b.app()
	map1 := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	for _, c := range []struct {
		method, path string
		in           map[string]any
		other        string // a field that makes it another request
		value        any
	}{
		{http.MethodPost, "/api/v1/site/stock/thaw", map1("place", "centre:leipzig", "lot_id", lot, "vials", 2, "thawed_on", "2021-01-11"), "vials", 3},
		{http.MethodPost, "/api/v1/stock/transfers", map1("from", "centre:leipzig", "to", "centre:dresden", "lot_id", lot, "vials", 1, "doses", 0, "why", "w"), "to", "central"},
		{http.MethodPost, "/api/v1/stock/waste", map1("place", "centre:leipzig", "lot_id", lot, "vials", 1, "doses", 0, "reason", "closed-vial", "why", "w"), "vials", 2},
		{http.MethodPost, "/api/v1/site/stock/lots/" + lot + "/discard", map1("place", "centre:leipzig", "doses", h.OpenDoses), "doses", 3},
		{http.MethodPost, "/api/v1/deliveries", map1("product_id", "comirnaty", "place", "central", "day", "2021-01-18", "vials", 100, "equal_shares", false, "note", ""), "vials", 10},
		{http.MethodPost, "/api/v1/deliveries/" + direct + "/receive", map1("lots", []any{map1("number", "AB1", "expiry", "2021-05-31", "vials", 15)}), "lots", []any{}},
		{http.MethodPost, "/api/v1/deliveries/" + direct + "/rest", map1("vials", 2, "day", "2021-01-20"), "vials", 1},
		{http.MethodPost, "/api/v1/deliveries/" + cancelled + "/cancel", nil, "", nil},
		{http.MethodPost, "/api/v1/stock/movements/" + b.last(leipzig).ID + "/correct", map1("why", "w"), "why", "x"},
		{http.MethodPost, "/api/v1/stock/lots/" + lot + "/block", map1("why", "w"), "why", "x"},
		{http.MethodPost, "/api/v1/stock/lots/" + lot + "/release", map1("why", "w"), "why", "x"},
		{http.MethodPost, "/api/v1/stock/equal-shares", map1("product_id", "comirnaty"), "product_id", "spikevax"},
	} {
		key := id.New()
		before := b.written()
		first := keyed(a, c.method, c.path, key, c.in)
		after := b.written()
		if first.Status >= 300 || after == before {
			t.Errorf("%s: %d %s", c.path, first.Status, first.Body)
			continue
		}
		if again := keyed(a, c.method, c.path, key, c.in); again.Status != first.Status || again.Body != first.Body || b.written() != after {
			t.Errorf("%s again: %d %q, wrote %d; first %d %q", c.path, again.Status, again.Body, b.written()-after, first.Status, first.Body)
		}
		if c.other == "" {
			continue
		}
		c.in[c.other] = c.value
		if r := keyed(a, c.method, c.path, key, c.in); r.Status != http.StatusUnprocessableEntity || b.written() != after {
			t.Errorf("%s with the key of another: %d %s", c.path, r.Status, r.Body)
		}
	}
	if r := keyed(a, http.MethodPost, "/api/v1/stock/transfers", strings.Repeat("k", 101), map1("from", "centre:leipzig", "to", "central", "lot_id", lot, "vials", 1, "doses", 0, "why", "w")); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("a key that is too long: %d", r.Status)
	}
	b.reconciled()
}

// TestAFormThatComesTwice: somebody presses the button again, or loads the answer anew.
func TestAFormThatComesTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 3)
	must(t, b.give(leipzig, lot))
	h := b.holding(leipzig, lot)
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: b.now, Vials: 20})
	a := b.app()
	site := b.as(web.RoleSite, "leipzig")
	for _, c := range []struct {
		a    *webtest.App
		path string
		form []string
	}{
		{site, "/site/stock/lots/" + lot + "/discard", []string{"doses", strconv.Itoa(h.OpenDoses), "opened", h.Opened()}},
		{site, "/site/stock/thaw", []string{"thaw_lot", lot, "thaw_vials", "2", "thawed_on", "2021-01-11"}},
		{a, "/admin/stock/waste", []string{"place", "centre:leipzig", "lot", lot, "reason", "closed-vial", "waste_vials", "2", "waste_doses", "0", "waste_why", "w"}}, // all there is
		{a, "/admin/stock/movements/" + b.last(leipzig).ID + "/correct", []string{"why", "w"}},
		{a, "/admin/deliveries", []string{"product", "comirnaty", "place", "central", "day", "2021-01-18", "vials", "10"}},
		{a, "/admin/deliveries/" + did + "/receive", []string{"lot_1", "AB1", "expiry_1", "2021-05-31", "vials_1", "15"}},
		{a, "/admin/deliveries/" + did + "/rest", []string{"rest_vials", "5", "rest_day", "2021-01-20"}}, // all that is missing
		{a, "/admin/stock/transfer", []string{"place", "centre:leipzig", "lot", lot, "to", "central", "transfer_vials", "15", "transfer_doses", "0", "transfer_why", "w"}},
		{a, "/admin/stock/lots/" + lot + "/block", []string{"why", "w"}},
	} {
		form := append([]string{"once", id.New()}, c.form...)
		mustSee(t, c.a.PostForm(c.path, form...), c.path)
		after := b.written()
		again := c.a.PostForm(c.path, form...)
		mustSee(t, again, c.path+" again")
		if n := b.written(); n != after {
			t.Errorf("%s again: wrote %d", c.path, n-after)
		}
		if r := c.a.Get(again.Location); r.Status != http.StatusOK || !strings.Contains(r.Body, "nichts doppelt gebucht") {
			t.Errorf("%s again leads to %s: %d", c.path, again.Location, r.Status)
		}
		if r := c.a.PostForm(c.path, append(form, "why", "anders")...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "schon abgeschickt") {
			t.Errorf("%s with another content: %d", c.path, r.Status)
		}
	}
	// The key is of the form: a page that is shown again because something was wrong
	// still can be sent.
	form := []string{"once", id.New(), "product", "comirnaty", "place", "central", "day", "2021-01-19", "vials", "0"}
	if r := a.PostForm("/admin/deliveries", form...); r.Status != http.StatusUnprocessableEntity || strings.Count(r.Body, `name="once"`) == 0 {
		t.Errorf("no vials: %d", r.Status)
	}
	form[9] = "10"
	mustSee(t, a.PostForm("/admin/deliveries", form...), "mended")
	b.reconciled()
}

// TestTheSameRequestAtTheSameMoment: of many that carry a key one is done.
func TestTheSameRequestAtTheSameMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	lot := b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 100)
	a, key := b.app(), id.New()
	in := map[string]any{"from": "centre:leipzig", "to": "central", "lot_id": lot, "vials": 1, "doses": 0, "why": "w"}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if r := keyed(a, http.MethodPost, "/api/v1/stock/transfers", key, in); r.Status != http.StatusNoContent {
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	wg.Wait()
	if n := b.stock(leipzig, "comirnaty", b.now).Vials; n != 99 {
		t.Errorf("%d vials, want 99", n)
	}
	// Old keys go.
	rule := RetentionRules()[0]
	b.tx(func(tx pgx.Tx) error {
		n, err := rule.Run(b.ctx, tx, b.now.AddDate(0, 2, 0), 30*24*time.Hour, 100)
		if n != 1 {
			t.Errorf("%d keys deleted, want 1", n)
		}
		return err
	})
}

// TestAKeyThatIsNone: nothing is changed.
func TestAKeyThatIsNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.written()
	in := map[string]any{"product_id": "comirnaty", "place": "central", "day": "2021-02-01", "vials": 5}
	for _, key := range []string{strings.Repeat("k", maxKey+1), "k\xff"} {
		if a := keyed(b.app(), http.MethodPost, "/api/v1/deliveries", key, in); a.Status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d %s", key, a.Status, a.Body)
		}
	}
	if n := b.written(); n != before {
		t.Errorf("%d written", n-before)
	}
}
