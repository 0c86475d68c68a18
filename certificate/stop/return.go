package stop

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/translog"
	"impfportal/internal/pg"
	"impfportal/staff/dualcontrol"
)

// Plan says how a return goes on: which share of the issuers each cohort takes,
// in percent of those concerned, and at how many percent of errors it halts.
type Plan struct {
	Shares []int `json:"shares"` // the last cohort takes the rest; at most 20 cohorts
	Budget int   `json:"budget"` // percent
}

func (p Plan) valid() bool {
	sum := 0
	for _, s := range p.Shares {
		if s < 1 {
			return false
		}
		sum += s
	}
	return len(p.Shares) <= 19 && sum < 100 && p.Budget >= 0 && p.Budget <= 100
}

// subject of the proposals about a stop.
func subject(stopID string) string { return "stop:" + stopID }

// ProposeReturn asks two people to approve a plan.
func (s *Service) ProposeReturn(ctx context.Context, stopID string, p Plan, why, accountID string) (proposalID string, err error) {
	if !p.valid() || why == "" {
		return "", ErrInvalid
	}
	return s.propose(ctx, KindReturn, stopID, p, why, accountID, Stopped, Halted)
}

// ProposeLift asks two people to end a stop.
func (s *Service) ProposeLift(ctx context.Context, stopID, why, accountID string) (proposalID string, err error) {
	if why == "" {
		return "", ErrInvalid
	}
	return s.propose(ctx, KindLift, stopID, nil, why, accountID, Stopped, Returning, Halted)
}

func (s *Service) propose(ctx context.Context, kind, stopID string, payload any, why, accountID string, in ...string) (proposalID string, err error) {
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		st, err := s.lock(ctx, tx, stopID, in...)
		if err != nil {
			return err
		}
		var text json.RawMessage
		if payload != nil {
			if text, err = json.Marshal(payload); err != nil {
				return err
			}
		}
		proposalID, err = s.Dual.Propose(ctx, tx, dualcontrol.Proposal{Kind: kind, Subject: subject(st.ID), Payload: text, Why: why, ProposedBy: accountID})
		return err
	})
	return proposalID, err
}

// lock keeps a stop as it is; ErrState unless it is in one of the states.
func (s *Service) lock(ctx context.Context, tx pgx.Tx, stopID string, in ...string) (Stop, error) {
	st, err := Get(ctx, tx, stopID)
	if err != nil {
		return st, err
	}
	if err := tx.QueryRow(ctx, `SELECT state FROM certificate.stop WHERE id = $1 FOR UPDATE`, stopID).Scan(&st.State); err != nil {
		return st, err
	}
	if !slices.Contains(in, st.State) {
		return st, ErrState
	}
	return st, nil
}

func stopOf(p dualcontrol.Proposal) string { return p.Subject[len("stop:"):] }

// applyReturn deals the issuers concerned into cohorts. None is admitted yet.
func (s *Service) applyReturn(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
	var plan Plan
	if err := json.Unmarshal(p.Payload, &plan); err != nil || !plan.valid() {
		return ErrInvalid
	}
	st, err := s.lock(ctx, tx, stopOf(p), Stopped, Halted)
	if err != nil {
		return err
	}
	issuers, err := s.concerned(ctx, tx, st)
	if err != nil {
		return err
	}
	now := s.Now()
	for _, sql := range []string{`DELETE FROM certificate.stop_member WHERE stop_id = $1`, `DELETE FROM certificate.stop_cohort WHERE stop_id = $1`} {
		if _, err := tx.Exec(ctx, sql, st.ID); err != nil {
			return err
		}
	}
	refs, numbers := deal(st.ID, issuers, plan.Shares)
	if _, err := tx.Exec(ctx, `INSERT INTO certificate.stop_cohort (stop_id, number) SELECT $1, g FROM generate_series(1, $2::int) g`, st.ID, len(plan.Shares)+1); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.stop_member (stop_id, issuer_ref, cohort) SELECT $1, r, n FROM unnest($2::text[], $3::int[]) AS t (r, n)`, st.ID, refs, numbers); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE certificate.stop SET state = 'returning', budget = $2, changed_at = $3 WHERE id = $1`, st.ID, plan.Budget, now); err != nil {
		return err
	}
	s.notices.forget()
	return s.note(ctx, tx, st.ID, translog.KindResume, "returning", "system", "admin", now, map[string]any{"cohorts": len(plan.Shares) + 1, "members": len(refs), "proposal": p.ID})
}

// concerned lists the issuers to whom a stop can apply, by what is known of
// them; path and signer do not narrow it.
func (s *Service) concerned(ctx context.Context, q pg.Querier, st Stop) ([]Issuer, error) {
	all, err := s.Issuers(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	return slices.DeleteFunc(all, func(i Issuer) bool {
		return st.Kind != "" && i.Kind != st.Kind || st.Region != "" && i.Region != st.Region
	}), nil
}

// deal puts issuers into cohorts by their shares, in an order that nobody
// chooses: by a hash of stop and issuer. Each share takes at least one.
func deal(stopID string, issuers []Issuer, shares []int) (refs []string, numbers []int) {
	for _, i := range issuers {
		refs = append(refs, i.Ref)
	}
	slices.Sort(refs)
	refs = slices.Compact(refs)
	order := func(ref string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(stopID + " " + ref))
		return h.Sum64()
	}
	slices.SortStableFunc(refs, func(a, b string) int {
		if order(a) < order(b) {
			return -1
		}
		return 1
	})
	numbers = make([]int, 0, len(refs))
	for number, share := range shares {
		for range max(1, len(refs)*share/100) {
			if len(numbers) < len(refs) {
				numbers = append(numbers, number+1)
			}
		}
	}
	for len(numbers) < len(refs) {
		numbers = append(numbers, len(shares)+1)
	}
	return refs, numbers
}

// Admit verifies the members of the next cohort anew and lets those in who
// pass. It returns who did not, and why. An admitted cohort may be asked for
// again, to verify those who failed.
func (s *Service) Admit(ctx context.Context, stopID string, cohort int, actor, role string) (failed map[string]string, err error) {
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		st, err := s.lock(ctx, tx, stopID, Returning)
		if err != nil {
			return err
		}
		var next int
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(number), 0) + 1 FROM certificate.stop_cohort WHERE stop_id = $1 AND admitted_at IS NOT NULL`, st.ID).Scan(&next); err != nil {
			return err
		}
		if cohort < 1 || cohort > next {
			return ErrState // one after the other
		}
		rows, err := tx.Query(ctx, `SELECT issuer_ref FROM certificate.stop_member WHERE stop_id = $1 AND cohort = $2 AND verified_at IS NULL ORDER BY issuer_ref FOR UPDATE`, st.ID, cohort)
		if err != nil {
			return err
		}
		refs, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		if failed, err = s.Verify(ctx, tx, refs); err != nil {
			return fmt.Errorf("verify issuers: %w", err)
		}
		good := slices.DeleteFunc(slices.Clone(refs), func(r string) bool { return failed[r] != "" })
		now := s.Now()
		var bad, why []string
		for r, w := range failed {
			bad, why = append(bad, r), append(why, w)
		}
		if _, err := tx.Exec(ctx, `UPDATE certificate.stop_member SET verified_at = $3, problem = '' WHERE stop_id = $1 AND issuer_ref = ANY ($2)`, st.ID, good, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			UPDATE certificate.stop_member m SET problem = t.why FROM unnest($2::text[], $3::text[]) AS t (ref, why) WHERE m.stop_id = $1 AND m.issuer_ref = t.ref`, st.ID, bad, why); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE certificate.stop_cohort SET admitted_at = coalesce(admitted_at, $3), admitted_by = coalesce(admitted_by, $4) WHERE stop_id = $1 AND number = $2`, st.ID, cohort, now, actor)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		if _, err := tx.Exec(ctx, `UPDATE certificate.stop SET changed_at = $2 WHERE id = $1`, st.ID, now); err != nil {
			return err
		}
		if s.Lifted != nil {
			if err := s.Lifted(ctx, tx, good); err != nil {
				return err
			}
		}
		return s.note(ctx, tx, st.ID, translog.KindResume, "cohort "+strconv.Itoa(cohort), actor, role, now, map[string]any{"cohort": cohort, "verified": len(good), "failed": len(bad)})
	})
	if err != nil {
		return nil, err
	}
	s.notices.forget()
	return failed, nil
}

// minErrors is how many errors a return bears at least: a single one says
// nothing about a share.
const minErrors = 3

// Fail counts something that went wrong for an issuer: a certificate that could
// not be made, an alarm. When that uses up the error budget of a return under
// which the issuer was admitted, the return halts.
func (s *Service) Fail(ctx context.Context, tx pgx.Tx, issuerRef, what string) error {
	rows, err := tx.Query(ctx, `
		SELECT s.id::text FROM certificate.stop s JOIN certificate.stop_member m ON m.stop_id = s.id AND m.issuer_ref = $1 AND m.verified_at IS NOT NULL
		  JOIN certificate.stop_cohort c ON c.stop_id = m.stop_id AND c.number = m.cohort AND c.admitted_at IS NOT NULL
		 WHERE s.state = 'returning' ORDER BY s.id`, issuerRef)
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	stops, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	for _, stopID := range stops {
		if err := s.fail(ctx, tx, stopID, issuerRef, what); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
	}
	return nil
}

func (s *Service) fail(ctx context.Context, tx pgx.Tx, stopID, issuerRef, what string) error {
	now := s.Now()
	if _, err := s.lock(ctx, tx, stopID, Returning); err != nil {
		if err == ErrState { //nolint:errorlint // of this package
			return nil
		}
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO certificate.stop_error (stop_id, issuer_ref, at, what) VALUES ($1, $2, $3, $4)`, stopID, issuerRef, now, what); err != nil {
		return err
	}
	h, err := health(ctx, tx, stopID)
	if err != nil || !h.Spent() {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE certificate.stop SET state = 'halted', changed_at = $2 WHERE id = $1`, stopID, now); err != nil {
		return err
	}
	s.notices.forget()
	s.Slog.ErrorContext(ctx, "the return of issuers halted by itself", "stop", stopID, "errors", h.Errors, "made", h.Made)
	return s.note(ctx, tx, stopID, translog.KindStop, "halted", "system", "worker", now, map[string]any{"errors": h.Errors, "made": h.Made, "budget": h.Budget})
}

// Health is how a return goes.
type Health struct {
	Made, Errors int // by members of admitted cohorts since their admission
	Budget       int // percent
}

// Spent reports whether the error budget is used up.
func (h Health) Spent() bool {
	return h.Errors >= minErrors && h.Errors*100 > h.Budget*(h.Made+h.Errors)
}

func health(ctx context.Context, q pg.Querier, stopID string) (h Health, err error) {
	err = q.QueryRow(ctx, `
		SELECT s.budget,
		       (SELECT count(*) FROM certificate.stop_error e WHERE e.stop_id = s.id AND e.at >= coalesce((SELECT min(admitted_at) FROM certificate.stop_cohort c WHERE c.stop_id = s.id), s.since)),
		       (SELECT count(*) FROM certificate.stop_member m JOIN certificate.stop_cohort c ON c.stop_id = m.stop_id AND c.number = m.cohort
		          JOIN certificate.certificate x ON x.issuer_ref = m.issuer_ref AND x.signed_at >= c.admitted_at
		         WHERE m.stop_id = s.id AND m.verified_at IS NOT NULL)
		  FROM certificate.stop s WHERE s.id = $1`, stopID).Scan(&h.Budget, &h.Errors, &h.Made)
	return h, err
}

// applyLift ends a stop.
func (s *Service) applyLift(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
	st, err := s.lock(ctx, tx, stopOf(p), Stopped, Returning, Halted)
	if err != nil {
		return err
	}
	now := s.Now()
	if _, err := tx.Exec(ctx, `UPDATE certificate.stop SET state = 'lifted', lifted_at = $2, lifted_by = $3, changed_at = $2 WHERE id = $1`, st.ID, now, p.ID); err != nil {
		return err
	}
	if s.Lifted != nil {
		issuers, err := s.concerned(ctx, tx, st)
		if err != nil {
			return err
		}
		refs := make([]string, len(issuers))
		for i, x := range issuers {
			refs[i] = x.Ref
		}
		if err := s.Lifted(ctx, tx, refs); err != nil {
			return err
		}
	}
	s.notices.forget()
	return s.note(ctx, tx, st.ID, translog.KindResume, "lifted", "system", "admin", now, map[string]any{"proposal": p.ID})
}

// Cohort is one group of a return.
type Cohort struct {
	Number                      int
	Members, Verified, Problems int
	AdmittedAt                  *time.Time
}

// Cohorts returns the groups of a return, in order.
func Cohorts(ctx context.Context, q pg.Querier, stopID string) ([]Cohort, error) {
	rows, err := q.Query(ctx, `
		SELECT c.number, count(m.issuer_ref), count(m.verified_at), count(*) FILTER (WHERE m.problem <> ''), c.admitted_at
		  FROM certificate.stop_cohort c LEFT JOIN certificate.stop_member m ON m.stop_id = c.stop_id AND m.cohort = c.number
		 WHERE c.stop_id = $1 GROUP BY c.number, c.admitted_at ORDER BY c.number`, stopID)
	if err != nil {
		return nil, fmt.Errorf("cohorts: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Cohort, err error) {
		return c, row.Scan(&c.Number, &c.Members, &c.Verified, &c.Problems, &c.AdmittedAt)
	})
}
