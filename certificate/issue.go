package certificate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// State of a certificate; see the diagram in doc.go.
type State string

// The states. Making has no row yet: the worker has not begun. Revoked is one that
// was signed and does not count, or no longer.
const (
	StateMaking   State = "making"
	StateRefused  State = "refused"
	StateIntent   State = "intent"
	StateSigned   State = "signed"
	StateLogged   State = "logged"
	StateReleased State = "released"
	StateRevoked  State = "revoked"
)

// ErrDiffers means that what is stored under a certificate was changed: the
// text does not say what was to be signed. Such a certificate is never released.
var ErrDiffers = errors.New("certificate: stored text differs from the stored claims")

// errOutdated means that the record says something else than the claims that
// were stored for it: it was corrected meanwhile.
var errOutdated = errors.New("certificate: the record was corrected meanwhile")

// Contexts of the sealed columns.
const (
	sealClaims = "certificate.claims"
	sealHC1    = "certificate.hc1"
)

// problems are the reasons for StateRefused that a person has to settle.
var problems = []struct {
	err  error
	code string
}{{dcc.ErrName, "name"}, {dcc.ErrDoseRule, "dose"}, {dcc.ErrDates, "dates"}}

func problemOf(err error) string {
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return p.code
		}
	}
	return ""
}

// Make brings the certificate of a record in step with it: makes it, finishes
// one that was begun, and after a correction revokes the old one and makes the
// next version. It may be called at any time, any number of times and by
// several workers at once, and ends with exactly one standing certificate. A
// product without an EU certificate and a record that is gone need none and
// are no error; neither is a record that no certificate can be made of, which
// becomes StateRefused. A certificate that was revoked for good gets no
// successor.
//
// Each step commits before the next begins: the intent is stored before
// anything is signed; the one signature, with its leaf, before anything is
// logged. The log's sequencer then calls for the last step, the release.
func (s *Service) Make(ctx context.Context, recordID string) error {
	return s.take(ctx, recordID, s.intend, s.sign, s.releaseLogged)
}

// step is one arrow of the diagram in doc.go.
type step func(ctx context.Context, v Vaccination) error

// goOn takes one step that is known to be the next. When the record was
// corrected meanwhile, it is Make that goes on.
func (s *Service) goOn(ctx context.Context, recordID string, next step) error {
	err := s.take(ctx, recordID, next)
	if errors.Is(err, errOutdated) {
		return s.Make(ctx, recordID)
	}
	return err
}

// take takes the steps of a record, one after the other.
func (s *Service) take(ctx context.Context, recordID string, steps ...step) error {
	v, err := s.Source.Record(ctx, s.Pool, recordID)
	switch {
	case errors.Is(err, ErrVoid):
		return s.end(ctx, recordID)
	case errors.Is(err, ErrGone):
		return nil
	case err != nil:
		return fmt.Errorf("certificate of record %s: %w", recordID, err)
	}
	if _, ok := dcc.CodesFor(v.ProductID, s.Now()); !ok {
		return nil
	}
	for _, next := range steps {
		if err := next(ctx, v); err != nil {
			if errors.Is(err, vault.ErrDestroyed) {
				return nil // the record ended meanwhile, and the certificate with it
			}
			if ctx.Err() == nil && !errors.Is(err, errOutdated) {
				err = errors.Join(err, s.failed(ctx, v, "not made"))
			}
			return fmt.Errorf("certificate of record %s: %w", recordID, err)
		}
	}
	return nil
}

// failed counts a certificate that could not be made against the error budget
// of a return.
func (s *Service) failed(ctx context.Context, v Vaccination, what string) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.Stop.Fail(ctx, tx, v.IssuerRef, what) })
}

// end revokes what was signed for a record that has been voided, and forgets
// what was only begun.
func (s *Service) end(ctx context.Context, recordID string) error {
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		r, found, err := lock(ctx, tx, recordID)
		if err != nil || !found {
			return err
		}
		if !r.wasSigned() {
			_, err := tx.Exec(ctx, `DELETE FROM certificate.certificate WHERE id = $1`, r.id)
			return err
		}
		return s.Revocations.Revoke(ctx, tx, revocation.Revocation{CertificateID: r.id, Reason: revocation.RecordVoid, Actor: "system", Role: "worker", At: s.Now()})
	})
	if err != nil {
		return fmt.Errorf("end the certificate of record %s: %w", recordID, err)
	}
	return nil
}

// stored is the standing row of a record as the steps need it.
type stored struct {
	id, state, keyID string
	version          int
	uvci             *string
	issued, expires  *time.Time
	claims, hc1      []byte // sealed
	kid              []byte
	issuerRef, lot   string
}

func (r stored) wasSigned() bool {
	return r.state == string(StateSigned) || r.state == string(StateLogged) || r.state == string(StateReleased)
}

// lock reads the standing row of a record for a step and keeps others from it.
func lock(ctx context.Context, tx pgx.Tx, recordID string) (r stored, found bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT id::text, state, key_id::text, version, uvci, issued_at, expires_at, claims, hc1, kid, issuer_ref, lot_number
		  FROM certificate.certificate WHERE record_id = $1 AND revoked_at IS NULL FOR UPDATE`, recordID).
		Scan(&r.id, &r.state, &r.keyID, &r.version, &r.uvci, &r.issued, &r.expires, &r.claims, &r.hc1, &r.kid, &r.issuerRef, &r.lot)
	if pg.NoRows(err) {
		return r, false, nil
	}
	return r, err == nil, err
}

// intent is what is to be signed.
type intent struct {
	uvci            string
	issued, expires time.Time
	claims          []byte // nil: refused
	problem         string
	cohort          string
}

// plan builds the intent of a record.
func (s *Service) plan(ctx context.Context, v Vaccination) (in intent, err error) {
	in.cohort = CohortOf(v.IssuerKind)
	distrusted, err := s.Distrusted(ctx, s.Pool)
	if err != nil {
		return in, err
	}
	signer, err := s.Keys.Signer(in.cohort, s.Now(), distrusted...)
	if err != nil {
		return in, err
	}
	in.issued = s.Now().Truncate(time.Second)
	in.expires = signing.Expiry(signer.Certificate(), in.issued)
	in.uvci = dcc.NewUVCI(v.Place)
	built, err := dcc.Build(v.Vaccination, s.Issuer, in.uvci, in.issued, in.expires)
	if in.problem = problemOf(err); in.problem != "" {
		return in, nil
	}
	if err != nil {
		return in, err
	}
	in.claims, err = built.CBOR()
	return in, err
}

// intend fixes and stores what is to be signed: id, times and claims. A record
// that was refused is tried again, because it may have been corrected; claims
// that a correction has outdated are replaced, after revoking what was signed.
func (s *Service) intend(ctx context.Context, v Vaccination) error {
	in, err := s.plan(ctx, v)
	if err != nil {
		return err
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		r, found, err := lock(ctx, tx, v.RecordID)
		if err != nil {
			return err
		}
		switch {
		case !found:
			return s.insert(ctx, tx, v, in)
		case r.state == string(StateRefused):
			if in.claims == nil {
				return nil
			}
			return s.refresh(ctx, tx, v, r, in)
		}
		key, err := s.Vault.Open(ctx, tx, r.keyID)
		if err != nil {
			return err
		}
		claims, err := key.Unseal(sealClaims, r.claims)
		if err != nil {
			return err
		}
		if _, err := s.sameAsRecord(claims, v, r); !errors.Is(err, errOutdated) {
			return err
		}
		if !r.wasSigned() {
			return s.refresh(ctx, tx, v, r, in)
		}
		err = s.Revocations.Revoke(ctx, tx, revocation.Revocation{
			CertificateID: r.id, Reason: revocation.Corrected, Replaced: true, Actor: "system", Role: "worker", At: s.Now(),
		})
		if err != nil {
			return err
		}
		return s.insert(ctx, tx, v, in)
	})
}

// insert stores the intent of the next version, unless the one before was
// revoked for good. A revocation whose row has gone, because its certificate would
// have expired by now, stays one for good.
func (s *Service) insert(ctx context.Context, tx pgx.Tx, v Vaccination, in intent) error {
	version, ended := 0, false
	err := tx.QueryRow(ctx, `
		SELECT c.version, NOT coalesce(r.replaced, false)
		  FROM certificate.certificate c LEFT JOIN certificate.revocation r ON r.certificate_id = c.id
		 WHERE c.record_id = $1 ORDER BY c.version DESC LIMIT 1`, v.RecordID).Scan(&version, &ended)
	if err != nil && !pg.NoRows(err) || ended {
		return err
	}
	version++
	state, sealed, err := s.seal(ctx, tx, v, in)
	if err != nil {
		return err
	}
	if state == StateRefused {
		if err := s.Stop.Fail(ctx, tx, v.IssuerRef, "refused: "+in.problem); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO certificate.certificate (id, record_id, version, key_id, person_id, state, problem, uvci, issued_at, expires_at, claims, created_at,
		       issuer_ref, issuer_kind, region, path, basis, operator, product_id, lot_number, cohort)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		ON CONFLICT DO NOTHING`,
		id.New(), v.RecordID, version, v.KeyID, null(v.PersonID), state, in.problem, nullIf(in.claims == nil, in.uvci), nullIf(in.claims == nil, in.issued),
		nullIf(in.claims == nil, in.expires), sealed, s.Now(),
		v.IssuerRef, v.IssuerKind, v.Region, v.Path, v.Basis, v.Operator, v.ProductID, v.LotNumber, in.cohort)
	return destroyed(err)
}

// refresh replaces an intent of which nothing was signed yet.
func (s *Service) refresh(ctx context.Context, tx pgx.Tx, v Vaccination, r stored, in intent) error {
	state, sealed, err := s.seal(ctx, tx, v, in)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE certificate.certificate
		   SET state = $2, problem = $3, uvci = $4, issued_at = $5, expires_at = $6, claims = $7, waiting_since = CASE WHEN $2 = 'intent' THEN waiting_since END, region = $8, product_id = $9, lot_number = $10, cohort = $11,
		       issuer_ref = $12, issuer_kind = $13
		 WHERE id = $1`,
		r.id, state, in.problem, nullIf(in.claims == nil, in.uvci), nullIf(in.claims == nil, in.issued), nullIf(in.claims == nil, in.expires), sealed,
		v.Region, v.ProductID, v.LotNumber, in.cohort, v.IssuerRef, v.IssuerKind)
	return err
}

// seal closes the claims under the record's key; nil for a refused intent.
func (s *Service) seal(ctx context.Context, tx pgx.Tx, v Vaccination, in intent) (State, []byte, error) {
	if in.claims == nil {
		s.Log.WarnContext(ctx, "certificate cannot be made without a person", "record", v.RecordID, "problem", in.problem)
		return StateRefused, nil, nil
	}
	key, err := s.Vault.Open(ctx, tx, v.KeyID)
	if err != nil {
		return "", nil, err
	}
	return StateIntent, key.Seal(sealClaims, in.claims), nil
}

// sameAsRecord builds the claims again from the record and compares:
// errOutdated when it says something else. The issuer's name is the one that
// was stored: a new name makes no old certificate wrong.
func (s *Service) sameAsRecord(claims []byte, v Vaccination, r stored) (*dcc.Built, error) {
	issuer, err := dcc.IssuerOf(claims)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	want, err := dcc.Build(v.Vaccination, issuer, *r.uvci, *r.issued, *r.expires)
	if problemOf(err) != "" {
		return nil, fmt.Errorf("%w: %w", errOutdated, err)
	}
	if err != nil {
		return nil, err
	}
	plain, err := want.CBOR()
	if err != nil {
		return nil, err
	}
	// Lot and issuer do not stand in the certificate, but who revokes goes by them.
	if !bytes.Equal(plain, claims) || r.lot != v.LotNumber || r.issuerRef != v.IssuerRef {
		return nil, fmt.Errorf("%w: certificate %s", errOutdated, r.id)
	}
	return want, nil
}

// destroyed turns the absence of the record's key into vault.ErrDestroyed.
func destroyed(err error) error {
	if pg.Violates(err, "certificate_key") {
		return vault.ErrDestroyed
	}
	return err
}

// null turns "" into SQL's NULL.
func null(s string) any { return nullIf(s == "", s) }

func nullIf(cond bool, v any) any {
	if cond {
		return nil
	}
	return v
}
