package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"impfportal/internal/pg"
)

// Enter turns a ticket into a pass, once. Asking again while the pass counts
// returns the same pass. Verdicts other than Admitted come without a pass and,
// but for Used, leave the place as it was. It returns ErrVoid for a ticket of
// another line or one that is too old.
//
// The door (Redis) decides about rate and bound; the row (Postgres) decides
// that a ticket lets in once, and makes the admission last.
func (s *Service) Enter(ctx context.Context, t Ticket) (Pass, Verdict, error) {
	v, err := s.view(ctx, t.Room)
	if err != nil {
		return Pass{}, "", err
	}
	if r := v.known.Load(); t.Epoch != r.Epoch || s.roomNow().Sub(t.Issued) > TicketLife {
		return Pass{}, "", ErrVoid
	}
	if err := s.postgresAnswers(ctx); err != nil {
		return Pass{}, "", err
	}
	for range attempts {
		lane, pos, known := s.laneOf(v, t.Place)
		if !known {
			return Pass{}, s.count(v, Wait), nil // the draw is not over
		}
		verdict, over, r, err := s.claim(ctx, v, t.Place, lane, pos)
		if err != nil {
			return Pass{}, "", err
		}
		if r.Epoch != t.Epoch {
			return Pass{}, "", ErrVoid
		}
		if verdict == Used {
			// Redis marks a ticket before Postgres knows it: look at the truth.
			row, known, err := s.passRow(ctx, t.Place)
			switch {
			case err != nil:
				return Pass{}, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
			case known && row.live(s.roomNow()):
				return t.pass(row), s.count(v, Admitted), nil
			case known:
				return Pass{}, s.count(v, Used), nil
			}
			if err := s.unuse(ctx, v, t.Place); err != nil {
				return Pass{}, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			continue
		}
		if verdict != Admitted {
			return Pass{}, s.count(v, verdict), nil
		}
		row, written, err := s.writePass(ctx, t.Place, r.Generation, over)
		if err != nil {
			// The seat stays taken: the same ticket finds it again.
			return Pass{}, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !written {
			if err := s.load(ctx); err != nil { // the state was rebuilt meanwhile
				return Pass{}, "", fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			continue
		}
		if !row.live(s.roomNow()) {
			if err := s.leave(ctx, v, t.Place); err != nil {
				s.log.Warn("free the seat of a used ticket", "room", v.id, "err", err)
			}
			return Pass{}, s.count(v, Used), nil
		}
		return t.pass(row), s.count(v, Admitted), nil
	}
	return Pass{}, "", ErrUnavailable
}

// laneOf returns how a place comes to the door; known is false while the draw
// that decides it is not over.
func (s *Service) laneOf(v *view, p Place) (lane Lane, pos int64, known bool) {
	switch p.Cohort {
	case CohortBehind:
		return Behind, p.Index, true
	case CohortInvited:
		return Guest, p.Index, true
	}
	pos, known = s.position(v, p)
	return InLine, pos, known
}

func (t Ticket) pass(row passRow) Pass {
	return Pass{Place: t.Place, Expires: row.expires.UTC().Truncate(time.Second), Key: t.Key}
}

func (s *Service) count(v *view, verdict Verdict) Verdict {
	enters.WithLabelValues(v.id, string(verdict)).Inc()
	return verdict
}

// passRow is what Postgres knows of an admission.
type passRow struct {
	expires  time.Time
	released bool
}

func (p passRow) live(now time.Time) bool { return !p.released && p.expires.After(now) }

// writePass records an admission that was decided under generation. It returns
// the row of this place, which may be an older one, or written false when the
// generation is over.
func (s *Service) writePass(ctx context.Context, p Place, generation int64, over time.Time) (row passRow, written bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	defer func() { s.notePostgres(err) }()
	// The share lock keeps a rebuilding replica out until the row is committed.
	tag, err := s.pool.Exec(ctx, `
		INSERT INTO waitingroom.pass (id, room_id, epoch, cohort, ticket_index, entered_at, expires_at)
		SELECT $1, $2, $3, $4, $5, $6, $7 FROM
			(SELECT 1 FROM waitingroom.line WHERE room_id = $2 AND epoch = $3 AND generation = $8 FOR SHARE) AS current
		ON CONFLICT ON CONSTRAINT pass_ticket DO NOTHING`,
		p.ID(), p.Room, p.Epoch, p.Cohort, p.Index, s.roomNow(), over, generation)
	if err != nil {
		return passRow{}, false, err
	}
	if tag.RowsAffected() == 1 {
		return passRow{expires: over}, true, nil
	}
	return s.passRow(ctx, p)
}

// passRow reads the row of a place; known is false when there is none.
func (s *Service) passRow(ctx context.Context, p Place) (row passRow, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, postgresPatience)
	defer cancel()
	err = s.pool.QueryRow(ctx, `
		SELECT expires_at, released_at IS NOT NULL FROM waitingroom.pass
		WHERE room_id = $1 AND epoch = $2 AND cohort = $3 AND ticket_index = $4`,
		p.Room, p.Epoch, p.Cohort, p.Index).Scan(&row.expires, &row.released)
	if pg.NoRows(err) {
		return passRow{}, false, nil
	}
	return row, err == nil, err
}

// Release ends a stay before its time, so that the next one can come in at
// once: the booking is done, or the citizen gives up. passID comes from
// [Service.PassID]. An unknown, ended or empty id is no error. Where Postgres or
// Redis does not answer in time, the stay ends with one of the next ticks.
func (s *Service) Release(ctx context.Context, passID string) error {
	if passID == "" {
		return nil
	}
	p, err := ParsePlace(passID)
	if err != nil {
		return err
	}
	v, err := s.view(ctx, p.Room)
	if errors.Is(err, ErrNoRoom) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.release(ctx, v, p); err != nil {
		// Whoever leaves need not wait until a busy Postgres or a lost Redis answers.
		v.owed.note(p, time.Time{})
		s.log.Warn("a stay ends later", "room", p.Room, "err", err)
	}
	return nil
}

// Extend keeps a stay open at least until a moment: its person holds what must
// not be lost before. passID comes from [Service.PassID]. It returns the end of
// the pass; ok is false when the stay is over, or passID is empty.
func (s *Service) Extend(ctx context.Context, passID string, until time.Time) (over time.Time, ok bool, err error) {
	if passID == "" {
		return time.Time{}, false, nil
	}
	p, err := ParsePlace(passID)
	if err != nil {
		return time.Time{}, false, err
	}
	v, err := s.view(ctx, p.Room)
	if err != nil {
		return time.Time{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, postgresPatience+redisPatience)
	defer cancel()
	// The seat first: a seat that is over may be somebody else's by now.
	seatOf, inside, seatErr := s.extend(ctx, v, p, until)
	if seatErr == nil && !inside {
		return time.Time{}, false, nil
	}
	// Without Redis the row decides. The share lock is against a rebuild that
	// reads the row as it was before.
	var generation int64
	err = s.pool.QueryRow(ctx, `
		UPDATE waitingroom.pass SET expires_at = greatest(expires_at, $2)
		FROM (SELECT generation FROM waitingroom.line WHERE room_id = $4 FOR SHARE) AS current
		WHERE id = $1 AND released_at IS NULL AND expires_at > $3 RETURNING expires_at, generation`,
		passID, until, s.roomNow(), p.Room).Scan(&over, &generation)
	if pg.NoRows(err) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("extend pass: %w", err)
	}
	if seatErr != nil || generation != seatOf {
		v.owed.note(p, over)
	}
	return over, true, nil
}

// Inside reports whether a pass still lets its browser in. Redis answers; when
// it cannot, or does not know the pass, Postgres does.
func (s *Service) Inside(ctx context.Context, p Pass) (bool, error) {
	v, err := s.view(ctx, p.Room)
	if err != nil {
		return false, err
	}
	if !p.Expires.After(s.roomNow()) {
		return false, nil
	}
	if in, err := s.inside(ctx, v, p.Place); err == nil && in {
		return true, nil
	}
	row, known, err := s.passRow(ctx, p.Place)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return known && row.live(s.roomNow()), nil
}
