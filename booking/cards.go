package booking

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// StartCard shows on the start page where appointments are free: a table and a
// schematic map, from the picture that costs no query.
func (s *Service) StartCard() web.Card {
	return web.Card{Template: "booking/_free", Data: func(c *web.Ctx) (any, error) {
		a, err := s.Availability(c.Std())
		if err != nil {
			return nil, err
		}
		return newFreeView(a), nil
	}}
}

// freeView is the table and the map of free places.
type freeView struct {
	*Availability
	Total         int
	Points        []mapPoint
	Outline       string // points of a polygon
	Width, Height float64
}

func newFreeView(a *Availability) freeView {
	v := freeView{Availability: a, Width: mapWidth, Height: mapHeight}
	var b strings.Builder
	for _, p := range outline {
		x, y := project(p)
		fmt.Fprintf(&b, "%g,%g ", x, y)
	}
	v.Outline = strings.TrimSpace(b.String())
	for _, c := range a.Centres {
		v.Total += c.Free
		x, y := project(point{c.Lat, c.Lon})
		p := mapPoint{X: x, Y: y, ID: c.ID, Name: c.City, Free: c.Free, R: 9, Left: x > mapWidth*0.72}
		if name, _, ok := strings.Cut(p.Name, ","); ok {
			p.Name = name
		}
		if c.Free > 0 {
			p.R = 13
		}
		v.Points = append(v.Points, p)
	}
	return v
}

// LabelX is where the name of a point begins or ends.
func (p mapPoint) LabelX() float64 {
	if p.Left {
		return p.X - p.R - 4
	}
	return p.X + p.R + 4
}

// LabelY is the base line of the name.
func (p mapPoint) LabelY() float64 { return p.Y + 5 }

// Anchor is the SVG text-anchor.
func (p mapPoint) Anchor() string {
	if p.Left {
		return "end"
	}
	return "start"
}

// CaseCard shows on 'my case' which appointments the person has.
func (s *Service) CaseCard() web.Card {
	return web.Card{Template: "booking/_mine", Data: func(c *web.Ctx) (any, error) {
		if c.User == nil || c.User.Kind != "citizen" {
			return nil, nil
		}
		person, series, err := s.mine(c)
		if err != nil || series == nil {
			return nil, err
		}
		v, err := s.seriesView(c, *series, person)
		if err != nil {
			return nil, err
		}
		offer, err := s.offerIn(c.Std(), series)
		if err != nil {
			return nil, err
		}
		return mineView{v, offer}, nil
	}}
}

// mineView is what the person has, on 'my case'.
type mineView struct {
	seriesView
	Offer *OpenOffer // what is held is an offer of the waiting list
}

// NextStep says what the person should do next about appointments; nil = book
// (citizen's own words), or nothing.
func (s *Service) NextStep(c *web.Ctx) (*citizen.NextStep, error) {
	series, err := s.SeriesOf(c.Std(), s.Pool, c.User.ID)
	if err != nil {
		return nil, err
	}
	if series == nil || series.State == StateEnded {
		waiting, err := WaitingOf(c.Std(), s.Pool, c.User.ID)
		if err != nil {
			return nil, err
		}
		if waiting == nil {
			return s.laterStep(c)
		}
		return &citizen.NextStep{Text: c.T("booking.next.waiting." + waiting.State), Href: "/appointments/waiting", Label: c.T("booking.next.waiting_button")}, nil
	}
	switch series.State {
	case StateHeld:
		offer, err := s.offerIn(c.Std(), series)
		if err != nil {
			return nil, err
		}
		if offer != nil {
			return &citizen.NextStep{Text: c.T("booking.next.offer", "Until", untilText(c, offer.Until)), Href: "/appointments/held", Label: c.T("booking.next.offer_button")}, nil
		}
		return &citizen.NextStep{Text: c.T("booking.next.held", "Until", untilText(c, series.HoldUntil)), Href: "/appointments/held", Label: c.T("booking.next.held_button")}, nil
	case StateConfirmed:
		next := series.Next()
		if next == nil {
			return nil, nil
		}
		moved, err := s.movedOf(c, series)
		if err != nil {
			return nil, err
		}
		if len(moved) > 0 {
			return &citizen.NextStep{Text: c.T("booking.next.moved", "Date", web.FormatDateTime(c.Lang, movedTo(moved))), Href: "/appointments", Label: c.T("booking.next.moved_button")}, nil
		}
		if missing := s.Missing(*series); len(missing) > 0 {
			return &citizen.NextStep{Text: c.T("booking.next.missing", "Date", web.FormatDateTime(c.Lang, next.Start), "Number", missing[0]), Href: fmt.Sprintf("/appointments/change/%d", missing[0]), Label: c.T("booking.missing.link")}, nil
		}
		return &citizen.NextStep{Text: c.T("booking.next.come", "Date", web.FormatDateTime(c.Lang, next.Start)), Href: "/appointments", Label: c.T("booking.next.come_button")}, nil
	}
	return nil, nil
}

// laterStep is the next step of who has nothing booked and has had a dose: the next
// one needs an appointment, or none is needed any more; nil for everybody else.
func (s *Service) laterStep(c *web.Ctx) (*citizen.NextStep, error) {
	_, ents, err := s.personEntitled(c.Std(), s.Pool, c.User.ID)
	var not *IneligibleError
	switch {
	case errors.As(err, &not) && not.Reason == ReasonComplete:
		return &citizen.NextStep{Text: c.T("booking.next.complete")}, nil
	case errors.As(err, &not):
		return nil, nil
	case err != nil:
		return nil, err
	case ents[0].FirstDose == 1:
		return nil, nil
	}
	text := c.T("booking.missing", "Number", ents[0].FirstDose) + "."
	if from := ents[0].NotBefore; from.After(clock.Day(c.Now)) {
		text += " " + c.T("booking.next.later_from", "Day", web.FormatDate(c.Lang, from))
	}
	return &citizen.NextStep{Text: text, Href: "/appointments", Label: c.T("booking.missing.link")}, nil
}

// untilText is a time of today, or with its day.
func untilText(c *web.Ctx, t time.Time) string {
	if clock.Day(t).Equal(clock.Day(c.Now)) {
		return web.FormatClock(c.Lang, t)
	}
	return web.FormatDateTime(c.Lang, t)
}

// todayView are today's figures for the administration.
type todayView struct {
	Rows       []todayRow
	Today      int // appointments today
	Held       int
	Shortfalls int
}

type todayRow struct {
	Channel   string
	Confirmed int // series confirmed today
	Cancelled int
	Free      int // series free in the next days
}

// AdminCard shows today's figures on the administration's overview.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "booking/_today", Data: func(c *web.Ctx) (any, error) {
		ctx := c.Std()
		today := clock.Day(c.Now)
		var v todayView
		err := s.Pool.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM booking.appointment WHERE day = $1 AND slot_id > 0 AND state IN ('confirmed', 'here', 'done', 'missed')),
			       (SELECT count(*) FROM booking.series WHERE state = 'held' AND hold_until > $2),
			       (SELECT count(*) FROM booking.shortfall WHERE resolved_at IS NULL)`, today, c.Now).Scan(&v.Today, &v.Held, &v.Shortfalls)
		if err != nil {
			return nil, err
		}
		a, err := s.Availability(ctx)
		if err != nil {
			return nil, err
		}
		free := map[Channel]int{}
		for key, byProduct := range a.days {
			for _, n := range byProduct {
				free[key.channel.base()] += n
			}
		}
		rows, err := s.Pool.Query(ctx, `
			SELECT c.id, count(s.id) FILTER (WHERE s.confirmed_at >= $1), count(s.id) FILTER (WHERE s.confirmed_at IS NOT NULL AND s.ended_at >= $1 AND s.state = 'cancelled')
			FROM booking.channel c LEFT JOIN booking.series s ON s.channel = c.id AND (s.confirmed_at >= $1 OR s.ended_at >= $1)
			WHERE c.bookable GROUP BY c.id, c.position ORDER BY c.position`, clock.At(today, 0, 0))
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var r todayRow
			if err := rows.Scan(&r.Channel, &r.Confirmed, &r.Cancelled); err != nil {
				return nil, err
			}
			r.Free = free[Channel(r.Channel)]
			v.Rows = append(v.Rows, r)
		}
		return v, rows.Err()
	}}
}
