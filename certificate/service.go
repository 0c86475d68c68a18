package certificate

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
)

// ErrGone is what a Source returns for a record that does not exist (any more).
var ErrGone = errors.New("certificate: no such vaccination record")

// ErrVoid is what a Source returns for a record that was voided: it says
// something that did not happen.
var ErrVoid = errors.New("certificate: the vaccination record is void")

// ErrNotFound says that there is no such certificate, or that it is somebody
// else's.
var ErrNotFound = errors.New("certificate: no such certificate")

// Source reads vaccination records. FromRecords makes it of the treatment
// record; tests have their own.
type Source struct {
	// Record returns one record, or ErrGone; a voided one beside ErrVoid.
	Record func(ctx context.Context, q pg.Querier, recordID string) (Vaccination, error)
	// OfPerson returns the records that belong to a login, oldest first.
	OfPerson func(ctx context.Context, q pg.Querier, personID string) ([]Vaccination, error)
}

// Config is what a Service needs.
type Config struct {
	Pool   *pgxpool.Pool
	Vault  *vault.Vault
	Keys   *signing.Keys
	Now    clock.Clock
	Log    *slog.Logger
	Source Source
	// Transparency is the log that every certificate stands in before its owner
	// has it.
	Transparency Log
	Revocations  *revocation.Service
	// Stop is asked before each signature and told what went wrong; *stop.Service.
	Stop Stop
	// Holds tells that the issuer of a record may not issue any more; nil = none is
	// held. What it recorded and is not signed then waits, as for a stop.
	Holds func(ctx context.Context, q pg.Querier, issuerRef string) (bool, error)
	// Distrusted returns the key ids of signers that must not sign any more.
	Distrusted func(ctx context.Context, q pg.Querier) ([][]byte, error)
	// Cards stand above the owner's certificates: what is stopped.
	Cards []web.Card
	// Issuer is the name in the certificate ("is", at most 80 characters).
	Issuer string
	// Production is true where certificates are meant for people. Otherwise
	// everything says MUSTER, and so must Issuer.
	Production bool
	// Send stores a message, as notify.Service.Send; nil = nobody is told.
	Send func(ctx context.Context, tx pgx.Tx, to notify.Recipient, m notify.Message) error
	// Recipient finds how the owner of a login can be reached, false when the
	// registration is gone. Without it the contact that stays with the record
	// is used.
	Recipient func(ctx context.Context, q pg.Querier, personID string) (notify.Recipient, bool, error)
	// Sender stands on letters: name, street, city.
	Sender []string
	// PublicURL stands in messages, "https://..."; may be empty.
	PublicURL string
}

// Log is the transparency log; *translog.Log.
type Log interface {
	Append(ctx context.Context, tx pgx.Tx, ref string, leaf translog.Leaf) error
	Pseudonym(domain, id string) string
}

// Stop is the switch that ends issuing; *stop.Service.
type Stop interface {
	Check(ctx context.Context, tx pgx.Tx, c stop.Subject) error
	Fail(ctx context.Context, tx pgx.Tx, issuerRef, what string) error
}

// Service makes certificates and hands them out.
type Service struct {
	Config
	drained *drained
}

// New makes the service. It refuses a configuration that would issue real
// certificates in the name of MUSTER, or demo certificates without it.
func New(cfg Config) (*Service, error) {
	if err := checkIssuer(cfg.Issuer, cfg.Production); err != nil {
		return nil, err
	}
	if cfg.Pool != nil && (cfg.Transparency == nil || cfg.Revocations == nil || cfg.Stop == nil) {
		return nil, errors.New("certificate: without log, revocations and switch nothing is issued")
	}
	if cfg.Distrusted == nil {
		cfg.Distrusted = func(context.Context, pg.Querier) ([][]byte, error) { return nil, nil }
	}
	if cfg.Holds == nil {
		cfg.Holds = func(context.Context, pg.Querier, string) (bool, error) { return false, nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Service{Config: cfg, drained: new(drained)}, nil
}

// checkIssuer holds the issuer's name against the mode of the run.
func checkIssuer(issuer string, production bool) error {
	muster := strings.Contains(strings.ToUpper(issuer), dcc.Muster)
	switch {
	case issuer == "" || utf8.RuneCountInString(issuer) > 80:
		return errors.New("certificate: the issuer's name must have 1 to 80 characters")
	case production && muster:
		return errors.New("certificate: the issuer of a production portal must not be MUSTER")
	case !production && !muster:
		return errors.New("certificate: outside production the issuer's name must say MUSTER")
	}
	return nil
}
