package notify

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/vault"
)

// Config is what a Service needs.
type Config struct {
	Pool  *pgxpool.Pool
	Vault *vault.Vault
	Now   clock.Clock
	// Local keeps everything on this machine: messages end on /dev/mailbox.
	Local bool
	// Sender is the letterhead and return address of letters: name, street,
	// postcode and city, telephone.
	Sender []string
	From   string // From of e-mails, as "Impfportal <termin@example.org>"
	SMTP   SMTP
	Twilio Twilio
}

// Service sends messages.
type Service struct {
	cfg Config
}

// Send stores the message for every way it goes, and the tasks that deliver
// it, in tx: e-mail and SMS both when both are known; a letter when neither is,
// or when m.ByPost. Nobody reachable is no error: the row fails where staff see it.
func (s *Service) Send(ctx context.Context, tx pgx.Tx, to Recipient, m Message) error {
	panic("not yet")
}
