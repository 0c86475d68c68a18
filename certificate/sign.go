package certificate

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/vaccination"
)

// sign signs the stored claims once and hands the leaf to the log, in one
// transaction. The row is locked, so that two workers cannot make two
// signatures; a worker that dies here has stored nothing.
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
		distrusted, err := s.Distrusted(ctx, tx)
		if err != nil {
			return err
		}
		signer, err := s.Keys.Signer(CohortOf(v.IssuerKind), s.Now(), distrusted...)
		if err != nil {
			return err
		}
		dsc := signer.Certificate()
		kid := dcc.KID(dsc)
		err = s.Stop.Check(ctx, tx, stop.Subject{IssuerRef: v.IssuerRef, IssuerKind: v.IssuerKind, Path: v.Path, Region: v.Region, KID: kid[:]})
		if err == nil && r.version == 1 { // who had one that was revoked is not to blame
			err = s.held(ctx, tx, v.IssuerRef)
		}
		if errors.Is(err, stop.ErrStopped) {
			_, err := tx.Exec(ctx, `UPDATE certificate.certificate SET waiting_since = coalesce(waiting_since, $2) WHERE id = $1`, r.id, s.Now())
			return err
		}
		if err != nil {
			return err
		}
		if err := lint(built, v, dsc); err != nil {
			return err
		}
		text, err := signer.HC1(built)
		if err != nil {
			return err
		}
		d, err := checkText(text, claims, dsc)
		if err != nil {
			return err
		}
		digest, rHash := d.Digest(), d.RHash()
		_, err = tx.Exec(ctx, `
			UPDATE certificate.certificate SET state = 'signed', kid = $2, digest = $3, hc1 = $4, signed_at = $5, r_hash = $6, waiting_since = NULL WHERE id = $1`,
			r.id, kid[:], digest[:], key.Seal(sealHC1, []byte(text)), s.Now(), rHash[:])
		if err != nil {
			return err
		}
		kind := translog.KindCertificate
		if r.version > 1 {
			kind = translog.KindReissue
		}
		leaf := s.leaf(kind, r.id, v, digest[:], kid[:])
		if err := replaces(ctx, tx, &leaf, v.RecordID, r.version); err != nil {
			return err
		}
		return s.Transparency.Append(ctx, tx, refOf(r.id), leaf)
	})
}

// held is stop.ErrStopped for an issuer that may not issue any more: an alarm has
// paused it, the registry does not carry it, it has ended. A queue that a stop has
// made is not signed after it for somebody who turned out to be nobody.
func (s *Service) held(ctx context.Context, q pg.Querier, issuerRef string) error {
	held, err := s.Holds(ctx, q, issuerRef)
	if err == nil && held {
		err = fmt.Errorf("%w: %s", stop.ErrStopped, issuerRef)
	}
	return err
}

// refPrefix begins the log's references to certificates.
const refPrefix = "certificate:"

func refOf(certificateID string) string { return refPrefix + certificateID }

// replaces lets the leaf of a later version name what was signed before it, so
// that whoever reads the log alone can follow a certificate through its versions.
func replaces(ctx context.Context, tx pgx.Tx, leaf *translog.Leaf, recordID string, version int) error {
	if version == 1 {
		return nil
	}
	var before []byte
	err := tx.QueryRow(ctx, `
		SELECT digest FROM certificate.certificate WHERE record_id = $1 AND version < $2 AND digest IS NOT NULL ORDER BY version DESC LIMIT 1`, recordID, version).Scan(&before)
	if pg.NoRows(err) {
		return nil
	}
	leaf.Detail["replaces"] = hex.EncodeToString(before)
	return err
}

// leaf is what the log says of a certificate: nothing of the person.
func (s *Service) leaf(kind, certificateID string, v Vaccination, digest, kid []byte) translog.Leaf {
	detail := map[string]string{"kid": hex.EncodeToString(kid), "basis": v.Basis, "path": v.Path, "issuer_kind": v.IssuerKind}
	if v.Further {
		detail["further"] = "yes"
	}
	return translog.Leaf{
		Kind: kind, Subject: refOf(certificateID), Digest: digest,
		Issuer:   s.Transparency.Pseudonym("issuer", v.IssuerRef),
		Operator: s.Transparency.Pseudonym("operator", v.IssuerRef+" "+v.Operator),
		Day:      clock.Day(s.Now()),
		Detail:   detail,
	}
}

// releaseLogged is release for who does not know whether the log has the leaf.
func (s *Service) releaseLogged(ctx context.Context, v Vaccination) error {
	var there bool
	err := s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM certificate.certificate WHERE record_id = $1 AND state = 'logged' AND revoked_at IS NULL)`, v.RecordID).Scan(&there)
	if err != nil || !there {
		return err
	}
	return s.release(ctx, v)
}

// release reads back what was stored, verifies it as a stranger would, holds
// it against the record byte for byte, and only then lets its owner have it. What a
// signer has signed that is distrusted by now is revoked instead, and made again.
func (s *Service) release(ctx context.Context, v Vaccination) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		r, found, err := lock(ctx, tx, v.RecordID)
		if err != nil || !found || r.state != string(StateLogged) {
			return err
		}
		distrusted, err := s.Distrusted(ctx, tx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(distrusted, func(kid []byte) bool { return bytes.Equal(kid, r.kid) }) {
			return s.another(ctx, tx, v.RecordID, r)
		}
		key, err := s.Vault.Open(ctx, tx, v.KeyID)
		if err != nil {
			return err
		}
		text, err := key.Unseal(sealHC1, r.hc1)
		if err != nil {
			return err
		}
		claims, err := key.Unseal(sealClaims, r.claims)
		if err != nil {
			return err
		}
		dsc := s.Keys.DSC(r.kid)
		if dsc == nil {
			return fmt.Errorf("%w: no DSC %x", signing.ErrKeys, r.kid)
		}
		d, err := checkText(string(text), claims, dsc)
		if err != nil {
			return err
		}
		if _, err := s.sameAsRecord(claims, v, r); err != nil {
			return err
		}
		now := s.Now()
		if _, err := tx.Exec(ctx, `UPDATE certificate.certificate SET state = 'released', released_at = $2 WHERE id = $1`, r.id, now); err != nil {
			return err
		}
		if err := audit.Write(ctx, tx, now, audit.Entry{
			Actor: "system", Role: "worker", Action: "certificate.released", Subject: refOf(r.id),
			After: map[string]any{"record": v.RecordID, "version": r.version, "kid": fmt.Sprintf("%x", r.kid)},
		}); err != nil {
			return err
		}
		return s.announce(ctx, tx, v, Certificate{
			ID: r.id, RecordID: v.RecordID, State: StateReleased, Version: r.version, Day: v.Day, HC1: string(text), Payload: d.Claims.HCert.DCC,
			IssuedAt: *r.issued, ExpiresAt: *r.expires, KID: r.kid,
		})
	})
}

// another revokes a certificate whose signer was distrusted before its owner had it,
// and asks for the next one, as a mass revocation that names the signer does with
// those that were handed out. The trigger certificate_release_trusted refuses the rest.
func (s *Service) another(ctx context.Context, tx pgx.Tx, recordID string, r stored) error {
	if err := s.Revocations.Revoke(ctx, tx, revocation.Revocation{
		CertificateID: r.id, Reason: revocation.Compromise, Replaced: true, Actor: "system", Role: "worker", At: s.Now(),
	}); err != nil {
		return err
	}
	return vaccination.Recorded.Enqueue(ctx, tx, vaccination.RecordedPayload{RecordID: recordID})
}

// lint is the last look before a signature: what the schema, the value sets,
// the record and the signer's certificate demand. Building the claims has
// checked most of it already; a fault here is one of the program.
func lint(b *dcc.Built, v Vaccination, dsc *x509.Certificate) error {
	if err := b.Lint(); err != nil {
		return err
	}
	c := b.Claims()
	issued, expires := time.Unix(c.IssuedAt, 0), time.Unix(c.ExpiresAt, 0)
	if issued.Before(dsc.NotBefore) || expires.After(dsc.NotAfter) {
		return fmt.Errorf("%w: the DSC does not cover the life of the certificate", signing.ErrKeys)
	}
	if err := dcc.MayVaccinate(dsc); err != nil {
		return err
	}
	if e := c.HCert.DCC.V[0]; e.Date != v.Day.Format(time.DateOnly) || c.HCert.DCC.Birth != v.Birth {
		return errors.New("certificate: dates are not those of the record")
	}
	return nil
}

// checkText verifies a text as its reader will: decodable, signed with this
// DSC, allowed and valid at the moment of issue, and saying just these claims.
func checkText(text string, claims []byte, dsc *x509.Certificate) (*dcc.Decoded, error) {
	d, err := dcc.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	if err := d.Verify(dsc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	if err := d.ValidAt(time.Unix(d.Claims.IssuedAt, 0), dsc); err != nil {
		return nil, err
	}
	if !bytes.Equal(d.Payload, claims) {
		return nil, ErrDiffers
	}
	return d, nil
}
