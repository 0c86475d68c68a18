package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"impfportal/certificate/dcc"
)

// ErrKeys means that no certificate can be signed with what is configured.
var ErrKeys = errors.New("signing: keys")

// Config says where the keys lie: certificates as <name>.crt (PEM; an
// authority is told from a signer by the certificate itself) and private keys
// as <name>.key, readable by the owner only. In a local run what is missing is
// made at the first start and sealed under the master secret. In production
// nothing is ever made: the operator puts the files there, keys as PEM (PKCS
// #8 or SEC 1) or sealed.
type Config struct {
	Local  bool
	Dir    string
	Master []byte // 32 bytes, from which the files' own key is derived
	Issuer string // local: organisation in new certificates; begins with MUSTER
	Sign   bool   // production: this process signs, so a usable key must be there
	Now    time.Time
}

// Keys holds the trust list of this portal and, where this process has a
// private key, the signer. It is immutable.
type Keys struct {
	cscas, dscs []*x509.Certificate
	signer      *dcc.Signer
}

// Open loads the keys, in a local run after making the missing ones. A
// DSC whose time to sign is over is replaced there; the old one stays in the
// trust list. Every error is ErrKeys and says what is wrong.
func Open(cfg Config) (*Keys, error) {
	if len(cfg.Master) < 32 {
		return nil, fmt.Errorf("%w: master secret shorter than 32 bytes", ErrKeys)
	}
	if cfg.Local {
		return openLocalKeys(cfg)
	}
	f, err := openKeyFolder(cfg.Dir, cfg.Master)
	if err != nil {
		return nil, err
	}
	k := &Keys{cscas: f.cscas, dscs: f.dscs}
	for _, c := range slices.Concat(k.cscas, k.dscs) {
		if strings.Contains(strings.ToUpper(c.Subject.String()), dcc.Muster) {
			return nil, fmt.Errorf("%w: %q is a demo certificate", ErrKeys, c.Subject.CommonName)
		}
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if k.signer, err = f.signer(func(c *x509.Certificate) bool {
		return dcc.MayVaccinate(c) == nil && !cfg.Now.Before(c.NotBefore) && cfg.Now.Before(c.NotAfter)
	}); err != nil {
		return nil, err
	}
	if cfg.Sign && k.signer == nil {
		return nil, fmt.Errorf("%w: %s holds no private key of a DSC that is valid now and may sign vaccinations", ErrKeys, cfg.Dir)
	}
	return k, nil
}

// check holds every DSC against the authorities: each must be signed by one.
func (k *Keys) check() error {
	if len(k.dscs) == 0 || len(k.cscas) == 0 {
		return fmt.Errorf("%w: certificate of the CSCA or of the DSC is missing", ErrKeys)
	}
	for _, dsc := range k.dscs {
		if !slices.ContainsFunc(k.cscas, func(ca *x509.Certificate) bool { return dsc.CheckSignatureFrom(ca) == nil }) {
			return fmt.Errorf("%w: DSC %x is not signed by the CSCA", ErrKeys, dcc.KID(dsc))
		}
	}
	return nil
}

// Signer returns the signer, or ErrKeys where this process has none or its
// DSC is not valid at that time.
func (k *Keys) Signer(now time.Time) (*dcc.Signer, error) {
	if k.signer == nil {
		return nil, fmt.Errorf("%w: this process has no private key", ErrKeys)
	}
	if c := k.signer.Certificate(); now.Before(c.NotBefore) || !now.Before(c.NotAfter) {
		return nil, fmt.Errorf("%w: the DSC is valid until %s", ErrKeys, c.NotAfter.Format(time.DateOnly))
	}
	return k.signer, nil
}

// DSC finds the certificate of a key id, nil when it is not of this portal.
func (k *Keys) DSC(kid []byte) *x509.Certificate {
	for _, c := range k.dscs {
		if id := dcc.KID(c); bytes.Equal(id[:], kid) {
			return c
		}
	}
	return nil
}

// TrustList returns the certificates a verifier needs: authorities and signers.
func (k *Keys) TrustList() (cscas, dscs []*x509.Certificate) {
	return slices.Clone(k.cscas), slices.Clone(k.dscs)
}

func parseCertificates(text []byte) (out []*x509.Certificate, err error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, errors.New("missing")
	}
	return out, nil
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, errors.New("not PEM")
	}
	if key, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, errors.New("neither PKCS #8 nor SEC 1")
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an elliptic curve key")
	}
	return ec, nil
}
