// Package certificatetest sets up what makes certificates of treatment records, for
// the tests of the packages that hand them out.
package certificatetest

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/booking"
	"impfportal/certificate"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/translog"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/vault"
	"impfportal/inventory"
	"impfportal/vaccination"
)

// Config is what the makers stand on.
type Config struct {
	Pool  *pgxpool.Pool
	Vault *vault.Vault
	Redis redis.UniversalClient
	Now   clock.Clock
	Stop  func(*translog.Log) certificate.Stop // the switch, once the log is there
}

// Makers are records, keys, log and certificates, as the portal wires them.
type Makers struct {
	Stock        *inventory.Service
	Records      *vaccination.Service
	Keys         *signing.Keys
	Log          *translog.Log
	Revocations  *revocation.Service
	Certificates *certificate.Service
}

// New sets them up with keys of their own.
func New(t testing.TB, cfg Config) *Makers {
	t.Helper()
	m, log := &Makers{}, slog.New(slog.DiscardHandler)
	m.Stock = inventory.New(cfg.Pool, cfg.Now, log)
	citizens := citizen.New(citizen.Config{Pool: cfg.Pool, Redis: cfg.Redis, Vault: cfg.Vault, Now: cfg.Now})
	m.Records = vaccination.New(cfg.Pool, cfg.Vault, m.Stock, booking.New(booking.Deps{Pool: cfg.Pool, Now: cfg.Now, Citizens: citizens, Inventory: m.Stock}), citizens)
	var err error
	ok := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	m.Keys, err = signing.Open(signing.Config{Local: true, Dir: t.TempDir(), Master: bytes.Repeat([]byte{1}, 32), Issuer: "MUSTER", Now: cfg.Now(), Cohorts: certificate.Cohorts})
	ok()
	key, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: t.TempDir(), Origin: "portal.test/certificates/log"})
	ok()
	m.Log = translog.New(translog.Config{
		Pool: cfg.Pool, Vault: cfg.Vault, Now: cfg.Now, Key: key, Witness: filepath.Join(t.TempDir(), "witness"), Log: log,
		OnSequenced: func(ctx context.Context, tx pgx.Tx, refs []string) error {
			return m.Certificates.Sequenced(ctx, tx, refs)
		},
	})
	m.Revocations = revocation.New(m.Log)
	m.Certificates, err = certificate.New(certificate.Config{
		Pool: cfg.Pool, Vault: cfg.Vault, Keys: m.Keys, Now: cfg.Now, Log: log, Source: certificate.FromRecords(m.Records), Issuer: "MUSTER",
		Transparency: m.Log, Revocations: m.Revocations, Stop: cfg.Stop(m.Log),
	})
	ok()
	return m
}
