package certificate

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/dcc"
	"impfportal/certificate/signing"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// State of a certificate; see the diagram in doc.go.
type State string

// The states. Making has no row yet: the worker has not begun.
const (
	StateMaking   State = "making"
	StateRefused  State = "refused"
	StateIntent   State = "intent"
	StateSigned   State = "signed"
	StateReleased State = "released"
)

// ErrDiffers means that stored claims do not say what the record says. Such a
// certificate is never released.
var ErrDiffers = errors.New("certificate: stored claims differ from the record")

// firstVersion is the version of a certificate that corrects no other.
const firstVersion = 1

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

// Make makes the certificate of a record, or finishes one that was begun: it
// may be called at any time, any number of times and by several workers at
// once, and ends with exactly one certificate. A product without an EU
// certificate and a record that is gone need none and are no error; neither is
// a record that no certificate can be made of, which becomes StateRefused.
//
// Each step commits before the next begins: the intent is stored before
// anything is signed, the one signature before anything is released.
func (s *Service) Make(ctx context.Context, recordID string) error {
	v, err := s.Source.Record(ctx, s.Pool, recordID)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("certificate of record %s: %w", recordID, err)
	}
	if _, ok := dcc.CodesFor(v.ProductID, s.Now()); !ok {
		return nil
	}
	for _, step := range []func(context.Context, Vaccination) error{s.intend, s.sign, s.release} {
		if err := step(ctx, v); err != nil {
			if errors.Is(err, vault.ErrDestroyed) {
				return nil // the record ended meanwhile, and the certificate with it
			}
			return fmt.Errorf("certificate of record %s: %w", recordID, err)
		}
	}
	return nil
}

// stored is a row as the steps need it.
type stored struct {
	id, state       string
	uvci            *string
	issued, expires *time.Time
	claims, hc1     []byte // sealed
	kid             []byte
}

// lock reads the row of a record for a step and keeps others from it.
func lock(ctx context.Context, tx pgx.Tx, recordID string) (r stored, found bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT id::text, state, uvci, issued_at, expires_at, claims, hc1, kid
		  FROM certificate.certificate WHERE record_id = $1 AND version = $2 FOR UPDATE`, recordID, firstVersion).
		Scan(&r.id, &r.state, &r.uvci, &r.issued, &r.expires, &r.claims, &r.hc1, &r.kid)
	if pg.NoRows(err) {
		return r, false, nil
	}
	return r, err == nil, err
}

// intend fixes and stores what is to be signed: id, times and claims. A record
// that was refused is tried again, because it may have been corrected.
func (s *Service) intend(ctx context.Context, v Vaccination) error {
	signer, err := s.Keys.Signer(s.Now())
	if err != nil {
		return err
	}
	now := s.Now().Truncate(time.Second)
	expires := signing.Expiry(signer.Certificate(), now)
	uvci := dcc.NewUVCI(v.Place)
	built, buildErr := dcc.Build(v.Vaccination, s.Issuer, uvci, now, expires)
	problem := problemOf(buildErr)
	if buildErr != nil && problem == "" {
		return buildErr
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		r, found, err := lock(ctx, tx, v.RecordID)
		if err != nil || found && (r.state != string(StateRefused) || problem != "") {
			return err
		}
		if problem != "" {
			s.Log.WarnContext(ctx, "certificate cannot be made without a person", "record", v.RecordID, "problem", problem)
			_, err := tx.Exec(ctx, `
				INSERT INTO certificate.certificate (id, record_id, version, key_id, person_id, state, problem, created_at)
				VALUES ($1, $2, $3, $4, $5, 'refused', $6, $7) ON CONFLICT (record_id, version) DO NOTHING`,
				id.New(), v.RecordID, firstVersion, v.KeyID, null(v.PersonID), problem, s.Now())
			return destroyed(err)
		}
		key, err := s.Vault.Open(ctx, tx, v.KeyID)
		if err != nil {
			return err
		}
		plain, err := built.CBOR()
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO certificate.certificate (id, record_id, version, key_id, person_id, state, uvci, issued_at, expires_at, claims, created_at)
			VALUES ($1, $2, $3, $4, $5, 'intent', $6, $7, $8, $9, $10)
			ON CONFLICT (record_id, version) DO UPDATE
			   SET state = 'intent', problem = '', uvci = excluded.uvci, issued_at = excluded.issued_at,
			       expires_at = excluded.expires_at, claims = excluded.claims
			 WHERE certificate.state = 'refused'`,
			id.New(), v.RecordID, firstVersion, v.KeyID, null(v.PersonID), uvci, now, expires, key.Seal(sealClaims, plain), s.Now())
		return destroyed(err)
	})
}

// destroyed turns the absence of the record's key into vault.ErrDestroyed.
func destroyed(err error) error {
	if pg.Violates(err, "certificate_key") {
		return vault.ErrDestroyed
	}
	return err
}

// sign signs the stored claims once. The row is locked, so that two workers
// cannot make two signatures; a worker that dies here has stored nothing.
func (s *Service) sign(ctx context.Context, v Vaccination) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		r, found, err := lock(ctx, tx, v.RecordID)
		if err != nil || !found || r.state != string(StateIntent) {
			return err
		}
		key, err := s.Vault.Open(ctx, tx, v.KeyID)
		if err != nil {
			return err
		}
		claims, err := key.Unseal(sealClaims, r.claims)
		if err != nil {
			return err
		}
		built, err := s.sameAsRecord(claims, v, r)
		if err != nil {
			return err
		}
		signer, err := s.Keys.Signer(s.Now())
		if err != nil {
			return err
		}
		dsc := signer.Certificate()
		if r.issued.Before(dsc.NotBefore) || r.expires.After(dsc.NotAfter) {
			return fmt.Errorf("%w: the DSC does not cover the life of certificate %s", signing.ErrKeys, r.id)
		}
		text, err := signer.HC1(built)
		if err != nil {
			return err
		}
		d, err := checkText(text, claims, dsc)
		if err != nil {
			return err
		}
		digest, kid := d.Digest(), dcc.KID(dsc)
		_, err = tx.Exec(ctx, `
			UPDATE certificate.certificate SET state = 'signed', kid = $2, digest = $3, hc1 = $4, signed_at = $5 WHERE id = $1`,
			r.id, kid[:], digest[:], key.Seal(sealHC1, []byte(text)), s.Now())
		return err
	})
}

// release reads back what was stored, verifies it as a stranger would, holds
// it against the record byte for byte, and only then lets its owner have it.
func (s *Service) release(ctx context.Context, v Vaccination) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		r, found, err := lock(ctx, tx, v.RecordID)
		if err != nil || !found || r.state != string(StateSigned) {
			return err
		}
		key, err := s.Vault.Open(ctx, tx, v.KeyID)
		if err != nil {
			return err
		}
		text, err := key.Unseal(sealHC1, r.hc1)
		if err != nil {
			return err
		}
		dsc := s.Keys.DSC(r.kid)
		if dsc == nil {
			return fmt.Errorf("%w: no DSC %x", signing.ErrKeys, r.kid)
		}
		d, err := dcc.Decode(string(text))
		if err != nil {
			return err
		}
		if _, err := s.sameAsRecord(d.Payload, v, r); err != nil {
			return err
		}
		if _, err := checkText(string(text), d.Payload, dsc); err != nil {
			return err
		}
		now := s.Now()
		if _, err := tx.Exec(ctx, `UPDATE certificate.certificate SET state = 'released', released_at = $2 WHERE id = $1`, r.id, now); err != nil {
			return err
		}
		if err := audit.Write(ctx, tx, now, audit.Entry{
			Actor: "system", Role: "worker", Action: "certificate.released", Subject: "certificate:" + r.id,
			After: map[string]any{"record": v.RecordID, "version": firstVersion, "kid": fmt.Sprintf("%x", r.kid)},
		}); err != nil {
			return err
		}
		return s.announce(ctx, tx, v)
	})
}

// sameAsRecord builds the claims again from the record and compares.
func (s *Service) sameAsRecord(claims []byte, v Vaccination, r stored) (*dcc.Built, error) {
	want, err := dcc.Build(v.Vaccination, s.Issuer, *r.uvci, *r.issued, *r.expires)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	plain, err := want.CBOR()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(plain, claims) {
		return nil, fmt.Errorf("%w: certificate %s", ErrDiffers, r.id)
	}
	return want, nil
}

// checkText verifies a text as its reader will: decodable, signed with this
// DSC, allowed and valid at the moment of issue, and saying just these claims.
func checkText(text string, claims []byte, dsc *x509.Certificate) (*dcc.Decoded, error) {
	d, err := dcc.Decode(text)
	if err != nil {
		return nil, err
	}
	if err := d.Verify(dsc); err != nil {
		return nil, err
	}
	if err := d.ValidAt(time.Unix(d.Claims.IssuedAt, 0), dsc); err != nil {
		return nil, err
	}
	if !bytes.Equal(d.Payload, claims) {
		return nil, ErrDiffers
	}
	return d, nil
}

// null turns "" into SQL's NULL.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
