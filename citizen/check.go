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

// Checks lists what waits for clarification, oldest first.
func (s *Service) Checks(ctx context.Context, q pg.Querier, limit int) ([]Check, error) {
	rows, err := q.Query(ctx, `SELECT coalesce(p.duplicate_of::text, ''),`+personColumns+`
		WHERE p.state = 'check' ORDER BY p.registered_at, p.id LIMIT $1`, limit)
	if err != nil {
		return nil, wrap("checks", err)
	}
	var known []string
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Check, error) {
		var of string
		p, err := s.scanPerson(firstInto{row, &of})
		known = append(known, of)
		return Check{New: p}, err
	})
	if err != nil {
		return nil, wrap("checks", err)
	}
	for i, of := range known {
		if of == "" {
			continue
		}
		switch p, err := s.Person(ctx, q, of); {
		case err == nil:
			list[i].Known = &p
		case errors.Is(err, ErrNotFound):
		default:
			return nil, err
		}
	}
	return list, nil
}

// firstInto scans the first column apart and hands on the others.
type firstInto struct {
	row   pgx.CollectableRow
	first *string
}

func (f firstInto) Scan(dest ...any) error { return f.row.Scan(append([]any{f.first}, dest...)...) }

// ClarifyOther is an agent's finding that a registration in check is another
// person (with the same names and birth date). It may book from now on.
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
// who is registered already. It is deleted with its login data; the first
// registration and its login data stay as they are. Nothing of it is handed to
// the first one: whoever made the second need not be that person.
func (s *Service) ClarifySame(ctx context.Context, personID, actor, role string) error {
	return s.clarify(ctx, personID, func(tx pgx.Tx, now time.Time) error {
		if err := s.close(ctx, tx, []string{personID}, now); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.clarified_same", Subject: Subject(personID)})
	})
}

// ClarifyReplace is an agent's finding that the registration in check is the
// right one and the first was made by somebody else, or is of no use any more:
// the first is deleted and the new one may book. It returns ErrStanding while
// the first has an appointment that stands.
func (s *Service) ClarifyReplace(ctx context.Context, personID, actor, role string) error {
	return s.clarify(ctx, personID, func(tx pgx.Tx, now time.Time) error {
		var known *string
		err := tx.QueryRow(ctx, `SELECT duplicate_of::text FROM citizen.person WHERE id = $1`, personID).Scan(&known)
		if err != nil {
			return err
		}
		if known != nil {
			if _, err := tx.Exec(ctx, `SELECT FROM citizen.person WHERE id = $1 FOR UPDATE`, *known); err != nil {
				return err
			}
			standing, err := s.Bookings(ctx, tx, []string{*known})
			if err != nil {
				return err
			}
			if standing[*known] {
				return ErrStanding
			}
			if err := s.close(ctx, tx, []string{*known}, now); err != nil {
				return err
			}
			if err := audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.replaced", Subject: Subject(*known)}); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE citizen.person SET state = 'active', duplicate_of = NULL, keep_from = $2 WHERE id = $1`, personID, now)
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "citizen.clarified_other", Subject: Subject(personID)})
	})
}

func (s *Service) clarify(ctx context.Context, personID string, fn func(tx pgx.Tx, now time.Time) error) error {
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
