package booking

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/programme"
)

// DeskRoutes are the pages of the hotline's desk that belong to this slice: whom
// to call about an offer, and whoever calls about one. They stand behind the
// desk's own in the navigation.
func (s *Service) DeskRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/hotline/offers", Roles: agents, Nav: "booking.nav.calls", Handle: s.showCalls},
		{Method: http.MethodPost, Path: "/hotline/offers/:offer", Roles: agents, Handle: s.postCall},
	}
}

// mostCalls is how many offers the list shows at once, those to be called first.
const mostCalls = 100

// CallCount is how many people the hotline has to call about an offer.
func CallCount(ctx context.Context, q pg.Querier, now time.Time) (n int, err error) {
	err = q.QueryRow(ctx, `SELECT count(*)::int FROM booking.waiting_offer WHERE answer IS NULL AND until > $1 AND means = 'call'`, now).Scan(&n)
	return n, err
}

// callView is an offer as the hotline's list shows it: who is meant, and what is
// offered.
type callView struct {
	waitingOffer
	Person     citizen.Person
	CaseNumber string
	Centre     string
	Product    string
	Visits     []callVisit
	Key        string // opens the case: "1" to "9", "" for those after them
}

type callVisit struct {
	Appointment
	Label string
}

// calls reads the offers that wait for an answer and notes whose data were seen.
func (s *Service) calls(c *web.Ctx) ([]callView, error) {
	ctx := c.Std()
	offers, err := offersWhere(ctx, s.Pool, `o.answer IS NULL AND o.until > $1 ORDER BY o.means <> 'call', o.until, o.id LIMIT $2`, c.Now, mostCalls)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, o := range offers {
		ids = append(ids, o.PersonID)
	}
	people, err := s.Citizens.People(ctx, s.Pool, ids)
	if err != nil {
		return nil, err
	}
	all, err := centre.All(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	products, err := programme.Products(ctx, s.Pool, "")
	if err != nil {
		return nil, err
	}
	out, seen := []callView{}, []string{}
	for _, o := range offers {
		series, err := s.SeriesByID(ctx, s.Pool, o.SeriesID, o.PersonID)
		person, known := people[o.PersonID]
		if err != nil || series.State != StateHeld || !known {
			continue // answered or ended at this moment
		}
		v := callView{waitingOffer: o, Person: person, CaseNumber: citizen.PrintCode(person.CaseNumber)}
		if i := slices.IndexFunc(all, func(at centre.Centre) bool { return at.ID == series.CentreID }); i >= 0 {
			v.Centre = all[i].Name
		}
		if i := slices.IndexFunc(products, func(p programme.Product) bool { return p.ID == series.ProductID }); i >= 0 {
			v.Product = products[i].Name
		}
		for _, a := range series.Appointments {
			v.Visits = append(v.Visits, callVisit{a, c.T("booking.dose", "Number", a.DoseNumber)})
		}
		if len(out) < 9 {
			v.Key = strconv.Itoa(len(out) + 1)
		}
		out, seen = append(out, v), append(seen, o.PersonID)
	}
	if len(seen) == 0 {
		return out, nil
	}
	return out, pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		return audit.Write(ctx, tx, c.Now, audit.Entry{
			Actor: c.Actor(), Role: string(web.RoleAgent), Action: "booking.offers.open", Subject: "offers", After: map[string]any{"persons": seen},
		})
	})
}

// callsView is the list: whom to call, and who was told and may call.
type callsView struct {
	Call, Told []callView
}

func (s *Service) showCalls(c *web.Ctx) error {
	list, err := s.calls(c)
	if err != nil {
		return err
	}
	n := slices.IndexFunc(list, func(v callView) bool { return v.Means != MeansCall })
	if n < 0 {
		n = len(list)
	}
	return c.Page("booking/calls", callsView{list[:n], list[n:]})
}

func (s *Service) postCall(c *web.Ctx) error {
	after, err := s.answerOffer(c.Std(), c.Params("offer"), c.Form().Get("answer"), viaCall, By{c.Actor(), string(web.RoleAgent)})
	if err != nil {
		return problem(err)
	}
	c.Flash("booking.flash.answer." + strings.TrimSpace(after.Answer))
	return c.See("/hotline/offers")
}
