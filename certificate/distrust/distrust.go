// Package distrust takes the trust from document signers (DSC).
//
// Each cohort of issuers has a signer of its own (package signing), so that one
// of them can be given up without the rest: when its key may have been in other
// hands, or when too much of what it signed is false. Two people decide it
// (dualcontrol, kind signer.distrust), and there is no way back. From that
// moment nothing is signed with it, the trust list does not have it, and
// verifiers refuse everything that it has signed; another signer of the cohort,
// or the one for everybody, takes over. What it has signed and nobody has yet is
// not released but revoked and made again (package certificate); genuine holders of
// the rest get new certificates by a mass revocation that names the signer (package
// revocation).
package distrust

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/certificate/dcc"
	"impfportal/certificate/signing"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

// Kind is the kind of proposal that two people approve.
const Kind = "signer.distrust"

// Errors of this package.
var (
	ErrUnknown = errors.New("distrust: no such signer")
	ErrAlready = errors.New("distrust: the signer is distrusted already")
)

// Log is where the leaves go; *translog.Log.
type Log interface {
	Append(ctx context.Context, tx pgx.Tx, ref string, leaf translog.Leaf) error
}

// Config is what the service needs.
type Config struct {
	Pool *pgxpool.Pool
	Now  clock.Clock
	Keys *signing.Keys
	Log  Log
	Dual *dualcontrol.Service
}

// Service takes the trust from signers.
type Service struct{ Config }

// New makes the service and registers its proposal.
func New(cfg Config) *Service {
	s := &Service{cfg}
	s.Dual.Handle(Kind, dualcontrol.Handler{Title: s.title, Apply: s.apply})
	return s
}

// KIDs returns the key ids of the distrusted signers.
func (s *Service) KIDs(ctx context.Context, q pg.Querier) ([][]byte, error) {
	rows, err := q.Query(ctx, `SELECT kid FROM certificate.distrusted ORDER BY since, kid`)
	if err != nil {
		return nil, fmt.Errorf("distrusted signers: %w", err)
	}
	kids, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("distrusted signers: %w", err)
	}
	return kids, nil
}

// Propose asks two people to take the trust from a signer, by its key id in
// hexadecimal.
func (s *Service) Propose(ctx context.Context, kid, why, accountID string) (proposalID string, err error) {
	kid = strings.ToLower(kid) // as everything that compares it has it
	dsc := s.signer(kid)
	if dsc == nil || strings.TrimSpace(why) == "" {
		return "", ErrUnknown
	}
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var already bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM certificate.distrusted WHERE encode(kid, 'hex') = $1)`, kid).Scan(&already); err != nil {
			return err
		}
		if already {
			return ErrAlready
		}
		proposalID, err = s.Dual.Propose(ctx, tx, dualcontrol.Proposal{Kind: Kind, Subject: "signer:" + kid, Why: why, ProposedBy: accountID})
		return err
	})
	return proposalID, err
}

// signer finds a DSC by its key id in hexadecimal.
func (s *Service) signer(kid string) *x509.Certificate {
	raw, err := hex.DecodeString(kid)
	if err != nil {
		return nil
	}
	return s.Keys.DSC(raw)
}

func (s *Service) title(c *web.Ctx, p dualcontrol.Proposal) (string, error) {
	kid := strings.TrimPrefix(p.Subject, "signer:")
	name := kid
	if dsc := s.signer(kid); dsc != nil {
		name = dsc.Subject.CommonName + " (" + kid + ")"
	}
	return c.T("distrust.proposal", "Name", name), nil
}

func (s *Service) apply(ctx context.Context, tx pgx.Tx, p dualcontrol.Proposal) error {
	kid, err := hex.DecodeString(strings.TrimPrefix(p.Subject, "signer:"))
	if err != nil {
		return ErrUnknown
	}
	now := s.Now()
	if _, err := tx.Exec(ctx, `INSERT INTO certificate.distrusted (kid, reason, proposal_id, since) VALUES ($1, $2, $3, $4)`, kid, p.Why, p.ID, now); err != nil {
		return err
	}
	if err := audit.Write(ctx, tx, now, audit.Entry{Actor: "system", Role: "admin", Action: "certificate.signer.distrusted", Subject: p.Subject, After: map[string]any{"proposal": p.ID}}); err != nil {
		return err
	}
	return s.Log.Append(ctx, tx, "distrust:"+p.Subject, translog.Leaf{
		Kind: translog.KindStop, Subject: p.Subject, Day: clock.Day(now), Detail: map[string]string{"what": "distrusted"},
	})
}

// Signer is a DSC as the administration sees it.
type Signer struct {
	KID, Name, Cohort string
	NotBefore, Until  time.Time
	SignsUntil        time.Time // certificates of full length; after it another one has to be there
	Certificates      int       // that stand
	Since             *time.Time
	Reason            string
}

// Signers lists the DSCs, the newest first.
func (s *Service) Signers(ctx context.Context, q pg.Querier) (out []Signer, err error) {
	rows, err := q.Query(ctx, `
		SELECT encode(kid, 'hex'), count(*) FILTER (WHERE revoked_at IS NULL), NULL::timestamptz, '' FROM certificate.certificate WHERE kid IS NOT NULL GROUP BY kid
		UNION ALL SELECT encode(kid, 'hex'), 0, since, reason FROM certificate.distrusted`)
	if err != nil {
		return nil, fmt.Errorf("signers: %w", err)
	}
	known := map[string]Signer{}
	var kid, reason string
	var n int
	var since *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&kid, &n, &since, &reason}, func() error {
		k := known[kid]
		k.Certificates += n
		if since != nil {
			k.Since, k.Reason = since, reason
		}
		known[kid] = k
		return nil
	}); err != nil {
		return nil, fmt.Errorf("signers: %w", err)
	}
	_, dscs := s.Keys.TrustList()
	for i := len(dscs) - 1; i >= 0; i-- {
		c := dscs[i]
		id := dcc.KID(c)
		k := known[hex.EncodeToString(id[:])]
		k.KID, k.Name, k.Cohort, k.NotBefore, k.Until = hex.EncodeToString(id[:]), c.Subject.CommonName, signing.Cohort(c), c.NotBefore, c.NotAfter
		k.SignsUntil = c.NotAfter.Add(-signing.Validity)
		out = append(out, k)
	}
	return out, nil
}
