package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

const (
	// lease is how long an attempt is believed to be under way. It is longer
	// than every timeout of an attempt together.
	lease = 3 * time.Minute
	// giveUpAfter is how long a message is tried, from its creation or resend.
	giveUpAfter = 24 * time.Hour
)

// errUnderWay says that another worker has the message in hand.
var errUnderWay = errors.New("notify: attempt under way")

type attempt struct {
	Channel  string
	KeyID    string
	Sealed   []byte
	QueuedAt time.Time
	Doubt    *time.Time
}

// Deliver brings one message out. It may be called any number of times, by any
// number of workers at once: the state decides who does it, and a message that
// has ended is left alone. An error means: try again later.
func (s *Service) Deliver(ctx context.Context, messageID string) error {
	a, err := s.claim(ctx, messageID)
	if err != nil || a == nil {
		return err
	}
	key, err := s.cfg.Vault.Open(ctx, s.cfg.Pool, a.KeyID)
	if errors.Is(err, vault.ErrDestroyed) {
		return s.end(ctx, messageID, StateVoid, "", "")
	}
	if err != nil {
		return err
	}
	var c content
	if err := key.UnsealJSON(sealContext(messageID), a.Sealed, &c); err != nil {
		return s.end(ctx, messageID, StateFailed, "", "unreadable")
	}
	out := s.mail
	if a.Channel == ChannelSMS {
		out = s.sms
	}
	providerID, err := out.deliver(ctx, messageID, c, s.cfg.Now(), a.Doubt)
	// The answer is stored even when the worker is told to stop meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err == nil {
		return s.end(ctx, messageID, StateSent, providerID, "")
	}
	var oe outsideError
	if !errors.As(err, &oe) {
		oe = outsideError{code: "internal"}
	}
	if oe.forever || s.cfg.Now().Sub(a.QueuedAt) > giveUpAfter {
		return s.end(ctx, messageID, StateFailed, "", oe.code)
	}
	_, dbErr := s.cfg.Pool.Exec(ctx, `
		UPDATE notify.message SET state = 'queued', error = $2, doubt_since = CASE WHEN $3 THEN doubt_since END
		WHERE id = $1 AND state = 'sending'`, messageID, oe.code, oe.doubt)
	if dbErr != nil {
		return dbErr
	}
	if oe.code == "internal" {
		return err
	}
	return oe
}

// claim takes the message in hand: nil, nil when there is nothing to do.
func (s *Service) claim(ctx context.Context, messageID string) (*attempt, error) {
	now := s.cfg.Now().UTC()
	rows, err := s.cfg.Pool.Query(ctx, `
		WITH old AS (
			SELECT id, doubt_since FROM notify.message
			WHERE id = $1 AND channel IN ('email', 'sms') AND (state = 'queued' OR state = 'sending' AND sending_at < $3)
			FOR UPDATE)
		UPDATE notify.message m
		SET state = 'sending', sending_at = $2, attempts = m.attempts + 1, doubt_since = coalesce(m.doubt_since, $2)
		FROM old WHERE m.id = old.id
		RETURNING m.channel, m.key_id::text, m.sealed, m.queued_at, old.doubt_since`,
		messageID, now, now.Add(-lease))
	if err != nil {
		return nil, err
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[attempt])
	if err == nil {
		return a, nil
	}
	if !pg.NoRows(err) {
		return nil, err
	}
	var busy bool
	err = s.cfg.Pool.QueryRow(ctx, `SELECT state IN ('queued', 'sending') AND channel IN ('email', 'sms') FROM notify.message WHERE id = $1`, messageID).Scan(&busy)
	switch {
	case pg.NoRows(err):
		return nil, nil
	case err != nil:
		return nil, err
	case busy:
		return nil, errUnderWay
	}
	return nil, nil
}

// end writes how an attempt ended. Content that nobody needs any more goes at
// once: a sent message can be read by its recipient, not here.
func (s *Service) end(ctx context.Context, messageID, state, providerID, code string) error {
	_, err := s.cfg.Pool.Exec(ctx, `
		UPDATE notify.message
		SET state = $2, provider_id = nullif($3, ''), error = $4, done_at = $5, doubt_since = NULL,
		    sealed = CASE WHEN $2 = 'void' OR $2 = 'sent' AND NOT $6 THEN NULL ELSE sealed END
		WHERE id = $1 AND state = 'sending'`,
		messageID, state, providerID, code, s.cfg.Now().UTC(), s.cfg.Local)
	if err != nil {
		return fmt.Errorf("notify: store outcome: %w", err)
	}
	return nil
}

func (s *Service) takenIDs(ctx context.Context, ids []string) (map[string]bool, error) {
	rows, err := s.cfg.Pool.Query(ctx, `SELECT provider_id FROM notify.message WHERE channel = 'sms' AND provider_id = ANY($1)`, ids)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	taken := map[string]bool{}
	for _, x := range list {
		taken[x] = true
	}
	return taken, err
}

// Resend queues a failed e-mail or SMS once more. ErrNotFound when there is
// none in that state or its content is gone.
func (s *Service) Resend(ctx context.Context, messageID, actor, role string) error {
	now := s.cfg.Now().UTC()
	return pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE notify.message SET state = 'queued', queued_at = $2, done_at = NULL, error = ''
			WHERE id = $1 AND state = 'failed' AND channel IN ('email', 'sms') AND sealed IS NOT NULL`, messageID, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		if err := Deliver.Enqueue(ctx, tx, DeliverPayload{MessageID: messageID}); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "notify.resend", Subject: "message:" + messageID})
	})
}
