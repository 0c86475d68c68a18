package booking

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/programme"
)

// mayWaive sets the rule that the second dose of Comirnaty may be waived.
func (b *bundle) mayWaive() {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		rule, err := programme.SeriesFor(b.ctx, tx, comirnaty, b.now())
		if err != nil {
			return err
		}
		rule.MayWaive = true
		return programme.SetSeries(b.ctx, tx, b.now(), comirnaty, b.now(), rule, programme.By{Actor: "staff:test", Role: "admin"})
	})
}

// Where the rule allows it somebody books the first dose alone and says why; the
// dose that was kept for their second one is offered to others.
func TestWaivedSecondDose(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	pairs := b.pairs(leipzig, comirnaty)
	first := b.choices(leipzig, pair(comirnaty))[0].Times[0].SlotID
	p := b.person()
	hold := func(waive string) (Series, error) {
		return b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: []int64{first}, Key: "k " + waive, Waive: waive})
	}
	if _, err := hold(WaiveMedical); !errors.Is(err, ErrNotEligible) {
		t.Errorf("no rule says so: %v", err)
	}
	if _, err := b.s.Offers(b.ctx, b.pool, OfferQuery{Person: p, CentreID: leipzig, Channel: Web, From: b.now(), To: b.now(), One: true}); !errors.Is(err, ErrNotEligible) {
		t.Errorf("no rule says so: %v", err)
	}
	b.mayWaive()
	b.replan(leipzig, comirnaty)
	if _, err := hold("because"); !errors.Is(err, ErrInvalid) {
		t.Errorf("no known reason: %v", err)
	}
	if _, err := hold(""); !errors.Is(err, ErrNotEligible) {
		t.Errorf("one place without a reason: %v", err)
	}
	app := b.app()
	app.LoginAs(citizenUser(p))
	b.see(app.Get("/appointments/at/"+leipzig), 200, "Nur die erste Impfung buchen")
	page := b.see(app.Get("/appointments/at/"+leipzig+"?one=1"), 200, "Warum entfällt die zweite Impfung?", "Doch alle Termine buchen")
	slots := first1(t, page.Body)
	if strings.Contains(slots, ",") {
		t.Fatalf("two appointments: %s", slots)
	}
	form := []string{"centre", leipzig, "slots", slots, "key", found(t, pageKeyIn, page.Body), "one", "1"}
	b.see(app.PostForm("/appointments/hold", form...), http.StatusUnprocessableEntity, "Bitte sagen Sie, warum")
	b.goTo(app.PostForm("/appointments/hold", append(form, "waive", WaiveElsewhere)...), "/appointments/held")
	held := b.see(app.Get("/appointments/held"), 200, "an einem anderen Ort")
	b.goTo(app.PostForm("/appointments/confirm", "series", found(t, seriesValue, held.Body)), "/appointments")
	s, err := b.s.SeriesOf(b.ctx, b.pool, p.ID)
	b.ok(err)
	if s.State != StateConfirmed || len(s.Appointments) != 1 || s.Appointments[0].DoseNumber != 1 || s.Waived != WaiveElsewhere {
		t.Errorf("%+v", s)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.waive' AND subject = $1 AND actor = $2 AND after->>'reason' = 'elsewhere'`, "series:"+s.ID, "citizen:"+p.ID); n != 1 {
		t.Errorf("%d entries in the record", n)
	}
	b.sound()
	b.replan(leipzig, comirnaty)
	if n := b.pairs(leipzig, comirnaty); n != pairs-1 && n != pairs { // 480 doses: one is left over
		t.Errorf("%d pairs, %d before", n, pairs)
	}
	b.see(app.Get("/appointments/confirmation.pdf"), 200)
	// As JSON; and it can be told from a series of one dose by its reason only.
	q := b.person()
	other := b.app()
	other.LoginAs(citizenUser(q))
	var offers OffersOut
	day := s.Appointments[0].Start.Format("2006-01-02")
	other.JSON(http.MethodGet, "/api/v1/appointments/offers?one=true&centre="+leipzig+"&from="+day, nil, &offers)
	if len(offers.Days) == 0 || len(offers.Days[0].Later) != 0 {
		t.Fatalf("%+v", offers)
	}
	var out SeriesOut
	in := HoldIn{SlotIDs: []int64{offers.Days[0].First[0].SlotID}, Key: "k", Waive: WaiveMedical}
	if a := other.JSON(http.MethodPost, "/api/v1/appointments/hold", in, &out); a.Status != 200 || len(out.Appointments) != 1 || out.Waived != WaiveMedical {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	b.sound()
}

// first1 is the first choice of a page of times.
func first1(t *testing.T, body string) string {
	t.Helper()
	m := slotChoice.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no times: %s", main(body))
	}
	return m[1]
}
