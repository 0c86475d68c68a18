package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/go-co-op/gocron/v2"

	"impfportal/internal/clock"
)

// Periodic is a job that runs once in each period over all replicas of the
// worker: whoever inserts the row (job, period) runs it. gocron only wakes the
// replicas; the row decides.
type Periodic struct {
	Name  string
	Every time.Duration // either a period ...
	Daily string        // ... or a time of day in Berlin, "03:15"
	// Run does the job. now is the moment of the run; Run must be able to go
	// on where a killed run stopped.
	Run func(ctx context.Context, now time.Time) error
}

// period returns the start of the period that now lies in.
func (p Periodic) period(now time.Time) (time.Time, error) {
	if p.Daily == "" {
		return now.Truncate(p.Every), nil
	}
	at, err := time.Parse("15:04", p.Daily)
	if err != nil {
		return time.Time{}, fmt.Errorf("job %s: time of day %q", p.Name, p.Daily)
	}
	today := clock.At(clock.Day(now), at.Hour(), at.Minute())
	if now.Before(today) {
		return clock.At(clock.Day(now).AddDate(0, 0, -1), at.Hour(), at.Minute()), nil
	}
	return today, nil
}

func (w *Worker) startPeriodic(ctx context.Context) (gocron.Scheduler, error) {
	s, err := gocron.NewScheduler(gocron.WithLocation(clock.Berlin), gocron.WithStopTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	for _, p := range w.periodic {
		if _, err := p.period(w.now()); err != nil {
			return nil, err
		}
		wake := p.Every
		if p.Daily != "" {
			wake = time.Minute
		}
		_, err := s.NewJob(gocron.DurationJob(wake), gocron.NewTask(func() {
			if _, err := w.RunPeriodic(ctx, p); err != nil && ctx.Err() == nil {
				w.log.Error("periodic job failed", "job", p.Name, "err", err)
			}
		}), gocron.WithName(p.Name), gocron.WithSingletonMode(gocron.LimitModeReschedule), gocron.WithStartAt(gocron.WithStartImmediately()))
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", p.Name, err)
		}
	}
	s.Start()
	return s, nil
}

// RunPeriodic runs p unless this period was taken already; it reports whether
// it ran. A daily job whose hour was missed (no worker was up) runs at the
// next start.
func (w *Worker) RunPeriodic(ctx context.Context, p Periodic) (ran bool, err error) {
	now := w.now()
	period, err := p.period(now)
	if err != nil {
		return false, err
	}
	tag, err := w.pool.Exec(ctx, `INSERT INTO jobs.period (job, period, started_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, p.Name, period, now)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	runErr := p.Run(ctx, now)
	var text *string
	if runErr != nil {
		s := runErr.Error()
		text = &s
	}
	_, err = w.pool.Exec(context.WithoutCancel(ctx), `UPDATE jobs.period SET finished_at = $3, error = $4 WHERE job = $1 AND period = $2`, p.Name, period, w.now(), text)
	if runErr != nil {
		return true, runErr
	}
	return true, err
}
