package booking

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/id"
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
	names, err := s.callNames(ctx)
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
		v := names.view(c, o, person, *series)
		if len(out) < 9 {
			v.Key = strconv.Itoa(len(out) + 1)
		}
		out, seen = append(out, v), append(seen, o.PersonID)
	}
	if len(seen) == 0 {
		return out, nil
	}
	return out, s.noteSeen(c, seen)
}

// noteSeen records whose data an agent saw.
func (s *Service) noteSeen(c *web.Ctx, persons []string) error {
	return pg.InTx(c.Std(), s.Pool, func(tx pgx.Tx) error {
		return audit.Write(c.Std(), tx, c.Now, audit.Entry{
			Actor: c.Actor(), Role: string(web.RoleAgent), Action: "booking.offers.open", Subject: "offers", After: map[string]any{"persons": persons},
		})
	})
}

// callNames are the names of centres and products, for the lines of offers.
type callNames struct {
	centres  []centre.Centre
	products []programme.Product
}

func (s *Service) callNames(ctx context.Context) (n callNames, err error) {
	if n.centres, err = centre.All(ctx, s.Pool); err != nil {
		return n, err
	}
	n.products, err = programme.Products(ctx, s.Pool, "")
	return n, err
}

func (n callNames) view(c *web.Ctx, o waitingOffer, person citizen.Person, series Series) callView {
	v := callView{waitingOffer: o, Person: person, CaseNumber: citizen.PrintCode(person.CaseNumber)}
	if i := slices.IndexFunc(n.centres, func(at centre.Centre) bool { return at.ID == series.CentreID }); i >= 0 {
		v.Centre = n.centres[i].Name
	}
	if i := slices.IndexFunc(n.products, func(p programme.Product) bool { return p.ID == series.ProductID }); i >= 0 {
		v.Product = n.products[i].Name
	}
	for _, a := range series.Visits() {
		v.Visits = append(v.Visits, callVisit{a, c.T("booking.dose", "Number", a.DoseNumber)})
	}
	return v
}

// answeredView is what became of an offer that was answered at the desk a moment ago.
type answeredView struct {
	callView
	Reference string // booking number; "" = nothing is booked
}

// answered reads the offer that was just answered; nil = there is none, or it is still
// open. A name does not stand in an address or a cookie: only the offer's id does.
func (s *Service) answered(c *web.Ctx, offerID string) (*answeredView, error) {
	if !id.Valid(offerID) {
		return nil, nil
	}
	list, err := offersWhere(c.Std(), s.Pool, `o.id = $1 AND o.answer IS NOT NULL`, offerID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	o := list[0]
	person, err := s.Citizens.Person(c.Std(), s.Pool, o.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	series, err := s.SeriesByID(c.Std(), s.Pool, o.SeriesID, o.PersonID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := s.callNames(c.Std())
	if err != nil {
		return nil, err
	}
	v := answeredView{callView: names.view(c, o, person, *series)}
	if o.Answer == OfferAccepted {
		v.Reference = PrintReference(series.Reference)
	}
	return &v, s.noteSeen(c, []string{o.PersonID})
}

// callsView is the list: whom to call, and who was told and may call.
type callsView struct {
	Done       *answeredView // the offer that was answered last; nil = none
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
	done, err := s.answered(c, c.Query("answered"))
	if err != nil {
		return err
	}
	return c.Page("booking/calls", callsView{done, list[:n], list[n:]})
}

func (s *Service) postCall(c *web.Ctx) error {
	after, err := s.answerOffer(c.Std(), c.Params("offer"), c.Form().Get("answer"), viaCall, By{c.Actor(), string(web.RoleAgent)})
	if err != nil {
		return problem(err)
	}
	return c.See("/hotline/offers?answered=" + after.ID)
}
