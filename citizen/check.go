package citizen

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
)

// Check is a registration that waits for an agent's word, beside the one that
// it may be a second of.
type Check struct {
	New   Person
	Known *Person // nil when it has been deleted in the meantime
}

// Pending names a registration that waits for an agent's word.
type Pending struct {
	ID      string
	KnownID string // "" when that one is gone
}

// Pending lists what waits for clarification, oldest first, without opening
// anything.
func (s *Service) Pending(ctx context.Context, q pg.Querier) ([]Pending, error) {
	rows, err := q.Query(ctx, `SELECT id::text, coalesce(duplicate_of::text, '') FROM citizen.person WHERE state = 'check' ORDER BY registered_at, id`)
	if err != nil {
		return nil, wrap("pending", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Pending])
	return list, wrap("pending", err)
}

// Checks opens the registrations of list, in its order, in one query. What has
// been clarified since then is left out.
func (s *Service) Checks(ctx context.Context, q pg.Querier, list []Pending) ([]Check, error) {
	var ids []string
	for _, x := range list {
		if ids = append(ids, x.ID); x.KnownID != "" {
			ids = append(ids, x.KnownID)
		}
	}
	people, err := s.People(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	out := make([]Check, 0, len(list))
	for _, x := range list {
		p, ok := people[x.ID]
		if !ok || p.State != StateCheck {
			continue
		}
		check := Check{New: p}
		if known, ok := people[x.KnownID]; ok {
			check.Known = &known
		}
		out = append(out, check)
	}
	return out, nil
}

// CheckOf returns the check of one registration, or nil.
func (s *Service) CheckOf(ctx context.Context, q pg.Querier, personID string) (*Check, error) {
	x := Pending{ID: personID}
	err := q.QueryRow(ctx, `SELECT coalesce(duplicate_of::text, '') FROM citizen.person WHERE id = $1 AND state = 'check'`, personID).Scan(&x.KnownID)
	if pg.NoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("check", err)
	}
	list, err := s.Checks(ctx, q, []Pending{x})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// ClarifyOther is an agent's finding that a registration in check is another
// person (with the same names and birth date). Its appointments are under
// reserve no longer.
func (s *Service) ClarifyOther(ctx context.Context, personID, actor, role string) error {
	return s.clarify(ctx, personID, func(tx pgx.Tx, now time.Time) error {
		// The number tells people with one identity apart; it is counted under
		// the row lock of the registration that was there first.
		_, err := tx.Exec(ctx, `
			UPDATE citizen.person p SET state = 'active', duplicate_of = NULL, keep_from = $2, twin = 1 + coalesce((
				SELECT max(o.twin) FROM citizen.person o
				WHERE o.identity_year = p.identity_year AND o.programme_id = p.programme_id AND o.state = 'active'), -1)
			WHERE p.id = $1`, personID, now)
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.clarified_other", Subject: Subject(personID)})
	})
}

// ClarifySame is an agent's finding that a registration in check is a person
// who is registered already. Its appointments are cancelled, its contact is
// told that it has ended, and it is deleted with its login data, all at once;
// the first registration, its appointments and its login data stay as they are.
// Nothing of it is handed to the first one: whoever made the second need not be
// that person. It returns ErrHere while the person is at the centre.
func (s *Service) ClarifySame(ctx context.Context, personID, actor, role string) error {
	return s.clarify(ctx, personID, func(tx pgx.Tx, now time.Time) error {
		p, err := s.Person(ctx, tx, personID)
		if err != nil {
			return err
		}
		if err := s.CancelBookings(ctx, tx, now, personID, actor, role); err != nil {
			return err
		}
		if err := s.sendEnded(ctx, tx, p, now); err != nil {
			return err
		}
		if err := s.close(ctx, tx, []string{personID}, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.clarified_same", Subject: Subject(personID)})
	})
}

// ClarifyReplace is an agent's finding that the registration in check is the
// right one and the first was made by somebody else, or is of no use any more:
// the first is deleted and the new one is under reserve no longer. It returns
// ErrStanding while the first has an appointment that stands, and ErrAnother
// when the first was gone already and somebody has registered under the same
// names since: nothing is changed then but what the new one is held against.
func (s *Service) ClarifyReplace(ctx context.Context, personID, actor, role string) error {
	err := s.clarify(ctx, personID, func(tx pgx.Tx, now time.Time) error {
		var known string
		err := tx.QueryRow(ctx, `
			SELECT k.id::text FROM citizen.person p JOIN citizen.person k ON k.id = p.duplicate_of
			WHERE p.id = $1 AND k.state <> 'closed' FOR UPDATE OF k`, personID).Scan(&known)
		if err != nil && !pg.NoRows(err) {
			return err
		}
		if err == nil {
			standing, err := s.Bookings(ctx, tx, []string{known})
			if err != nil {
				return err
			}
			if standing[known] {
				return ErrStanding
			}
			if err := s.close(ctx, tx, []string{known}, now); err != nil {
				return err
			}
			if err := audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.replaced", Subject: Subject(known)}); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE citizen.person SET state = 'active', duplicate_of = NULL, keep_from = $2 WHERE id = $1`, personID, now)
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.clarified_other", Subject: Subject(personID)})
	})
	if !pg.Violates(err, "person_identity") {
		return err
	}
	err = s.clarify(ctx, personID, func(tx pgx.Tx, _ time.Time) error {
		_, err := tx.Exec(ctx, `
			UPDATE citizen.person p SET duplicate_of = o.id FROM citizen.person o
			WHERE p.id = $1 AND o.state = 'active' AND o.programme_id = p.programme_id AND o.twin = p.twin AND o.identity_year = p.identity_year
			  AND o.identity_month IS NOT DISTINCT FROM p.identity_month AND o.identity_day IS NOT DISTINCT FROM p.identity_day`, personID)
		return err
	})
	return errors.Join(ErrAnother, err)
}

// clarifyPatience is how long a finding is tried again when somebody moves the
// appointments in the same moment.
const clarifyPatience = 3 * time.Second

// clarify runs fn with the registration locked FOR UPDATE: no hold is under way
// then (LockForBooking), and none begins before tx ends.
func (s *Service) clarify(ctx context.Context, personID string, fn func(tx pgx.Tx, now time.Time) error) error {
	for began := time.Now(); ; {
		err := s.tryClarify(ctx, personID, fn)
		if !pg.IsLockTimeout(err) || time.Since(began) > clarifyPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Service) tryClarify(ctx context.Context, personID string, fn func(tx pgx.Tx, now time.Time) error) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var lock int64
		err := tx.QueryRow(ctx, `SELECT ('x' || encode(substr(identity_year, 1, 8), 'hex'))::bit(64)::bigint FROM citizen.person
			WHERE id = $1 AND state = 'check'`, personID).Scan(&lock)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return wrap("clarify", err)
		}
		// The lock that registrations of these names take, then the row again:
		// two agents may have pressed.
		var still bool
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lock); err != nil {
			return wrap("clarify", err)
		}
		err = tx.QueryRow(ctx, `SELECT true FROM citizen.person WHERE id = $1 AND state = 'check' FOR UPDATE`, personID).Scan(&still)
		if pg.NoRows(err) {
			return ErrNotFound
		}
		if err != nil {
			return wrap("clarify", err)
		}
		return wrap("clarify", fn(tx, now))
	})
}

// tellKnown sends the known contact of the registration that was there first a
// word about the second one, once a day at most.
func (s *Service) tellKnown(ctx context.Context, tx pgx.Tx, knownID string, now time.Time) error {
	tag, err := tx.Exec(ctx, `
		UPDATE citizen.person SET told_at = $2
		WHERE id = $1 AND state <> 'closed' AND coalesce(told_at, '-infinity') <= $3`, knownID, now, now.Add(-24*time.Hour))
	if err != nil || tag.RowsAffected() == 0 {
		return wrap("tell", err)
	}
	p, err := s.Person(ctx, tx, knownID)
	if err != nil {
		return err
	}
	return s.sendKnown(ctx, tx, p, now)
}
