package booking

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// Entitlement is what a person may have of one product today.
type Entitlement struct {
	ProductID        string
	Legs             int       // appointments that are needed
	FirstDose        int       // number of the first of them
	MinDays, MaxDays int       // between two of them
	NotBefore        time.Time // first day (as clock.Day); zero = any
	Group            string    // the person's; whose contingents they may use
	MayWaive         bool      // the first appointment may be had alone, see waive.go
}

// Last reports whether only the last dose of a series is missing: any place of a
// slot will do for it, see lone.go.
func (e Entitlement) Last() bool { return e.Legs == 1 && e.FirstDose > 1 }

// given is the last dose of a programme that a person is known to have had.
type given struct {
	ProgrammeID string
	ProductID   string
	Dose        int
	Day         time.Time
}

// entitlements applies the rules of the day: priority group, age limits, doses
// already given. A registration that is being clarified has the same as any
// other. It returns *IneligibleError when nothing is left.
func (s *Service) entitlements(ctx context.Context, q pg.Querier, p citizen.Person) ([]Entitlement, error) {
	var last []given
	batch := &pgx.Batch{}
	queueGiven(batch, p.ID, &last)
	if err := q.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	return s.entitled(ctx, q, p, last)
}

// personEntitled reads a person and what they may have.
func (s *Service) personEntitled(ctx context.Context, q pg.Querier, personID string) (p citizen.Person, ents []Entitlement, err error) {
	var last []given
	batch := &pgx.Batch{}
	s.Citizens.QueuePerson(batch, personID, &p)
	queueGiven(batch, personID, &last)
	if err := q.SendBatch(ctx, batch).Close(); err != nil {
		return p, nil, err
	}
	ents, err = s.entitled(ctx, q, p, last)
	return p, ents, err
}

// entitled is entitlements that knows the last dose of each programme.
func (s *Service) entitled(ctx context.Context, q pg.Querier, p citizen.Person, doses []given) ([]Entitlement, error) {
	now := s.Now()
	today := clock.Day(now)
	open, err := s.rules.GroupOpen(ctx, q, p.ProgrammeID, p.GroupCode, now)
	if err != nil {
		return nil, err
	}
	var last *given
	if i := slices.IndexFunc(doses, func(g given) bool { return g.ProgrammeID == p.ProgrammeID }); i >= 0 {
		last = &doses[i]
	}
	if !open && last == nil { // who has begun a series may finish it
		return nil, &IneligibleError{ReasonGroup}
	}
	if p.Prior != nil && p.Prior.Kind == citizen.PriorDose && last == nil {
		last = &given{ProductID: p.Prior.ProductID, Dose: 1, Day: p.Prior.Date}
	}
	recovered := p.Prior != nil && p.Prior.Kind == citizen.PriorRecovery
	products, rules, err := s.rules.Allowed(ctx, q, p.ProgrammeID, p.Birth.Latest(), today)
	if err != nil {
		return nil, err
	}
	if len(products) == 0 {
		return nil, &IneligibleError{ReasonAge}
	}
	var list []Entitlement
	complete := false
	for _, product := range products {
		rule, ok := rules[product.ID]
		if !ok {
			continue
		}
		e, ok, done := entitle(product.ID, rule, last, recovered)
		complete = complete || done
		if ok {
			e.Group = p.GroupCode
			list = append(list, e)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case complete:
		return nil, &IneligibleError{ReasonComplete}
	default:
		return nil, &IneligibleError{ReasonPrior}
	}
}

// entitle decides for one product. An earlier dose counts when it was of the
// same product; recovered people need one dose.
func entitle(productID string, rule programme.Series, last *given, recovered bool) (e Entitlement, ok, complete bool) {
	e = Entitlement{ProductID: productID, Legs: rule.Doses, FirstDose: 1, MinDays: rule.MinDays, MaxDays: rule.MaxDays, MayWaive: rule.MayWaive}
	switch {
	case last != nil:
		if last.ProductID != productID {
			return e, false, false
		}
		e.Legs, e.FirstDose = rule.Doses-last.Dose, last.Dose+1
		if !last.Day.IsZero() {
			e.NotBefore = clock.Day(last.Day).AddDate(0, 0, rule.MinDays)
		}
		if recovered {
			e.Legs = 0
		}
	case recovered:
		e.Legs = 1
	}
	return e, e.Legs > 0, e.Legs <= 0
}

// queueGiven reads the last dose of each programme that was given here.
func queueGiven(b *pgx.Batch, personID string, into *[]given) {
	b.Queue(`
		SELECT DISTINCT ON (programme_id) programme_id, product_id, dose_number, day FROM booking.appointment
		WHERE person_id = $1 AND NOT active AND state = 'done'
		ORDER BY programme_id, dose_number DESC`, personID).Query(func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, pgx.RowToStructByPos[given])
		return err
	})
}
