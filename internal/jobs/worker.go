package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

const (
	queue       = "outbox"
	taskType    = "outbox"
	relayBatch  = 500
	relayPause  = 50 * time.Millisecond // how long the relay rests when it found nothing
	maxRetry    = 3                     // asynq's own retries within one attempt
	redriveWait = time.Minute           // an attempt not done after attempt x this is given up and re-driven
	redriveMax  = time.Hour
)

// Worker runs the relay, the handlers, the reconciler and the periodic jobs.
type Worker struct {
	pool        *pgxpool.Pool
	rdb         redis.UniversalClient
	mux         *Mux
	now         clock.Clock
	log         *slog.Logger
	client      *asynq.Client
	concurrency int
	periodic    []Periodic
}

// NewWorker wires a worker; Run starts it. concurrency is the number of tasks
// handled at the same time in this process.
func NewWorker(pool *pgxpool.Pool, rdb redis.UniversalClient, mux *Mux, periodic []Periodic, now clock.Clock, log *slog.Logger, concurrency int) *Worker {
	return &Worker{
		pool: pool, rdb: rdb, mux: mux, now: now, log: log, concurrency: concurrency,
		client: asynq.NewClientFromRedisClient(rdb), periodic: periodic,
	}
}

// Run works until ctx ends, then finishes what it has begun.
func (w *Worker) Run(ctx context.Context) error {
	srv := asynq.NewServerFromRedisClient(w.rdb, asynq.Config{
		Concurrency:              w.concurrency,
		Queues:                   map[string]int{queue: 1},
		TaskCheckInterval:        200 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          5 * time.Second,
		RetryDelayFunc:           func(n int, _ error, _ *asynq.Task) time.Duration { return time.Duration(1+n*n*5) * time.Second },
		Logger:                   asynqLog{w.log},
		LogLevel:                 asynq.WarnLevel,
		IsFailure:                func(err error) bool { return !errors.Is(err, context.Canceled) },
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc(taskType, w.handle)
	if err := srv.Start(mux); err != nil {
		return fmt.Errorf("start task server: %w", err)
	}
	sched, err := w.startPeriodic(ctx)
	if err != nil {
		srv.Shutdown()
		return err
	}
	w.relayLoop(ctx) // returns when ctx ends
	err = sched.Shutdown()
	srv.Shutdown()
	return err
}

func (w *Worker) relayLoop(ctx context.Context) {
	lastRedrive := time.Time{}
	for ctx.Err() == nil {
		n, err := w.Relay(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Error("outbox relay", "err", err)
		}
		if time.Since(lastRedrive) > 5*time.Second {
			lastRedrive = time.Now()
			if m, err := w.Redrive(ctx); err != nil && ctx.Err() == nil {
				w.log.Error("outbox reconciler", "err", err)
			} else if m > 0 {
				w.log.Warn("outbox: tasks re-driven", "count", m)
			}
		}
		if n == relayBatch {
			continue
		}
		pause := relayPause
		if err != nil {
			pause = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Relay hands new outbox rows to asynq and returns how many. If the process
// dies between the hand-over and the commit, the next relay hands them over
// again under the same task id, which asynq refuses as existing.
func (w *Worker) Relay(ctx context.Context) (n int, err error) {
	err = pg.InTx(ctx, w.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT id, attempt FROM jobs.outbox
			WHERE enqueued_at IS NULL AND done_at IS NULL AND failed_at IS NULL
			ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`, relayBatch)
		if err != nil {
			return err
		}
		type row struct {
			ID      int64
			Attempt int
		}
		batch, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		if err != nil || len(batch) == 0 {
			return err
		}
		ids := make([]int64, 0, len(batch))
		for _, r := range batch {
			key := fmt.Sprintf("%d:%d", r.ID, r.Attempt)
			_, err := w.client.EnqueueContext(ctx, asynq.NewTask(taskType, []byte(key)),
				asynq.TaskID(key), asynq.Queue(queue), asynq.MaxRetry(maxRetry), asynq.Timeout(5*time.Minute))
			if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
				return fmt.Errorf("hand over task %s: %w", key, err)
			}
			ids = append(ids, r.ID)
		}
		n = len(ids)
		_, err = tx.Exec(ctx, `UPDATE jobs.outbox SET enqueued_at = clock_timestamp() WHERE id = ANY($1)`, ids)
		return err
	})
	return n, err
}

// Redrive gives rows that were handed over but are not done in time to the
// relay again, under the next attempt. The wait grows with the attempts.
func (w *Worker) Redrive(ctx context.Context) (int64, error) {
	tag, err := w.pool.Exec(ctx, `
		UPDATE jobs.outbox SET attempt = attempt + 1, enqueued_at = NULL
		WHERE enqueued_at IS NOT NULL AND done_at IS NULL AND failed_at IS NULL
		  AND enqueued_at < clock_timestamp() - least($1::interval * attempt, $2::interval)`,
		redriveWait, redriveMax)
	return tag.RowsAffected(), err
}

// handle runs one task. The row is the truth: a task whose row is done or
// failed is dropped, whatever asynq says.
func (w *Worker) handle(ctx context.Context, t *asynq.Task) error {
	idText, _, ok := strings.Cut(string(t.Payload()), ":")
	id, err := strconv.ParseInt(idText, 10, 64)
	if !ok || err != nil {
		return fmt.Errorf("task key %q: %w", t.Payload(), asynq.SkipRetry)
	}
	var (
		kind    string
		payload []byte
		over    bool
	)
	err = w.pool.QueryRow(ctx, `SELECT kind, payload, done_at IS NOT NULL OR failed_at IS NOT NULL FROM jobs.outbox WHERE id = $1`, id).
		Scan(&kind, &payload, &over)
	if pg.NoRows(err) || over {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.runSafely(ctx, kind, payload); err != nil {
		return w.noteFailure(ctx, id, kind, err)
	}
	_, err = w.pool.Exec(ctx, `UPDATE jobs.outbox SET done_at = clock_timestamp(), last_error = NULL WHERE id = $1 AND done_at IS NULL`, id)
	return err
}

func (w *Worker) runSafely(ctx context.Context, kind string, payload []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in task %s: %v", kind, p)
		}
	}()
	return w.mux.run(ctx, kind, payload)
}

func (w *Worker) noteFailure(ctx context.Context, id int64, kind string, cause error) error {
	w.log.Error("task failed", "kind", kind, "task", id, "err", cause)
	ctx = context.WithoutCancel(ctx)
	final := IsPermanent(cause)
	_, err := w.pool.Exec(ctx, `UPDATE jobs.outbox SET last_error = left($2, 2000), failed_at = CASE WHEN $3 THEN clock_timestamp() END WHERE id = $1`,
		id, cause.Error(), final)
	if err != nil {
		return errors.Join(cause, err)
	}
	if final {
		return fmt.Errorf("%w: %w", cause, asynq.SkipRetry)
	}
	return cause
}

// asynqLog lets asynq write into the program's log.
type asynqLog struct{ *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.Logger.Debug(fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.Logger.Info(fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.Logger.Warn(fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.Logger.Error(fmt.Sprint(args...)) }
func (l asynqLog) Fatal(args ...any) { l.Logger.Error(fmt.Sprint(args...)) }
