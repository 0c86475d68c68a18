package inventory

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// TestCancellingADeliveryAsksFirst: the page says how many doses and booked
// appointments it is about, and nothing happens before somebody has confirmed.
func TestCancellingADeliveryAsksFirst(t *testing.T) {
	t.Parallel()
	b := setup(t) // Monday, 11 January 2021
	leipzig := CentrePlace("leipzig")
	b.receive(leipzig, "comirnaty", "AB1", day(2021, 5, 31), 2) // 10 doses
	b.s.Needs = func(_ context.Context, _ pg.Querier, productID string) ([]DayNeed, int, error) {
		if productID != "comirnaty" {
			return nil, 1, nil
		}
		return []DayNeed{
			{"leipzig", day(2021, 1, 12), 8}, {"leipzig", day(2021, 1, 14), 4}, {"leipzig", day(2021, 1, 20), 9}, {"dresden", day(2021, 1, 20), 3},
		}, 1, nil
	}
	// Counts from the 15th on: 4 of the 14th find 2 doses either way, the 9 of the
	// 20th live on it alone. Dresden gets nothing of it.
	to := b.plannedOn(leipzig, 14, 4)
	a := b.app()
	page := "/admin/deliveries/" + to
	if r := a.Get(page); r.Status != http.StatusOK || strings.Contains(r.Body, `action="`+page+`/cancel"`) || !strings.Contains(r.Body, `href="`+page+`/cancel"`) {
		t.Fatalf("the delivery's page: %d", r.Status)
	}
	r := a.Get(page + "/cancel")
	for _, want := range []string{"4 Durchstechflaschen mit 20 Dosen", "Für 9 gebuchte Termine fehlt dann der Impfstoff", "in 1 Impfzentrum", `action="` + page + `/cancel"`} {
		if r.Status != http.StatusOK || !strings.Contains(r.Body, want) {
			t.Errorf("%d, %q is not there", r.Status, want)
		}
	}
	if d, err := DeliveryByID(b.ctx, b.pool, to); err != nil || d.State != StatePlanned {
		t.Fatalf("asking has changed it: %+v, %v", d, err)
	}
	// Another delivery carries the same people: nobody loses anything.
	b.plannedOn(leipzig, 13, 10)
	if r := a.Get(page + "/cancel"); r.Status != http.StatusOK || !strings.Contains(r.Body, "Kein gebuchter Termin") || !strings.Contains(r.Body, "Für die gebuchten Termine dieser Zeit ist anderer Impfstoff da oder geplant.") {
		t.Errorf("with another one: %d", r.Status)
	}
	late := "/admin/deliveries/" + b.plannedOn(leipzig, 25, 1)
	if r := a.Get(late + "/cancel"); !strings.Contains(r.Body, "Kein gebuchter Termin") || !strings.Contains(r.Body, "Auf diese Lieferung ist noch nichts gebucht.") {
		t.Errorf("nothing is booked on it: %d", r.Status)
	}
	mustSee(t, a.PostForm(page+"/cancel"), "cancel")
	// Its day is still to come: it is no earlier delivery before that.
	where := func(headings ...string) {
		t.Helper()
		body := a.Get("/admin/deliveries").Body
		at := strings.LastIndex(body, `href="`+page+`"`)
		for _, h := range headings[1:] {
			if i := strings.Index(body, ">"+h+"</h2>"); at < 0 || i >= 0 && i < at {
				t.Errorf("the cancelled one stands under %s", h)
			}
		}
		if i := strings.Index(body, ">"+headings[0]+"</h2>"); i < 0 || i > at {
			t.Errorf("the cancelled one does not stand under %s", headings[0])
		}
	}
	where("Abgesagte kommende Lieferungen", "Lieferung planen", "Frühere Lieferungen")
	if d, err := DeliveryByID(b.ctx, b.pool, to); err != nil || d.State != StateCancelled {
		t.Errorf("%+v, %v", d, err)
	}
	if r := a.Get(page + "/cancel"); r.Status != http.StatusSeeOther || r.Header.Get("Location") != page {
		t.Errorf("a second time: %d %s", r.Status, r.Header.Get("Location"))
	}
	b.now = clock.At(day(2021, 1, 15), 14, 0)
	a = b.app()
	where("Frühere Lieferungen")
}

// TestLossOfASharedDelivery: what is given out in equal parts is missing at each centre.
func TestLossOfASharedDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.s.Needs = func(context.Context, pg.Querier, string) ([]DayNeed, int, error) {
		return []DayNeed{{"leipzig", day(2021, 1, 20), 3}, {"dresden", day(2021, 1, 20), 9}}, 2, nil
	}
	var to string
	b.tx(func(tx pgx.Tx) (err error) {
		to, err = b.s.PlanDelivery(b.ctx, tx, NewDelivery{ProductID: "comirnaty", Place: Central, Day: day(2021, 1, 14), Vials: 13, EqualShares: true}, b.by)
		return err
	})
	d, err := DeliveryByID(b.ctx, b.pool, to)
	if err != nil {
		t.Fatal(err)
	}
	// Each centre would get one vial with five doses: 3 + 5 of the 9.
	if l, err := b.s.LossOf(b.ctx, b.pool, d); err != nil || l != (Loss{Vials: 13, Doses: 65, Appointments: 8, Centres: 2, Carried: 8}) {
		t.Errorf("%+v, %v", l, err)
	}
}

// plannedOn is a delivery of comirnaty on a day of January 2021.
func (b *bundle) plannedOn(place Place, dayOf, vials int) (deliveryID string) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) (err error) {
		deliveryID, err = b.s.PlanDelivery(b.ctx, tx, NewDelivery{ProductID: "comirnaty", Place: place, Day: day(2021, 1, dayOf), Vials: vials}, b.by)
		return err
	})
	return deliveryID
}
