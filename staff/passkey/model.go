package passkey

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
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
}

// InForce reports whether the model is allowed on the day of now.
func (m Model) InForce(now time.Time) bool {
	day := clock.Day(now)
	return !m.From.After(day) && (m.To == nil || !m.To.Before(day))
}

const modelColumns = `aaguid::text, valid_from, valid_to, name, roots, virtual, set_by`

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

// ParseRoots reads PEM certificates of attestation roots.
func ParseRoots(text string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	n := 0
	for rest := []byte(text); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			if strings.TrimSpace(string(rest)) != "" || n == 0 {
				return nil, errors.New("passkey: no PEM certificate")
			}
			return pool, nil
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(c)
		n++
	}
}

// trusts verifies that an attestation certificate leads to a root of the model.
// A root may be the attestation certificate itself.
func (m Model) trusts(chain [][]byte) error {
	roots, err := ParseRoots(m.Roots)
	if err != nil {
		return err
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

// AllowModel puts a model on the list from a day on.
func (s *Service) AllowModel(ctx context.Context, m Model, actor string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO staff.key_model (aaguid, valid_from, valid_to, name, roots, virtual, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (aaguid, valid_from) DO UPDATE SET valid_to = excluded.valid_to, name = excluded.name, roots = excluded.roots, set_by = excluded.set_by, set_at = excluded.set_at
			WHERE NOT staff.key_model.virtual`,
			m.AAGUID, m.From, m.To, m.Name, m.Roots, m.Virtual, actor, now)
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: "admin", Action: "passkey.model", Subject: "key-model:" + m.AAGUID, After: map[string]any{"name": m.Name, "from": m.From.Format(time.DateOnly), "to": m.To},
		})
	})
}

// EndModel ends a model with a day, the last on which its keys count.
func (s *Service) EndModel(ctx context.Context, aaguid string, from, last time.Time, actor string) error {
	now := s.now()
	return pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE staff.key_model SET valid_to = $3, set_by = $4, set_at = $5 WHERE aaguid = $1 AND valid_from = $2 AND valid_from <= $3`, aaguid, from, last, actor, now)
		if err == nil && tag.RowsAffected() == 0 { // it has not been allowed on any day up to then
			tag, err = tx.Exec(ctx, `DELETE FROM staff.key_model WHERE aaguid = $1 AND valid_from = $2`, aaguid, from)
		}
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: "admin", Action: "passkey.model_end", Subject: "key-model:" + aaguid, After: map[string]string{"last": last.Format(time.DateOnly)},
		})
	})
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
