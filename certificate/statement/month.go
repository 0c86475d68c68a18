package statement

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Month is a settled month, or one that is on its way.
type Month struct {
	Month      time.Time // its first day
	From, Size int64     // leaves from From, below Size
	Root, Note []byte
	State      string
	ReadUpto   int64
	MadeUpto   *string
	Statements int
	Lines      int64
	Cents      int64
	Digest     []byte
	DoneAt     *time.Time
}

// Last is the month's last leaf, where it has any.
func (m Month) Last() int64 { return m.Size - 1 }

// Done tells whether its statements can be fetched.
func (m Month) Done() bool { return m.State == stateDone }

// The states of a month, in their order.
const (
	stateReading = "reading"
	stateMaking  = "making"
	stateDone    = "done"
)

const monthColumns = `SELECT month, from_idx, size, root, note, state, read_upto, made_upto, statements, lines, cents, digest, done_at FROM certificate.statement_month `

func months(ctx context.Context, q pg.Querier, where string, args ...any) ([]Month, error) {
	rows, err := q.Query(ctx, monthColumns+where, args...)
	if err != nil {
		return nil, fmt.Errorf("months: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Month])
}

// Months lists the months, newest first.
func Months(ctx context.Context, q pg.Querier) ([]Month, error) {
	return months(ctx, q, `ORDER BY month DESC`)
}

// settleAfter is how long after a month's end its checkpoint is looked for: by
// then the one that was being written at midnight is there.
const settleAfter = time.Minute

// Run settles every month that is over and is not settled, oldest first, and goes
// on where an earlier run stopped. It may be called at any time and by several
// workers at once.
func (s *Service) Run(ctx context.Context) (settled int, err error) {
	for {
		m, ok, err := s.next(ctx)
		if err != nil || !ok {
			return settled, err
		}
		if err := s.settle(ctx, m); err != nil {
			return settled, fmt.Errorf("statements of %s: %w", m.Format("2006-01"), err)
		}
		settled++
	}
}

// next begins the next month that is over, or finds the one that is begun.
func (s *Service) next(ctx context.Context) (month time.Time, ok bool, err error) {
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('certificate.statement_month'))`); err != nil {
			return err
		}
		last, err := months(ctx, tx, `ORDER BY month DESC LIMIT 1`)
		if err != nil {
			return err
		}
		var from int64
		switch {
		case len(last) == 1 && (last[0].State == stateReading || last[0].State == stateMaking):
			month, ok = last[0].Month, true
			return nil
		case len(last) == 1:
			month, from = last[0].Month.AddDate(0, 1, 0), last[0].Size
		default:
			begun, err := translog.Begun(ctx, tx)
			if err != nil || begun.IsZero() {
				return err
			}
			month = monthOf(clock.Day(begun))
		}
		if s.Now().Before(end(month).Add(settleAfter)) {
			return nil
		}
		ok = true
		return s.begin(ctx, tx, month, from)
	})
	return month, ok, err
}

// begin fixes a month's range, and bills what the months before have held.
func (s *Service) begin(ctx context.Context, tx pgx.Tx, month time.Time, from int64) error {
	at, err := s.Log.Before(ctx, tx, end(month))
	if err != nil {
		return err
	}
	if at.Size < from {
		return fmt.Errorf("%w: the log had %d leaves, the month before ended at %d", ErrRoot, at.Size, from)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.statement_month (month, from_idx, size, root, note, state, read_upto, begun_at) VALUES ($1, $2, $3, $4, $5, 'reading', $2, $6)`,
		month, from, at.Size, at.Root[:], emptyNotNull(at.Note), s.Now()); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := s.billHeld(ctx, tx, month); err != nil {
		return err
	}
	// What is signed and waits to be handed out; those that are revoked are not on
	// their way any more.
	_, err = tx.Exec(ctx, `
		INSERT INTO certificate.statement_held (idx, month)
		SELECT l.idx, $1 FROM certificate.certificate c JOIN certificate.log_leaf l ON l.ref = 'certificate:' || c.id
		 WHERE c.state IN ('intent', 'signed', 'logged') AND c.revoked_at IS NULL AND l.kind = 'certificate' AND l.idx >= $2 AND l.idx < $3
		ON CONFLICT DO NOTHING`, month, from, at.Size)
	return err
}

func emptyNotNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// billHeld writes the lines of what an earlier month has held and is no longer on
// its way.
func (s *Service) billHeld(ctx context.Context, tx pgx.Tx, month time.Time) error {
	rows, err := tx.Query(ctx, `
		UPDATE certificate.statement_held h SET billed_in = $1
		 WHERE h.billed_in IS NULL AND NOT EXISTS (
		       SELECT FROM certificate.log_leaf l JOIN certificate.certificate c ON l.ref = 'certificate:' || c.id
		        WHERE l.idx = h.idx AND c.state IN ('intent', 'signed', 'logged') AND c.revoked_at IS NULL)
		RETURNING h.idx`, month)
	if err != nil {
		return err
	}
	indexes, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(indexes) == 0 {
		return err
	}
	tariff, err := Rates(ctx, tx)
	if err != nil {
		return err
	}
	entries, err := translog.At(ctx, tx, indexes)
	if err != nil {
		return err
	}
	lines := make([]Line, len(entries))
	for i, e := range entries {
		lines[i] = tariff.bill(e.Index, e.Leaf())
	}
	return store(ctx, tx, month, lines)
}

// settle brings one month to its end.
func (s *Service) settle(ctx context.Context, month time.Time) error {
	r := reader{Service: s, month: month}
	for done := false; !done; {
		err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			list, err := months(ctx, tx, `WHERE month = $1 FOR UPDATE`, month)
			if err != nil {
				return err
			}
			m := &list[0]
			switch m.State {
			case stateReading:
				err = r.read(ctx, tx, m)
			case stateMaking:
				err = s.make(ctx, tx, m)
			default:
				done = true
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// finish writes the totals of a month and what the audit trail keeps of them.
func (s *Service) finish(ctx context.Context, tx pgx.Tx, m *Month) error {
	sum := sha256.New()
	var pdf, csv []byte
	rows, err := tx.Query(ctx, `SELECT csv_sha256, pdf_sha256 FROM certificate.statement WHERE month = $1 ORDER BY number`, m.Month)
	if err != nil {
		return err
	}
	if _, err := pgx.ForEachRow(rows, []any{&csv, &pdf}, func() error {
		_, _ = sum.Write(csv) // a hash takes everything
		_, _ = sum.Write(pdf)
		return nil
	}); err != nil {
		return err
	}
	m.State, m.Digest = stateDone, sum.Sum(nil)
	err = tx.QueryRow(ctx, `
		UPDATE certificate.statement_month m SET state = 'done', digest = $2, done_at = $3, statements = t.n, lines = t.lines, cents = t.cents
		  FROM (SELECT count(*) AS n, coalesce(sum(lines), 0) AS lines, coalesce(sum(cents), 0) AS cents FROM certificate.statement WHERE month = $1) t
		 WHERE m.month = $1 RETURNING m.statements, m.lines, m.cents`, m.Month, m.Digest, s.Now()).Scan(&m.Statements, &m.Lines, &m.Cents)
	if err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return audit.Write(ctx, tx, s.Now(), audit.Entry{
		Actor: "system", Role: "worker", Action: "statement.settled", Subject: "month:" + m.Month.Format("2006-01"),
		After: map[string]any{"statements": m.Statements, "lines": m.Lines, "cents": m.Cents, "log_size": m.Size, "sha256": fmt.Sprintf("%x", m.Digest)},
	})
}
