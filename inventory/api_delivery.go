package inventory

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
)

// deliveryAPI are the operations on deliveries.
func (s *Service) deliveryAPI() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/deliveries", Roles: admin, API: web.JSON("List deliveries", s.apiDeliveries)},
		{Method: http.MethodPost, Path: "/api/v1/deliveries", Roles: admin, API: changing(s, "Plan a delivery", s.apiPlan)},
		{Method: http.MethodPost, Path: "/api/v1/deliveries/import", Roles: admin, API: web.JSON("Import the ministry's delivery report", s.apiImport)},
		{Method: http.MethodPost, Path: "/api/v1/deliveries/:id/receive", Roles: admin, API: changing(s, "Receive a planned delivery by lot", s.apiReceive)},
		{Method: http.MethodPost, Path: "/api/v1/deliveries/:id/cancel", Roles: admin, API: changing(s, "Cancel a planned delivery", s.apiCancel)},
		{Method: http.MethodPut, Path: "/api/v1/deliveries/:id", Roles: admin, API: changing(s, "Change or confirm a delivery that is to come", s.apiChange)},
		{Method: http.MethodPost, Path: "/api/v1/deliveries/:id/rest", Roles: admin, API: changing(s, "Plan what a short delivery lacks anew, or write it off", s.apiRest)},
	}
}

type deliveriesIn struct {
	State string `query:"state" json:"-" doc:"planned, confirmed, received, short, cancelled; all without it"`
}

type deliveryOut struct {
	ID          string     `json:"id"`
	ProductID   string     `json:"product_id"`
	Place       string     `json:"place"`
	Day         string     `json:"day" doc:"planned"`
	Vials       int        `json:"vials" doc:"planned; once received: what came"`
	EqualShares bool       `json:"equal_shares"`
	State       string     `json:"state" enum:"planned,confirmed,received,short,cancelled"`
	Source      string     `json:"source" enum:"manual,import"`
	Note        string     `json:"note"`
	ReceivedAt  *time.Time `json:"received_at"`
	Ordered     int        `json:"ordered" doc:"vials that were planned"`
	Rest        int        `json:"rest" doc:"of a short one: vials that have neither come, nor were planned anew, nor written off"`
	Follows     string     `json:"follows" doc:"the short delivery whose rest this is"`
}

type deliveriesOut struct {
	Deliveries []deliveryOut `json:"deliveries"`
}

func (s *Service) apiDeliveries(c *web.Ctx, in deliveriesIn) (deliveriesOut, error) {
	ds, err := Deliveries(c.Std(), s.pool, in.State, 1000)
	if err != nil {
		return deliveriesOut{}, err
	}
	out := deliveriesOut{Deliveries: []deliveryOut{}}
	for _, d := range ds {
		out.Deliveries = append(out.Deliveries, deliveryOut{d.ID, d.ProductID, string(d.Place), isoDay(d.Day), d.Vials, d.EqualShares, d.State, d.Source, d.Note, d.ReceivedAt, d.Ordered, d.Rest, d.Follows})
	}
	return out, nil
}

type planIn struct {
	ProductID   string `json:"product_id"`
	Place       string `json:"place" doc:"central or centre:leipzig"`
	Day         string `json:"day" doc:"day as 2021-01-11"`
	Vials       int    `json:"vials"`
	EqualShares bool   `json:"equal_shares" doc:"only for central: given out to all active centres on arrival"`
	Confirmed   bool   `json:"confirmed,omitempty" doc:"whoever sends it has said so"`
	Note        string `json:"note" maxlen:"500"`
}

type planOut struct {
	ID string `json:"id"`
}

// HTTPStatus says that something was made.
func (planOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiPlan(c *web.Ctx, in planIn) (out planOut, err error) {
	day, err := parseDay("day", in.Day)
	if err != nil {
		return out, err
	}
	n := NewDelivery{ProductID: in.ProductID, Place: Place(in.Place), Day: day, Vials: in.Vials, EqualShares: in.EqualShares, Confirmed: in.Confirmed, Note: in.Note}
	err = s.change(c, func(tx pgx.Tx) (err error) {
		if out.ID, err = s.PlanDelivery(c.Std(), tx, n, by(c)); err != nil {
			return err
		}
		return s.answer(c, tx, out)
	})
	return out, problem(err)
}

type receiveIn struct {
	ID   string         `path:"id" json:"-"`
	Lots []receiveLotIn `json:"lots"`
}

type receiveLotIn struct {
	Number string `json:"number" maxlen:"40"`
	Expiry string `json:"expiry" doc:"last day on which it may be given"`
	Vials  int    `json:"vials"`
}

func (s *Service) apiReceive(c *web.Ctx, in receiveIn) (struct{}, error) {
	if len(in.Lots) > 50 {
		return struct{}{}, problem(ErrInvalid)
	}
	var lots []ReceivedLot
	for _, l := range in.Lots {
		expiry, err := parseDay("expiry", l.Expiry)
		if err != nil {
			return struct{}{}, err
		}
		lots = append(lots, ReceivedLot{l.Number, expiry, l.Vials})
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.ReceiveDelivery(c.Std(), tx, in.ID, lots, by(c)) }))
}

type idIn struct {
	ID string `path:"id" json:"-"`
}

func (s *Service) apiCancel(c *web.Ctx, in idIn) (struct{}, error) {
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.CancelDelivery(c.Std(), tx, in.ID, by(c)) }))
}

type importIn struct {
	CSV string `json:"csv" doc:"the file: date,vaccine,doses"`
}

func (s *Service) apiImport(c *web.Ctx, in importIn) (ImportReport, error) {
	rep, err := s.ImportDeliveries(c.Std(), strings.NewReader(in.CSV), c.Actor(), nil)
	var bad ImportErrors
	if errors.As(err, &bad) {
		p := web.Fail(http.StatusUnprocessableEntity, "inventory.error.lines", "Count", len(bad))
		for _, l := range bad {
			p.Fields = append(p.Fields, web.FieldError{
				Field: "csv", Key: "inventory.import.line_error",
				Args: []any{"Line", l.Line, "What", c.T("inventory.import.error." + l.Key), "Value", l.Value},
			})
		}
		return rep, p
	}
	return rep, err
}

type changeIn struct {
	ID        string `path:"id" json:"-"`
	Day       string `json:"day" doc:"day as 2021-01-11"`
	Vials     int    `json:"vials"`
	Confirmed bool   `json:"confirmed" doc:"whoever sends it has said so"`
	Note      string `json:"note" maxlen:"500"`
}

func (s *Service) apiChange(c *web.Ctx, in changeIn) (struct{}, error) {
	day, err := parseDay("day", in.Day)
	if err != nil {
		return struct{}{}, err
	}
	ch := DeliveryChange{Day: day, Vials: in.Vials, Note: in.Note, Confirmed: in.Confirmed}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.ChangeDelivery(c.Std(), tx, in.ID, ch, by(c)) }))
}

type restIn struct {
	ID    string `path:"id" json:"-"`
	Vials int    `json:"vials"`
	Day   string `json:"day,omitempty" doc:"planned anew for this day; without it written off"`
	Why   string `json:"why,omitempty" maxlen:"200" doc:"needed to write off"`
}

func (s *Service) apiRest(c *web.Ctx, in restIn) (struct{}, error) {
	st := Settlement{Vials: in.Vials, Why: in.Why}
	if in.Day != "" {
		var err error
		if st.Day, err = parseDay("day", in.Day); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, problem(s.change(c, func(tx pgx.Tx) error { return s.SettleRest(c.Std(), tx, in.ID, st, by(c)) }))
}
