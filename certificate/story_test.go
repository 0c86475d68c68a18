package certificate_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/certificate"
	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/stop/stoptest"
	"impfportal/certificate/translog"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/inventory"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/vaccination"
)

// From the dose at the site through outbox, Redis and worker to the released
// certificate; the worker is stopped several times on the way.
func TestFromDoseToCertificate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := clock.Fixed(clock.At(time.Date(2021, 1, 18, 0, 0, 0, 0, time.UTC), 10, 0))
	pool, rdb, v, log := pgtest.New(t), redistest.New(t), vault.ForTest(), slog.New(slog.DiscardHandler)
	stock := inventory.New(pool, now, log)
	citizens := citizen.New(citizen.Config{Pool: pool, Redis: rdb, Vault: v, Now: now})
	sites := vaccination.New(pool, v, stock, booking.New(booking.Deps{Pool: pool, Now: now, Citizens: citizens, Inventory: stock}), citizens)
	messages := notify.New(notify.Config{Pool: pool, Vault: v, Now: now, Local: true})
	keys, err := signing.Open(signing.Config{Local: true, Dir: t.TempDir(), Master: bytes.Repeat([]byte{1}, 32), Issuer: "MUSTER", Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	logKey, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: t.TempDir(), Origin: "portal.test/certificates/log"})
	if err != nil {
		t.Fatal(err)
	}
	var certificates *certificate.Service
	leaves := translog.New(translog.Config{
		Pool: pool, Vault: v, Now: now, Key: logKey, Witness: filepath.Join(t.TempDir(), "witness"), Log: log,
		OnSequenced: func(ctx context.Context, tx pgx.Tx, refs []string) error {
			return certificates.Sequenced(ctx, tx, refs)
		},
	})
	certificates, err = certificate.New(certificate.Config{
		Pool: pool, Vault: v, Keys: keys, Now: now, Log: log, Source: certificate.FromRecords(sites), Issuer: "MUSTER", Send: messages.Send,
		Transparency: leaves, Revocations: revocation.New(leaves), Stop: stoptest.Never{},
	})
	if err != nil {
		t.Fatal(err)
	}

	lots := map[string]string{}
	err = pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := programme.SeedDemo(ctx, tx, now()); err != nil {
			return err
		}
		if err := centre.SeedDemo(ctx, tx, now()); err != nil {
			return err
		}
		if err := stock.SeedDemo(ctx, tx, now()); err != nil {
			return err
		}
		for _, product := range []string{"comirnaty", "influvac"} {
			at, err := stock.Lots(ctx, tx, inventory.CentrePlace("leipzig"), product, now())
			if err != nil {
				return err
			}
			lots[product] = at[0].ID
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	give := func(product, family string, forms time.Time) string {
		t.Helper()
		recordID, err := sites.Record(ctx, vaccination.RecordDose{
			Key: id.New(), Now: now(), Channel: vaccination.WalkIn, ProductID: product, DoseNumber: 1,
			Patient: vaccination.Patient{
				FamilyName: family, GivenName: "Karl", Birth: vaccination.PartialDate{Year: 1938}, Sex: citizen.SexMale, Postcode: "04109",
				Contact: vaccination.Contact{Email: "karl@example.org", Lang: "de"},
			},
			Place: "leipzig", StockPlace: inventory.CentrePlace("leipzig"), LotID: lots[product],
			Consent: true, Forms: forms, Actor: "staff:test", Role: "site",
		})
		if err != nil {
			t.Fatal(err)
		}
		return recordID
	}
	var records []string
	for _, family := range []string{"Müller", "Groß", "Łoś", "Øster", "d'Arc"} {
		records = append(records, give("comirnaty", family, time.Date(2021, 1, 11, 0, 0, 0, 0, time.UTC)))
	}
	flu := give("influvac", "Grippe", time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC))
	person := id.New() // as if these people had a login
	if _, err := pool.Exec(ctx, `UPDATE vaccination.record SET login_person_id = $1`, person); err != nil {
		t.Fatal(err)
	}
	if list, err := certificates.OfPerson(ctx, pool, person); err != nil || len(list) != len(records) || list[0].State != certificate.StateMaking {
		t.Fatalf("before the worker: %+v, %v", list, err)
	}

	mux := jobs.NewMux()
	certificates.Jobs(mux)
	messages.Jobs(mux)
	deadline := time.Now().Add(2 * time.Minute)
	open := func() (n int) {
		err := pool.QueryRow(ctx, `SELECT count(*) FROM jobs.outbox WHERE kind IN ($1, 'certificate.logged') AND done_at IS NULL`, vaccination.Recorded.Name()).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	released := func() (n int) {
		if err := pool.QueryRow(ctx, `SELECT count(*) FROM certificate.certificate WHERE state = 'released'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for life := 80 * time.Millisecond; open() > 0 || released() < len(records); life *= 2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d tasks are not done, %d certificates released", open(), released())
		}
		short, end := context.WithTimeout(ctx, life)
		if err := jobs.NewWorker(pool, rdb, mux, nil, now, log, 3).Run(short); err != nil {
			t.Fatal(err)
		}
		end()
		if _, err := leaves.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
	}

	list, err := certificates.OfPerson(ctx, pool, person)
	if err != nil || len(list) != len(records) {
		t.Fatalf("%d certificates, %v", len(list), err)
	}
	for _, c := range list {
		if !c.Ready() || c.RecordID == flu {
			t.Errorf("%+v", c)
			continue
		}
		d, err := dcc.Decode(c.HC1)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(keys.DSC(d.KID)); err != nil {
			t.Error(err)
		}
		if e := c.Entry(); e.Dose != 1 || e.Doses != 2 || e.Date != "2021-01-18" || c.Payload.Birth != "1938" {
			t.Errorf("%+v", c.Payload)
		}
	}
	var sent int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM notify.message WHERE kind = 'certificate.ready'`).Scan(&sent); err != nil || sent != len(records) {
		t.Errorf("%d messages for %d certificates, %v", sent, len(records), err)
	}
}
