package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Certify is how the software of practices and pharmacies logs in; see
// docs/issuer-api.md. Without CERTIFY_CARD_CA there is no log-in with a card, without
// CERTIFY_CLIENT_ADDR none with a client certificate.
type Certify struct {
	// The log-in with a card: the realm in its addresses, who may ask and where the
	// answer goes, PEM files with the authorities that issue cards, the policies of
	// which a card must have one, its professions by kind of issuer ("practice=OID"),
	// and whether signatures of the old form (PKCS #1 v1.5) count.
	Realm       string   `env:"REALM" envDefault:"bmg-ti-certify"`
	Clients     []string `env:"CLIENTS" envDefault:"user-access-ti,cert-auth"`
	Redirects   []string `env:"REDIRECTS" envDefault:"connector://authenticated"`
	CardCA      []string `env:"CARD_CA"`
	Policies    []string `env:"CARD_POLICIES" envDefault:"1.2.276.0.76.4.77"`
	Professions []string `env:"CARD_PROFESSIONS" envDefault:"practice=1.2.276.0.76.4.50,pharmacy=1.2.276.0.76.4.54"`
	PKCS1       bool     `env:"CARD_PKCS1"`

	// The listener for client certificates: its address, its own certificate and key
	// (PEM), PEM files with the authorities of clients, what a client's certificate
	// must say ("" = nothing in particular), and the exact addresses of proxies that
	// may say which certificate a client has shown to them.
	ClientAddr          string   `env:"CLIENT_ADDR"`
	ClientCert          string   `env:"CLIENT_CERT"`
	ClientKey           string   `env:"CLIENT_KEY"`
	ClientCA            []string `env:"CLIENT_CA"`
	ClientPolicies      []string `env:"CLIENT_POLICIES"`
	ClientProfessions   []string `env:"CLIENT_PROFESSIONS"`
	ClientOrganisations []string `env:"CLIENT_ORGANISATIONS"`
	ClientProxies       []string `env:"CLIENT_PROXIES"`

	// The lists of certificates that authorities have taken back ("PEM file of the
	// authority=file or https address"), and what one means that is missing or past its
	// end: "refuse" everything of the authority, or only an "alarm".
	CRLs     []string `env:"CRLS"`
	CRLStale string   `env:"CRL_STALE" envDefault:"refuse"`
}

// check refuses what cannot be right.
func (c Certify) check() (bad []error) {
	if c.CRLStale != "refuse" && c.CRLStale != "alarm" {
		bad = append(bad, fmt.Errorf("CERTIFY_CRL_STALE is %q; it must be refuse or alarm", c.CRLStale))
	}
	for _, l := range c.CRLs {
		if authority, source, ok := strings.Cut(l, "="); !ok || authority == "" || source == "" {
			bad = append(bad, fmt.Errorf("CERTIFY_CRLS: %q is not of the form authority.pem=source", l))
		}
	}
	if c.ClientAddr != "" && (c.ClientCert == "" || c.ClientKey == "" || len(c.ClientCA) == 0) {
		bad = append(bad, errors.New("CERTIFY_CLIENT_ADDR needs CERTIFY_CLIENT_CERT, CERTIFY_CLIENT_KEY and CERTIFY_CLIENT_CA"))
	}
	if c.ClientAddr == "" && len(c.ClientProxies) > 0 {
		bad = append(bad, errors.New("CERTIFY_CLIENT_PROXIES is set without CERTIFY_CLIENT_ADDR: forwarded certificates count on that listener only"))
	}
	for _, p := range c.ClientProxies {
		if _, err := netip.ParseAddr(p); err != nil {
			bad = append(bad, fmt.Errorf("CERTIFY_CLIENT_PROXIES: %q is no single address", p))
		}
	}
	return bad
}
