// Package claim hands certificates to people who never registered: in a care home, or
// vaccinated without an appointment.
//
// Whoever wants it gets a code (Abruf-Code), printed on the spot or by letter. With the
// code and the birth date of the treatment record they see the certificate and download
// it. The code has 90 random bits and two check characters; what is kept of it is a
// keyed hash. After ten wrong birth dates in a row it opens nothing more, after a year it
// goes. A record has one code: the next one ends the one before.
//
//	made --code and birth date--> opened (again and again)
//	  |  \--ten wrong birth dates--> shut
//	  +--a new code, or a year--> gone
package claim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/certificate"
	"impfportal/internal/clock"
	"impfportal/internal/code"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/notify"
	"impfportal/retention"
	"impfportal/vaccination"
)

// Errors of this slice.
var (
	// ErrTypo says that a text cannot be a code.
	ErrTypo = errors.New("claim: not a code")
	// ErrNoClaim says that code and birth date do not belong together, or that the code
	// is over. It does not say which.
	ErrNoClaim = errors.New("claim: code and birth date open nothing")
	// ErrRegistered says that the person has a login and needs no code.
	ErrRegistered = errors.New("claim: the person is registered")
)

const (
	codeLen  = 20                   // characters, two of them checks: 90 random bits
	life     = 365 * 24 * time.Hour // of a code
	maxTries = 10                   // wrong birth dates in a row
)

// Config is what the slice needs.
type Config struct {
	Pool         *pgxpool.Pool
	Vault        *vault.Vault
	Now          clock.Clock
	Records      *vaccination.Service
	Certificates *certificate.Service
	Send         func(ctx context.Context, tx pgx.Tx, to notify.Recipient, m notify.Message) error
	Sender       []string // small lines at the top of a sheet
	BaseURL      string
}

// Service makes codes and opens certificates with them.
type Service struct{ Config }

// New makes the service.
func New(cfg Config) *Service { return &Service{cfg} }

func (s *Service) mac(stored string) []byte { return s.Vault.MAC("certificate.claim", []byte(stored)) }

// Make makes the code of a record of the desk, in tx, and returns it in printed form;
// one that was made before opens nothing any more. ErrRegistered, and errors as of
// vaccination's desk.
func (s *Service) Make(ctx context.Context, tx pgx.Tx, d vaccination.Desk, r vaccination.Record) (printed string, err error) {
	switch {
	case r.Removed():
		return "", vaccination.ErrRemoved
	case r.LoginPersonID != "":
		return "", ErrRegistered
	}
	stored := code.New(codeLen)
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.claim AS c (record_id, key_id, code_mac, made_by, made_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (record_id) DO UPDATE SET code_mac = excluded.code_mac, tries = 0, made_by = excluded.made_by, made_at = excluded.made_at, expires_at = excluded.expires_at`,
		r.ID, r.KeyID, s.mac(stored), d.Actor, d.Now, d.Now.Add(life)); err != nil {
		return "", fmt.Errorf("make claim: %w", err)
	}
	return code.Print(stored), audit.Write(ctx, tx, d.Now, audit.Entry{Actor: d.Actor, Role: d.Role, Action: "claim.made", Subject: "record:" + r.ID})
}

// made is when the code of a record was made that still opens something; nil when
// there is none.
func (s *Service) made(ctx context.Context, recordID string) (at *time.Time, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT made_at FROM certificate.claim WHERE record_id = $1 AND expires_at > $2 AND tries < $3`, recordID, s.Now(), maxTries).Scan(&at)
	if pg.NoRows(err) {
		return nil, nil
	}
	return at, err
}

// Open returns the certificates of the record that a code and a birth date open, the
// newest first. ErrTypo, ErrNoClaim.
func (s *Service) Open(ctx context.Context, typed string, birth vaccination.PartialDate) ([]certificate.Certificate, error) {
	stored, err := code.Parse(typed, codeLen)
	if err != nil {
		return nil, ErrTypo
	}
	mac := s.mac(stored)
	// The try is counted before the date is looked at, so that many at once are not more.
	var recordID string
	err = s.Pool.QueryRow(ctx, `
		UPDATE certificate.claim SET tries = tries + 1 WHERE code_mac = $1 AND expires_at > $2 AND tries < $3 RETURNING record_id::text`,
		mac, s.Now(), maxTries).Scan(&recordID)
	if pg.NoRows(err) {
		return nil, ErrNoClaim
	}
	if err != nil {
		return nil, fmt.Errorf("open claim: %w", err)
	}
	r, err := s.Records.Get(ctx, s.Pool, recordID)
	if errors.Is(err, vaccination.ErrNotFound) || errors.Is(err, vault.ErrDestroyed) {
		return nil, ErrNoClaim
	}
	if err != nil {
		return nil, fmt.Errorf("record of claim: %w", err)
	}
	if r.Patient.Birth != birth {
		return nil, ErrNoClaim
	}
	if _, err := s.Pool.Exec(ctx, `UPDATE certificate.claim SET tries = 0 WHERE code_mac = $1`, mac); err != nil {
		return nil, fmt.Errorf("open claim: %w", err)
	}
	return s.Certificates.OfRecord(ctx, s.Pool, recordID)
}

// RetentionRules ends codes a year after they were made.
func RetentionRules() []retention.Rule {
	return []retention.Rule{{
		Name: "certificate.claim", Table: "certificate.claim", Why: "A code for a certificate ends after a year, or with the key of its record.",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM certificate.claim WHERE record_id IN (SELECT record_id FROM certificate.claim WHERE expires_at <= $1 LIMIT $2)`, now, limit)
			return tag.RowsAffected(), err
		},
	}}
}
