package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Progress tells people how far something long is, on the page
// /admin/progress/{ID} and through OnStep on the terminal.
type Progress struct {
	ID     string
	pool   *pgxpool.Pool
	total  int64
	last   time.Time
	OnStep func(done, total int64, message string) // may be nil
}

// StartProgress begins a progress row. total 0 means: not known. by is an actor
// as in audit ("staff:<id>", "system").
func StartProgress(ctx context.Context, pool *pgxpool.Pool, name string, total int64, by string) (*Progress, error) {
	p := &Progress{ID: id.New(), pool: pool, total: total}
	_, err := pool.Exec(ctx, `INSERT INTO jobs.progress (id, name, started_by, total, started_at, updated_at) VALUES ($1, $2, $3, $4, now(), now())`, p.ID, name, by, total)
	if err != nil {
		return nil, fmt.Errorf("start progress: %w", err)
	}
	return p, nil
}

// Step says how much is done. It writes at most five times a second; a nil
// Progress does nothing, so callers need not ask.
func (p *Progress) Step(ctx context.Context, done int64, message string) {
	if p == nil || (time.Since(p.last) < 200*time.Millisecond && done != p.total) {
		return
	}
	p.last = time.Now()
	if p.OnStep != nil {
		p.OnStep(done, p.total, message)
	}
	// Progress is a courtesy: that it cannot be written must not stop the work.
	_, _ = p.pool.Exec(ctx, `UPDATE jobs.progress SET done = $2, message = $3, updated_at = now() WHERE id = $1`, p.ID, done, message)
}

// Total corrects the expected amount.
func (p *Progress) Total(ctx context.Context, total int64) {
	if p == nil {
		return
	}
	p.total = total
	_, _ = p.pool.Exec(ctx, `UPDATE jobs.progress SET total = $2 WHERE id = $1`, p.ID, total)
}

// Finish ends the progress, with the error that ended it or nil.
func (p *Progress) Finish(ctx context.Context, cause error) {
	if p == nil {
		return
	}
	var text *string
	if cause != nil {
		s := cause.Error()
		text = &s
	}
	_, _ = p.pool.Exec(context.WithoutCancel(ctx), `UPDATE jobs.progress SET finished_at = now(), updated_at = now(), error = $2, done = CASE WHEN $2::text IS NULL THEN greatest(done, total) ELSE done END WHERE id = $1`, p.ID, text)
}

// ProgressRow is a progress as stored.
type ProgressRow struct {
	ID, Name, StartedBy  string
	Done, Total          int64
	Message              string
	StartedAt, UpdatedAt time.Time
	FinishedAt           *time.Time
	Error                *string
}

// Percent is 0..100; 0 while the total is not known.
func (r ProgressRow) Percent() int64 {
	if r.FinishedAt != nil && r.Error == nil {
		return 100
	}
	if r.Total <= 0 {
		return 0
	}
	return min(100, r.Done*100/r.Total)
}

const progressColumns = `id::text, name, started_by, done, total, message, started_at, updated_at, finished_at, error`

// ProgressByID returns one progress, or pgx.ErrNoRows.
func ProgressByID(ctx context.Context, q pg.Querier, progressID string) (ProgressRow, error) {
	rows, err := q.Query(ctx, `SELECT `+progressColumns+` FROM jobs.progress WHERE id = $1`, progressID)
	if err != nil {
		return ProgressRow{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[ProgressRow])
}

// RecentProgress returns the newest ones first.
func RecentProgress(ctx context.Context, q pg.Querier, limit int) ([]ProgressRow, error) {
	rows, err := q.Query(ctx, `SELECT `+progressColumns+` FROM jobs.progress ORDER BY started_at DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ProgressRow])
}
