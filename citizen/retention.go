package citizen

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/retention"
)

// closedKeep is how long the bare row of a deleted registration stays, so that
// a cancelled booking's row still points somewhere until its own rule ends it.
const closedKeep = 14 * 24 * time.Hour

// RetentionRules says how everything of this slice ends.
func (s *Service) RetentionRules() []retention.Rule {
	return []retention.Rule{
		{
			Name: "citizen.registration", Table: "citizen.person", Policy: "registration",
			Why: "Registrations without an appointment, counted from registering or from the last cancellation",
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
				return s.purge(ctx, tx, now, limit, `vaccinated_at IS NULL AND keep_from <= $1`, `keep_from`, now.Add(-keep))
			},
		},
		{
			Name: "citizen.vaccinated", Table: "citizen.person", Policy: "after-vaccination",
			Why: "Registrations of people whose series is complete; the treatment record has its own rule",
			Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
				return s.purge(ctx, tx, now, limit, `vaccinated_at <= $1`, `vaccinated_at`, now.Add(-keep))
			},
		},
		{
			Name: "citizen.closed", Table: "citizen.person",
			Why: "Bare rows of deleted registrations, as soon as nothing refers to them",
			Run: purgeClosed,
		},
		{
			Name: "citizen.login_pending", Table: "citizen.login_pending",
			Why: "New secrets that were not used in time",
			Run: deleteOld(`DELETE FROM citizen.login_pending WHERE id IN (
				SELECT id FROM citizen.login_pending WHERE valid_until <= $1 LIMIT $2)`, 0),
		},
		{
			Name: "citizen.lost_request", Table: "citizen.lost_request",
			Why: "Requests for new login data, after two weeks",
			Run: deleteOld(`DELETE FROM citizen.lost_request WHERE id IN (
				SELECT id FROM citizen.lost_request WHERE requested_at <= $1 ORDER BY requested_at LIMIT $2)`, 14*24*time.Hour),
		},
	}
}

// RetentionExempt names the tables without a rule of their own.
func (s *Service) RetentionExempt() []retention.Exempt {
	return []retention.Exempt{{Table: "citizen.login", Why: "deleted together with its registration"}}
}

// purge closes up to limit registrations for which where holds and no
// appointment stands. Those with an appointment are passed over; the cursor
// keeps them from being looked at again in the same run.
func (s *Service) purge(ctx context.Context, tx pgx.Tx, now time.Time, limit int, where, order string, cutoff time.Time) (int64, error) {
	var (
		done   int64
		after  = time.Unix(0, 0)
		lastID = "00000000-0000-0000-0000-000000000000"
	)
	for done < int64(limit) {
		rows, err := tx.Query(ctx, `
			SELECT id::text, `+order+` FROM citizen.person
			WHERE state <> 'closed' AND `+where+` AND (`+order+`, id) > ($2, $3::uuid)
			ORDER BY `+order+`, id LIMIT $4 FOR UPDATE SKIP LOCKED`, cutoff, after, lastID, int64(limit)-done)
		if err != nil {
			return done, wrap("purge", err)
		}
		var ids []string
		_, err = pgx.ForEachRow(rows, []any{&lastID, &after}, func() error {
			ids = append(ids, lastID)
			return nil
		})
		if err != nil || len(ids) == 0 {
			return done, wrap("purge", err)
		}
		standing, err := s.Bookings(ctx, tx, ids)
		if err != nil {
			return done, wrap("purge", err)
		}
		free := ids[:0]
		for _, personID := range ids {
			if !standing[personID] {
				free = append(free, personID)
			}
		}
		if err := s.close(ctx, tx, free, now); err != nil {
			return done, wrap("purge", err)
		}
		done += int64(len(free))
	}
	return done, nil
}

// purgeClosed deletes bare rows. A row to which something still refers stays
// for the next run: it holds nothing personal.
func purgeClosed(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
	rows, err := tx.Query(ctx, `
		SELECT id::text FROM citizen.person WHERE closed_at <= $1 ORDER BY closed_at DESC LIMIT $2 FOR UPDATE SKIP LOCKED`,
		now.Add(-closedKeep), limit)
	if err != nil {
		return 0, wrap("purge closed", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(ids) == 0 {
		return 0, wrap("purge closed", err)
	}
	n, err := deletePersons(ctx, tx, ids)
	if err == nil || !pg.IsForeignKey(err) {
		return n, wrap("purge closed", err)
	}
	for _, personID := range ids {
		one, err := deletePersons(ctx, tx, []string{personID})
		if err != nil && !pg.IsForeignKey(err) {
			return n, wrap("purge closed", err)
		}
		n += one
	}
	return n, nil
}

// deletePersons runs in a savepoint, so that a refusal does not end tx.
func deletePersons(ctx context.Context, tx pgx.Tx, ids []string) (n int64, err error) {
	err = pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
		tag, err := sp.Exec(ctx, `DELETE FROM citizen.person WHERE id = ANY($1::text[]::uuid[])`, ids)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

func deleteOld(sql string, keep time.Duration) func(context.Context, pgx.Tx, time.Time, time.Duration, int) (int64, error) {
	return func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
		tag, err := tx.Exec(ctx, sql, now.Add(-keep), limit)
		return tag.RowsAffected(), wrap("purge", err)
	}
}
