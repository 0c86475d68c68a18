package certify

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"impfportal/certificate/certify/card"
	"impfportal/certificate/issuer"
)

// forwardedCertificate is the header in which a proxy says which client
// certificate it has verified, as Traefik names it: PEM, or base64 of DER;
// percent-encoding allowed.
const forwardedCertificate = "X-Forwarded-Tls-Client-Cert"

// The addresses of the listener for client certificates.
const (
	pathIssue   = "/api/certify/v2/issue"
	pathHash    = "/api/certify/v2/issue/hash"
	pathProxied = "/proxied" + pathIssue
)

// Limits of the listener for client certificates.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
	handlerTimeout = 10 * time.Second
	maxHeaders     = 32 << 10
)

// ClientHandler answers on the listener for client certificates, and nowhere else.
// The connection must have TLS: who has shown no certificate is told so.
func (s *Service) ClientHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, h handler) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.onClient(w, r, h) })
	}
	as := func(who func(c *call) (*card.Certificate, error)) handler {
		return func(c *call) (*answer, error) {
			cert, err := who(c)
			if err != nil {
				return nil, err
			}
			p, err := s.byClient(c.Context(), cert)
			if err != nil {
				return nil, err
			}
			return s.issue(c, p)
		}
	}
	handle(pathIssue, as(shown))
	handle(pathHash, hash)
	handle(pathProxied, as(s.forwarded))
	return mux
}

// onClient reads a request and writes its answer.
func (s *Service) onClient(w http.ResponseWriter, r *http.Request, h handler) {
	ctx, cancel := context.WithTimeout(r.Context(), handlerTimeout)
	defer cancel()
	c := &call{Request: r.WithContext(ctx)}
	c.network, _, _ = net.SplitHostPort(r.RemoteAddr)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	a := s.serve(c, func(c *call) (*answer, error) {
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "certify.error.json")
		}
		if c.body = body; len(body) > maxBody {
			return nil, refuse(http.StatusRequestEntityTooLarge, "certify.error.large")
		}
		return h(c)
	})
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // who has gone away gets the same with the next request
}

// byClient makes somebody of a client certificate: one that a configured authority
// issued under a configured policy, that is valid now, and that the registry names.
func (s *Service) byClient(ctx context.Context, cert *card.Certificate) (principal, error) {
	if err := s.Client.Trust.Check(cert, s.Now()); err != nil {
		return principal{}, notTrusted(err)
	}
	if err := s.notRevoked(ctx, s.Pool, s.Client.Trust, cert); err != nil {
		return principal{}, err
	}
	i, err := s.known(ctx, s.Pool, cert.Fingerprint())
	if err != nil {
		return principal{}, err
	}
	if err := s.Client.Trust.CheckKind(cert, i.Kind); err != nil {
		return principal{}, notTrusted(err)
	}
	return principal{i, cert.Fingerprint(), issuer.PathMTLS}, nil
}

// notTrusted says in words what is wrong with a certificate.
func notTrusted(err error) error {
	for _, w := range []struct {
		err error
		key string
	}{
		{card.ErrTime, "certify.error.expired"},
		{card.ErrAuthority, "certify.error.authority"},
		{card.ErrUsage, "certify.error.usage"},
		{card.ErrPolicy, "certify.error.policy"},
		{card.ErrProfession, "certify.error.profession"},
		{card.ErrSignature, "certify.error.signature"},
		{card.ErrMalformed, "certify.error.certificate"},
		{card.ErrKey, "certify.error.certificate"},
	} {
		if errors.Is(err, w.err) {
			return refuse(http.StatusForbidden, w.key)
		}
	}
	return err
}

// shown is the certificate of which the client proved the key in the handshake.
func shown(c *call) (*card.Certificate, error) {
	if c.TLS == nil || len(c.TLS.PeerCertificates) == 0 {
		return nil, refuse(http.StatusUnauthorized, "certify.error.none")
	}
	cert, err := card.Parse(c.TLS.PeerCertificates[0].Raw)
	if err != nil {
		return nil, notTrusted(err)
	}
	return cert, nil
}

// forwarded is the certificate that a configured proxy says a client has shown to it.
func (s *Service) forwarded(c *call) (*card.Certificate, error) {
	peer, err := netip.ParseAddr(c.network)
	if err != nil || !slices.Contains(s.Client.Proxies, peer.Unmap()) {
		return nil, refuse(http.StatusForbidden, "certify.error.proxy")
	}
	values := c.Header.Values(forwardedCertificate)
	if len(values) == 0 {
		return nil, refuse(http.StatusUnauthorized, "certify.error.none")
	}
	der, err := fromHeader(values)
	if err != nil {
		return nil, refuse(http.StatusForbidden, "certify.error.certificate")
	}
	cert, err := card.Parse(der)
	if err != nil {
		return nil, notTrusted(err)
	}
	return cert, nil
}

// fromHeader reads a certificate from a header that came exactly once: base64 of
// DER, with or without the lines of PEM. Of a chain the first is the client's.
func fromHeader(values []string) ([]byte, error) {
	if len(values) != 1 || len(values[0]) > maxHeaders {
		return nil, card.ErrMalformed
	}
	text, _, _ := strings.Cut(values[0], ",")
	text, err := url.PathUnescape(text)
	if err != nil {
		return nil, err
	}
	text = strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "", " ", "", "\r", "", "\n", "", "\t", "").Replace(text)
	return base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(text, "="))
}
