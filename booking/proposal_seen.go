package booking

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// movedView is a move because of a shortfall that the person has not seen yet.
type movedView struct {
	ID    string
	Cause string // doses or stations
	Moves []moveRow
	From  string // name of the centre where they were; "" = the same as now
}

func (s *Service) movedRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodPost, Path: "/appointments/moved", Roles: citizens, Handle: s.postMoved},
		{Method: http.MethodPost, Path: "/api/v1/appointments/moved/:move/seen", Roles: citizens, API: web.JSON("Say that I know of a move", s.apiMoveSeen)},
	}
}

// movedOf returns the moves of a series that its person has not seen yet and has
// changed nothing about, with the appointments that are still to come, the last move
// first. A series that was never changed is not asked about.
func (s *Service) movedOf(c *web.Ctx, series *Series) (out []movedView, err error) {
	if series == nil || series.Revision == 0 || series.State != StateConfirmed {
		return nil, nil
	}
	list, err := proposalsWhere(c.Std(), s.Pool, `p.person_id = $1 AND p.series_id = $2 AND p.state = 'confirmed' AND p.seen_at IS NULL ORDER BY p.ended_at DESC, p.id DESC`,
		series.PersonID, series.ID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	centres, err := centre.All(c.Std(), s.Pool)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		v := movedView{ID: p.ID, Cause: p.Cause}
		for i, dose := range p.Doses {
			a := appointmentFor(*series, dose)
			if a == nil || !a.Start.After(c.Now) {
				continue // over, or given back
			}
			if a.SlotID != p.Slots[i] { // who has changed something since knows
				v.Moves = nil
				break
			}
			row := moveRow{Label: c.T("booking.dose", "Number", dose), New: a.Start}
			if len(p.OldStarts) == len(p.Doses) { // the old time may be deleted by now
				row.Old = p.OldStarts[i]
			}
			v.Moves = append(v.Moves, row)
		}
		if i := slices.IndexFunc(centres, func(at centre.Centre) bool { return at.ID == p.CentreID }); i >= 0 && p.CentreID != series.CentreID {
			v.From = centres[i].Name
		}
		if len(v.Moves) > 0 {
			out = append(out, v)
		}
	}
	return out, nil
}

// moveSeen notes that the person knows of a move. Twice is no error, nor is a move of
// somebody else: nothing happens.
func (s *Service) moveSeen(ctx context.Context, proposalID, personID string, by By) error {
	if !id.Valid(proposalID) || !id.Valid(personID) {
		return ErrNotFound
	}
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE booking.proposal SET seen_at = $3 WHERE id = $1 AND person_id = $2 AND state = 'confirmed' AND seen_at IS NULL`, proposalID, personID, now)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "booking.move-seen", Subject: "proposal:" + proposalID})
	})
}

func (s *Service) postMoved(c *web.Ctx) error {
	for _, proposalID := range c.Form().All("proposal") {
		if err := s.moveSeen(c.Std(), proposalID, c.User.ID, By{c.Actor(), string(web.RoleCitizen)}); err != nil {
			return problem(err)
		}
	}
	return c.See("/appointments")
}

// MoveSeenIn names a move.
type MoveSeenIn struct {
	Move string `json:"-" path:"move"`
}

func (s *Service) apiMoveSeen(c *web.Ctx, in MoveSeenIn) (MineOut, error) {
	if err := s.moveSeen(c.Std(), in.Move, c.User.ID, By{c.Actor(), string(web.RoleCitizen)}); err != nil {
		return MineOut{}, problem(err)
	}
	return s.apiMine(c, struct{}{})
}

// movedTo is the first time of a move, for one sentence.
func movedTo(list []movedView) time.Time { return list[0].Moves[0].New }
