package booking

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// Who has had a dose and has no appointment for the next one is told so, with the way
// to it and the first day; who has had all is sent nowhere.
func TestTheNextStepAfterADose(t *testing.T) {
	t.Parallel()
	b := plenty(t)
	routes := append(b.s.Routes(), web.Route{Method: "GET", Path: "/step", Handle: func(c *web.Ctx) error {
		next, err := b.s.NextStep(c)
		if err != nil || next == nil {
			return err
		}
		return c.SendString(strings.Join([]string{next.Text, next.Href, next.Label}, "|"))
	}})
	says := func(p citizen.Person, want string) {
		t.Helper()
		app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.now, Routes: routes, Bundles: []web.Bundle{Assets, citizen.Assets}})
		app.LoginAs(citizenUser(p))
		if a := app.Get("/step"); a.Status != 200 || a.Body != want {
			t.Errorf("%d %q, want %q", a.Status, a.Body, want)
		}
	}
	second := func(from string) string {
		return "Für die 2. Impfung haben Sie keinen Termin. Möglich ist sie ab " + from + ".|/appointments|Termin dafür buchen"
	}
	says(b.person(), "")

	// A dose after a call.
	called := b.ready()
	call, err := b.s.CallNext(b.ctx, leipzig, comirnaty, 9, 0, site)
	b.ok(err)
	b.ok(b.s.CallEnded(b.ctx, call.ID, leipzig, CallCame, site))
	v, err := b.s.LeftoverVisit(b.ctx, b.pool, call.ID, leipzig, b.now())
	b.ok(err)
	b.tx(func(tx pgx.Tx) error { return b.s.LeftoverGiven(b.ctx, tx, v, leipzig, b.now(), site) })
	says(called, second(web.FormatDate("de", b.now().AddDate(0, 0, 21))))

	// The second appointment was given back, before the first dose and after it.
	p := b.person()
	choice := b.choices(leipzig, pair(comirnaty))[0]
	s, err := b.take(p.ID, "k", pair(comirnaty), choice.SlotIDs()...)
	b.ok(err)
	s, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	dose := s.Appointments[0]
	b.ok(b.s.CancelFrom(b.ctx, s.ID, p.ID, 2, By{"citizen:" + p.ID, "citizen"}))
	b.at(dose.Start)
	done := func(id string) {
		t.Helper()
		b.tx(func(tx pgx.Tx) error {
			if err := b.s.MarkHere(b.ctx, tx, id, b.now()); err != nil {
				return err
			}
			return b.s.MarkDone(b.ctx, tx, id, b.now())
		})
	}
	done(dose.ID)
	says(p, second(web.FormatDate("de", b.now().AddDate(0, 0, 21))))
	b.at(dose.Start.AddDate(0, 0, 30))
	says(p, "Für die 2. Impfung haben Sie keinen Termin.|/appointments|Termin dafür buchen")

	b.exec(`UPDATE booking.appointment SET dose_number = 2 WHERE id = $1`, dose.ID)
	says(p, "Sie haben alle Impfungen bekommen, die vorgesehen sind. Sie brauchen keinen Termin mehr.||")
}
