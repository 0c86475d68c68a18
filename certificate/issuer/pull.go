package issuer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/issuer/registry"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Fetch gets the bytes of a signed list.
type Fetch func(ctx context.Context) ([]byte, error)

const fetchTimeout = time.Minute

// FetchFrom reads a file, or a web server when source is an https address (http
// too where insecure, for local runs). Redirects are not followed: the address is
// a setting.
func FetchFrom(source string, insecure bool) (Fetch, error) {
	u, err := url.Parse(source)
	if err != nil || u.Scheme == "" || u.Scheme == "file" {
		path := source
		if err == nil && u.Scheme == "file" {
			path = u.Path
		}
		return func(context.Context) ([]byte, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer func() { _ = f.Close() }()
			return limited(f)
		}, nil
	}
	if u.Scheme != "https" && !(insecure && u.Scheme == "http") {
		return nil, fmt.Errorf("the registry's address must be a file or begin with https://, not %s", u.Scheme)
	}
	client := &http.Client{Timeout: fetchTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context) ([]byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return nil, err
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("registry: status %d", res.StatusCode)
		}
		return limited(res.Body)
	}, nil
}

// limited reads one byte more than a list may have, so that the excess is seen.
func limited(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, registry.MaxBytes+1)) }

// Pull is what came of a look at the registry.
type Pull struct {
	ID                   string     `json:"id"`
	At                   time.Time  `json:"at"`
	Outcome              string     `json:"outcome" enum:"applied,unchanged,refused,failed"`
	Problem              string     `json:"problem,omitempty" doc:"signature, format, too_large, expired, future, rollback, forked or unreachable"`
	Bytes                int64      `json:"bytes"`
	SHA256               []byte     `json:"sha256"`
	Sequence             *int64     `json:"sequence"`
	IssuedAt, NextUpdate *time.Time `json:"-"`
	Entries              int        `json:"entries"`
	Added, Changed       int        `json:"-"`
	Missing, Held        int        `json:"-"`
	Suspended            int        `json:"suspended" doc:"issuers that it suspended"`
}

// problems are the codes of what a list is refused for.
var problems = []struct {
	err  error
	code string
}{
	{registry.ErrTooLarge, "too_large"},
	{registry.ErrSignature, "signature"},
	{registry.ErrFormat, "format"},
	{registry.ErrExpired, "expired"},
	{registry.ErrFuture, "future"},
	{registry.ErrRollback, "rollback"},
	{registry.ErrForked, "forked"},
}

func problemOf(err error) string {
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return p.code
		}
	}
	return ""
}

// Pull fetches the registry, checks it, stores what came of it and applies what
// it changes. A list that is refused is no error here: it stands in the Pull, and
// nothing changed.
func (s *Service) Pull(ctx context.Context) (Pull, error) {
	p := Pull{ID: id.New(), At: s.Now().UTC()}
	if s.Fetch == nil {
		return p, ErrRegistry
	}
	raw, err := s.Fetch(ctx)
	if err != nil {
		s.Log.Error("registry cannot be fetched", "err", err)
		p.Outcome, p.Problem = "failed", "unreachable"
		return p, s.stored(ctx, p)
	}
	p.Bytes, p.SHA256 = int64(len(raw)), registry.Hash(raw)
	l, err := registry.Open(raw, s.Authority)
	if err == nil {
		p.Sequence, p.IssuedAt, p.NextUpdate, p.Entries = &l.Sequence, &l.IssuedAt, &l.NextUpdate, len(l.Entries)
		err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.take(ctx, tx, l, &p) })
	}
	if code := problemOf(err); code != "" {
		s.Log.Error("registry refused", "problem", code, "err", err)
		p.Outcome, p.Problem, p.Added, p.Changed, p.Missing, p.Held, p.Suspended = "refused", code, 0, 0, 0, 0, 0
		return p, s.stored(ctx, p)
	}
	return p, err
}

func (s *Service) stored(ctx context.Context, p Pull) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return store(ctx, tx, p) })
}

func store(ctx context.Context, tx pgx.Tx, p Pull) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO certificate.registry_pull (id, at, outcome, problem, bytes, sha256, sequence, issued_at, next_update, entries, added, changed, missing, held, suspended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		ON CONFLICT (id) DO UPDATE SET suspended = excluded.suspended`,
		p.ID, p.At, p.Outcome, p.Problem, p.Bytes, p.SHA256, p.Sequence, p.IssuedAt, p.NextUpdate, p.Entries, p.Added, p.Changed, p.Missing, p.Held, p.Suspended)
	if err != nil {
		return fmt.Errorf("store pull: %w", err)
	}
	return nil
}

// lockRegistry lets one program at a time change entries.
func lockRegistry(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('certificate.registry'))`)
	return err
}

// take applies a list whose signature holds, and stores the pull.
func (s *Service) take(ctx context.Context, tx pgx.Tx, l registry.List, p *Pull) error {
	if err := lockRegistry(ctx, tx); err != nil {
		return err
	}
	var have registry.Have
	err := tx.QueryRow(ctx, `SELECT sequence, sha256 FROM certificate.registry_head`).Scan(&have.Sequence, &have.Hash)
	if err != nil && !pg.NoRows(err) {
		return err
	}
	same, err := l.Acceptable(p.SHA256, have, p.At)
	if err != nil {
		return err
	}
	if p.Outcome = "unchanged"; same {
		return store(ctx, tx, *p)
	}
	p.Outcome = "applied"
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.registry_head (authority, sequence, sha256, issued_at, next_update, applied_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (one) DO UPDATE SET authority = excluded.authority, sequence = excluded.sequence, sha256 = excluded.sha256,
			issued_at = excluded.issued_at, next_update = excluded.next_update, applied_at = excluded.applied_at`,
		l.Authority, l.Sequence, p.SHA256, l.IssuedAt, l.NextUpdate, p.At); err != nil {
		return err
	}
	if err := s.apply(ctx, tx, l, p); err != nil {
		return err
	}
	if err := store(ctx, tx, *p); err != nil {
		return err
	}
	return audit.Write(ctx, tx, p.At, audit.Entry{Actor: "system", Action: "registry.applied", Subject: "registry", After: map[string]any{
		"sequence": l.Sequence, "entries": p.Entries, "added": p.Added, "changed": p.Changed, "missing": p.Missing, "held": p.Held, "suspended": p.Suspended,
	}})
}

// Head is the list that holds.
type Head struct {
	Authority            string
	Sequence             int64
	SHA256               []byte
	IssuedAt, NextUpdate time.Time
	AppliedAt            time.Time
}

// Head returns the list that holds, or ErrRegistry when there is none.
func (s *Service) Head(ctx context.Context, q pg.Querier) (h Head, err error) {
	err = q.QueryRow(ctx, `SELECT authority, sequence, sha256, issued_at, next_update, applied_at FROM certificate.registry_head`).
		Scan(&h.Authority, &h.Sequence, &h.SHA256, &h.IssuedAt, &h.NextUpdate, &h.AppliedAt)
	if pg.NoRows(err) {
		err = ErrRegistry
	}
	return h, err
}

// Stale tells whether the list is past its next update: an alarm.
func (h Head) Stale(now time.Time) bool { return !now.Before(h.NextUpdate) }

// fresh returns ErrRegistry when nothing new may begin.
func (s *Service) fresh(ctx context.Context, q pg.Querier, now time.Time) error {
	h, err := s.Head(ctx, q)
	if err == nil && h.Stale(now.Add(-s.Grace)) {
		err = ErrRegistry
	}
	return err
}

// today is the calendar day of a moment in Berlin.
func today(now time.Time) time.Time { return clock.Day(now) }
