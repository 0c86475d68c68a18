package booking

import (
	"context"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/programme"
)

// What this slice keeps about a person, for the person (article 15 GDPR): on the
// page 'my data' and as JSON. Another person's part in it (of a couple) is said to
// be there and is not shown.

// ownTables names for each table with a relation to persons where OwnData has it.
var ownTables = map[string]string{
	"series":        "Series",
	"appointment":   "Series",
	"idempotency":   "Keys",
	"companion":     "Companion",
	"returning":     "Returning",
	"waiting":       "Waiting",
	"waiting_offer": "Offers",
	"waiting_asked": "Candidate",
	"leftover_call": "Calls",
	"proposal":      "Proposals",
}

// OwnData is everything that booking keeps about a person.
type OwnData struct {
	Series    []OwnSeries   `json:"series" doc:"newest first"`
	Waiting   []OwnWaiting  `json:"waiting" doc:"entries of the waiting list, newest first"`
	Offers    []OwnOffer    `json:"offers" doc:"from the waiting list, newest first"`
	Proposals []OwnProposal `json:"proposals" doc:"other times because of a shortfall, newest first"`
	Calls     []OwnCall     `json:"calls" doc:"about leftover doses, newest first"`
	Candidate int           `json:"candidate" doc:"in how many orders of the waiting list the person was drawn"`
	Companion []time.Time   `json:"companion" doc:"until when the person may book with another one, or another one with them"`
	Returning int           `json:"returning" doc:"places that were given back and are not free for others yet"`
	Keys      int           `json:"keys" doc:"changes that a retry is recognised by, for some days"`
}

// OwnSeries is a series with all its appointments.
type OwnSeries struct {
	SeriesOut
	Channel     string     `json:"channel"`
	CreatedAt   time.Time  `json:"created_at"`
	ConfirmedAt *time.Time `json:"confirmed_at,omitempty"`
	Changes     int        `json:"changes"`
	Together    bool       `json:"together" doc:"booked together with another person"`
	ByStaff     bool       `json:"by_staff" doc:"booked by the hotline"`
}

// OwnWaiting is an entry of the waiting list.
type OwnWaiting struct {
	WaitingOut
	Group   string `json:"group"`
	Channel string `json:"channel"`
}

// OwnOffer is an offer that was made to the person.
type OwnOffer struct {
	MadeAt     time.Time  `json:"made_at"`
	Until      time.Time  `json:"until"`
	Means      string     `json:"means" doc:"message, call or letter"`
	Answer     string     `json:"answer" doc:"accepted, declined, removed, unanswered; empty = open"`
	Via        string     `json:"via" doc:"link, sms, call or account"`
	AnsweredAt *time.Time `json:"answered_at,omitempty"`
	SeriesID   string     `json:"series_id"`
}

// OwnProposal is a proposal that was made for the person.
type OwnProposal struct {
	MadeAt time.Time   `json:"made_at"`
	Cause  string      `json:"cause" doc:"doses or stations"`
	Doses  []int       `json:"doses"`
	Old    []time.Time `json:"old"`
	New    []time.Time `json:"new" doc:"empty = nothing was found"`
	State  string      `json:"state"`
	SeenAt *time.Time  `json:"seen_at,omitempty" doc:"when the person had seen that they were moved"`
}

// OwnCall is a call of a centre about a leftover dose.
type OwnCall struct {
	CalledAt time.Time `json:"called_at"`
	CentreID string    `json:"centre_id"`
	State    string    `json:"state" doc:"called, came, not_reached or declined"`
}

// OwnDataOf reads what this slice keeps about a person.
func OwnDataOf(ctx context.Context, q pg.Querier, personID string) (out OwnData, err error) {
	out = OwnData{Series: []OwnSeries{}, Waiting: []OwnWaiting{}, Companion: []time.Time{}}
	rows, err := q.Query(ctx, `SELECT id::text FROM booking.series WHERE person_id = $1 ORDER BY created_at DESC, id DESC`, personID)
	if err != nil {
		return out, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return out, err
	}
	for _, seriesID := range list {
		s, err := seriesByID(ctx, q, seriesID)
		if err != nil {
			return out, err
		}
		out.Series = append(out.Series, OwnSeries{
			SeriesOut: seriesOut(*s), Channel: string(s.Channel), CreatedAt: s.CreatedAt, ConfirmedAt: s.ConfirmedAt, Changes: s.Revision,
			Together: s.CoupleID != "", ByStaff: s.Role == string(web.RoleAgent),
		})
	}
	entries, err := waitingWhere(ctx, q, `person_id = $1 ORDER BY since DESC, id DESC`, personID)
	if err != nil {
		return out, err
	}
	for _, w := range entries {
		out.Waiting = append(out.Waiting, OwnWaiting{waitingOut(&w), w.GroupCode, string(w.Channel)})
	}
	rows, err = q.Query(ctx, `
		SELECT made_at, until, means, coalesce(answer, ''), via, answered_at, series_id::text FROM booking.waiting_offer WHERE person_id = $1 ORDER BY made_at DESC, id DESC`, personID)
	if err != nil {
		return out, err
	}
	if out.Offers, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OwnOffer]); err != nil {
		return out, err
	}
	proposals, err := proposalsWhere(ctx, q, `p.person_id = $1 ORDER BY p.made_at DESC, p.id DESC`, personID)
	if err != nil {
		return out, err
	}
	out.Proposals = []OwnProposal{}
	for _, p := range proposals {
		out.Proposals = append(out.Proposals, OwnProposal{p.MadeAt, p.Cause, p.Doses, p.OldStarts, p.Starts, p.State, p.SeenAt})
	}
	rows, err = q.Query(ctx, `SELECT called_at, centre_id, state FROM booking.leftover_call WHERE person_id = $1 ORDER BY called_at DESC`, personID)
	if err != nil {
		return out, err
	}
	if out.Calls, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OwnCall]); err != nil {
		return out, err
	}
	rows, err = q.Query(ctx, `SELECT until_at FROM booking.companion WHERE person_id = $1 OR companion_id = $1 ORDER BY 1`, personID)
	if err != nil {
		return out, err
	}
	if out.Companion, err = pgx.CollectRows(rows, pgx.RowTo[time.Time]); err != nil {
		return out, err
	}
	err = q.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM booking.waiting_asked WHERE $1::uuid = ANY (people)),
		       (SELECT count(*) FROM booking.returning h JOIN booking.returning_place p ON p.returning_id = h.id WHERE h.person_id = $1),
		       (SELECT count(*) FROM booking.idempotency WHERE person_id = $1)`, personID).Scan(&out.Candidate, &out.Returning, &out.Keys)
	return out, err
}

func (s *Service) ownRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/appointments/data", Roles: citizens, API: web.JSON("Everything that is kept about me and my appointments", s.apiOwn)},
	}
}

func (s *Service) apiOwn(c *web.Ctx, _ struct{}) (OwnData, error) {
	return OwnDataOf(c.Std(), s.Pool, c.User.ID)
}

// ownView is the part of the page 'my data' that this slice shows.
type ownView struct {
	OwnData
	Centres, Products map[string]string // names by id
}

// CentreNames are the centres that somebody wishes, in words.
func (v ownView) CentreNames(ids []string) []string {
	out := make([]string, len(ids))
	for i, x := range ids {
		out[i] = v.Centres[x]
	}
	return out
}

// DataCard shows on 'my data' what this slice keeps about the person.
func (s *Service) DataCard() web.Card {
	return web.Card{Template: "booking/_own", Data: func(c *web.Ctx) (any, error) {
		if c.User == nil || c.User.Kind != "citizen" {
			return nil, nil
		}
		v := ownView{Centres: map[string]string{}, Products: map[string]string{}}
		var err error
		if v.OwnData, err = OwnDataOf(c.Std(), s.Pool, c.User.ID); err != nil {
			return nil, err
		}
		centres, err := centre.All(c.Std(), s.Pool)
		if err != nil {
			return nil, err
		}
		for _, x := range centres {
			v.Centres[x.ID] = x.Name
		}
		products, err := programme.Products(c.Std(), s.Pool, "")
		if err != nil {
			return nil, err
		}
		for _, p := range products {
			v.Products[p.ID] = p.Name
		}
		return v, nil
	}}
}
