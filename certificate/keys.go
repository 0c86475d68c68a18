package certificate

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
)

// ErrKeys means that no certificate can be signed with what is configured.
var ErrKeys = errors.New("certificate: signing keys")

// Muster is the word that everything outside production carries.
const Muster = "MUSTER"

// KeyConfig says where the keys come from. In a local run they are made at
// the first start under Dir; for production they are configured as PEM, the
// private key as a secret from a file, and nothing is ever made.
type KeyConfig struct {
	Local bool

	Dir    string // local: folder of the sealed files, made when missing
	Master []byte // local: 32 bytes, from which the files' own key is derived
	Issuer string // local: organisation in the certificates; begins with MUSTER

	CSCA   []byte // production: PEM certificates of the signing authority
	DSC    []byte // production: PEM certificates of the signers, old ones too
	DSCKey []byte // production: PEM private key (PKCS #8 or SEC 1) of one DSC; empty = this process does not sign

	Now time.Time
}

// Keys holds the trust list of this portal and, where configured, the signer.
// It is immutable.
type Keys struct {
	cscas, dscs []*x509.Certificate
	signer      *Signer
}

// OpenKeys loads the keys, in a local run after making the missing ones. A
// DSC whose time to sign is over is replaced there; the old one stays in the
// trust list.
func OpenKeys(cfg KeyConfig) (*Keys, error) {
	if cfg.Local {
		return openLocalKeys(cfg)
	}
	k := &Keys{}
	var err error
	if k.cscas, err = parseCertificates(cfg.CSCA); err != nil {
		return nil, fmt.Errorf("%w: certificate of the CSCA: %v", ErrKeys, err)
	}
	if k.dscs, err = parseCertificates(cfg.DSC); err != nil {
		return nil, fmt.Errorf("%w: certificate of the DSC: %v", ErrKeys, err)
	}
	for _, c := range slices.Concat(k.cscas, k.dscs) {
		if strings.Contains(strings.ToUpper(c.Subject.String()), Muster) {
			return nil, fmt.Errorf("%w: %q is a demo certificate", ErrKeys, c.Subject.CommonName)
		}
	}
	if len(cfg.DSCKey) > 0 {
		if k.signer, err = configuredSigner(cfg, k.dscs); err != nil {
			return nil, err
		}
	}
	return k, k.check()
}

// configuredSigner pairs the configured private key with its certificate.
func configuredSigner(cfg KeyConfig, dscs []*x509.Certificate) (*Signer, error) {
	key, err := parseKey(cfg.DSCKey)
	if err != nil {
		return nil, fmt.Errorf("%w: private key of the DSC: %v", ErrKeys, err)
	}
	for _, c := range dscs {
		if !key.PublicKey.Equal(c.PublicKey) {
			continue
		}
		if err := mayVaccinate(c); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
		if cfg.Now.Before(c.NotBefore) || cfg.Now.After(c.NotAfter) {
			return nil, fmt.Errorf("%w: the DSC is valid from %s to %s", ErrKeys, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
		}
		return NewSigner(key, c)
	}
	return nil, fmt.Errorf("%w: the private key belongs to none of the DSCs", ErrKeys)
}

// check holds every DSC against the authorities: each must be signed by one.
func (k *Keys) check() error {
	if len(k.dscs) == 0 || len(k.cscas) == 0 {
		return fmt.Errorf("%w: no DSC or no CSCA is configured", ErrKeys)
	}
	for _, dsc := range k.dscs {
		if !slices.ContainsFunc(k.cscas, func(ca *x509.Certificate) bool { return dsc.CheckSignatureFrom(ca) == nil }) {
			return fmt.Errorf("%w: DSC %x is not signed by the CSCA", ErrKeys, KID(dsc))
		}
	}
	return nil
}

// Signer returns the signer, or ErrKeys where this process has none or its
// DSC is not valid at that time.
func (k *Keys) Signer(now time.Time) (*Signer, error) {
	if k.signer == nil {
		return nil, fmt.Errorf("%w: this process has no private key", ErrKeys)
	}
	if c := k.signer.cert; now.Before(c.NotBefore) || !now.Before(c.NotAfter) {
		return nil, fmt.Errorf("%w: the DSC is valid until %s", ErrKeys, c.NotAfter.Format(time.DateOnly))
	}
	return k.signer, nil
}

// DSC finds the certificate of a key id, nil when it is not of this portal.
func (k *Keys) DSC(kid []byte) *x509.Certificate {
	for _, c := range k.dscs {
		if id := KID(c); bytes.Equal(id[:], kid) {
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
