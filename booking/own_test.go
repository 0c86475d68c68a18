package booking

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// Each table with a relation to persons is in what a person is shown: a new one
// cannot be forgotten.
func TestOwnDataKnowsEveryTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows, err := b.pool.Query(b.ctx, `
		SELECT DISTINCT table_name::text FROM information_schema.columns
		WHERE table_schema = 'booking' AND column_name IN ('person_id', 'companion_id', 'people', 'person', 'persons')`)
	b.ok(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.ok(err)
	for _, table := range tables {
		field, ok := reflect.TypeFor[OwnData]().FieldByName(ownTables[table])
		if !ok {
			t.Errorf("booking.%s is not in OwnData", table)
		} else if field.Tag.Get("json") == "" {
			t.Errorf("booking.%s is not in the JSON", table)
		}
	}
	if len(tables) != len(ownTables) {
		t.Errorf("%v, and OwnData says %v", tables, ownTables)
	}
}

// Somebody with appointments, wishes, offers and a proposal sees them all, and
// nothing of anybody else.
func TestOwnData(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, _ := b.waits(nil)
	b.waits(nil)
	b.cancel(all[0])
	b.cancel(all[1])
	b.offer()
	for _, o := range b.openOffers() {
		if o.PersonID == p.ID {
			b.answer(o, AnswerDecline)
		}
	}
	b.ok(b.s.SetCompanion(b.ctx, p.ID, b.registered().Person.ID))
	b.exec(`INSERT INTO booking.proposal (id, centre_id, product_id, day, cause, series_id, person_id, doses, old_slots, slots, channel, place, state, made_at)
		SELECT gen_random_uuid(), centre_id, product_id, day, 'stations', series_id, $1, '{1}', ARRAY[slot_id], '{}', 'web', 1, 'open', $2 FROM booking.appointment LIMIT 1`, p.ID, b.now())
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.now, Bundles: []web.Bundle{Assets, citizen.Assets}, Routes: append(b.s.Routes(), web.Route{
		Method: http.MethodGet, Path: "/card", Roles: citizens, Handle: func(c *web.Ctx) error {
			cards, err := c.Cards([]web.Card{b.s.DataCard()})
			if err != nil || len(cards) != 1 {
				return err
			}
			return c.SendString(string(cards[0]))
		},
	})})
	app.LoginAs(citizenUser(p))
	b.see(app.Get("/card"), 200, "auf der Warteliste", "Impfzentrum Leipzig", "1 abgelehnt", "abgelehnt", "Ersatztermine wegen eines Ausfalls", "nichts gefunden", "Auslosung", "Gemeinsam buchen")
	var own OwnData
	a := app.JSON(http.MethodGet, "/api/v1/appointments/data", nil, &own)
	if len(own.Waiting) != 1 || len(own.Offers) != 1 || own.Offers[0].Answer != OfferDeclined || len(own.Series) != 1 || len(own.Series[0].Appointments) != 2 ||
		len(own.Proposals) != 1 || own.Candidate < 1 || len(own.Companion) != 1 || own.Returning != 2 || time.Since(own.Waiting[0].Since.UTC()) < 0 {
		t.Errorf("%s", a.Body)
	}
	other := b.app()
	other.LoginAs(citizenUser(b.person()))
	var nothing OwnData
	other.JSON(http.MethodGet, "/api/v1/appointments/data", nil, &nothing)
	raw, err := json.Marshal(nothing)
	b.ok(err)
	if strings.Contains(string(raw), p.ID) || len(nothing.Series)+len(nothing.Waiting)+len(nothing.Offers)+len(nothing.Proposals) != 0 {
		t.Errorf("%s", raw)
	}
}
