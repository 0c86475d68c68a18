// Package jobs carries facts from a Postgres transaction to the worker.
//
// asynq cannot join a Postgres transaction. So the row in jobs.outbox is
// written in the transaction of the fact (Kind.Enqueue); the relay hands it to
// asynq under the task id "row:attempt" and takes a conflict as 'it exists',
// never as 'it is done'; the wrapper around the handler sets done_at in
// Postgres; the reconciler re-drives rows that stay undone under the next
// attempt, also after Redis lost everything. Delivery is at least once:
// handlers are idempotent. Payloads carry ids and nothing else.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Kind is a typed task. It is declared once, by the package that owns the
// event, and may be handled by a package to its right.
type Kind[P any] struct{ name string }

// Define declares a task kind; name is "slice.event".
func Define[P any](name string) Kind[P] { return Kind[P]{name: name} }

// Name returns the kind's name as it stands in the outbox.
func (k Kind[P]) Name() string { return k.name }

// Enqueue writes the task into the outbox within tx. The task exists exactly
// when tx commits.
func (k Kind[P]) Enqueue(ctx context.Context, tx pgx.Tx, payload P) error {
	b, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("task %s: %w", k.name, err)
	}
	if _, err := tx.Exec(ctx, `SELECT jobs.enqueue($1, $2)`, k.name, b); err != nil {
		return fmt.Errorf("task %s: %w", k.name, err)
	}
	return nil
}

// permanent marks an error after which trying again is useless.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent wraps err: the task is not tried again and stays visible as failed.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether err was wrapped by Permanent.
func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}

// Handler is what the worker calls for a task of one kind.
type handler func(ctx context.Context, payload []byte) error

// Mux knows the handlers of all kinds.
type Mux struct{ handlers map[string][]handler }

// NewMux returns an empty Mux.
func NewMux() *Mux { return &Mux{handlers: map[string][]handler{}} }

// Handle registers fn for kind k. Several slices may handle one kind; they run
// one after the other, and a failure of one re-drives all, so each must be
// idempotent. A payload that cannot be read is not tried again.
func Handle[P any](m *Mux, k Kind[P], fn func(ctx context.Context, p P) error) {
	m.handlers[k.name] = append(m.handlers[k.name], func(ctx context.Context, payload []byte) error {
		var p P
		if err := json.Unmarshal(payload, &p); err != nil {
			return Permanent(fmt.Errorf("payload of %s: %w", k.name, err))
		}
		return fn(ctx, p)
	})
}

// Kinds lists the kinds that have a handler.
func (m *Mux) Kinds() []string {
	out := make([]string, 0, len(m.handlers))
	for k := range m.handlers {
		out = append(out, k)
	}
	return out
}

func (m *Mux) run(ctx context.Context, kind string, payload []byte) error {
	hs := m.handlers[kind]
	if len(hs) == 0 {
		return fmt.Errorf("no handler for task kind %q", kind)
	}
	for _, h := range hs {
		if err := h(ctx, payload); err != nil {
			return err
		}
	}
	return nil
}
