package revocation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Reason says why a certificate no longer counts.
type Reason string

// The reasons.
const (
	Corrected  Reason = "corrected"   // its record was corrected; the next version follows
	RecordVoid Reason = "record-void" // its record was voided
	Fraud      Reason = "fraud"       // it should never have been made
	Compromise Reason = "compromise"  // issuer, operator or key can no longer be trusted
	BadLot     Reason = "lot"         // the lot it names was not given there
	ByHolder   Reason = "holder"      // its holder asked for it
)

// ErrNotRevocable says that there is no standing certificate of that id that
// was signed.
var ErrNotRevocable = errors.New("revocation: nothing to revoke")

// ErrUnsigned says that a certificate is being made and not signed yet: it can be
// revoked in a moment, or when the stop that holds it back is over.
var ErrUnsigned = errors.New("revocation: the certificate is not signed yet")

// Revocation takes one certificate back.
type Revocation struct {
	CertificateID string
	Reason        Reason
	Replaced      bool   // its holder gets a new one
	Actor, Role   string // as in the audit trail
	At            time.Time
}

// Log is where the leaves go; *translog.Log.
type Log interface {
	Append(ctx context.Context, tx pgx.Tx, ref string, leaf translog.Leaf) error
	Pseudonym(domain, id string) string
}

// Service revokes.
type Service struct {
	log Log
	// Told tells the owner of a certificate that was handed out and gets no
	// successor, in the transaction; may be nil.
	Told func(ctx context.Context, tx pgx.Tx, certificateID string) error
}

// New makes the service.
func New(log Log) *Service { return &Service{log: log} }

// Revoke takes a certificate back in the caller's transaction: its row, the
// revocation, the audit entry and the leaf. It may be signed only and not yet in the
// log or with its owner: it is then never released. One that is revoked already or was
// refused is ErrNotRevocable, one that is not signed yet ErrUnsigned.
func (s *Service) Revoke(ctx context.Context, tx pgx.Tx, r Revocation) error {
	var (
		uvci, issuerRef, operator string
		kid, digest, rHash        []byte
		expires                   time.Time
	)
	err := tx.QueryRow(ctx, `
		UPDATE certificate.certificate SET revoked_at = $2
		 WHERE id = $1 AND revoked_at IS NULL AND state IN ('signed', 'logged', 'released')
		RETURNING uvci, issuer_ref, operator, kid, digest, r_hash, expires_at`, r.CertificateID, r.At).
		Scan(&uvci, &issuerRef, &operator, &kid, &digest, &rHash, &expires)
	if pg.NoRows(err) {
		return unsigned(ctx, tx, r.CertificateID)
	}
	if err != nil {
		return fmt.Errorf("revoke certificate %s: %w", r.CertificateID, err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO certificate.revocation (id, certificate_id, uvci, kid, digest, r_hash, expires_at, reason, replaced, revoked_at, revoked_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		id.New(), r.CertificateID, uvci, kid, digest, rHash, expires, r.Reason, r.Replaced, r.At, r.Actor)
	if err != nil {
		return fmt.Errorf("revoke certificate %s: %w", r.CertificateID, err)
	}
	ref := "certificate:" + r.CertificateID
	err = audit.Write(ctx, tx, r.At, audit.Entry{
		Actor: r.Actor, Role: r.Role, Action: "certificate.revoked", Subject: ref,
		After: map[string]any{"reason": r.Reason, "replaced": r.Replaced},
	})
	if err != nil {
		return err
	}
	if s.Told != nil && !r.Replaced {
		if err := s.Told(ctx, tx, r.CertificateID); err != nil {
			return err
		}
	}
	detail := map[string]string{"reason": string(r.Reason)}
	if r.Replaced {
		detail["replaced"] = "yes"
	}
	return s.log.Append(ctx, tx, "revocation:"+r.CertificateID, translog.Leaf{
		Kind: translog.KindRevocation, Subject: ref, Digest: digest,
		Issuer: s.log.Pseudonym("issuer", issuerRef), Operator: s.log.Pseudonym("operator", issuerRef+" "+operator),
		Day: clock.Day(r.At), Detail: detail,
	})
}

// unsigned says why a certificate cannot be revoked.
func unsigned(ctx context.Context, tx pgx.Tx, certificateID string) error {
	var begun bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM certificate.certificate WHERE id = $1 AND state = 'intent')`, certificateID).Scan(&begun); err != nil {
		return fmt.Errorf("revoke certificate %s: %w", certificateID, err)
	}
	if begun {
		return ErrUnsigned
	}
	return ErrNotRevocable
}

// Revoked reports whether the certificate of that id, or with that signature, was
// taken back. rHash is what verifiers compare of a signature ([SignatureHash]).
func Revoked(ctx context.Context, q pg.Querier, uvci string, rHash []byte) (revoked bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM certificate.revocation WHERE uvci = $1) OR EXISTS (SELECT FROM certificate.revocation WHERE r_hash = $2)`, uvci, rHash).Scan(&revoked)
	return revoked, err
}
