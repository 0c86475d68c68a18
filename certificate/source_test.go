package certificate_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/certificate"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/inventory"
	"impfportal/programme"
	"impfportal/staff/dualcontrol/dualcontroltest"
	"impfportal/vaccination"
)

// A record that two people have removed has no certificate.
func TestRemovedRecordIsVoid(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := clock.Fixed(clock.At(time.Date(2021, 1, 18, 0, 0, 0, 0, time.UTC), 10, 0))
	pool, rdb, v := pgtest.New(t), redistest.New(t), vault.ForTest()
	stock := inventory.New(pool, now, slog.New(slog.DiscardHandler))
	citizens := citizen.New(citizen.Config{Pool: pool, Redis: rdb, Vault: v, Now: now})
	sites := vaccination.New(pool, v, stock, booking.New(booking.Deps{Pool: pool, Now: now, Citizens: citizens, Inventory: stock}), citizens)
	two := dualcontroltest.New(t, pool, rdb, now)
	sites.DecideBy(two.Service, now)

	var recordID string
	err := pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := errors.Join(programme.SeedDemo(ctx, tx, now()), centre.SeedDemo(ctx, tx, now())); err != nil {
			return err
		}
		var err error
		recordID, err = sites.RecordIssued(ctx, tx, vaccination.IssuedDose{
			Key: "1", Now: now(), IssuerRef: "issuer:1", IssuerKind: vaccination.IssuerPractice, Operator: "1", Path: vaccination.PathWeb,
			Basis: vaccination.Given, ProductID: "comirnaty", LotNumber: "EX1", DoseNumber: 1, DosesTotal: 2, Day: clock.Day(now()), Actor: "system",
			Patient: vaccination.Patient{FamilyName: "Doppelt", Birth: vaccination.PartialDate{Year: 1938}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	source := certificate.FromRecords(sites)
	if _, err := source.Record(ctx, pool, recordID); err != nil {
		t.Fatalf("while it stands: %v", err)
	}
	proposal, err := sites.ProposeRemoval(ctx, vaccination.Desk{Now: now()}, vaccination.Removal{
		RecordID: recordID, Version: 1, Why: vaccination.Twice, Reason: "twice", Account: two.Account("site", "leipzig"),
	})
	if err == nil {
		err = two.ApproveByTwo(proposal)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Record(ctx, pool, recordID); !errors.Is(err, certificate.ErrVoid) {
		t.Errorf("removed: %v", err)
	}
}
