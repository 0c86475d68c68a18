package wiring

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-redis/redis_rate/v10"

	"impfportal/certificate/certify"
	"impfportal/certificate/certify/card"
	"impfportal/certificate/issuer"
)

// buildCertify wires the issuing interface for software. What is not configured is
// not there: no authorities of cards, no log-in with a card; no address, no
// listener for client certificates.
func (s *Slices) buildCertify(base string) error {
	cfg := s.env.Cfg.Certify
	c := certify.Config{
		Pool: s.env.Pool, Vault: s.env.Vault, Now: s.env.Now, Log: s.env.Log, Limiter: redis_rate.NewLimiter(s.env.Redis),
		Issuers: s.Issuers, Records: s.Vaccination, Certificates: s.Certificate, Stopped: s.Stop.Applies, BaseURL: base,
		Cards: certify.Cards{Realm: cfg.Realm, Clients: cfg.Clients, Redirects: cfg.Redirects, PKCS1: cfg.PKCS1},
	}
	var err error
	if c.Cards.Trust, err = trust(cfg.CardCA, cfg.Policies, cfg.Professions); err != nil {
		return fmt.Errorf("CERTIFY_CARD: %w", err)
	}
	if c.Client.Trust, err = trust(cfg.ClientCA, cfg.ClientPolicies, cfg.ClientProfessions); err != nil {
		return fmt.Errorf("CERTIFY_CLIENT: %w", err)
	}
	c.Client.Trust.Organisations = cfg.ClientOrganisations
	for _, p := range cfg.ClientProxies {
		a, err := netip.ParseAddr(p)
		if err != nil {
			return fmt.Errorf("CERTIFY_CLIENT_PROXIES: %w", err)
		}
		c.Client.Proxies = append(c.Client.Proxies, a.Unmap())
	}
	if c.CRLs, err = s.crls(cfg.CRLs, slices.Concat(c.Cards.Trust.Authorities, c.Client.Trust.Authorities)); err != nil {
		return fmt.Errorf("CERTIFY_CRLS: %w", err)
	}
	c.CRLAlarm = cfg.CRLStale == "alarm"
	s.Certify, err = certify.New(c)
	return err
}

// crls reads where lists come from; each is of an authority that is configured.
func (s *Slices) crls(list []string, known []*card.Certificate) (out []certify.CRL, err error) {
	for _, text := range list {
		file, source, _ := strings.Cut(text, "=")
		of, err := card.Authorities([]string{file})
		if err != nil {
			return nil, err
		}
		fetch, err := issuer.FetchFrom(source, s.env.Cfg.Local())
		if err != nil {
			return nil, err
		}
		for _, a := range of {
			if !slices.ContainsFunc(known, func(k *card.Certificate) bool { return k.Fingerprint() == a.Fingerprint() }) {
				return nil, fmt.Errorf("%s: %q is no authority of cards or clients", file, a.Subject.CommonName)
			}
			out = append(out, certify.CRL{Authority: a, Fetch: fetch})
		}
	}
	return out, nil
}

func trust(files, policies, professions []string) (t card.Trust, err error) {
	if t.Authorities, err = card.Authorities(files); err != nil {
		return t, err
	}
	if t.Policies, err = card.OIDs(policies); err != nil {
		return t, err
	}
	t.Professions, err = card.Professions(professions)
	return t, err
}

// serveClients answers software that logs in with a client certificate, on a
// listener of its own; it returns at once where none is configured.
func (s *Slices) serveClients(ctx context.Context) error {
	cfg := s.env.Cfg.Certify
	if cfg.ClientAddr == "" {
		return nil
	}
	own, err := tls.LoadX509KeyPair(cfg.ClientCert, cfg.ClientKey)
	if err != nil {
		return fmt.Errorf("CERTIFY_CLIENT_CERT: %w", err)
	}
	var listen net.ListenConfig
	ln, err := listen.Listen(ctx, "tcp", cfg.ClientAddr)
	if err != nil {
		return fmt.Errorf("CERTIFY_CLIENT_ADDR: %w", err)
	}
	s.env.Log.Info("portal listens for client certificates", "address", ln.Addr().String())
	return s.Certify.ServeClients(ctx, ln, own)
}
