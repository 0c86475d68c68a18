package certify

import (
	"context"
	"crypto/ecdsa"
	"embed"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate"
	"impfportal/certificate/certify/card"
	"impfportal/certificate/issuer"
	"impfportal/certificate/stop"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

//go:embed i18n
var files embed.FS

// Assets are the texts of this slice; it has no pages.
var Assets = web.Bundle{Name: "certify", FS: files}

var texts = web.LoadTexts(Assets)

// waitFor is how long a request waits for its certificate.
const waitFor = 5 * time.Second

// Config is what a Service needs.
type Config struct {
	Pool         *pgxpool.Pool
	Vault        *vault.Vault
	Now          clock.Clock
	Log          *slog.Logger
	Limiter      *redis_rate.Limiter // of the log-in
	Issuers      *issuer.Service
	Records      *vaccination.Service
	Certificates *certificate.Service
	// Stopped returns the stop that applies to somebody, as stop.Service.Applies.
	Stopped func(ctx context.Context, q pg.Querier, c stop.Subject) (stop.Stop, bool, error)
	// BaseURL is the portal's address, without a slash at the end.
	BaseURL string
	// Wait is how long a request waits for its certificate; 0 = 5 seconds.
	Wait time.Duration

	Cards  Cards
	Client Client
	// CRLs are the lists of what authorities have taken back; an authority that is not
	// named has none. CRLAlarm lets certificates count also while the list of their
	// authority is missing or past its end: then it is an alarm only.
	CRLs     []CRL
	CRLAlarm bool
}

// Cards configures the log-in with a card; without authorities there is none.
type Cards struct {
	Trust     card.Trust
	Realm     string
	Clients   []string // client ids that may ask
	Redirects []string // addresses that an answer may go to
	PKCS1     bool     // accept RSASSA-PKCS1-v1_5 beside RSASSA-PSS
}

// Client configures client certificates on the listener of their own.
type Client struct {
	Trust card.Trust
	// Proxies may say in a header which certificate a client has shown to them.
	Proxies []netip.Addr
}

// Service is the issuing interface for software.
type Service struct {
	Config
	key    *ecdsa.PrivateKey
	signer jose.Signer
	keyID  string
}

// New makes the service.
func New(cfg Config) (*Service, error) {
	if cfg.Wait == 0 {
		cfg.Wait = waitFor
	}
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	if len(cfg.Cards.Trust.Authorities) > 0 && (cfg.Cards.Realm == "" || len(cfg.Cards.Clients) == 0 || len(cfg.Cards.Redirects) == 0) {
		return nil, errors.New("certify: the log-in with cards needs a realm, client ids and redirect addresses")
	}
	s := &Service{Config: cfg}
	return s, s.openKey()
}

// hasCards reports whether there is a log-in with cards for a realm.
func (s *Service) hasCards(realm string) bool {
	return len(s.Cards.Trust.Authorities) > 0 && realm == s.Cards.Realm
}

// principal is who asks.
type principal struct {
	issuer.Issuer

	operator string // fingerprint of the card or client certificate
	path     string
}

// known returns the issuer whose entry in the registry carries a certificate. It is
// asked at every use, so that a suspension ends what was begun. One that is paused
// is known: it is told so when it asks for something.
func (s *Service) known(ctx context.Context, q pg.Querier, fingerprint string) (issuer.Issuer, error) {
	i, err := s.Issuers.ByKey(ctx, q, fingerprint)
	switch {
	case errors.Is(err, issuer.ErrNotFound):
		return i, refuse(403, "certify.error.unknown")
	case err != nil:
		return i, err
	case !slices.Contains([]string{issuer.Active, issuer.Paused}, i.State), !i.CarriedOn(clock.Day(s.Now())):
		return i, refuse(403, "certify.error.suspended")
	}
	return i, nil
}

// subject is the issuer as a stop looks at it.
func (p principal) subject() stop.Subject {
	return stop.Subject{IssuerRef: p.Ref(), IssuerKind: p.Kind, Path: p.path, Region: vaccination.Region(p.Postcode)}
}
