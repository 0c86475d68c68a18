package certificate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/internal/pg"
)

// Certificate is a certificate as its owner sees it.
type Certificate struct {
	ID        string // "" in StateMaking
	RecordID  string
	State     State
	Problem   string // StateRefused: "name", "dose" or "dates"
	Waiting   bool   // for the end of a stop; not signed yet
	Day       time.Time
	HC1       string // StateReleased and StateRevoked only, like the following
	Payload   dcc.Payload
	IssuedAt  time.Time
	ExpiresAt time.Time
	KID       []byte
	Version   int
	RevokedAt time.Time         // StateRevoked only
	Reason    revocation.Reason // why
	Replaced  bool              // by a newer version
}

// Ready reports whether it can be shown and downloaded.
func (c Certificate) Ready() bool { return c.State == StateReleased }

// Entry is the vaccination that a ready certificate attests.
func (c Certificate) Entry() dcc.Entry { return c.Payload.V[0] }

// Codes are the words beside the codes of a ready certificate.
func (c Certificate) Codes() dcc.Codes { return dcc.Describe(c.Entry()) }

// OfPerson returns the certificates of a login, newest first, and those that
// are still being made for records of that login.
func (s *Service) OfPerson(ctx context.Context, q pg.Querier, personID string) ([]Certificate, error) {
	out, err := s.read(ctx, q, `c.person_id = $1`, personID)
	if err != nil {
		return nil, err
	}
	records, err := s.Source.OfPerson(ctx, q, personID)
	if err != nil {
		return nil, fmt.Errorf("records of a login: %w", err)
	}
	for _, v := range records {
		_, wanted := dcc.CodesFor(v.ProductID, s.Now())
		known := slices.ContainsFunc(out, func(c Certificate) bool { return c.RecordID == v.RecordID })
		if wanted && !known {
			out = append(out, Certificate{RecordID: v.RecordID, State: StateMaking, Day: v.Day})
		}
	}
	slices.SortStableFunc(out, func(a, b Certificate) int { return b.Day.Compare(a.Day) })
	return out, nil
}

// OfRecord returns the certificates of a treatment record, newest version first.
func (s *Service) OfRecord(ctx context.Context, q pg.Querier, recordID string) ([]Certificate, error) {
	return s.read(ctx, q, `c.record_id = $1`, recordID)
}

// RecordOf returns the treatment record of the certificate with an id as people type it,
// of whatever version; "" when there is none. dcc.ErrUVCI for what is no id.
func RecordOf(ctx context.Context, q pg.Querier, typed string) (recordID string, err error) {
	uvci, err := dcc.ParseUVCI(typed)
	if err != nil {
		return "", err
	}
	err = q.QueryRow(ctx, `SELECT record_id::text FROM certificate.certificate WHERE uvci = $1`, uvci).Scan(&recordID)
	if pg.NoRows(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("record of a certificate: %w", err)
	}
	return recordID, nil
}

// Get returns one certificate of a login. Somebody else's is ErrNotFound.
func (s *Service) Get(ctx context.Context, q pg.Querier, certificateID, personID string) (Certificate, error) {
	if uuid.Validate(certificateID) != nil || uuid.Validate(personID) != nil {
		return Certificate{}, ErrNotFound
	}
	list, err := s.read(ctx, q, `c.id = $1 AND c.person_id = $2`, certificateID, personID)
	if err != nil {
		return Certificate{}, err
	}
	if len(list) == 0 {
		return Certificate{}, ErrNotFound
	}
	return list[0], nil
}

// read opens the certificates that a condition selects. where is a constant
// of this package, never input.
func (s *Service) read(ctx context.Context, q pg.Querier, where string, args ...any) ([]Certificate, error) {
	rows, err := q.Query(ctx, `
		SELECT c.id::text, c.record_id::text, c.key_id::text, k.wrapped, c.state, c.problem, c.hc1, c.issued_at, c.expires_at, c.kid, c.created_at,
		       c.version, c.revoked_at, coalesce(r.reason, ''), coalesce(r.replaced, false), c.waiting_since IS NOT NULL
		  FROM certificate.certificate c JOIN vault.key k ON k.id = c.key_id LEFT JOIN certificate.revocation r ON r.certificate_id = c.id
		 WHERE (c.revoked_at IS NULL OR c.released_at IS NOT NULL OR NOT r.replaced) AND `+where+` ORDER BY c.created_at DESC, c.version DESC`, args...)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c Certificate, err error) {
		var (
			keyID           string
			wrapped, sealed []byte
			issued, expires *time.Time
			revoked         *time.Time
		)
		if err := row.Scan(&c.ID, &c.RecordID, &keyID, &wrapped, &c.State, &c.Problem, &sealed, &issued, &expires, &c.KID, &c.Day,
			&c.Version, &revoked, &c.Reason, &c.Replaced, &c.Waiting); err != nil {
			return c, err
		}
		if revoked != nil { // also one that nobody had yet
			c.State, c.RevokedAt = StateRevoked, *revoked
		} else if !c.Ready() {
			return c, nil
		}
		c.IssuedAt, c.ExpiresAt = *issued, *expires
		key, err := s.Vault.Unwrap(keyID, wrapped)
		if err != nil {
			return c, err
		}
		text, err := key.Unseal(sealHC1, sealed)
		if err != nil {
			return c, fmt.Errorf("certificate %s: %w", c.ID, err)
		}
		d, err := dcc.Decode(string(text))
		if err != nil {
			return c, fmt.Errorf("certificate %s: %w", c.ID, err)
		}
		if len(d.Claims.HCert.DCC.V) != 1 {
			return c, errors.New("certificate " + c.ID + " holds no vaccination")
		}
		c.HC1, c.Payload = string(text), d.Claims.HCert.DCC
		c.Day, err = time.Parse(time.DateOnly, c.Entry().Date)
		return c, err
	})
}
