package booking

import (
	"context"
	"time"

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
}

// Last reports whether only the last dose of a series is missing: any place of a
// slot will do for it, see lone.go.
func (e Entitlement) Last() bool { return e.Legs == 1 && e.FirstDose > 1 }

// given is the last dose that a person is known to have had.
type given struct {
	ProductID string
	Dose      int
	Day       time.Time
}

// entitlements applies the rules of the day: priority group, age limits, doses
// already given. A registration that is being clarified has the same as any
// other. It returns *IneligibleError when nothing is left.
func (s *Service) entitlements(ctx context.Context, q pg.Querier, p citizen.Person) ([]Entitlement, error) {
	now := s.Now()
	today := clock.Day(now)
	open, err := s.rules.GroupOpen(ctx, q, p.ProgrammeID, p.GroupCode, now)
	if err != nil {
		return nil, err
	}
	last, err := lastGiven(ctx, q, p.ID, p.ProgrammeID)
	if err != nil {
		return nil, err
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
	e = Entitlement{ProductID: productID, Legs: rule.Doses, FirstDose: 1, MinDays: rule.MinDays, MaxDays: rule.MaxDays}
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

// lastGiven returns the last dose that was given here, or nil.
func lastGiven(ctx context.Context, q pg.Querier, personID, programmeID string) (*given, error) {
	var g given
	err := q.QueryRow(ctx, `
		SELECT product_id, dose_number, day FROM booking.appointment
		WHERE person_id = $1 AND programme_id = $2 AND NOT active AND state = 'done'
		ORDER BY dose_number DESC LIMIT 1`, personID, programmeID).Scan(&g.ProductID, &g.Dose, &g.Day)
	if pg.NoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &g, nil
}
