package distrust_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/dcc"
	"impfportal/certificate/distrust"
	"impfportal/certificate/signing"
	"impfportal/certificate/translog"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff/dualcontrol/dualcontroltest"
)

type leaves struct{ list []translog.Leaf }

func (l *leaves) Append(_ context.Context, _ pgx.Tx, _ string, leaf translog.Leaf) error {
	_, err := leaf.Encode()
	l.list = append(l.list, leaf)
	return err
}

// One cohort's signer is given up by two people; the rest goes on.
func TestDistrust(t *testing.T) {
	t.Parallel()
	now := time.Date(2021, 7, 21, 9, 0, 0, 0, time.UTC)
	pool := pgtest.New(t)
	desk := dualcontroltest.New(t, pool, redistest.New(t), func() time.Time { return now })
	keys, err := signing.Open(signing.Config{Local: true, Dir: t.TempDir(), Master: bytes.Repeat([]byte{1}, 32), Issuer: "MUSTER", Now: now, Cohorts: []string{"", "sites", "pharmacies"}})
	if err != nil {
		t.Fatal(err)
	}
	var log leaves
	s := distrust.New(distrust.Config{Pool: pool, Now: func() time.Time { return now }, Keys: keys, Log: &log, Dual: desk.Service})
	bad, err := keys.Signer("pharmacies", now)
	if err != nil {
		t.Fatal(err)
	}
	raw := dcc.KID(bad.Certificate())
	kid := hex.EncodeToString(raw[:])

	app := webtest.New(t, webtest.Config{Pool: pool, Now: func() time.Time { return now }, Routes: s.Routes(), Bundles: []web.Bundle{distrust.Assets}})
	app.LoginAs(desk.Approvers[0].User())
	if a := app.Get("/admin/signers"); a.Status != http.StatusOK || strings.Count(a.Body, "MUSTER DSC") < 3 || !strings.Contains(a.Body, kid) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := app.PostForm("/admin/signers/" + kid + "/distrust"); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("without a reason: %d", a.Status)
	}
	if a := app.PostForm("/admin/signers/0011223344556677/distrust", "why_0011223344556677", "x"); a.Status != http.StatusNotFound {
		t.Errorf("unknown: %d", a.Status)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO certificate.distrusted VALUES ($1, 'x', gen_random_uuid(), now())`, raw[:]); !pg.Violates(err, "distrusted_two") {
		t.Errorf("by one statement: %v", err)
	}
	proposalID, err := s.Propose(t.Context(), strings.ToUpper(kid), "key in other hands", desk.Approvers[0].AccountID)
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.ApproveBy(desk.Approvers[0], proposalID); err != nil {
		t.Fatal(err)
	}
	if kids, err := s.KIDs(t.Context(), pool); err != nil || len(kids) != 0 {
		t.Fatalf("by one person: %x, %v", kids, err)
	}
	if err := desk.ApproveBy(desk.Approvers[1], proposalID); err != nil {
		t.Fatal(err)
	}
	kids, err := s.KIDs(t.Context(), pool)
	if err != nil || len(kids) != 1 || !bytes.Equal(kids[0], raw[:]) || len(log.list) != 1 {
		t.Fatalf("%x, %v, leaves %+v", kids, err, log.list)
	}
	for cohort, want := range map[string]string{"pharmacies": "", "sites": "sites", "": ""} {
		signer, err := keys.Signer(cohort, now, kids...)
		if err != nil || signing.Cohort(signer.Certificate()) != want {
			t.Errorf("%q is served by %v, %v", cohort, signer, err)
		}
	}
	if _, err := s.Propose(t.Context(), kid, "again", desk.Approvers[0].AccountID); !errors.Is(err, distrust.ErrAlready) {
		t.Errorf("twice: %v", err)
	}
	for _, sql := range []string{`DELETE FROM certificate.distrusted`, `UPDATE certificate.distrusted SET kid = '\x0000000000000000'`} {
		if _, err := pool.Exec(t.Context(), sql); !pg.Violates(err, "distrusted_keep") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if a := app.Get("/admin/signers"); !strings.Contains(a.Body, "key in other hands") {
		t.Errorf("%s", a.Body)
	}
}
