package revocation

import (
	"context"
	"time"

	"impfportal/internal/jobs"
)

// Jobs carries out mass revocations.
func (d *Desk) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, taskMass, func(ctx context.Context, p massPayload) error { return d.Carry(ctx, p.ID) })
	return nil
}

// Jobs publishes: what was revoked is in a batch within a minute.
func (p *Publisher) Jobs() []jobs.Periodic {
	return []jobs.Periodic{{Name: "revocation.publish", Every: time.Minute, Run: func(ctx context.Context, _ time.Time) error {
		_, err := p.Publish(ctx)
		return err
	}}}
}
