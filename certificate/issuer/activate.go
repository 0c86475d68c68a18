package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/staff/dualcontrol"
)

// The changes that two administrators approve. The subject of a proposal is the
// issuer's id.
const (
	KindActivate   = "issuer.activate"
	KindResume     = "issuer.resume"
	KindReactivate = "issuer.reactivate"
	KindLimits     = "issuer.limits"
)

var proposalKinds = []string{KindActivate, KindResume, KindReactivate, KindLimits}

// kindFor is what brings an issuer (back) to work from its state; "" = nothing does.
func kindFor(i Issuer) string {
	switch {
	case i.State == Proven:
		return KindActivate
	case i.State == Paused:
		return KindResume
	case i.State == Suspended && !i.Reverify:
		return KindReactivate
	}
	return ""
}

// Propose puts before two administrators that an issuer may work (again); which
// kind of proposal that is follows from its state. It returns ErrState, ErrNoKey,
// ErrProposed, ErrSuspended, ErrRegistry, or the proposal's id.
func (s *Service) Propose(ctx context.Context, issuerID, why, by string) (proposalID string, err error) {
	now := s.Now()
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.id = $1 FOR NO KEY UPDATE OF i`, issuerID)
		if err != nil {
			return err
		}
		kind := kindFor(i)
		if kind == "" {
			return ErrState
		}
		if err := s.mayWork(ctx, tx, i, now); err != nil {
			return err
		}
		payload, err := json.Marshal(placeOf(i))
		if err != nil {
			return err
		}
		proposalID, err = s.propose(ctx, tx, i, kind, payload, why, by)
		return err
	})
	return proposalID, err
}

// place names the registry's entry as those who approve have seen it: what a proposal
// is bound to.
type place struct {
	Entry string `json:"entry"` // SHA-256, hex
}

func placeOf(i Issuer) place {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{i.EntryID, i.Name, i.Street, i.Postcode, i.City}, i.Keys...), "\x00")))
	return place{hex.EncodeToString(sum[:])}
}

// mayWork tells what stands against an issuer's activation besides two people. One
// whose number the registry has given to another kind of place stays what it was, and
// does not come back: it ends, and the place claims anew.
func (s *Service) mayWork(ctx context.Context, q pg.Querier, i Issuer, now time.Time) error {
	if !i.CarriedOn(today(now)) || i.EntryState != entryListed {
		return ErrSuspended
	}
	var kind string
	if err := q.QueryRow(ctx, `SELECT kind FROM certificate.registry_entry WHERE id = $1`, i.EntryID).Scan(&kind); err != nil {
		return fmt.Errorf("kind of entry: %w", err)
	}
	if kind != i.Kind {
		return ErrState
	}
	if err := s.fresh(ctx, q, now); err != nil {
		return err
	}
	ok, err := reachable(ctx, q, i)
	if err == nil && !ok {
		err = ErrNoKey
	}
	return err
}

// propose bars the issuer's own people, and who had its letter with the code in their
// hands: nobody approves themselves.
func (s *Service) propose(ctx context.Context, tx pgx.Tx, i Issuer, kind string, payload json.RawMessage, why, by string) (string, error) {
	if _, open, err := dualcontrol.OpenFor(ctx, tx, kind, i.ID); err != nil || open {
		if open {
			err = ErrProposed
		}
		return "", err
	}
	own, err := accounts(ctx, tx, i.ID)
	if err != nil {
		return "", err
	}
	var barred []string
	for _, a := range own {
		barred = append(barred, a.ID)
	}
	takers, err := notify.TakersOf(ctx, tx, i.keyID, kindCode)
	if err != nil {
		return "", err
	}
	for _, actor := range takers {
		if accountID, ok := strings.CutPrefix(actor, "staff:"); ok {
			barred = append(barred, accountID)
		}
	}
	return s.Dual.Propose(ctx, tx, dualcontrol.Proposal{Kind: kind, Subject: i.ID, Payload: payload, Why: why, ProposedBy: by, Barred: barred})
}

// SetLimits lowers an issuer's limits at once, or puts higher ones before two
// administrators: then proposalID is not empty.
func (s *Service) SetLimits(ctx context.Context, issuerID string, l Limits, why, by string) (proposalID string, err error) {
	now := s.Now()
	payload, err := json.Marshal(l)
	if err != nil {
		return "", err
	}
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.id = $1 FOR NO KEY UPDATE OF i`, issuerID)
		if err != nil {
			return err
		}
		if i.State == Ended {
			return ErrState
		}
		held, _, err := LimitsOf(ctx, tx, issuerID, now)
		if err != nil {
			return err
		}
		if l.within(held) {
			return s.putLimits(ctx, tx, i, l, "", "staff:"+by, now)
		}
		proposalID, err = s.propose(ctx, tx, i, KindLimits, payload, why, by)
		return err
	})
	return proposalID, err
}

// within tells whether l raises nothing of o.
func (l Limits) within(o Limits) bool {
	return l.Hourly <= o.Hourly && l.Burst <= o.Burst && l.OperatorHourly <= o.OperatorHourly && l.OperatorBurst <= o.OperatorBurst &&
		l.SeenHourly <= o.SeenHourly && l.SeenBurst <= o.SeenBurst && l.WeeklyDoses <= o.WeeklyDoses
}

// Valid tells whether limits make sense: at least one, and for doses seen in a
// document no more than in all.
func (l Limits) Valid() bool {
	const most = 100_000
	return min(l.Hourly, l.Burst, l.OperatorHourly, l.OperatorBurst, l.SeenHourly, l.SeenBurst) > 0 && l.WeeklyDoses >= 0 &&
		max(l.Hourly, l.Burst, l.OperatorHourly, l.OperatorBurst) <= most && l.WeeklyDoses <= 10*most && l.SeenHourly <= l.Hourly && l.SeenBurst <= l.Burst
}

func (s *Service) putLimits(ctx context.Context, tx pgx.Tx, i Issuer, l Limits, proposalID, by string, now time.Time) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer_limit (issuer_id, from_at, hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, approval, by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nullif($10, '')::uuid, $11)`,
		i.ID, now, l.Hourly, l.Burst, l.OperatorHourly, l.OperatorBurst, l.SeenHourly, l.SeenBurst, l.WeeklyDoses, proposalID, by); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{Actor: by, Role: "admin", Action: "issuer.limits", Subject: i.Ref(), After: l}); err != nil {
		return err
	}
	return s.leaf(ctx, tx, i, "limit", map[string]string{"hourly": fmt.Sprint(l.Hourly), "seen_hourly": fmt.Sprint(l.SeenHourly), "weekly_doses": fmt.Sprint(l.WeeklyDoses)}, now)
}

// handler is what dualcontrol calls for proposals of a kind.
func (s *Service) handler(kind string) dualcontrol.Handler {
	return dualcontrol.Handler{
		Title: func(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
			i, err := s.Get(c.Std(), s.Pool, p.Subject)
			return c.T("issuer.proposal."+kind, "Name", i.Name), err
		},
		Changes: s.changes,
		Apply: func(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
			if err := asProblem(s.applyProposal(ctx, tx, p)); err != nil {
				return err
			}
			return nil
		},
	}
}

// changes shows what a proposal would change.
func (s *Service) changes(c *web.Ctx, p dualcontrol.Proposal) ([]dualcontrol.Change, error) {
	i, err := s.Get(c.Std(), s.Pool, p.Subject)
	if err != nil {
		return nil, err
	}
	out := []dualcontrol.Change{{What: c.T("issuer.entry"), Before: i.EntryID, After: fmt.Sprintf("%s, %s, %s %s", i.Name, i.Street, i.Postcode, i.City)}}
	if p.Kind != KindLimits {
		return append(out, before(p, dualcontrol.Change{What: c.T("issuer.list.state"), Before: c.T("issuer.state." + i.State), After: c.T("issuer.state." + Active)})...), nil
	}
	var l Limits
	if err := json.Unmarshal(p.Payload, &l); err != nil {
		return nil, err
	}
	held, _, err := LimitsOf(c.Std(), s.Pool, i.ID, c.Now)
	if err != nil {
		return nil, err
	}
	return append(out, before(p, limitChanges(c, held, l)...)...), nil
}

// before leaves out what holds now where the proposal is decided: that is no longer what
// was before.
func before(p dualcontrol.Proposal, list ...dualcontrol.Change) []dualcontrol.Change {
	if p.State != dualcontrol.Open {
		for i := range list {
			list[i].Before = ""
		}
	}
	return list
}

// limitChanges are the lines of other limits.
func limitChanges(c *web.Ctx, held, l Limits) (out []dualcontrol.Change) {
	for _, x := range []struct {
		key         string
		was, is     int
		wasAt, isAt int
	}{
		{"issuer.limits.issuer", held.Hourly, l.Hourly, held.Burst, l.Burst},
		{"issuer.limits.operator", held.OperatorHourly, l.OperatorHourly, held.OperatorBurst, l.OperatorBurst},
		{"issuer.limits.seen", held.SeenHourly, l.SeenHourly, held.SeenBurst, l.SeenBurst},
	} {
		out = append(out, dualcontrol.Change{
			What: c.T(x.key), Before: c.T("issuer.limits.value", "Hourly", x.was, "Burst", x.wasAt), After: c.T("issuer.limits.value", "Hourly", x.is, "Burst", x.isAt),
		})
	}
	return append(out, dualcontrol.Change{
		What: c.T("issuer.limits.doses"), Before: c.T("issuer.limits.week", "Count", held.WeeklyDoses, "N", held.WeeklyDoses), After: c.T("issuer.limits.week", "Count", l.WeeklyDoses, "N", l.WeeklyDoses),
	})
}

// applyProposal carries out what two have approved. The triggers of issuer and
// issuer_limit ask for the two once more.
func (s *Service) applyProposal(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
	now := s.Now()
	i, err := one(ctx, tx, `WHERE i.id = $1 FOR UPDATE OF i`, p.Subject)
	if err != nil {
		return err
	}
	// Who came to work for the issuer after the proposal was made is barred, too.
	var own bool
	if err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM staff.approval v JOIN staff.account a ON a.id = v.account_id WHERE v.proposal_id = $1 AND v.voided_at IS NULL AND a.scope = $2)`,
		p.ID, i.ID).Scan(&own); err != nil {
		return err
	}
	if own {
		return ErrOwn
	}
	if p.Kind == KindLimits {
		var l Limits
		if err := json.Unmarshal(p.Payload, &l); err != nil {
			return err
		}
		return s.putLimits(ctx, tx, i, l, p.ID, "proposal:"+p.ID, now)
	}
	var seen place
	if err := json.Unmarshal(p.Payload, &seen); err != nil {
		return err
	}
	if kindFor(i) != p.Kind || seen != placeOf(i) {
		return ErrState // it is another state, or another place, by now
	}
	if err := s.mayWork(ctx, tx, i, now); err != nil {
		return err
	}
	return s.work(ctx, tx, i, p.ID, p.Kind, now)
}

// work makes an issuer active and clears its alarms. One that had to prove itself again
// begins anew, with what new ones may.
func (s *Service) work(ctx context.Context, tx pgx.Tx, i Issuer, proposalID, kind string, now time.Time) error {
	was := i.State
	if _, err := tx.Exec(ctx, `
		UPDATE certificate.issuer SET state = 'active', since = $2, why = '', approval = $3,
		       activated_at = CASE WHEN activated_at >= proven_at THEN activated_at ELSE $2 END, region = e.region
		  FROM certificate.registry_entry e WHERE e.id = entry_id AND issuer.id = $1`, i.ID, now, proposalID); err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE certificate.issuer_alarm SET cleared_at = $2, cleared_by = $3 WHERE issuer_id = $1 AND cleared_at IS NULL`, i.ID, now, proposalID); err != nil {
		return fmt.Errorf("clear alarms: %w", err)
	}
	// A key that comes later is one that those who approved have not seen.
	if err := s.Keys.EndHandedOut(ctx, tx, i.ID); err != nil {
		return fmt.Errorf("end set-up codes: %w", err)
	}
	i.State, i.Since, i.Why, i.ActivatedAt = Active, now, "", &now
	if err := audit.Write(ctx, tx, now, audit.Entry{
		Actor: "proposal:" + proposalID, Action: "issuer.active", Subject: i.Ref(), Before: map[string]any{"state": was}, After: map[string]any{"state": Active},
	}); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, i, kind != KindResume); err != nil {
		return err
	}
	leaf := "activation"
	if kind == KindResume {
		leaf = "resume"
	}
	return s.leaf(ctx, tx, i, leaf, map[string]string{"by": kind}, now)
}
