package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/issuer/brake"
	"impfportal/internal/pg"
	"impfportal/staff/dualcontrol"
)

// The rules for all issuers that two administrators loosen.
const (
	KindAllowance = "issuer.allowance" // its subject: "pharmacy:new", "pharmacy:settled"
	KindThreshold = "issuer.threshold" // its subject: "crowd:all", "crowd:pharmacy"
)

// ErrSame says that a rule says already what it was to say.
var ErrSame = errors.New("issuer: the rule says that already")

// ruleSubject is what audit calls the rules.
const ruleSubject = "issuer-rules"

// ruleKinds are the kinds of issuers, in the order of the pages; "" = all others.
var ruleKinds = []string{"", "pharmacy", "practice", "centre", "mobile"}

// ruleAlarms are the alarms that have a threshold, in the order of the pages.
var ruleAlarms = []string{brake.Crowd, brake.Names, brake.OddHours, brake.LotFast, brake.Appointments, brake.Repeat, brake.SeenDay, brake.SeenUsual}

// Allowance is what issuers of a kind may that have no limits of their own.
type Allowance struct {
	Kind    string
	Settled bool // false = until NewDays after their activation
	NewDays int
	From    time.Time
	SetBy   string // actor, as in audit
	Limits
}

func (a Allowance) subject() string { return a.Kind + ":" + a.age() }

// age names which of a kind's two allowances it is.
func (a Allowance) age() string {
	if a.Settled {
		return "settled"
	}
	return "new"
}

// Allowances returns what holds at a moment, by kind, that for new issuers first.
func Allowances(ctx context.Context, q pg.Querier, at time.Time) ([]Allowance, error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (kind, settled) kind, settled, new_days, from_at, set_by, hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses
		  FROM certificate.issuer_allowance WHERE from_at <= $1 ORDER BY kind, settled, from_at DESC`, at)
	if err != nil {
		return nil, fmt.Errorf("allowances: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Allowance, err error) {
		return a, row.Scan(&a.Kind, &a.Settled, &a.NewDays, &a.From, &a.SetBy, &a.Hourly, &a.Burst, &a.OperatorHourly, &a.OperatorBurst, &a.SeenHourly, &a.SeenBurst, &a.WeeklyDoses)
	})
	slices.SortStableFunc(out, func(a, b Allowance) int { return slices.Index(ruleKinds, a.Kind) - slices.Index(ruleKinds, b.Kind) })
	return out, err
}

// Threshold is when an alarm trips for a kind of issuers.
type Threshold struct {
	brake.Threshold

	Kind  string // "" = all that have none of their own
	Own   bool   // false = that of all others, for a kind that has none
	From  time.Time
	SetBy string
}

func (t Threshold) subject() string { return t.Alarm + ":" + t.kindName() }

// kindName is the kind as addresses and proposals name it.
func (t Threshold) kindName() string {
	if t.Kind == "" {
		return "all"
	}
	return t.Kind
}

// stricter tells whether t trips whenever o does, or more often.
func (t Threshold) stricter(o Threshold) bool {
	return t.AtLeast <= o.AtLeast && t.Ratio <= o.Ratio && (t.Window == o.Window || t.Window > o.Window && t.Ratio == 0)
}

// valid tells whether a threshold can be stored, as the table's check.
func (t Threshold) valid() bool {
	return t.AtLeast >= 1 && t.AtLeast <= 100_000 && t.Ratio >= 0 && t.Ratio <= 100 && t.Window >= time.Minute && t.Window <= 24*time.Hour && t.Window%time.Minute == 0
}

// payload is a threshold as a proposal carries it.
func (t Threshold) payload() thresholdPayload {
	return thresholdPayload{t.AtLeast, t.Ratio, int(t.Window / time.Second)}
}

type thresholdPayload struct {
	AtLeast int     `json:"at_least"`
	Ratio   float64 `json:"ratio"`
	Seconds int     `json:"seconds"`
}

// Thresholds returns what holds at a moment: for each alarm that of all others, and
// one for each kind of issuers.
func Thresholds(ctx context.Context, q pg.Querier, at time.Time) (out []Threshold, err error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT ON (alarm, issuer_kind) alarm, issuer_kind, from_at, set_by, at_least, ratio, seconds
		  FROM certificate.issuer_threshold WHERE from_at <= $1 ORDER BY alarm, issuer_kind, from_at DESC`, at)
	if err != nil {
		return nil, fmt.Errorf("thresholds: %w", err)
	}
	held := map[string]Threshold{}
	var (
		t       Threshold
		seconds int
	)
	if _, err := pgx.ForEachRow(rows, []any{&t.Alarm, &t.Kind, &t.From, &t.SetBy, &t.AtLeast, &t.Ratio, &seconds}, func() error {
		t.Window, t.Own = time.Duration(seconds)*time.Second, true
		held[t.subject()] = t
		return nil
	}); err != nil {
		return nil, fmt.Errorf("thresholds: %w", err)
	}
	for _, alarm := range ruleAlarms {
		for _, kind := range ruleKinds {
			t := Threshold{Threshold: brake.Threshold{Alarm: alarm}, Kind: kind}
			own, ok := held[t.subject()]
			if !ok {
				own = held[alarm+":all"]
				own.Kind, own.Own = kind, false
			}
			out = append(out, own)
		}
	}
	return out, nil
}

// SetAllowance tightens what issuers of a kind may at once, or puts more before two
// administrators: then proposalID is not empty. Issuers with limits of their own keep
// them. ErrNotFound for an allowance that there is not, ErrSame, ErrProposed.
func (s *Service) SetAllowance(ctx context.Context, kind string, settled bool, l Limits, why, by string) (proposalID string, err error) {
	err = s.changeRules(ctx, func(tx pgx.Tx, now time.Time) error {
		held, err := allowanceOf(ctx, tx, Allowance{Kind: kind, Settled: settled}.subject(), now)
		switch {
		case err != nil:
			return err
		case l == held.Limits:
			return ErrSame
		case l.within(held.Limits):
			return s.putAllowance(ctx, tx, held, l, "", "staff:"+by, now)
		}
		proposalID, err = s.proposeRule(ctx, tx, KindAllowance, held.subject(), l, why, by)
		return err
	})
	return proposalID, err
}

// SetThreshold lets an alarm trip earlier at once, or puts a later one before two
// administrators. Of t count Alarm, Kind, AtLeast, Ratio and Window. Errors as of
// SetAllowance.
func (s *Service) SetThreshold(ctx context.Context, t Threshold, why, by string) (proposalID string, err error) {
	err = s.changeRules(ctx, func(tx pgx.Tx, now time.Time) error {
		held, err := thresholdOf(ctx, tx, t.subject(), now)
		switch {
		case err != nil:
			return err
		case t.payload() == held.payload():
			return ErrSame
		case t.stricter(held):
			return s.putThreshold(ctx, tx, held, t, "", "staff:"+by, now)
		}
		proposalID, err = s.proposeRule(ctx, tx, KindThreshold, t.subject(), t.payload(), why, by)
		return err
	})
	return proposalID, err
}

// changeRules lets one program at a time change rules.
func (s *Service) changeRules(ctx context.Context, do func(tx pgx.Tx, now time.Time) error) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('certificate.issuer_rules'))`); err != nil {
			return err
		}
		return do(tx, s.Now())
	})
}

func (s *Service) proposeRule(ctx context.Context, tx pgx.Tx, kind, subject string, payload any, why, by string) (string, error) {
	if _, open, err := dualcontrol.OpenFor(ctx, tx, kind, subject); err != nil || open {
		if open {
			err = ErrProposed
		}
		return "", err
	}
	b, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	return s.Dual.Propose(ctx, tx, dualcontrol.Proposal{Kind: kind, Subject: subject, Payload: b, Why: why, ProposedBy: by})
}

func (s *Service) putAllowance(ctx context.Context, tx pgx.Tx, held Allowance, l Limits, proposalID, by string, now time.Time) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer_allowance (kind, settled, from_at, hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, new_days, approval, set_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, nullif($12, '')::uuid, $13)`,
		held.Kind, held.Settled, now, l.Hourly, l.Burst, l.OperatorHourly, l.OperatorBurst, l.SeenHourly, l.SeenBurst, l.WeeklyDoses, held.NewDays, proposalID, by); err != nil {
		return fmt.Errorf("allowance: %w", err)
	}
	return s.ruled(ctx, tx, KindAllowance, held.subject(), held.Limits, l, map[string]string{
		"rule": "allowance", "for": held.subject(), "hourly": fmt.Sprint(l.Hourly), "seen_hourly": fmt.Sprint(l.SeenHourly), "weekly_doses": fmt.Sprint(l.WeeklyDoses),
	}, by, now)
}

func (s *Service) putThreshold(ctx context.Context, tx pgx.Tx, held, t Threshold, proposalID, by string, now time.Time) error {
	p := t.payload()
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer_threshold (alarm, issuer_kind, from_at, at_least, ratio, seconds, approval, set_by) VALUES ($1, $2, $3, $4, $5, $6, nullif($7, '')::uuid, $8)`,
		t.Alarm, t.Kind, now, p.AtLeast, p.Ratio, p.Seconds, proposalID, by); err != nil {
		return fmt.Errorf("threshold: %w", err)
	}
	return s.ruled(ctx, tx, KindThreshold, t.subject(), held.payload(), p, map[string]string{
		"rule": "threshold", "for": t.subject(), "at_least": fmt.Sprint(p.AtLeast), "ratio": fmt.Sprint(p.Ratio), "seconds": fmt.Sprint(p.Seconds),
	}, by, now)
}

// ruled writes a changed rule to audit and log.
func (s *Service) ruled(ctx context.Context, tx pgx.Tx, action, subject string, before, after any, detail map[string]string, by string, now time.Time) error {
	if err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: by, Role: "admin", Action: action, Subject: ruleSubject, Before: map[string]any{"of": subject, "is": before}, After: map[string]any{"of": subject, "is": after},
	}); err != nil || s.Leaf == nil {
		return err
	}
	return s.Config.Leaf(ctx, tx, fmt.Sprintf("rule:%s:%d", subject, now.UnixNano()), Leaf{Kind: "limit", Day: today(now), Detail: detail})
}

// allowanceOf and thresholdOf find the rule that a proposal's subject names.
func allowanceOf(ctx context.Context, q pg.Querier, subject string, at time.Time) (Allowance, error) {
	list, err := Allowances(ctx, q, at)
	if err != nil {
		return Allowance{}, err
	}
	if n := slices.IndexFunc(list, func(a Allowance) bool { return a.subject() == subject }); n >= 0 {
		return list[n], nil
	}
	return Allowance{}, ErrNotFound
}

func thresholdOf(ctx context.Context, q pg.Querier, subject string, at time.Time) (Threshold, error) {
	list, err := Thresholds(ctx, q, at)
	if err != nil {
		return Threshold{}, err
	}
	if n := slices.IndexFunc(list, func(t Threshold) bool { return t.subject() == subject }); n >= 0 {
		return list[n], nil
	}
	return Threshold{}, ErrNotFound
}

// applyRule carries out what two have approved. The triggers ask for the two once more.
func (s *Service) applyRule(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
	now := s.Now()
	if p.Kind == KindAllowance {
		held, err := allowanceOf(ctx, tx, p.Subject, now)
		if err != nil {
			return err
		}
		var l Limits
		if err := json.Unmarshal(p.Payload, &l); err != nil {
			return err
		}
		return s.putAllowance(ctx, tx, held, l, p.ID, "proposal:"+p.ID, now)
	}
	held, err := thresholdOf(ctx, tx, p.Subject, now)
	if err != nil {
		return err
	}
	t, err := held.with(p.Payload)
	if err != nil {
		return err
	}
	return s.putThreshold(ctx, tx, held, t, p.ID, "proposal:"+p.ID, now)
}

// with is the threshold with the numbers of a proposal.
func (t Threshold) with(payload []byte) (Threshold, error) {
	var p thresholdPayload
	err := json.Unmarshal(payload, &p)
	t.AtLeast, t.Ratio, t.Window = p.AtLeast, p.Ratio, time.Duration(p.Seconds)*time.Second
	return t, err
}
