package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// The parts of a day, as they are chosen and wished for.
const (
	PartMorning   = "morning"   // until 11
	PartNoon      = "noon"      // 11 to 15
	PartAfternoon = "afternoon" // from 15
)

var dayParts = []string{PartMorning, PartNoon, PartAfternoon}

// partOf is the part of the day in Berlin in which a time lies.
func partOf(start time.Time) string {
	switch hour := start.In(clock.Berlin).Hour(); {
	case hour >= 15:
		return PartAfternoon
	case hour >= 11:
		return PartNoon
	}
	return PartMorning
}

// The states of an entry of the waiting list.
const (
	WaitingOpen      = "waiting"
	WaitingPaused    = "paused"    // offers stay unanswered: the person has to say that they still want one
	WaitingWithdrawn = "withdrawn" // by the person
	WaitingDone      = "done"      // has appointments
)

// An entry is paused after so many offers that were not answered in a row, or
// that were declined. Saving the wishes ends the pause and not the count: from
// then on each further one pauses it again, also in a new entry of the person.
const (
	maxUnanswered = 2
	maxDeclined   = 5
)

// Wishes are what somebody on the waiting list would like.
type Wishes struct {
	Centres    []string   // at least one
	Weekdays   []int      // 1 = Monday .. 7 = Sunday, at least one
	Parts      []string   // PartMorning ..., at least one
	Earliest   *time.Time // first day of the first appointment (as clock.Day); nil = any
	Latest     *time.Time // last day; nil = any
	NoticeDays int        // least days between the offer and the first appointment
}

// Match reports whether somebody with these wishes would come to a centre at a
// time, when the offer is made now. The later appointments follow from the first.
func (w Wishes) Match(centreID string, start, now time.Time) bool {
	return slices.Contains(w.Parts, partOf(start)) && w.matchDay(centreID, clock.Day(start), now)
}

// matchDay is Match without the time of day.
func (w Wishes) matchDay(centreID string, day, now time.Time) bool {
	weekday := (int(day.Weekday())+6)%7 + 1
	return slices.Contains(w.Centres, centreID) && slices.Contains(w.Weekdays, weekday) &&
		(w.Earliest == nil || !day.Before(*w.Earliest)) && (w.Latest == nil || !day.After(*w.Latest)) &&
		daysBetween(clock.Day(now), day) >= w.NoticeDays
}

// mayTake reports whether places of a channel, or of a group's contingent there,
// are for this entry.
func (w Waiting) mayTake(pot Channel) bool {
	return pot == w.Channel || pot == groupPot(w.Channel, w.GroupCode)
}

// Waiting is an entry of the waiting list.
type Waiting struct {
	ID, PersonID, ProgrammeID string
	GroupCode                 string
	Channel                   Channel
	Wishes
	State                string
	Unanswered, Declined int
	Since                time.Time
}

// WaitAction is what the audit record calls an entry that was made or changed.
const WaitAction = "booking.wait"

// WaitingSubject names an entry in the audit record.
func WaitingSubject(waitingID string) string { return "waiting:" + waitingID }

const waitingColumns = `id::text, person_id::text, programme_id, group_code, channel, centres, weekdays, parts, earliest, latest, notice_days, state, unanswered, declined, since`

func scanWaiting(row pgx.CollectableRow) (w Waiting, err error) {
	err = row.Scan(&w.ID, &w.PersonID, &w.ProgrammeID, &w.GroupCode, &w.Channel, &w.Centres, &w.Weekdays, &w.Parts, &w.Earliest, &w.Latest,
		&w.NoticeDays, &w.State, &w.Unanswered, &w.Declined, &w.Since)
	return w, err
}

func waitingWhere(ctx context.Context, q pg.Querier, where string, args ...any) ([]Waiting, error) {
	rows, err := q.Query(ctx, `SELECT `+waitingColumns+` FROM booking.waiting WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanWaiting)
}

// WaitingOf returns the person's entry that has not ended, or nil.
func WaitingOf(ctx context.Context, q pg.Querier, personID string) (*Waiting, error) {
	list, err := waitingWhere(ctx, q, `person_id = $1 AND ended_at IS NULL`, personID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// checkWishes returns ErrInvalid for what no page makes.
func checkWishes(ctx context.Context, q pg.Querier, w Wishes) error {
	if len(w.Centres) == 0 || len(w.Weekdays) == 0 || len(w.Parts) == 0 || w.NoticeDays < 0 || w.NoticeDays > 60 ||
		w.Earliest != nil && w.Latest != nil && w.Earliest.After(*w.Latest) {
		return fmt.Errorf("%w: wishes", ErrInvalid)
	}
	all, err := centre.All(ctx, q)
	if err != nil {
		return err
	}
	for _, x := range w.Centres {
		if !slices.ContainsFunc(all, func(c centre.Centre) bool { return c.ID == x }) {
			return fmt.Errorf("%w: centre", ErrInvalid)
		}
	}
	for _, d := range w.Weekdays {
		if d < 1 || d > 7 {
			return fmt.Errorf("%w: weekday", ErrInvalid)
		}
	}
	for _, p := range w.Parts {
		if !slices.Contains(dayParts, p) {
			return fmt.Errorf("%w: part of the day", ErrInvalid)
		}
	}
	return nil
}

// PutOnList puts the person on the waiting list, or changes what they wish: one entry
// per person and programme. Changing ends a pause; the count of declined and
// unanswered offers goes on, also when they had left the list in between. ch says
// whose places they get: the web's, or the hotline's for those who telephone. Errors: ErrInvalid,
// *IneligibleError (other than for a group that is not open yet),
// ErrAlreadyBooked while they have appointments.
func (s *Service) PutOnList(ctx context.Context, personID string, w Wishes, ch Channel, by By) (Waiting, error) {
	person, err := s.Citizens.Person(ctx, s.Pool, personID)
	if err != nil {
		return Waiting{}, err
	}
	if err := checkWishes(ctx, s.Pool, w); err != nil {
		return Waiting{}, err
	}
	_, err = s.entitlements(ctx, s.Pool, person)
	var not *IneligibleError
	if errors.As(err, &not) && not.Reason == ReasonGroup {
		err = nil // they may wait until their group's turn has come
	}
	if err != nil {
		return Waiting{}, err
	}
	w.Centres, w.Weekdays, w.Parts = sorted(w.Centres), sorted(w.Weekdays), sorted(w.Parts)
	now := s.Now()
	var out Waiting
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		citizen.LockForBooking(batch, personID)
		if err := citizen.LockError(tx.SendBatch(ctx, batch).Close()); err != nil {
			return err
		}
		var booked bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM booking.series WHERE person_id = $1 AND programme_id = $2 AND state = 'confirmed')`,
			personID, person.ProgrammeID).Scan(&booked); err != nil {
			return err
		}
		if booked {
			return ErrAlreadyBooked
		}
		rows, err := tx.Query(ctx, `
			INSERT INTO booking.waiting AS w (id, person_id, programme_id, group_code, channel, centres, weekdays, parts, earliest, latest, notice_days, state, unanswered, declined, since, changed_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'waiting', coalesce(l.unanswered, 0), coalesce(l.declined, 0), $12, $12
			FROM (VALUES (1)) one LEFT JOIN (
				SELECT unanswered, declined FROM booking.waiting
				WHERE person_id = $2 AND programme_id = $3 AND ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT 1) l ON true
			ON CONFLICT (person_id, programme_id) WHERE ended_at IS NULL DO UPDATE
			SET group_code = excluded.group_code, channel = excluded.channel, centres = excluded.centres, weekdays = excluded.weekdays, parts = excluded.parts,
			    earliest = excluded.earliest, latest = excluded.latest, notice_days = excluded.notice_days, state = 'waiting',
			    changed_at = excluded.changed_at
			RETURNING `+waitingColumns,
			id.New(), personID, person.ProgrammeID, person.GroupCode, ch, w.Centres, w.Weekdays, w.Parts, w.Earliest, w.Latest, w.NoticeDays, now)
		if err != nil {
			return err
		}
		if out, err = pgx.CollectExactlyOneRow(rows, scanWaiting); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: WaitAction, Subject: WaitingSubject(out.ID),
			After: map[string]any{"person": personID, "channel": ch, "centres": w.Centres},
		})
	})
	return out, err
}

func sorted[T int | string](list []T) []T {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// Withdraw takes the person off the list; an offer that is open goes to the
// next, and counts as declined should they come back. Withdrawing twice is no error.
func (s *Service) Withdraw(ctx context.Context, personID string, via string, by By) error {
	// An offer whose time is over was not answered, and nobody leaves before that counts.
	if _, err := s.expire(ctx, s.Now(), nil, personID); err != nil {
		return err
	}
	var offers []string
	err := s.Pool.QueryRow(ctx, `SELECT coalesce(array_agg(id::text), '{}') FROM booking.waiting_offer WHERE person_id = $1 AND answer IS NULL`, personID).Scan(&offers)
	if err != nil {
		return err
	}
	for _, offerID := range offers {
		if _, err := s.answerOffer(ctx, offerID, AnswerRemove, via, by); err != nil {
			return err
		}
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		list, err := waitingWhere(ctx, tx, `person_id = $1 AND ended_at IS NULL FOR UPDATE`, personID)
		if err != nil {
			return err
		}
		for _, w := range list {
			if err := endWaiting(ctx, tx, s.Now(), w.ID, WaitingWithdrawn, by); err != nil {
				return err
			}
		}
		return nil
	})
}

func endWaiting(ctx context.Context, tx pgx.Tx, now time.Time, waitingID, state string, by By) error {
	tag, err := tx.Exec(ctx, `UPDATE booking.waiting SET state = $2, ended_at = $3, changed_at = $3 WHERE id = $1 AND ended_at IS NULL`, waitingID, state, now)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "booking.wait-ended", Subject: "waiting:" + waitingID, After: map[string]string{"state": state}})
}

// Forget deletes what persons wish for, in the transaction that ends their
// registrations, and frees what is kept for them: places of an offer or of a
// proposal. What they have booked is CancelStanding's affair. Others lock a series
// before the registration, so it does not wait for them: pg.IsLockTimeout as there.
func (s *Service) Forget(ctx context.Context, tx pgx.Tx, personIDs []string) error {
	var series, heads []string
	if err := tx.QueryRow(ctx, `
		SELECT coalesce(array_agg(id::text), '{}') FROM (
			SELECT s.id FROM booking.series s JOIN booking.waiting_offer o ON o.series_id = s.id
			WHERE o.person_id = ANY ($1::text[]::uuid[]) AND o.answer IS NULL AND s.state = 'held' ORDER BY s.id FOR UPDATE OF s NOWAIT) h`, personIDs).Scan(&series); err != nil {
		return err
	}
	if len(series) > 0 {
		if _, err := tx.Exec(ctx, `SELECT booking.release($1, $2::text[]::uuid[], 'cancelled')`, s.Now(), series); err != nil {
			return engineError(err)
		}
	}
	if err := tx.QueryRow(ctx, `
		WITH gone AS (DELETE FROM booking.proposal WHERE person_id = ANY ($1::text[]::uuid[]) RETURNING head, state)
		SELECT coalesce(array_agg(head::text), '{}') FROM gone WHERE state = 'open' AND head IS NOT NULL`, personIDs).Scan(&heads); err != nil {
		return err
	}
	if len(heads) > 0 {
		if _, err := tx.Exec(ctx, `SELECT booking.give_back(array_agg(id), '{}') FROM (SELECT id FROM booking.returning WHERE id = ANY ($1::text[]::uuid[]) AND kept ORDER BY id FOR UPDATE) h
			HAVING count(*) > 0`, heads); err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	for _, table := range []string{"leftover_call", "waiting_offer", "waiting"} {
		b.Queue(`DELETE FROM booking.`+table+` WHERE person_id = ANY ($1::text[]::uuid[])`, personIDs)
	}
	b.Queue(`DELETE FROM booking.companion WHERE person_id = ANY ($1::text[]::uuid[]) OR companion_id = ANY ($1::text[]::uuid[])`, personIDs)
	// Of an order that was drawn the ids stay, which lead nowhere then; a returning
	// place has no owner any more.
	b.Queue(`UPDATE booking.returning SET person_id = NULL WHERE person_id = ANY ($1::text[]::uuid[])`, personIDs)
	return tx.SendBatch(ctx, b).Close()
}
