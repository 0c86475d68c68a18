package passkey

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Model is an authenticator model with the days on which it is allowed.
type Model struct {
	AAGUID  string
	From    time.Time
	To      *time.Time // last day; nil = no end
	Name    string
	Roots   string // PEM certificates that an attestation of this model leads to
	Virtual bool   // no hardware: counts in a local run only
	SetBy   string
	// Approval is the proposal by which two people allowed it; "" = nobody else did:
	// during the first set-up, or a virtual one.
	Approval string
}

// InForce reports whether the model is allowed on the day of now.
func (m Model) InForce(now time.Time) bool {
	day := clock.Day(now)
	return !m.From.After(day) && (m.To == nil || !m.To.Before(day))
}

const modelColumns = `aaguid::text, valid_from, valid_to, name, roots, virtual, set_by, coalesce(approval::text, '')`

// Models returns all models, the allowed ones and those that were.
func Models(ctx context.Context, q pg.Querier) ([]Model, error) {
	rows, err := q.Query(ctx, `SELECT `+modelColumns+` FROM staff.key_model ORDER BY name, valid_from`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Model])
}

// model returns the model in force; ErrModel when there is none that counts.
func (s *Service) model(ctx context.Context, q pg.Querier, aaguid string) (Model, error) {
	rows, err := q.Query(ctx, `SELECT `+modelColumns+` FROM staff.key_model
		WHERE aaguid = $1 AND valid_from <= $2 AND (valid_to IS NULL OR valid_to >= $2) ORDER BY valid_from DESC LIMIT 1`, aaguid, clock.Day(s.now()))
	if err != nil {
		return Model{}, err
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Model])
	if pg.NoRows(err) || err == nil && m.Virtual && !s.cfg.Local {
		return Model{}, ErrModel
	}
	return m, err
}

// anyModel lets an authenticator that nobody has allowed count in a local run, as a
// virtual one: what is built into a computer or a telephone. A model that was on the
// list stays what it is. Production refuses what is virtual, also what a local run has
// left in a database.
func (s *Service) anyModel(ctx context.Context, aaguid string) (Model, error) {
	if !s.cfg.Local {
		return Model{}, ErrModel
	}
	if _, err := s.pool.Exec(ctx, `
		INSERT INTO staff.key_model (aaguid, valid_from, name, roots, virtual, set_by, set_at)
		SELECT $1::uuid, $2::date, 'Beliebiger Schlüssel (nur Demo)', '', true, 'system', $3::timestamptz WHERE NOT EXISTS (SELECT FROM staff.key_model WHERE aaguid = $1)
		ON CONFLICT DO NOTHING`, aaguid, clock.Day(s.now()), s.now()); err != nil {
		return Model{}, err
	}
	return s.model(ctx, s.pool, aaguid)
}

// rootCertificates reads PEM certificates of attestation roots.
func rootCertificates(text string) (out []*x509.Certificate, err error) {
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			if strings.TrimSpace(string(rest)) != "" || len(out) == 0 {
				return nil, errors.New("passkey: no PEM certificate")
			}
			return out, nil
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}

// Fingerprints names the certificates of the model's roots for people who compare
// them with the maker's own: subject and SHA-256.
func (m Model) Fingerprints() ([]string, error) {
	roots, err := rootCertificates(m.Roots)
	var out []string
	for _, c := range roots {
		out = append(out, fmt.Sprintf("%s, SHA-256 %x", c.Subject.CommonName, sha256.Sum256(c.Raw)))
	}
	return out, err
}

// trusts verifies that an attestation certificate leads to a root of the model.
// A root may be the attestation certificate itself.
func (m Model) trusts(chain [][]byte) error {
	certificates, err := rootCertificates(m.Roots)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	for _, c := range certificates {
		roots.AddCert(c)
	}
	if len(chain) == 0 {
		return ErrModel
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return errors.Join(ErrModel, err)
	}
	between := x509.NewCertPool()
	for _, raw := range chain[1:] {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return errors.Join(ErrModel, err)
		}
		between.AddCert(c)
	}
	// Attestation certificates carry no extended key usage. The true time counts,
	// not a shifted clock: certificates are of the world outside.
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return errors.Join(ErrModel, err)
	}
	return nil
}

// virtualModels are the authenticators that browsers make up for tests. Chromium
// says none, or the second.
var virtualModels = []string{"00000000-0000-0000-0000-000000000000", "01020304-0506-0708-0102-030405060708"}

// SeedDemo allows virtual authenticators; local runs only.
func (s *Service) SeedDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	if !s.cfg.Local {
		return errors.New("passkey: virtual authenticators count in local runs only")
	}
	for _, aaguid := range virtualModels {
		if _, err := tx.Exec(ctx, `
			INSERT INTO staff.key_model (aaguid, valid_from, name, roots, virtual, set_by, set_at) VALUES ($1, '2020-01-01', 'Virtueller Schlüssel (nur Demo)', '', true, 'system', $2)
			ON CONFLICT DO NOTHING`, aaguid, now); err != nil {
			return err
		}
	}
	return nil
}
