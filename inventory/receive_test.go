package inventory

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

func (b *bundle) plan(n NewDelivery) (did string) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) (err error) { did, err = b.s.PlanDelivery(b.ctx, tx, n, b.by); return err })
	return did
}

func (b *bundle) delivery(did string) Delivery {
	b.t.Helper()
	d, err := DeliveryByID(b.ctx, b.pool, did)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func TestShortDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 18), Vials: 195, Note: "Tablett"})
	change := func(c DeliveryChange) error {
		return b.try(func(tx pgx.Tx) error { return b.s.ChangeDelivery(b.ctx, tx, did, c, b.by) })
	}
	b.events()
	must(t, change(DeliveryChange{Day: day(2021, 1, 19), Vials: 200, Note: "Tablett", Confirmed: true}))
	if n := b.events()[leipzig]; n != 1 {
		t.Errorf("%d events after the change, want 1", n)
	}
	if d := b.delivery(did); d.State != StateConfirmed || d.Vials != 200 || !d.Day.Equal(day(2021, 1, 19)) {
		t.Errorf("confirmed: %+v", d)
	}
	if p, err := b.s.Planned(b.ctx, b.pool, leipzig, "comirnaty", b.now); err != nil || len(p) != 1 || p[0].Vials != 200 {
		t.Errorf("a confirmed one is planned on: %+v, %v", p, err)
	}
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.ReceiveDelivery(b.ctx, tx, did, []ReceivedLot{{"EX1", day(2021, 5, 1), 150}}, b.by)
	}))
	if n := b.events()[leipzig]; n == 0 {
		t.Error("nobody was told that less has come")
	}
	if d := b.delivery(did); d.State != StateShort || d.Vials != 150 || d.Ordered != 200 || d.Rest != 50 {
		t.Errorf("short: %+v", d)
	}
	settle := func(st Settlement) error {
		return b.try(func(tx pgx.Tx) error { return b.s.SettleRest(b.ctx, tx, did, st, b.by) })
	}
	must(t, settle(Settlement{Vials: 30, Day: day(2021, 1, 25)}))
	if n := b.events()[leipzig]; n != 1 {
		t.Errorf("%d events after planning the rest anew, want 1", n)
	}
	ds, err := Deliveries(b.ctx, b.pool, StatePlanned, 10)
	if err != nil || len(ds) != 1 || ds[0].Vials != 30 || ds[0].Follows != did || ds[0].Place != leipzig || ds[0].Note != "Tablett" {
		t.Errorf("planned anew: %+v, %v", ds, err)
	}
	for name, c := range map[string]struct {
		st   Settlement
		want error
	}{
		"more than is missing": {Settlement{Vials: 21, Day: day(2021, 1, 25)}, ErrState},
		"none":                 {Settlement{Day: day(2021, 1, 25)}, ErrInvalid},
		"no reason":            {Settlement{Vials: 20}, ErrInvalid},
	} {
		if err := settle(c.st); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	must(t, settle(Settlement{Vials: 20, Why: "Bruch beim Transport"}))
	if d := b.delivery(did); d.Rest != 0 || d.State != StateShort {
		t.Errorf("settled: %+v", d)
	}
	if err := change(DeliveryChange{Day: day(2021, 1, 19), Vials: 200}); !errors.Is(err, ErrState) {
		t.Errorf("changed after it came: %v", err)
	}
	more := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 20), Vials: 10})
	must(t, b.try(func(tx pgx.Tx) error {
		return b.s.ReceiveDelivery(b.ctx, tx, more, []ReceivedLot{{"EX1", day(2021, 5, 1), 12}}, b.by)
	}))
	if d := b.delivery(more); d.State != StateReceived || d.Vials != 12 || d.Ordered != 10 || d.Rest != 0 {
		t.Errorf("more than planned: %+v", d)
	}
	b.reconciled()
}

// Two people unload the same lorry; one of them is late.
func TestTwoPeopleReceiveTheSameDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 18), Vials: 100})
	var received, refused atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			err := b.try(func(tx pgx.Tx) error {
				return b.s.ReceiveDelivery(b.ctx, tx, did, []ReceivedLot{{"EX1", day(2021, 5, 1), 90}}, b.by)
			})
			switch {
			case err == nil:
				received.Add(1)
			case errors.Is(err, ErrState):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.stock(leipzig, "comirnaty", b.now).Vials; received.Load() != 1 || refused.Load() != 9 || n != 90 {
		t.Errorf("received %d times, refused %d times, %d vials", received.Load(), refused.Load(), n)
	}
	for range 10 { // and two settle the same rest
		wg.Go(func() {
			err := b.try(func(tx pgx.Tx) error {
				return b.s.SettleRest(b.ctx, tx, did, Settlement{Vials: 10, Day: day(2021, 1, 25)}, b.by)
			})
			if err != nil && !errors.Is(err, ErrState) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ds, err := Deliveries(b.ctx, b.pool, StatePlanned, 10); err != nil || len(ds) != 1 || ds[0].Vials != 10 {
		t.Errorf("planned anew: %+v, %v", ds, err)
	}
	b.reconciled()
}

func TestLateDeliveriesCountWhileTheirMarginLasts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	b.plan(NewDelivery{ProductID: "comirnaty", Place: leipzig, Day: day(2021, 1, 11), Vials: 10})
	for _, c := range []struct{ on, margin, from int }{
		{11, 2, 13}, {12, 2, 13}, {13, 2, 0}, {11, 0, 11}, {12, 0, 0}, {12, 1, 0}, {11, 1, 12},
	} {
		got, err := b.s.Supply(b.ctx, b.pool, leipzig, "comirnaty", day(2021, 1, c.on), c.margin)
		if err != nil || (c.from == 0) != (len(got) == 0) || (len(got) > 0 && !got[0].From.Equal(day(2021, 1, c.from))) {
			t.Errorf("on the %d. with a margin of %d: %+v, %v; want from %d", c.on, c.margin, got, err, c.from)
		}
	}
}

func TestShortDeliveryPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	did := b.plan(NewDelivery{ProductID: "comirnaty", Place: CentrePlace("leipzig"), Day: day(2021, 1, 18), Vials: 100})
	a, page := b.app(), "/admin/deliveries/"+did
	mustSee(t, a.PostForm(page+"/change", "day", "2021-01-19", "vials", "120", "confirmed", "1", "note", ""), "change")
	if r := a.Get("/admin/deliveries"); !strings.Contains(r.Body, "zugesagt") {
		t.Errorf("list: %d", r.Status)
	}
	if r := a.PostForm(page+"/change", "day", "2021-01-19", "vials", "0"); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("no vials: %d", r.Status)
	}
	mustSee(t, a.PostForm(page+"/receive", "lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "90"), "receive")
	if r := a.Get(page); r.Status != http.StatusOK || !strings.Contains(r.Body, "Restmenge neu planen") {
		t.Errorf("page of the short one: %d", r.Status)
	}
	if r := a.Get("/admin/deliveries"); !strings.Contains(r.Body, "Offene Restmengen") {
		t.Errorf("list: %d", r.Status)
	}
	mustSee(t, a.PostForm(page+"/rest", "rest_vials", "20", "rest_day", "2021-01-25"), "plan anew")
	if r := a.PostForm(page+"/write-off", "off_vials", "10", "off_why", ""); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("written off without a reason: %d", r.Status)
	}
	mustSee(t, a.PostForm(page+"/write-off", "off_vials", "10", "off_why", "kommt nicht mehr"), "write off")
	if r := a.JSON(http.MethodPost, "/api/v1/deliveries/"+did+"/rest", map[string]any{"vials": 1, "why": "x"}, nil); r.Status != http.StatusConflict {
		t.Errorf("nothing is missing: %d %s", r.Status, r.Body)
	}
	var out deliveriesOut
	if r := a.JSON(http.MethodGet, "/api/v1/deliveries?state=planned", nil, &out); r.Status != http.StatusOK || len(out.Deliveries) != 1 || out.Deliveries[0].Follows != did {
		t.Fatalf("API: %d %+v", r.Status, out)
	}
	if r := a.JSON(http.MethodPut, "/api/v1/deliveries/"+out.Deliveries[0].ID, map[string]any{"day": "2021-01-26", "vials": 20, "confirmed": true, "note": ""}, nil); r.Status >= 300 {
		t.Errorf("API change: %d %s", r.Status, r.Body)
	}
}
