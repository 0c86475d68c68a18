package translog

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// Kinds of alarms.
const (
	AlarmUnlogged   = "unlogged"    // a valid signature without a leaf
	AlarmWaiting    = "waiting"     // leaves wait longer than a minute for their place
	AlarmWitness    = "witness"     // log and witness file contradict each other
	AlarmWitnessNew = "witness-new" // a witness file was begun while the log had leaves
	AlarmDamaged    = "damaged"     // the stored log is not the one that was signed
)

// Alarm is what an auditor has to look into. It is never deleted.
type Alarm struct {
	Kind    string
	Subject string // a digest, a size; "" = the log
	Detail  string
	FirstAt time.Time
	LastAt  time.Time
}

// raise writes an alarm; one that is there already is only seen again, at most
// once a minute.
func (l *Log) raise(ctx context.Context, kind, subject, detail string) error {
	now := l.Now()
	tag, err := l.Pool.Exec(ctx, `
		INSERT INTO certificate.log_alarm AS a (kind, subject, detail, first_at, last_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (kind, subject) DO UPDATE SET last_at = $4, detail = $3 WHERE a.last_at < $4 - interval '1 minute'`, kind, subject, detail, now)
	if err != nil {
		return fmt.Errorf("alarm %s: %w", kind, err)
	}
	if tag.RowsAffected() > 0 {
		l.Log.ErrorContext(ctx, "transparency log", "alarm", kind, "subject", subject, "detail", detail)
	}
	return nil
}

// Alarms returns the newest alarms first.
func Alarms(ctx context.Context, q pg.Querier, limit int) ([]Alarm, error) {
	rows, err := q.Query(ctx, `SELECT kind, subject, detail, first_at, last_at FROM certificate.log_alarm ORDER BY last_at DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Alarm])
}

// Seen reports whether something with a valid signature of this portal has a
// leaf. Without one it is an alarm: somebody signed past the log. Callers have
// checked the signature before; digest is the SHA-256 of what was signed, so that
// a signature that somebody rewrote to (r, n-s) finds the leaf of the first. A
// leaf that still waits for its place counts.
func (l *Log) Seen(ctx context.Context, digest []byte) (logged bool, err error) {
	err = l.Pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM certificate.log_leaf WHERE digest = $1 AND kind IN ('certificate', 'reissue'))`, digest).Scan(&logged)
	if err != nil || logged {
		return logged, err
	}
	return false, l.raise(ctx, AlarmUnlogged, hex.EncodeToString(digest), "a valid signature was shown and has no leaf")
}

// waitLimit is how long a leaf may wait for its place, and a signature for its
// leaf.
const waitLimit = time.Minute

// Watch raises the alarms that nobody runs into: leaves that wait too long, and
// certificates of the portal's own table that were signed since the log exists
// and have no leaf.
func (l *Log) Watch(ctx context.Context) error {
	before := l.Now().Add(-waitLimit)
	var n int64
	var oldest *time.Time
	err := l.Pool.QueryRow(ctx, `SELECT count(*), min(queued_at) FROM certificate.log_leaf WHERE idx IS NULL AND queued_at < $1`, before).Scan(&n, &oldest)
	if err != nil {
		return err
	}
	if n > 0 {
		if err := l.raise(ctx, AlarmWaiting, "", fmt.Sprintf("%d leaves wait, the oldest since %s", n, oldest.UTC().Format(time.RFC3339))); err != nil {
			return err
		}
	}
	var size, told int64
	err = l.Pool.QueryRow(ctx, `
		SELECT coalesce((SELECT max(size) FROM certificate.log_checkpoint WHERE made_at < $1), 0), (SELECT upto FROM certificate.log_told)`, before).Scan(&size, &told)
	if err != nil {
		return err
	}
	if told < size {
		if err := l.raise(ctx, AlarmWaiting, "told", fmt.Sprintf("%d leaves are in the log and nobody was told: nothing is released", size-told)); err != nil {
			return err
		}
	}
	rows, err := l.Pool.Query(ctx, `
		SELECT c.digest FROM certificate.certificate c
		WHERE c.digest IS NOT NULL AND c.signed_at < $1 AND c.signed_at >= (SELECT min(queued_at) FROM certificate.log_leaf)
		  AND NOT EXISTS (SELECT FROM certificate.log_leaf l WHERE l.digest = c.digest AND l.kind IN ('certificate', 'reissue'))
		LIMIT 1000`, before)
	if err != nil {
		return err
	}
	digests, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return err
	}
	for _, d := range digests {
		if err := l.raise(ctx, AlarmUnlogged, hex.EncodeToString(d), "a signed certificate is stored and has no leaf"); err != nil {
			return err
		}
	}
	return nil
}
