package inventory

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/web"
)

// planned is a delivery of comirnaty that is to come.
func (b *bundle) planned(place Place, vials int) (deliveryID string) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) (err error) {
		deliveryID, err = b.s.PlanDelivery(b.ctx, tx, NewDelivery{ProductID: "comirnaty", Place: place, Day: b.now, Vials: vials}, b.by)
		return err
	})
	return deliveryID
}

// TestReceivingAnyNumberOfLots: the form grows by a line as often as somebody asks
// for one, and keeps what was typed.
func TestReceivingAnyNumberOfLots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	page := "/admin/deliveries/" + b.planned(Central, 25)
	form := []string{"lots", "1", "lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", ""}
	for n := 2; n <= 5; n++ {
		form[1] = fmt.Sprint(n - 1)
		r := a.PostForm(page+"/receive", append(form, "more", "1")...)
		if r.Status != http.StatusOK || strings.Contains(r.Body, `id="errors"`) {
			t.Fatalf("one more line: %d", r.Status)
		}
		for _, want := range []string{fmt.Sprintf(`name="lots" value="%d"`, n), fmt.Sprintf(`name="lot_%d"`, n), `value="EX1"`, `name="vials_1" type="number" value=""`} {
			if !strings.Contains(r.Body, want) {
				t.Errorf("%d lines: %s is not there", n, want)
			}
		}
		form = append(form, fmt.Sprintf("lot_%d", n), fmt.Sprintf("EX%d", n), fmt.Sprintf("expiry_%d", n), "2021-05-01", fmt.Sprintf("vials_%d", n), "5")
	}
	form[1], form[7] = "6", "5" // a sixth line stays empty
	mustSee(t, a.PostForm(page+"/receive", form...), "receive five lots")
	var lots int
	err := b.pool.QueryRow(b.ctx, `SELECT count(*) FROM inventory.lot`).Scan(&lots)
	if err != nil || lots != 5 || b.stock(Central, "comirnaty", b.now).Vials != 25 {
		t.Errorf("%d lots, %v", lots, err)
	}
	b.reconciled()
}

// TestDeliveryErrorsStandWhereTheyBelong: at the field, and the page's other forms
// keep what is stored.
func TestDeliveryErrorsStandWhereTheyBelong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.app()
	b.receive(Central, "comirnaty", "OLD1", day(2021, 5, 31), 1)
	page := "/admin/deliveries/" + b.planned(Central, 25)
	r := a.PostForm(page+"/receive", "lots", "2", "lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "5", "lot_2", "old1", "expiry_2", "2021-06-30", "vials_2", "5")
	for _, want := range []string{`href="#expiry_2"`, "Die Charge OLD1 ist schon bekannt, aber verwendbar bis Mo., 31.05.2021", `value="EX1"`, `name="vials" type="number" value="25"`, `name="day" type="date" value="2021-01-11"`} {
		if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, want) {
			t.Errorf("receive: %d, %s is not there", r.Status, want)
		}
	}
	r = a.PostForm(page+"/change", "day", "", "vials", "30", "note", "neu")
	for _, want := range []string{`href="#day"`, `name="vials" type="number" value="30"`, `value="neu"`, `name="vials_1" type="number" value="25"`} {
		if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, want) {
			t.Errorf("change: %d, %s is not there", r.Status, want)
		}
	}
	mustSee(t, a.PostForm(page+"/receive", "lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "20"), "receive less")
	// Somebody else still sees the forms: what happened stands at the delivery.
	for _, form := range [][]string{
		{"/receive", "lot_1", "EX2", "expiry_1", "2021-05-01", "vials_1", "20"}, {"/change", "day", "2021-01-20", "vials", "30"}, {"/cancel"},
	} {
		if r := a.PostForm(page+form[0], form[1:]...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `href="#delivery"`) || !strings.Contains(r.Body, "zu wenig angekommen") {
			t.Errorf("%s after it was received: %d", form[0], r.Status)
		}
	}
	r = a.PostForm(page+"/rest", "rest_vials", "6", "rest_day", "2021-01-20")
	if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `href="#rest_vials"`) || !strings.Contains(r.Body, `name="off_vials" type="number" value="5"`) {
		t.Errorf("rest: %d", r.Status)
	}
	if r := a.PostForm(page+"/write-off", "off_vials", "5", "off_why", ""); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `href="#off_why"`) {
		t.Errorf("write off: %d", r.Status)
	}
	b.reconciled()
}

// TestReceivingErrorsStandInTheOrderOfTheFields, and each leads to its field.
func TestReceivingErrorsStandInTheOrderOfTheFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	to := b.planned(leipzig, 25)
	for name, c := range map[string]struct{ form, want []string }{
		"nothing":    {[]string{"lots", "1"}, []string{"lot_1", "expiry_1", "vials_1"}},
		"two lots":   {[]string{"lots", "2", "expiry_1", "2020-12-31", "vials_1", "0", "lot_2", "EX2", "vials_2", "viele"}, []string{"lot_1", "expiry_1", "vials_1", "expiry_2", "vials_2"}},
		"the second": {[]string{"lots", "2", "lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "5", "expiry_2", "2021-05-01"}, []string{"lot_2", "vials_2"}},
	} {
		for _, page := range []string{"/admin/deliveries/" + to, "/site/deliveries/" + to} {
			a := b.app()
			if strings.HasPrefix(page, "/site") {
				a = b.as(web.RoleSite, "leipzig")
			}
			r := a.PostForm(page+"/receive", c.form...)
			var got []string
			for _, part := range strings.Split(r.Body, `href="#`)[1:] {
				if field, _, _ := strings.Cut(part, `"`); field != "main" {
					got = append(got, field)
					if !strings.Contains(r.Body, `id="`+field+`"`) {
						t.Errorf("%s: %s leads nowhere", name, field)
					}
				}
			}
			if r.Status != http.StatusUnprocessableEntity || !slices.Equal(got, c.want) {
				t.Errorf("%s at %s: %d, %q, want %q", name, page, r.Status, got, c.want)
			}
		}
	}
}

// TestCentreConfirmsWhatArrived: those at the centre receive what comes straight to
// them, and nobody receives for another place.
func TestCentreConfirmsWhatArrived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig := CentrePlace("leipzig")
	to, central := b.planned(leipzig, 25), b.planned(Central, 25)
	a := b.as(web.RoleSite, "leipzig")
	if r := a.Get("/site/stock"); r.Status != http.StatusOK || !strings.Contains(r.Body, "/site/deliveries/"+to) || strings.Contains(r.Body, central) {
		t.Fatalf("site: %d", r.Status)
	}
	lot := []string{"lot_1", "EX1", "expiry_1", "2021-05-01", "vials_1", "24"}
	for name, want := range map[string]int{"dresden": http.StatusForbidden, "": http.StatusOK} {
		if r := b.as(web.RoleSite, name).Get("/site/deliveries/" + to); r.Status != want {
			t.Errorf("%q: %d, want %d", name, r.Status, want)
		}
	}
	if r := b.as(web.RoleSite, "dresden").PostForm("/site/deliveries/"+to+"/receive", lot...); r.Status != http.StatusForbidden {
		t.Errorf("for another centre: %d", r.Status)
	}
	if r := b.as(web.RoleTeam, id.New()).PostForm("/site/deliveries/"+to+"/receive", lot...); r.Status != http.StatusForbidden {
		t.Errorf("a team: %d", r.Status)
	}
	if r := a.PostForm("/site/deliveries/"+central+"/receive", lot...); r.Status != http.StatusForbidden {
		t.Errorf("the central store's: %d", r.Status)
	}
	if r := a.PostForm("/site/deliveries/"+to+"/receive", "lot_1", "", "vials_1", "25"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `action="/site/deliveries/`+to) {
		t.Errorf("without a number: %d", r.Status)
	}
	mustSee(t, a.PostForm("/site/deliveries/"+to+"/receive", lot...), "receive")
	if r := a.Get("/site/deliveries/" + to); r.Status != http.StatusOK || !strings.Contains(r.Body, "weniger angekommen als geplant") || strings.Contains(r.Body, "<form method=\"post\" action=\"/site") {
		t.Errorf("after it: %d", r.Status)
	}
	if n := b.stock(leipzig, "comirnaty", b.now).Vials; n != 24 {
		t.Errorf("leipzig has %d vials", n)
	}
	b.reconciled()
}

// TestDiscardErrorStandsAtItsLot, not at the form for thawing.
func TestDiscardErrorStandsAtItsLot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lot := b.receive(CentrePlace("leipzig"), "comirnaty", "AB1", day(2021, 5, 31), 10)
	r := b.as(web.RoleSite, "leipzig").PostForm("/site/stock/lots/" + lot + "/discard")
	if r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `href="#discard_`+lot) || !strings.Contains(r.Body, `id="discard_`+lot) ||
		!strings.Contains(r.Body, `name="thawed_on" type="date" value="2021-01-11"`) {
		t.Errorf("nothing is open: %d", r.Status)
	}
}
