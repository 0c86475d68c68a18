package booking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// seriesRows is a series with its appointments: one row for each, by time, or
// one without when it has none.
const seriesRows = `
	SELECT s.id::text, s.person_id::text, s.programme_id, s.product_id, s.centre_id, s.channel, s.reference, s.state, s.booked_by, s.role,
	       s.hold_until, s.created_at, s.confirmed_at, s.revision, coalesce(s.couple_id::text, ''), coalesce(s.waived, ''),
	       a.id::text, a.channel, a.dose_number, a.start_at, a.state, a.slot_id
	FROM booking.series s LEFT JOIN booking.appointment a ON a.series_id = s.id
	WHERE %s ORDER BY a.start_at, a.id`

// scanSeries reads what seriesRows selects; found is false for no row.
func scanSeries(rows pgx.Rows, s *Series) (found bool, err error) {
	defer rows.Close()
	for rows.Next() {
		var (
			appointmentID, channel, state *string
			dose                          *int
			start                         *time.Time
			slot                          *int64
		)
		err := rows.Scan(
			&s.ID, &s.PersonID, &s.ProgrammeID, &s.ProductID, &s.CentreID, &s.Channel, &s.Reference, &s.State, &s.BookedBy, &s.Role,
			&s.HoldUntil, &s.CreatedAt, &s.ConfirmedAt, &s.Revision, &s.CoupleID, &s.Waived,
			&appointmentID, &channel, &dose, &start, &state, &slot)
		if err != nil {
			return false, err
		}
		found = true
		if appointmentID == nil {
			continue
		}
		s.Appointments = append(s.Appointments, Appointment{
			ID: *appointmentID, SeriesID: s.ID, PersonID: s.PersonID, CentreID: s.CentreID, ProductID: s.ProductID,
			Channel: *channel, Reference: s.Reference, DoseNumber: *dose, Start: *start, State: *state, SlotID: *slot,
		})
	}
	return found, rows.Err()
}

// findSeries reads one series with its appointments.
func findSeries(ctx context.Context, q pg.Querier, where string, args ...any) (*Series, error) {
	rows, err := q.Query(ctx, fmt.Sprintf(seriesRows, where), args...)
	if err != nil {
		return nil, err
	}
	s := &Series{}
	found, err := scanSeries(rows, s)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// queueSeries reads a series with its appointments into s, in a batch.
func queueSeries(b *pgx.Batch, s *Series, seriesID string) {
	b.Queue(fmt.Sprintf(seriesRows, `s.id = $1`), seriesID).Query(func(rows pgx.Rows) error {
		*s = Series{} // a batch may be sent again
		_, err := scanSeries(rows, s)
		return err
	})
}

func seriesByID(ctx context.Context, q pg.Querier, seriesID string) (*Series, error) {
	return findSeries(ctx, q, `s.id = $1`, seriesID)
}

func appointmentsWhere(where string) string {
	return `
		SELECT a.id::text, a.series_id::text, a.person_id::text, a.centre_id, a.product_id, a.channel, s.reference, a.dose_number, a.start_at, a.state, a.slot_id
		FROM booking.appointment a JOIN booking.series s ON s.id = a.series_id
		WHERE ` + where + ` ORDER BY a.start_at, a.id`
}

// appointments reads appointments in the order of time.
func appointments(ctx context.Context, q pg.Querier, where string, args ...any) ([]Appointment, error) {
	rows, err := q.Query(ctx, appointmentsWhere(where), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Appointment])
}

// SeriesOf returns what concerns the person now: the held or confirmed series,
// else the newest one that has ended with a visit, else nil.
func (s *Service) SeriesOf(ctx context.Context, q pg.Querier, personID string) (*Series, error) {
	if !id.Valid(personID) {
		return nil, nil
	}
	found, err := findSeries(ctx, q, `s.id = (
		SELECT id FROM booking.series WHERE person_id = $1 AND state IN ('held', 'confirmed', 'ended') AND NOT (state = 'held' AND hold_until <= $2)
		ORDER BY state <> 'ended' DESC, created_at DESC LIMIT 1)`, personID, s.Now())
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return found, err
}

// SeriesByID returns a series of that person, or ErrNotFound; nobody finds
// somebody else's.
func (s *Service) SeriesByID(ctx context.Context, q pg.Querier, seriesID, personID string) (*Series, error) {
	if !id.Valid(seriesID) || !id.Valid(personID) {
		return nil, ErrNotFound
	}
	return findSeries(ctx, q, `s.id = $1 AND s.person_id = $2`, seriesID, personID)
}

// SeriesByReference finds a series for staff by what was scanned or typed:
// ErrReference or ErrNotFound. Who may see which centre is the caller's affair.
func SeriesByReference(ctx context.Context, q pg.Querier, typed string) (*Series, error) {
	ref, err := ParseReference(typed)
	if err != nil {
		return nil, err
	}
	return findSeries(ctx, q, `s.reference = $1`, ref)
}

// AppointmentByID returns one appointment, or ErrNotFound.
func AppointmentByID(ctx context.Context, q pg.Querier, appointmentID string) (Appointment, error) {
	if !id.Valid(appointmentID) {
		return Appointment{}, ErrNotFound
	}
	list, err := appointments(ctx, q, `a.id = $1`, appointmentID)
	if err != nil {
		return Appointment{}, err
	}
	if len(list) == 0 {
		return Appointment{}, ErrNotFound
	}
	return list[0], nil
}

// Day returns the appointments of a centre on a day that are booked, by time:
// confirmed, here, done and missed ones. Doses that were given without a place are not
// among them.
func (s *Service) Day(ctx context.Context, q pg.Querier, centreID string, day time.Time) ([]Appointment, error) {
	return appointments(ctx, q, `a.centre_id = $1 AND a.day = $2 AND a.slot_id > 0 AND a.state IN ('confirmed', 'here', 'done', 'missed')`, centreID, clock.Day(day))
}

// Standing tells which of the persons have an appointment that stands: held,
// confirmed or here.
func Standing(ctx context.Context, q pg.Querier, personIDs []string) (map[string]bool, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT person_id::text FROM booking.series WHERE person_id = ANY ($1) AND state IN ('held', 'confirmed')`, personIDs)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	var person string
	_, err = pgx.ForEachRow(rows, []any{&person}, func() error { out[person] = true; return nil })
	return out, err
}

// Open returns the appointments of the persons that are still to come or under
// way, by time; holds that are over are left out. One query, however many.
func Open(ctx context.Context, q pg.Querier, now time.Time, personIDs []string) (map[string][]Appointment, error) {
	list, err := appointments(ctx, q, `a.person_id = ANY ($1) AND a.state IN ('held', 'confirmed', 'here') AND NOT (s.state = 'held' AND s.hold_until <= $2)`, personIDs, now)
	if err != nil {
		return nil, err
	}
	out := map[string][]Appointment{}
	for _, a := range list {
		out[a.PersonID] = append(out[a.PersonID], a)
	}
	return out, nil
}

// OfferedPairs returns how many series of a product somebody could book at a
// centre now, over all channels that are bookable: each first place counts with
// the later ones that are kept for it. For a product of one dose these are
// single appointments.
func (s *Service) OfferedPairs(ctx context.Context, q pg.Querier, centreID, productID string) (int, error) {
	rows, err := s.freeSeries(ctx, q, centreID, productID)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, r := range rows {
		total += r.Free
	}
	return total, nil
}
