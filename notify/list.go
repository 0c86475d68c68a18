package notify

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// Row is a message as staff see it: nothing in it tells whom it is for.
type Row struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind"`
	Channel    string     `json:"channel"`
	State      string     `json:"state"`
	Coding     string     `json:"coding"`
	Parts      int        `json:"parts"`
	Attempts   int        `json:"attempts"`
	ProviderID *string    `json:"provider_id"`
	Error      string     `json:"error"`
	CreatedAt  time.Time  `json:"created_at"`
	DoneAt     *time.Time `json:"done_at"`
	Resendable bool       `json:"resendable"` // failed, and its content is still here
}

// Filter narrows a list; empty fields match everything.
type Filter struct {
	State   string
	Channel string
	Before  string // id: only older messages, for the next page
}

// List returns messages, newest first.
func List(ctx context.Context, q pg.Querier, f Filter, limit int) ([]Row, error) {
	if f.Before != "" && !id.Valid(f.Before) {
		return nil, ErrNotFound
	}
	rows, err := q.Query(ctx, `
		SELECT id::text, kind, channel, state, coding, parts, attempts, provider_id, error, created_at, done_at,
		       state = 'failed' AND channel IN ('email', 'sms') AND sealed IS NOT NULL
		FROM notify.message
		WHERE ($1 = '' OR state = $1) AND ($2 = '' OR channel = $2) AND ($3 = '' OR id < nullif($3, '')::uuid)
		ORDER BY id DESC LIMIT $4`, f.State, f.Channel, f.Before, limit) // UUIDv7: by time
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
}

// Figures count messages by way since a moment, and what is open at all.
type Figures struct {
	Channel string `json:"channel"`
	Done    int    `json:"done"`    // sent or printed since then
	Failed  int    `json:"failed"`  // failed since then
	Waiting int    `json:"waiting"` // not yet tried, or not yet printed
	Delayed int    `json:"delayed"` // tried in vain at least once, will be tried again
}

// Count returns the figures of each way.
func Count(ctx context.Context, q pg.Querier, since time.Time) ([]Figures, error) {
	rows, err := q.Query(ctx, `
		SELECT c.channel,
		       count(*) FILTER (WHERE m.state IN ('sent', 'printed') AND m.done_at >= $1)::int,
		       count(*) FILTER (WHERE m.state = 'failed' AND m.done_at >= $1)::int,
		       count(*) FILTER (WHERE m.state IN ('queued', 'sending') AND m.error = '')::int,
		       count(*) FILTER (WHERE m.state IN ('queued', 'sending') AND m.error <> '')::int
		FROM unnest(ARRAY['email', 'sms', 'letter', 'none']) WITH ORDINALITY AS c (channel, nr)
		LEFT JOIN notify.message m ON m.channel = c.channel AND (m.done_at IS NULL OR m.done_at >= $1)
		GROUP BY c.channel, c.nr ORDER BY c.nr`, since)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Figures])
}

// mail is a message opened, for the mailbox of local runs.
type opened struct {
	Row
	Content content
}

// To is whom it is for, in one line.
func (o opened) To() string {
	switch {
	case o.Content.Postal != nil:
		return o.Content.Postal.Name
	case o.Content.Email != "":
		return o.Content.Email
	default:
		return o.Content.Phone
	}
}

// open reads delivered messages and letters with their content; onlyID "" means
// all. Only local runs call it.
func (s *Service) open(ctx context.Context, onlyID string, limit int) ([]opened, error) {
	rows, err := s.cfg.Pool.Query(ctx, `
		SELECT m.id::text, m.kind, m.channel, m.state, m.coding, m.parts, m.attempts, m.provider_id, m.error, m.created_at, m.done_at, false,
		       m.sealed, m.key_id::text, k.wrapped
		FROM notify.message m JOIN vault.key k ON k.id = m.key_id
		WHERE m.sealed IS NOT NULL AND (m.state = 'sent' OR m.channel = 'letter') AND ($1 = '' OR m.id = nullif($1, '')::uuid)
		ORDER BY m.id DESC LIMIT $2`, onlyID, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (opened, error) {
		var (
			o               opened
			keyID           string
			sealed, wrapped []byte
		)
		err := r.Scan(&o.ID, &o.Kind, &o.Channel, &o.State, &o.Coding, &o.Parts, &o.Attempts, &o.ProviderID, &o.Error, &o.CreatedAt, &o.DoneAt,
			&o.Resendable, &sealed, &keyID, &wrapped)
		if err != nil {
			return o, err
		}
		key, err := s.cfg.Vault.Unwrap(keyID, wrapped)
		if err == nil {
			err = key.UnsealJSON(sealContext(o.ID), sealed, &o.Content)
		}
		if errors.Is(err, vault.ErrUnreadable) {
			o.Error, err = "unreadable", nil
		}
		return o, err
	})
}
