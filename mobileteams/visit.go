package mobileteams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// State of a visit; the diagram stands in doc.go.
type State string

const (
	Planned   State = "planned"
	Assigned  State = "assigned"
	UnderWay  State = "under_way"
	Done      State = "done"
	Cancelled State = "cancelled"
)

// Actions move a visit from one state to another.
const (
	actionAssign   = "assign"
	actionUnassign = "unassign"
	actionStart    = "start"
	actionFinish   = "finish"
	actionCancel   = "cancel"
)

// next gives the state that follows, and whether the action is allowed.
func next(s State, action string) (State, bool) {
	switch {
	case action == actionAssign && (s == Planned || s == Assigned):
		return Assigned, true
	case action == actionUnassign && s == Assigned:
		return Planned, true
	case action == actionStart && s == Assigned:
		return UnderWay, true
	case action == actionFinish && s == UnderWay:
		return Done, true
	case action == actionCancel && (s == Planned || s == Assigned || s == UnderWay):
		return Cancelled, true
	}
	return s, false
}

// Reasons for which a visit is cancelled.
var Reasons = []string{"quarantine", "consent", "vaccine", "team", "other"}

// Errors of the dispatcher's and the team's work.
var (
	ErrNotFound   = errors.New("mobileteams: not found")
	ErrState      = errors.New("mobileteams: the visit is not in a state that allows this")
	ErrTeamBusy   = errors.New("mobileteams: the team has another visit under way")
	ErrNotToday   = errors.New("mobileteams: the visit is not today")
	ErrInvalid    = errors.New("mobileteams: incomplete")
	ErrExists     = errors.New("mobileteams: exists already")
	ErrClearFirst = errors.New("mobileteams: the box holds vials of the lot that were in it for too long")
	ErrUnusable   = errors.New("mobileteams: these vials may not be used any more")
	ErrNotEnough  = errors.New("mobileteams: not so many vials of this lot there")
	ErrOpenVial   = errors.New("mobileteams: doses of an opened vial do not travel back")
	ErrOthersTeam = errors.New("mobileteams: the visit belongs to another team")
)

// Team is a mobile team (mobiles Impfteam).
type Team struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Active bool   `json:"active"`
}

// Facility is where a team goes, for example a care home (Pflegeheim).
type Facility struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
	City     string `json:"city"`
	Phone    string `json:"phone,omitempty"`
}

// Visit is one deployment of a team to a facility.
type Visit struct {
	ID           string    `json:"id"`
	Facility     Facility  `json:"facility"`
	TeamID       string    `json:"team_id,omitempty"`
	TeamName     string    `json:"team_name,omitempty"`
	CentreID     string    `json:"centre_id"`  // gives the doses, takes leftovers back
	ProductID    string    `json:"product_id"` // the vaccine that is planned
	StartsAt     time.Time `json:"starts_at"`
	Day          time.Time `json:"-"`
	People       int       `json:"people"` // expected
	State        State     `json:"state"`
	CancelReason string    `json:"cancel_reason,omitempty"`
	Given        int       `json:"given"` // doses recorded at this visit
}

// NewVisit is what the dispatcher enters.
type NewVisit struct {
	FacilityID, CentreID, ProductID string
	StartsAt                        time.Time
	People                          int
}

// Teams returns the active teams by name.
func (s *Service) Teams(ctx context.Context, q pg.Querier) ([]Team, error) {
	rows, err := q.Query(ctx, `SELECT id, name, active FROM mobileteams.team WHERE active ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("teams: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Team])
}

// Facilities returns all facilities by name.
func (s *Service) Facilities(ctx context.Context, q pg.Querier) ([]Facility, error) {
	rows, err := q.Query(ctx, `SELECT id, name, street, postcode, city, phone FROM mobileteams.facility ORDER BY name, city`)
	if err != nil {
		return nil, fmt.Errorf("facilities: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Facility])
}

// AddFacility enters a facility and returns its id; ErrExists when it is there.
func (s *Service) AddFacility(ctx context.Context, now time.Time, f Facility, actor, role string) (string, error) {
	if f.Name == "" || f.Street == "" || f.City == "" || !isPostcode(f.Postcode) || longest(f.Name, f.Street, f.City, f.Phone) > 120 {
		return "", ErrInvalid
	}
	f.ID = id.New()
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO mobileteams.facility (id, name, street, postcode, city, phone) VALUES ($1, $2, $3, $4, $5, $6)`,
			f.ID, f.Name, f.Street, f.Postcode, f.City, f.Phone)
		if pg.Violates(err, "facility_once") {
			return ErrExists
		}
		if err != nil {
			return fmt.Errorf("add facility: %w", err)
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "mobileteams.facility.added", Subject: "facility:" + f.ID, After: f})
	})
	return f.ID, err
}

func isPostcode(s string) bool {
	return len(s) == 5 && strings.Trim(s, "0123456789") == ""
}

func longest(ss ...string) int {
	n := 0
	for _, s := range ss {
		n = max(n, utf8.RuneCountInString(s))
	}
	return n
}

const maxPeople = 2000 // of one visit

// Plan enters a visit in state planned and returns its id.
func (s *Service) Plan(ctx context.Context, now time.Time, in NewVisit, actor, role string) (string, error) {
	day := clock.Day(in.StartsAt)
	if !id.Valid(in.FacilityID) || in.People < 1 || in.People > maxPeople || day.Before(clock.Day(now)) || day.After(clock.Day(now).AddDate(1, 0, 0)) {
		return "", ErrInvalid
	}
	visitID := id.New()
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := checkSource(ctx, tx, in.CentreID, in.ProductID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO mobileteams.visit (id, facility_id, centre_id, product_id, starts_at, day, people, created_at, changed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)`,
			visitID, in.FacilityID, in.CentreID, in.ProductID, in.StartsAt, day, in.People, now)
		if pg.Violates(err, "visit_facility") {
			return ErrInvalid
		}
		if err != nil {
			return fmt.Errorf("plan visit: %w", err)
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: role, Action: "mobileteams.visit.planned", Subject: "visit:" + visitID,
			After: map[string]any{"facility": in.FacilityID, "centre": in.CentreID, "product": in.ProductID, "starts_at": in.StartsAt, "people": in.People},
		})
	})
	return visitID, err
}

// Assign gives the visit to a team, also to another one than before.
func (s *Service) Assign(ctx context.Context, now time.Time, visitID, teamID, actor, role string) error {
	if !id.Valid(teamID) {
		return ErrNotFound
	}
	return s.move(ctx, now, visitID, actionAssign, actor, role, func(ctx context.Context, tx pgx.Tx, v Visit) error {
		var active bool
		if err := tx.QueryRow(ctx, `SELECT active FROM mobileteams.team WHERE id = $1`, teamID).Scan(&active); pg.NoRows(err) || (err == nil && !active) {
			return ErrNotFound
		} else if err != nil {
			return fmt.Errorf("team: %w", err)
		}
		_, err := tx.Exec(ctx, `UPDATE mobileteams.visit SET team_id = $2 WHERE id = $1`, v.ID, teamID)
		return err
	})
}

// Unassign takes the visit from its team.
func (s *Service) Unassign(ctx context.Context, now time.Time, visitID, actor, role string) error {
	return s.move(ctx, now, visitID, actionUnassign, actor, role, func(ctx context.Context, tx pgx.Tx, v Visit) error {
		_, err := tx.Exec(ctx, `UPDATE mobileteams.visit SET team_id = NULL, state = 'planned' WHERE id = $1`, v.ID)
		return err
	})
}

// Start says that the team is on its way. teamID is the caller's team, ""
// for a dispatcher.
func (s *Service) Start(ctx context.Context, now time.Time, visitID, teamID, actor, role string) error {
	return s.move(ctx, now, visitID, actionStart, actor, role, func(_ context.Context, _ pgx.Tx, v Visit) error {
		if teamID != "" && v.TeamID != teamID {
			return ErrOthersTeam
		}
		if !v.Day.Equal(clock.Day(now)) {
			return ErrNotToday
		}
		return nil
	})
}

// Finish ends the visit.
func (s *Service) Finish(ctx context.Context, now time.Time, visitID, teamID, actor, role string) error {
	return s.move(ctx, now, visitID, actionFinish, actor, role, func(_ context.Context, _ pgx.Tx, v Visit) error {
		if teamID != "" && v.TeamID != teamID {
			return ErrOthersTeam
		}
		return nil
	})
}

// Cancel calls the visit off, for one of Reasons.
func (s *Service) Cancel(ctx context.Context, now time.Time, visitID, reason, actor, role string) error {
	if !slices.Contains(Reasons, reason) {
		return ErrInvalid
	}
	return s.move(ctx, now, visitID, actionCancel, actor, role, func(ctx context.Context, tx pgx.Tx, v Visit) error {
		_, err := tx.Exec(ctx, `UPDATE mobileteams.visit SET cancel_reason = $2, state = 'cancelled' WHERE id = $1`, v.ID, reason)
		return err
	})
}

// move locks the visit, checks that the action is allowed, lets fn do what
// belongs to it, and writes the new state with its audit entry.
func (s *Service) move(ctx context.Context, now time.Time, visitID, action, actor, role string, fn func(context.Context, pgx.Tx, Visit) error) error {
	if !id.Valid(visitID) {
		return ErrNotFound
	}
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT 1 FROM mobileteams.visit WHERE id = $1 FOR UPDATE`, visitID); err != nil {
			return fmt.Errorf("lock visit: %w", err)
		}
		v, err := s.Visit(ctx, tx, visitID)
		if err != nil {
			return err
		}
		to, ok := next(v.State, action)
		if !ok {
			return ErrState
		}
		if err := fn(ctx, tx, v); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE mobileteams.visit SET state = $2, changed_at = $3 WHERE id = $1`, visitID, string(to), now)
		if pg.Violates(err, "visit_one_under_way") {
			return ErrTeamBusy
		}
		if err != nil {
			return fmt.Errorf("%s visit: %w", action, err)
		}
		after, err := s.Visit(ctx, tx, visitID)
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: role, Action: "mobileteams.visit." + action, Subject: "visit:" + visitID,
			Before: map[string]any{"state": v.State, "team": v.TeamID}, After: map[string]any{"state": after.State, "team": after.TeamID, "reason": after.CancelReason},
		})
	})
}

// Visit reads one visit.
func (s *Service) Visit(ctx context.Context, q pg.Querier, visitID string) (Visit, error) {
	if !id.Valid(visitID) {
		return Visit{}, ErrNotFound
	}
	vs, err := visits(ctx, q, `v.id = $1`, visitID)
	if err != nil {
		return Visit{}, err
	}
	if len(vs) == 0 {
		return Visit{}, ErrNotFound
	}
	return vs[0], nil
}

// Board returns the visits from a day on for so many days, by time.
func (s *Service) Board(ctx context.Context, q pg.Querier, from time.Time, days int) ([]Visit, error) {
	return visits(ctx, q, `v.day >= $1 AND v.day < $2`, from, from.AddDate(0, 0, days))
}

// TeamDay returns a team's visits of one day, by time.
func (s *Service) TeamDay(ctx context.Context, q pg.Querier, teamID string, day time.Time) ([]Visit, error) {
	return visits(ctx, q, `v.team_id = $1 AND v.day = $2 AND v.state <> 'cancelled'`, teamID, day)
}

// visits reads the visits that a condition selects; where is a constant of
// this package, never input.
func visits(ctx context.Context, q pg.Querier, where string, args ...any) ([]Visit, error) {
	rows, err := q.Query(ctx, `
		SELECT v.id, f.id, f.name, f.street, f.postcode, f.city, f.phone, coalesce(v.team_id::text, ''), coalesce(t.name, ''),
		       v.centre_id, v.product_id, v.starts_at, v.day, v.people, v.state, v.cancel_reason,
		       (SELECT count(*) FROM mobileteams.dose d JOIN vaccination.record r ON r.id = d.record_id AND r.voided_at IS NULL WHERE d.visit_id = v.id)
		  FROM mobileteams.visit v
		  JOIN mobileteams.facility f ON f.id = v.facility_id
		  LEFT JOIN mobileteams.team t ON t.id = v.team_id
		 WHERE `+where+` ORDER BY v.starts_at, f.name`, args...)
	if err != nil {
		return nil, fmt.Errorf("visits: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Visit, error) {
		var v Visit
		f := &v.Facility
		err := row.Scan(&v.ID, &f.ID, &f.Name, &f.Street, &f.Postcode, &f.City, &f.Phone, &v.TeamID, &v.TeamName,
			&v.CentreID, &v.ProductID, &v.StartsAt, &v.Day, &v.People, &v.State, &v.CancelReason, &v.Given)
		return v, err
	})
}
