package vaccination

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// PriorDose is what came before a dose: an earlier dose, or a recovery that counts.
type PriorDose struct {
	ProductID  string    `json:"product_id,omitempty"` // "" unknown, or a recovery
	Day        time.Time `json:"day,omitzero"`         // UTC midnight; zero for a recovery without a date
	DoseNumber int       `json:"dose_number,omitempty"`
	Elsewhere  bool      `json:"elsewhere,omitempty"` // stated by the person or seen in a document; no record of who gave it is here
	Recovered  bool      `json:"recovered,omitempty"` // a proven recovery (Genesung), and no dose
}

// stated is what the record keeps of what the person has stated, so that it can be
// asked for when the registration is gone.
func (d dose) stated() (out []PriorDose) {
	if d.recovered != nil {
		out = append(out, *d.recovered)
	}
	if d.prior != nil && d.number > 1 {
		out = append(out, PriorDose{ProductID: d.prior.ProductID, Day: d.prior.Day, DoseNumber: d.number - 1, Elsewhere: true})
	}
	return out
}

// History returns what is known of the time before a dose, oldest first: the records
// of the same person in the same programme, and what the person has stated where no
// record says it. A dose that was given and also seen in a document is there once. The
// records of a namesake are not. Errors as in Get.
func (s *Service) History(ctx context.Context, q pg.Querier, recordID string) ([]PriorDose, error) {
	var (
		box   []byte
		keyID string
		prior []PriorDose
	)
	err := q.QueryRow(ctx, `SELECT sealed, key_id FROM vaccination.record WHERE id = $1`, recordID).Scan(&box, &keyID)
	if pg.NoRows(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("history of record: %w", err)
	}
	key, err := s.vault.Open(ctx, q, keyID)
	if err != nil {
		return nil, err
	}
	var private sealed
	if err := key.UnsealJSON(sealContext, box, &private); err != nil {
		return nil, fmt.Errorf("record %s: %w", recordID, err)
	}
	// Given doses come before seen ones, so that of two that are the same the given one stays.
	rows, err := q.Query(ctx, `
		SELECT o.product_id, o.day, o.dose_number, o.basis = 'seen'
		  FROM vaccination.record r JOIN vaccination.record o ON o.programme_id = r.programme_id AND o.id <> r.id AND o.voided_at IS NULL
		   AND (o.login_person_id = r.login_person_id
		        OR o.person_index = r.person_index AND NOT 'namesake' = ANY (o.overrides || r.overrides))
		 WHERE r.id = $1 AND (o.day, o.dose_number) < (r.day, r.dose_number) AND o.dose_number <> r.dose_number
		 ORDER BY o.basis = 'seen', o.day, o.dose_number`, recordID)
	if err != nil {
		return nil, fmt.Errorf("history of record: %w", err)
	}
	prior, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p PriorDose, err error) {
		return p, row.Scan(&p.ProductID, &p.Day, &p.DoseNumber, &p.Elsewhere)
	})
	if err != nil {
		return nil, fmt.Errorf("history of record: %w", err)
	}
	return merge(append(prior, private.Stated...)), nil
}

// merge keeps of each dose and recovery the first that tells of it, oldest first.
func merge(all []PriorDose) (out []PriorDose) {
	for _, p := range all {
		if !slices.ContainsFunc(out, func(o PriorDose) bool {
			return o.Recovered == p.Recovered && (p.Recovered || o.DoseNumber == p.DoseNumber || o.Day.Equal(p.Day))
		}) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b PriorDose) int { return a.Day.Compare(b.Day) })
	return out
}

// Further tells of a record that was seen in a document whether the same issuer had
// seen another one of the same person earlier on the same day in Berlin: what is
// paid less for (CoronaImpfV § 6 Abs. 5, § 9 Abs. 3).
func (s *Service) Further(ctx context.Context, q pg.Querier, recordID string) (further bool, err error) {
	err = q.QueryRow(ctx, `
		SELECT EXISTS (
		       SELECT FROM vaccination.record o
		        WHERE o.person_index = r.person_index AND o.programme_id = r.programme_id AND o.issuer_ref = r.issuer_ref AND o.basis = 'seen' AND o.voided_at IS NULL
		          AND (o.recorded_at, o.id) < (r.recorded_at, r.id)
		          AND (o.recorded_at AT TIME ZONE 'Europe/Berlin')::date = (r.recorded_at AT TIME ZONE 'Europe/Berlin')::date)
		  FROM vaccination.record r WHERE r.id = $1 AND r.basis = 'seen'`, recordID).Scan(&further)
	if pg.NoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("further record: %w", err)
	}
	return further, nil
}
