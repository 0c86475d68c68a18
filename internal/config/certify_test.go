package config

import (
	"errors"
	"strings"
	"testing"
)

func TestCertifySettings(t *testing.T) {
	t.Parallel()
	listener := Certify{ClientAddr: ":8443", ClientCert: "c", ClientKey: "k", ClientCA: []string{"ca"}}
	network := listener
	network.ClientProxies = []string{"10.0.0.0/8"}
	for name, c := range map[string]struct {
		in   Certify
		want string // "" = starts
	}{
		"off":                          {Certify{}, ""},
		"listener":                     {listener, ""},
		"listener without authorities": {Certify{ClientAddr: ":8443", ClientCert: "c", ClientKey: "k"}, "CERTIFY_CLIENT_CA"},
		"proxies without a listener":   {Certify{ClientProxies: []string{"10.0.0.1"}}, "CERTIFY_CLIENT_ADDR"},
		"a network of proxies":         {network, "no single address"},
		"a list of nobody":             {Certify{CRLs: []string{"https://crl.example"}}, "CERTIFY_CRLS"},
		"a list that is out of date":   {Certify{CRLStale: "ignore"}, "CERTIFY_CRL_STALE"},
	} {
		if c.in.CRLStale == "" {
			c.in.CRLStale = "refuse"
		}
		err := errors.Join(c.in.check()...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
