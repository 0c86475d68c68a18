package signing

import (
	"bytes"
	"cmp"
	"crypto"
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
// as <name>.key, readable by the owner only, or in a token behind PKCS #11. In
// a local run what is missing is made at the first start, sealed under the
// master secret or inside the token. In production nothing is ever made: the
// operator puts the files there, keys as PEM (PKCS #8 or SEC 1), sealed, or in
// the token.
type Config struct {
	Local   bool
	Dir     string
	Master  []byte   // 32 bytes, from which the files' own key is derived
	Issuer  string   // local: organisation in new certificates; begins with MUSTER
	Cohorts []string // local: those that get a DSC of their own; empty = one DSC for all
	Token   Token    // zero: keys are files
	Sign    bool     // production: this process signs, so a usable key must be there
	Now     time.Time
}

// Token is a store of keys behind PKCS #11: a hardware security module, or
// softhsm2 for tries. Keys are found by the public key in their certificate.
type Token struct {
	Module string // path of the library; "" = none
	Label  string
	PIN    string
}

// Keys holds the trust list of this portal and the signers of which this
// process has the private keys. It is safe for concurrent use.
type Keys struct {
	cscas, dscs []*x509.Certificate
	signers     []*dcc.Signer // oldest first
	token       *token
}

// Open loads the keys, in a local run after making the missing ones. A DSC
// whose time to sign is over is replaced there; the old one stays in the trust
// list. Every error is ErrKeys and says what is wrong.
func Open(cfg Config) (_ *Keys, err error) {
	if len(cfg.Master) < 32 {
		return nil, fmt.Errorf("%w: master secret shorter than 32 bytes", ErrKeys)
	}
	k := &Keys{}
	if cfg.Token.Module != "" {
		if k.token, err = openToken(cfg.Token); err != nil {
			return nil, fmt.Errorf("%w: token: %w", ErrKeys, err)
		}
		defer func() {
			if err != nil {
				k.Close()
			}
		}()
	}
	if cfg.Local {
		return k, k.openLocal(cfg)
	}
	f, err := openKeyFolder(cfg.Dir, cfg.Master, k.token)
	if err != nil {
		return nil, err
	}
	if err := k.load(f); err != nil {
		return nil, err
	}
	for _, c := range slices.Concat(k.cscas, k.dscs) {
		if strings.Contains(strings.ToUpper(c.Subject.String()), dcc.Muster) {
			return nil, fmt.Errorf("%w: %q is a demo certificate", ErrKeys, c.Subject.CommonName)
		}
	}
	usable := func(s *dcc.Signer) bool { return validAt(s.Certificate(), cfg.Now) }
	if cfg.Sign && !slices.ContainsFunc(k.signers, usable) {
		return nil, fmt.Errorf("%w: %s holds no private key of a DSC that is valid now and may sign vaccinations", ErrKeys, cfg.Dir)
	}
	return k, nil
}

// Close ends the connection to the token.
func (k *Keys) Close() {
	if k.token != nil {
		k.token.close()
	}
}

// load takes over what a folder holds.
func (k *Keys) load(f *keyFolder) (err error) {
	k.cscas, k.dscs = f.cscas, f.dscs
	if err := k.check(); err != nil {
		return err
	}
	k.signers, err = f.signers()
	return err
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

// Cohort is the group of issuers for whom a DSC signs: its organisational
// unit. A DSC without one signs for every cohort that has none of its own.
func Cohort(dsc *x509.Certificate) string {
	if len(dsc.Subject.OrganizationalUnit) == 0 {
		return ""
	}
	return dsc.Subject.OrganizationalUnit[0]
}

// Signer returns who signs for a cohort at a moment: the newest DSC that
// outlives a certificate of full length, so that one DSC rolls over to the
// next by itself; when there is none, the one that lives longest. Distrusted
// signers are left out: a cohort that has no other is served by the one for
// everybody. ErrKeys where this process has no key that is valid then.
func (k *Keys) Signer(cohort string, now time.Time, distrusted ...[]byte) (*dcc.Signer, error) {
	bad := func(c *x509.Certificate) bool {
		kid := dcc.KID(c)
		return slices.ContainsFunc(distrusted, func(d []byte) bool { return bytes.Equal(d, kid[:]) })
	}
	own := slices.ContainsFunc(k.dscs, func(c *x509.Certificate) bool { return Cohort(c) == cohort && !bad(c) })
	if !own {
		cohort = ""
	}
	var usable []*dcc.Signer
	for _, s := range k.signers {
		if Cohort(s.Certificate()) == cohort && validAt(s.Certificate(), now) && !bad(s.Certificate()) {
			usable = append(usable, s)
		}
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("%w: this process has no private key of a DSC that is valid now (cohort %q)", ErrKeys, cohort)
	}
	for _, s := range slices.Backward(usable) {
		if signsAt(s.Certificate(), now) {
			return s, nil
		}
	}
	return slices.MaxFunc(usable, func(a, b *dcc.Signer) int { return a.Certificate().NotAfter.Compare(b.Certificate().NotAfter) }), nil
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

// byAge sorts certificates, oldest first.
func byAge(a, b *x509.Certificate) int {
	return cmp.Or(a.NotBefore.Compare(b.NotBefore), bytes.Compare(a.Raw, b.Raw))
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

func parseKey(text []byte) (crypto.Signer, error) {
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
