package wiring

import (
	"context"
	"crypto/x509"

	"github.com/go-redis/redis_rate/v10"

	"impfportal/certificate/revocation"
	"impfportal/certificate/verifier"
)

// buildVerifier wires the page on which anybody checks a certificate.
func (s *Slices) buildVerifier() error {
	uploads, err := revocation.UploadCertificates(s.env.Cfg.CertificateKeyDir)
	if err != nil {
		return err
	}
	authorities, _ := s.Certificate.Keys.TrustList()
	s.Verifier = verifier.New(verifier.Config{
		Authorities: authorities,
		Signers: func() []*x509.Certificate {
			_, dscs := s.Certificate.Keys.TrustList()
			return dscs
		},
		Distrusted: func(ctx context.Context) ([][]byte, error) { return s.Certificate.Distrusted(ctx, s.env.Pool) },
		Revoked: func(ctx context.Context, uvci string, rHash []byte) (bool, error) {
			return revocation.Revoked(ctx, s.env.Pool, uvci, rHash)
		},
		Uploads: uploads, MaxAge: s.env.Cfg.VerifierMaxAge, Production: !s.env.Cfg.Local(), Limiter: redis_rate.NewLimiter(s.env.Redis),
	})
	return nil
}
