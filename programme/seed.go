package programme

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// SeedDemo adds the demo's second campaign, influenza: one product, one dose,
// open to everybody. COVID-19 as of January 2021 comes with the migrations.
// It does nothing when the programme exists.
func SeedDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO programme.programme (id, position, name) VALUES ($1, 2, '{"de": "Grippeschutzimpfung", "en": "Influenza vaccination"}')
		ON CONFLICT (id) DO NOTHING`, InfluenzaID)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	for _, sql := range []string{
		`INSERT INTO programme.product (id, programme_id, position, name, holder) VALUES ('influvac', $1, 1, 'Influvac Tetra', 'Viatris Healthcare GmbH')`,
		`INSERT INTO programme.priority_group (programme_id, code, valid_from, rank, name, proof, proof_kind, min_age, open, set_by, set_at)
		 VALUES ($1, 'everybody', '2020-09-01', 1, '{"de": "Alle Personen", "en": "Everybody"}',
		         '{"de": "Personalausweis oder Reisepass", "en": "Identity card or passport"}', 'identity', 0, true, 'default', '2020-09-01')`,
	} {
		if _, err := tx.Exec(ctx, sql, InfluenzaID); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		`INSERT INTO programme.series_rule (product_id, valid_from, doses, min_days, max_days, plan_days, set_by, set_at)
		 VALUES ('influvac', '2020-09-01', 1, 0, NULL, 0, 'default', $1)`,
		`INSERT INTO programme.age_rule (product_id, valid_from, min_age, max_age, set_by, set_at)
		 VALUES ('influvac', '2020-09-01', 3, NULL, 'default', $1)`,
	} {
		if _, err := tx.Exec(ctx, sql, now); err != nil {
			return err
		}
	}
	return nil
}
