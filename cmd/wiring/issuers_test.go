package wiring

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer"
	"impfportal/internal/pg"
)

// What happens to issuers stands in the public log, under a pseudonym.
func TestIssuersAreInTheLog(t *testing.T) {
	t.Parallel()
	s, _ := testApp(t)
	ctx := t.Context()
	if p, err := s.Issuers.Pull(ctx); err != nil || p.Outcome != "applied" {
		t.Fatalf("demo registry: %+v %v", p, err)
	}
	day := time.Date(2021, 7, 21, 0, 0, 0, 0, time.UTC)
	for kind, detail := range map[string]map[string]string{
		"activation": {"by": "issuer.activate"}, "suspension": {"state": "suspended", "why": "gone"}, "resume": {"by": "issuer.resume"}, "limit": {"hourly": "10"},
	} {
		if err := pg.InTx(ctx, s.env.Pool, func(tx pgx.Tx) error {
			return s.Issuers.Leaf(ctx, tx, kind+":1", issuer.Leaf{Kind: kind, Issuer: "issuer:1", Day: day, Detail: detail})
		}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
