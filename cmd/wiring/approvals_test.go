package wiring

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey/passkeytest"
)

// An approval is a leaf of the log, once, and names nobody.
func TestApprovalIsALeaf(t *testing.T) {
	t.Parallel()
	s, _ := testApp(t)
	ctx := context.Background()
	p := dualcontrol.Proposal{ID: id.New(), Kind: "issuer.activate"}
	a := dualcontrol.Approval{ID: id.New(), AccountID: id.New(), CredentialID: id.New(), At: s.env.Now()}
	for range 2 {
		if err := pg.InTx(ctx, s.env.Pool, func(tx pgx.Tx) error { return s.logApproval(ctx, tx, p, a) }); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	var leaf []byte
	if err := s.env.Pool.QueryRow(ctx, `SELECT count(*) OVER (), data FROM certificate.log_leaf WHERE ref = $1`, "approval:"+a.ID).Scan(&n, &leaf); err != nil {
		t.Fatal(err)
	}
	got, err := translog.Decode(leaf)
	if err != nil || n != 1 || got.Kind != translog.KindApproval || !got.Day.Equal(clock.Day(a.At)) || strings.Contains(string(leaf), a.AccountID) {
		t.Errorf("%d leaves, %s, %v", n, leaf, err)
	}
}

// So is what one person decides during the first set-up: which security keys count.
func TestModelOfTheFirstSetupIsALeaf(t *testing.T) {
	t.Parallel()
	s, _ := testApp(t)
	ctx := context.Background()
	accountID, m := id.New(), passkeytest.NewMaker(t).Model(clock.Day(s.env.Now()))
	if err := s.Keys.AllowModel(ctx, m, "staff:"+accountID); err != nil {
		t.Fatal(err)
	}
	var leaf []byte
	if err := s.env.Pool.QueryRow(ctx, `SELECT data FROM certificate.log_leaf WHERE ref LIKE 'alone:%'`).Scan(&leaf); err != nil {
		t.Fatal(err)
	}
	got, err := translog.Decode(leaf)
	if err != nil || got.Kind != translog.KindApproval || got.Subject != "key-model:"+m.AAGUID || got.Detail["how"] != "first_setup" || strings.Contains(string(leaf), accountID) {
		t.Errorf("%s, %v", leaf, err)
	}
}
