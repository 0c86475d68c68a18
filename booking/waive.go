package booking

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"impfportal/citizen"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// Why somebody books the first dose of a series alone (Verzicht auf die zweite
// Impfung). It is possible where the programme's rule for the product says so.
const (
	WaiveMedical   = "medical"   // a doctor says that one dose is enough
	WaiveElsewhere = "elsewhere" // the others are given elsewhere
	WaiveOwn       = "own"       // own wish
)

var waiveReasons = []string{WaiveMedical, WaiveElsewhere, WaiveOwn}

// waivable returns what of the entitlements can be had as one dose, the others
// waived; empty where no rule allows it.
func waivable(ents []Entitlement) []Entitlement {
	var out []Entitlement
	for _, e := range ents {
		if e.MayWaive && e.Legs > 1 {
			e.Legs = 1
			out = append(out, e)
		}
	}
	return out
}

// MayWaive reports whether somebody may book the first dose alone.
func (s *Service) MayWaive(ctx context.Context, q pg.Querier, p citizen.Person) (bool, error) {
	ents, err := s.entitlements(ctx, q, p)
	if errors.Is(err, ErrNotEligible) {
		return false, nil
	}
	return len(waivable(ents)) > 0, err
}

// waive applies the reason of a request to what the person may have. ErrInvalid
// for no known reason, *IneligibleError where no rule allows it.
func (in HoldRequest) waive(ents []Entitlement) ([]Entitlement, error) {
	if in.Waive == "" {
		return ents, nil
	}
	if !slices.Contains(waiveReasons, in.Waive) {
		return nil, ErrInvalid
	}
	if ents = waivable(ents); len(ents) == 0 {
		return nil, &IneligibleError{ReasonSeries}
	}
	return ents, nil
}

// queueWaived writes the reason to the series that is being held, and into the
// record who gave it.
func (in HoldRequest) queueWaived(batch *pgx.Batch, t *taking) {
	if in.Waive == "" {
		return
	}
	batch.Queue(`
		WITH held AS (UPDATE booking.series SET waived = $2 WHERE id = $1 RETURNING id)
		SELECT audit.write($3, $4, $5, 'booking.waive', 'series:' || id, NULL, jsonb_build_object('reason', $2::text)) FROM held`,
		t.series.ID, in.Waive, t.series.CreatedAt, in.Actor, in.Role)
	t.series.Waived = in.Waive
}

// WaiveOptions are the reasons as a form offers them.
func WaiveOptions(c *web.Ctx) []web.Option {
	out := []web.Option{{Value: "", Label: c.T("booking.waive.choose")}}
	for _, r := range waiveReasons {
		out = append(out, web.Option{Value: r, Label: c.T("booking.waive." + r)})
	}
	return out
}
