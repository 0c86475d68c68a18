package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// Entry is one deed.
type Entry struct {
	Actor   string // "staff:<id>", "citizen:<id>", "system"
	Role    string // the role in which the actor did it
	Action  string // "booking.confirm", "waitingroom.pause"
	Subject string // what it was done to: "person:<id>", "centre:leipzig"
	Before  any    // stored as JSON; nil = nothing
	After   any
}

// Write records e in tx.
func Write(ctx context.Context, tx pgx.Tx, now time.Time, e Entry) error {
	before, err := asJSON(e.Before)
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	after, err := asJSON(e.After)
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	_, err = tx.Exec(ctx, `SELECT audit.write($1, $2, $3, $4, $5, $6, $7)`,
		now, e.Actor, e.Role, e.Action, e.Subject, before, after)
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	return nil
}

func asJSON(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}

// Row is an entry as stored.
type Row struct {
	ID            int64
	At            time.Time
	Actor         string
	Role          string
	Action        string
	Subject       string
	Before, After []byte
	Seq           *int64
	Hash          []byte
}

const columns = `id, at, actor, role, action, subject, convert_to(before::text, 'UTF8'), convert_to(after::text, 'UTF8'), seq, hash`

// Recent returns the newest entries first; subject "" means all.
func Recent(ctx context.Context, q pg.Querier, subject string, limit int) ([]Row, error) {
	where, args := ``, []any{limit}
	if subject != "" {
		where, args = ` WHERE subject = $2`, append(args, subject)
	}
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM audit.entry`+where+` ORDER BY id DESC LIMIT $1`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
}

// LastByOthers returns when somebody other than the subject itself did an action
// to it last; zero when nobody has.
func LastByOthers(ctx context.Context, q pg.Querier, subject, action string) (at time.Time, err error) {
	var last *time.Time
	err = q.QueryRow(ctx, `SELECT max(at) FROM audit.entry WHERE subject = $1 AND action = $2 AND actor <> $1`, subject, action).Scan(&last)
	if err != nil || last == nil {
		return time.Time{}, err
	}
	return *last, nil
}

// sealLock keeps sealers of several workers apart.
const sealLock = 0x617564 // "aud"

// Seal chains up to limit committed rows and returns how many.
func Seal(ctx context.Context, pool *pgxpool.Pool, limit int) (n int, err error) {
	err = pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sealLock).Scan(&mine); err != nil || !mine {
			return err
		}
		var (
			seq  int64
			prev []byte
		)
		err := tx.QueryRow(ctx, `SELECT seq, hash FROM audit.entry WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1`).Scan(&seq, &prev)
		if err != nil && !pg.NoRows(err) {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+columns+` FROM audit.entry WHERE seq IS NULL ORDER BY id LIMIT $1`, limit)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
		if err != nil || len(list) == 0 {
			return err
		}
		ids, seqs := make([]int64, len(list)), make([]int64, len(list))
		prevs, hashes := make([][]byte, len(list)), make([][]byte, len(list))
		for i, r := range list {
			seq++
			h := chain(prev, seq, r)
			ids[i], seqs[i], prevs[i], hashes[i] = r.ID, seq, prev, h
			prev = h
		}
		n = len(list)
		_, err = tx.Exec(ctx, `
			UPDATE audit.entry e SET seq = u.seq, prev_hash = u.prev, hash = u.hash
			FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) AS u (id, seq, prev, hash) WHERE e.id = u.id`,
			ids, seqs, prevs, hashes)
		return err
	})
	return n, err
}

// chain hashes a row with the hash of the row before it. The form is
// length-prefixed, so that no two rows share one.
func chain(prev []byte, seq int64, r Row) []byte {
	h := sha256.New()
	for _, f := range [][]byte{
		prev, fmt.Appendf(nil, "%d", seq), []byte(r.At.UTC().Format(time.RFC3339Nano)), []byte(r.Actor), []byte(r.Role),
		[]byte(r.Action), []byte(r.Subject), r.Before, r.After,
	} {
		fmt.Fprintf(h, "%d:", len(f))
		h.Write(f)
	}
	return h.Sum(nil)
}

// Verify recomputes the chain. ok is false when a row was changed, removed or
// put in between; broken is then the sequence number of the first that does
// not fit.
func Verify(ctx context.Context, q pg.Querier) (checked, broken int64, ok bool, err error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM audit.entry WHERE seq IS NOT NULL ORDER BY seq`)
	if err != nil {
		return 0, 0, false, err
	}
	defer rows.Close()
	var prev []byte
	for rows.Next() {
		r, err := pgx.RowToStructByPos[Row](rows)
		if err != nil {
			return checked, 0, false, err
		}
		if *r.Seq != checked+1 || !bytes.Equal(r.Hash, chain(prev, *r.Seq, r)) {
			return checked, checked + 1, false, nil
		}
		prev, checked = r.Hash, checked+1
	}
	return checked, 0, true, rows.Err()
}

// Jobs seals about once a second.
func Jobs(pool *pgxpool.Pool) []jobs.Periodic {
	return []jobs.Periodic{{Name: "audit.seal", Every: time.Second, Run: func(ctx context.Context, _ time.Time) error {
		for {
			n, err := Seal(ctx, pool, 2000)
			if err != nil || n < 2000 {
				return err
			}
		}
	}}}
}
