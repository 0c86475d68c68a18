package wiring

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/certificate"
	"impfportal/certificate/dcc"
	"impfportal/certificate/distrust"
	"impfportal/certificate/issuer"
	"impfportal/certificate/revocation"
	"impfportal/certificate/signing"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/citizen"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/vaccination"
)

// issuerMuster names who signs outside production.
const issuerMuster = dcc.Muster + " Impfportal (ungültig)"

// buildCertificates joins what makes certificates: each part knows only those
// before it.
func (s *Slices) buildCertificates(base string) error {
	if err := s.buildLog(); err != nil {
		return err
	}
	if err := s.buildRevocation(); err != nil {
		return err
	}
	return s.buildCertificate(base)
}

// buildLog opens the transparency log. Its name must stay the same as long as
// its key: a portal that moves to another address begins another log.
func (s *Slices) buildLog() error {
	cfg := s.env.Cfg
	host := "localhost"
	if !cfg.Local() {
		host = strings.TrimSuffix(strings.TrimPrefix(cfg.PublicURL, "https://"), "/")
	}
	sign := cfg.Local() || s.env.Signs
	key, err := translog.OpenKey(translog.KeyConfig{Local: cfg.Local(), Dir: cfg.CertificateKeyDir, Origin: host + "/certificates/log", Sign: sign})
	if err != nil {
		return err
	}
	if sign && cfg.CertificateLogWitness == "" {
		return errors.New("CERTIFICATE_LOG_WITNESS is missing: the file outside the database to which every state of the transparency log is appended")
	}
	// Who waits for the log is built after it.
	sequenced := func(ctx context.Context, tx pgx.Tx, refs []string) error {
		return s.Certificate.Sequenced(ctx, tx, refs)
	}
	s.Log = translog.New(translog.Config{
		OnSequenced: sequenced,
		Pool:        s.env.Pool, Vault: s.env.Vault, Now: s.env.Now, Key: key, Witness: cfg.CertificateLogWitness, Log: s.env.Log,
		Read: s.readOwn,
	})
	return nil
}

// readOwn returns the digest of what was signed of a certificate that this
// portal's own keys verify.
func (s *Slices) readOwn(text string) ([]byte, error) {
	d, err := dcc.Decode(text)
	if err != nil {
		return nil, err
	}
	dsc := s.Certificate.Keys.DSC(d.KID)
	if dsc == nil {
		return nil, signing.ErrKeys
	}
	if err := d.Verify(dsc); err != nil {
		return nil, err
	}
	digest := d.Digest()
	return digest[:], nil
}

// buildRevocation wires who revokes, and what verifiers get. Reissue asks for the
// next certificate of a record as if it had just been made.
func (s *Slices) buildRevocation() error {
	cfg := s.env.Cfg
	s.Revoked = &revocation.Publisher{Pool: s.env.Pool, Now: s.env.Now}
	if cfg.Local() || s.env.Signs {
		var err error
		if s.Revoked.Signer, err = revocation.OpenSigner(cfg.CertificateKeyDir, cfg.Local(), s.env.Now()); err != nil {
			return err
		}
	}
	revoker := revocation.New(s.Log)
	revoker.Told = func(ctx context.Context, tx pgx.Tx, certificateID string) error {
		return s.Certificate.Revoked(ctx, tx, certificateID)
	}
	s.Revocation = &revocation.Desk{
		Pool: s.env.Pool, Now: s.env.Now, Service: revoker, Dual: s.Dual,
		Settle: func(ctx context.Context) error { return s.Stop.Settle(ctx) },
		Reissue: func(ctx context.Context, tx pgx.Tx, recordIDs []string) error {
			for _, recordID := range recordIDs {
				if err := vaccination.Recorded.Enqueue(ctx, tx, vaccination.RecordedPayload{RecordID: recordID}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	s.Dual.Handle(revocation.KindMass, s.Revocation.Handler())
	return nil
}

func (s *Slices) buildCertificate(base string) error {
	cfg := s.env.Cfg
	issuer := issuerMuster
	if !cfg.Local() {
		issuer = cfg.CertificateIssuer
	}
	keys, err := signing.Open(signing.Config{
		Local: cfg.Local(), Dir: cfg.CertificateKeyDir, Master: cfg.MasterKey, Issuer: issuerMuster, Sign: cfg.Local() || s.env.Signs, Now: s.env.Now(),
		Cohorts: certificate.Cohorts, Token: signing.Token{Module: cfg.CertificateModule, Label: cfg.CertificateToken, PIN: cfg.CertificatePIN},
	})
	if err != nil {
		return err
	}
	s.buildStop(keys)
	s.Distrust = distrust.New(distrust.Config{Pool: s.env.Pool, Now: s.env.Now, Keys: keys, Log: s.Log, Dual: s.Dual})
	s.Certificate, err = certificate.New(certificate.Config{
		Pool: s.env.Pool, Vault: s.env.Vault, Keys: keys, Now: s.env.Now, Log: s.env.Log,
		Source: certificate.FromRecords(s.Vaccination), Transparency: s.Log, Revocations: s.Revocation.Service, Stop: s.Stop, Distrusted: s.Distrust.KIDs,
		Holds: func(ctx context.Context, q pg.Querier, issuerRef string) (bool, error) {
			return s.Issuers.Held(ctx, q, issuerRef)
		},
		Cards: []web.Card{s.Stop.Card()}, Issuer: issuer, Production: !cfg.Local(), Send: s.Notify.Send, Sender: sender,
		Recipient: func(ctx context.Context, q pg.Querier, personID string) (notify.Recipient, bool, error) {
			p, err := s.Citizen.Person(ctx, q, personID)
			if errors.Is(err, citizen.ErrNotFound) {
				return notify.Recipient{}, false, nil
			}
			if err != nil {
				return notify.Recipient{}, false, err
			}
			return s.Citizen.Recipient(p), true, nil
		},
		PublicURL: base,
	})
	return err
}

// buildStop joins the switch with those whom it can stop.
func (s *Slices) buildStop(keys *signing.Keys) {
	s.Stop = stop.New(stop.Config{
		Pool: s.env.Pool, Now: s.env.Now, Log: s.Log, Slog: s.env.Log, Dual: s.Dual,
		Admin: s.Staff.NameOf, Issuers: s.issuers, Verify: s.verifyIssuers,
		Lifted: func(ctx context.Context, tx pgx.Tx, refs []string) error { return s.Issuers.TellResumed(ctx, tx, refs) },
		Signers: func(*web.Ctx) (out []web.Option) {
			_, dscs := keys.TrustList()
			slices.Reverse(dscs) // the newest first
			for _, c := range dscs {
				kid := dcc.KID(c)
				out = append(out, web.Option{Value: hex.EncodeToString(kid[:]), Label: fmt.Sprintf("%s (%x)", c.Subject.CommonName, kid)})
			}
			return out
		},
	})
}

// issuers lists who makes certificates: the portal's own sites and teams, and
// the practices and pharmacies that it knows.
func (s *Slices) issuers(ctx context.Context, q pg.Querier) ([]stop.Issuer, error) {
	centres, err := centre.List(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []stop.Issuer
	for _, c := range centres {
		out = append(out, stop.Issuer{Ref: "centre:" + c.ID, Kind: vaccination.IssuerCentre, Region: vaccination.Region(c.Postcode)})
	}
	teams, err := s.Teams.Teams(ctx, s.env.Pool)
	if err != nil {
		return nil, err
	}
	for _, t := range teams {
		out = append(out, stop.Issuer{Ref: "facility-team:" + t.ID, Kind: vaccination.IssuerMobile})
	}
	others, err := issuer.All(ctx, q)
	for _, i := range others {
		out = append(out, stop.Issuer{Ref: i.Ref, Kind: i.Kind, Region: vaccination.Region(i.Postcode)})
	}
	return out, err
}

// verifyIssuers looks at issuers anew before they return from a stop: the portal's own
// must be there, the others hold what the registry and their keys demand.
func (s *Slices) verifyIssuers(ctx context.Context, q pg.Querier, refs []string) (map[string]string, error) {
	known, err := s.issuers(ctx, q)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, i := range known {
		there[i.Ref] = true
	}
	var others []string
	failed := map[string]string{}
	for _, ref := range refs {
		switch {
		case strings.HasPrefix(ref, "issuer:"):
			others = append(others, ref)
		case !there[ref]:
			failed[ref] = "unknown"
		}
	}
	problems, err := s.Issuers.Verify(ctx, q, others)
	maps.Copy(failed, problems)
	return failed, err
}

// certified finds the record of a certificate for the correction desk.
func certified(ctx context.Context, q pg.Querier, typed string) (recordID string, err error) {
	recordID, err = certificate.RecordOf(ctx, q, typed)
	if errors.Is(err, dcc.ErrUVCI) {
		err = vaccination.ErrCertificate
	}
	return recordID, err
}
