package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// Rule says how the rows of a table end.
type Rule struct {
	Name   string // "citizen.registration"
	Table  string // "citizen.person"
	Why    string // the sentence that stands in the report
	Policy string // key of retention.policy; "" when the rule has its own end (an expired hold)
	// Run deletes at most limit rows that are older than now minus keep (keep
	// is 0 without a policy) and returns how many. It is called again, in a
	// new transaction, until it returns fewer than limit.
	Run func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (deleted int64, err error)
}

// Exempt states why a table has no rule.
type Exempt struct{ Table, Why string }

const batch = 1000

// Service runs the rules.
type Service struct {
	pool  *pgxpool.Pool
	now   clock.Clock
	rules []Rule
}

// New makes the service over the rules of all slices.
func New(pool *pgxpool.Pool, now clock.Clock, rules []Rule) *Service {
	return &Service{pool: pool, now: now, rules: append(rules, ownRules()...)}
}

// Rules returns all rules.
func (s *Service) Rules() []Rule { return s.rules }

// Keep returns how long the policy keeps something on the day of now.
func Keep(ctx context.Context, q pg.Querier, key string, now time.Time) (time.Duration, error) {
	var days int
	err := q.QueryRow(ctx, `SELECT keep_days FROM retention.policy WHERE key = $1 AND effective_from <= $2 ORDER BY effective_from DESC LIMIT 1`,
		key, clock.Day(now)).Scan(&days)
	if err != nil {
		return 0, fmt.Errorf("retention policy %q: %w", key, err)
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// Result is what one rule did in one run.
type Result struct {
	Rule    string
	Deleted int64
	Err     error
}

// Run carries out all rules once. A rule that fails is recorded and does not
// keep the others from running. progress may be nil.
func (s *Service) Run(ctx context.Context, now time.Time, progress *jobs.Progress) ([]Result, error) {
	var out []Result
	var failed error
	for i, r := range s.rules {
		progress.Step(ctx, int64(i), r.Name)
		n, err := s.runRule(ctx, r, now)
		out = append(out, Result{Rule: r.Name, Deleted: n, Err: err})
		if err != nil && failed == nil {
			failed = fmt.Errorf("rule %s: %w", r.Name, err)
		}
	}
	progress.Step(ctx, int64(len(s.rules)), "")
	return out, failed
}

func (s *Service) runRule(ctx context.Context, r Rule, now time.Time) (total int64, err error) {
	var keep time.Duration
	if r.Policy != "" {
		if keep, err = Keep(ctx, s.pool, r.Policy, now); err != nil {
			return 0, err
		}
	}
	started := s.now()
	for {
		var n int64
		err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
			n, err = r.Run(ctx, tx, now, keep, batch)
			return err
		})
		total += n
		if err != nil || n < batch {
			break
		}
	}
	if total == 0 && err == nil {
		return 0, nil
	}
	var text *string
	if err != nil {
		e := err.Error()
		text = &e
	}
	_, logErr := s.pool.Exec(context.WithoutCancel(ctx), `
		INSERT INTO retention.run (rule, started_at, finished_at, cutoff, deleted, error) VALUES ($1, $2, $3, $4, $5, $6)`,
		r.Name, started, s.now(), now.Add(-keep), total, text)
	if err == nil {
		err = logErr
	}
	return total, err
}

// Jobs runs the rules every ten minutes.
func (s *Service) Jobs() []jobs.Periodic {
	return []jobs.Periodic{{Name: "retention.run", Every: 10 * time.Minute, Run: func(ctx context.Context, now time.Time) error {
		_, err := s.Run(ctx, now, nil)
		return err
	}}}
}

// SetPolicy puts a new period in force from a day on; the present and earlier
// rows stay as they were, for the proof.
func (s *Service) SetPolicy(ctx context.Context, key string, from time.Time, keepDays int, why, actor string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := Keep(ctx, tx, key, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO retention.policy (key, effective_from, keep_days, why, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (key, effective_from) DO UPDATE SET keep_days = excluded.keep_days, why = excluded.why, set_by = excluded.set_by, set_at = excluded.set_at`,
			key, from, keepDays, why, actor, now)
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: "admin", Action: "retention.policy", Subject: "policy:" + key,
			Before: map[string]any{"keep_days": int(before.Hours() / 24)},
			After:  map[string]any{"keep_days": keepDays, "from": from.Format(time.DateOnly), "why": why},
		})
	})
}

// ownRules end the technical rows that belong to no slice.
func ownRules() []Rule {
	del := func(sql string) func(context.Context, pgx.Tx, time.Time, time.Duration, int) (int64, error) {
		return func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, sql, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		}
	}
	return []Rule{
		{
			Name: "jobs.outbox", Table: "jobs.outbox", Policy: "technical", Why: "finished tasks",
			Run: del(`DELETE FROM jobs.outbox WHERE id IN (SELECT id FROM jobs.outbox WHERE done_at < $1 LIMIT $2)`),
		},
		{
			Name: "jobs.period", Table: "jobs.period", Policy: "technical", Why: "runs of periodic jobs",
			Run: del(`DELETE FROM jobs.period WHERE ctid IN (SELECT ctid FROM jobs.period WHERE started_at < $1 LIMIT $2)`),
		},
		{
			Name: "jobs.progress", Table: "jobs.progress", Policy: "technical", Why: "progress of long work",
			Run: del(`DELETE FROM jobs.progress WHERE id IN (SELECT id FROM jobs.progress WHERE updated_at < $1 LIMIT $2)`),
		},
		{
			Name: "web.session", Table: "web.session", Why: "expired logins",
			Run: del(`DELETE FROM web.session WHERE token_hash IN (SELECT token_hash FROM web.session WHERE expires_at < $1 LIMIT $2)`),
		},
	}
}

// ownExempt names the tables of the foundation that are kept.
func ownExempt() []Exempt {
	return []Exempt{
		{"audit.entry", "the record is append-only and holds ids, never personal data"},
		{"retention.policy", "settings, and the proof of what was in force"},
		{"retention.run", "the proof of deletion; numbers only"},
		{"staff.account", "accounts are disabled, not deleted: the record refers to them"},
		{"vault.key", "a key ends with the person, record or message that it belongs to"},
		{"public.goose_db_version", "the version of the schema"},
	}
}

// Uncovered returns the tables of the database that neither a rule nor an
// exemption names. It is empty in a correct program.
func (s *Service) Uncovered(ctx context.Context, exempt []Exempt) ([]string, error) {
	known := map[string]bool{}
	for _, r := range s.rules {
		known[r.Table] = true
	}
	for _, e := range append(exempt, ownExempt()...) {
		known[e.Table] = true
	}
	rows, err := s.pool.Query(ctx, `
		SELECT schemaname || '.' || tablename FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range tables {
		if !known[t] {
			out = append(out, t)
		}
	}
	return out, nil
}
