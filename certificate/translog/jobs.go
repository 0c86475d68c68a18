package translog

import (
	"context"
	"errors"
	"time"

	"impfportal/internal/jobs"
)

// sequenceEvery is how often the sequencer looks for new leaves.
const sequenceEvery = 250 * time.Millisecond

// Run sequences until ctx ends; every worker runs it, one at a time is at it.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(sequenceEvery)
	defer tick.Stop()
	var said time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, err := l.Sequence(ctx)
		if errors.Is(err, ErrReader) {
			return err
		}
		if err != nil && ctx.Err() == nil && time.Since(said) > time.Minute {
			said = time.Now()
			l.Log.ErrorContext(ctx, "transparency log stands still", "err", err)
		}
	}
}

// Jobs watches and recomputes.
func (l *Log) Jobs() []jobs.Periodic {
	return []jobs.Periodic{
		{Name: "translog.watch", Every: 30 * time.Second, Run: func(ctx context.Context, _ time.Time) error { return l.Watch(ctx) }},
		{Name: "translog.check", Every: time.Hour, Run: func(ctx context.Context, _ time.Time) error {
			_, err := l.Check(ctx)
			return err
		}},
	}
}
