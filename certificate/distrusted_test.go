package certificate

import (
	"context"
	"encoding/hex"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/dcc"
	"impfportal/internal/pg"
)

// What a signer signed before it was distrusted is not handed out after it, but made
// again by another; what was handed out before stands until somebody revokes it.
func TestSignerDistrusted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		steps, versions int // steps of intend, sign, sequence, release before it
	}{{"intent", 1, 1}, {"signed", 2, 2}, {"logged", 3, 2}, {"released", 4, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			cfg := keyConfig(t)
			cfg.Cohorts = []string{"", "sites"}
			b.Keys = openKeys(t, cfg)
			b.Distrusted = func(ctx context.Context, q pg.Querier) ([][]byte, error) {
				rows, err := q.Query(ctx, `SELECT kid FROM certificate.distrusted`)
				if err != nil {
					return nil, err
				}
				return pgx.CollectRows(rows, pgx.RowTo[[]byte])
			}
			bad, err := b.Keys.Signer("sites", b.clock())
			if err != nil {
				t.Fatal(err)
			}
			kid := dcc.KID(bad.Certificate())
			v := b.vaccinate(nil)
			for _, step := range []func() error{
				func() error { return b.intend(t.Context(), v) }, func() error { return b.sign(t.Context(), v) },
				func() error { return b.sequence(t.Context(), v) }, func() error { return b.release(t.Context(), v) },
			}[:c.steps] {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			for _, sql := range []string{ // two people have decided it
				`ALTER TABLE certificate.distrusted DISABLE TRIGGER distrusted_check`,
				`INSERT INTO certificate.distrusted VALUES ('\x` + hex.EncodeToString(kid[:]) + `', 'x', gen_random_uuid(), now())`,
			} {
				if _, err := b.Pool.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if c.name == "logged" {
				if _, err := b.Pool.Exec(t.Context(), `UPDATE certificate.certificate SET state = 'released', released_at = logged_at`); !pg.Violates(err, "certificate_release_trusted") {
					t.Errorf("released by one statement: %v", err)
				}
			}
			b.make(v)
			if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.recorded'`); n != c.versions-1 {
				t.Errorf("asked for the next one %d times", n)
			}
			b.make(v)
			if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE kid = $1 AND released_at IS NOT NULL`, kid[:]); n != max(0, c.steps-3) {
				t.Errorf("%d released of a distrusted signer", n)
			}
			if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE state = 'released' AND revoked_at IS NULL AND version = $1 AND (kid = $2) = ($3 = 4)`, c.versions, kid[:], c.steps); n != 1 {
				t.Errorf("%d stand", n)
			}
			if n := b.count(`SELECT count(*) FROM certificate.revocation WHERE reason = 'compromise' AND replaced`); n != c.versions-1 {
				t.Errorf("%d revocations", n)
			}
		})
	}
}
