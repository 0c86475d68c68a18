package notify

import (
	"context"
	"fmt"

	"impfportal/internal/jobs"
)

// DeliverPayload names the message.
type DeliverPayload struct {
	MessageID string `json:"message_id"`
}

// Deliver is the task that brings one e-mail or SMS out.
var Deliver = jobs.Define[DeliverPayload]("notify.deliver")

// Jobs registers the delivery.
func (s *Service) Jobs(m *jobs.Mux) []jobs.Periodic {
	jobs.Handle(m, Deliver, func(ctx context.Context, p DeliverPayload) error {
		if err := s.Deliver(ctx, p.MessageID); err != nil {
			return fmt.Errorf("message %s: %w", p.MessageID, err)
		}
		return nil
	})
	return nil
}
