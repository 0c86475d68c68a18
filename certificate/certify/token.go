package certify

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"impfportal/certificate/issuer"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Lifetimes, as in the public description.
const (
	accessTTL  = time.Minute
	refreshTTL = 30 * time.Minute
)

// audience is for whom access tokens are.
const audience = "issuer-api"

// openKey derives the key that signs tokens from the portal's secret: all replicas
// have the same, and it changes with the secret.
func (s *Service) openKey() error {
	secret := s.Vault.Derive("certify.token")
	for { // the second turn comes once in 2^32 secrets
		sum := sha256.Sum256(secret)
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
		if err == nil {
			s.key = k
			break
		}
		secret = sum[:]
	}
	public := jose.JSONWebKey{Key: s.key.Public()}
	print, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	s.keyID = base64.RawURLEncoding.EncodeToString(print)
	s.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.keyID}}, (&jose.SignerOptions{}).WithType("JWT"))
	return err
}

// issuerURL is the name of the realm as the issuer of tokens.
func (s *Service) issuerURL() string { return s.BaseURL + "/auth/realms/" + s.Cards.Realm }

// claims of both tokens.
type claims struct {
	jwt.Claims

	Typ     string `json:"typ"` // Bearer or ID
	Client  string `json:"azp"`
	Session string `json:"sid"`
	State   string `json:"session_state"`
	Scope   string `json:"scope,omitempty"`
	Nonce   string `json:"nonce,omitempty"`
}

func (s *Service) claims(v session, typ, aud string, now time.Time) claims {
	return claims{
		Claims: jwt.Claims{
			Issuer: s.issuerURL(), Subject: "issuer:" + v.issuerID, Audience: jwt.Audience{aud}, ID: id.New(),
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(accessTTL)),
		},
		Typ: typ, Client: v.clientID, Session: v.id, State: v.id,
	}
}

// tokens are the answer of the token address.
type tokens struct {
	Access         string `json:"access_token"`
	ExpiresIn      int    `json:"expires_in"`
	RefreshExpires int    `json:"refresh_expires_in"`
	Refresh        string `json:"refresh_token"`
	Type           string `json:"token_type"`
	ID             string `json:"id_token"`
	NotBefore      int64  `json:"not-before-policy"`
	Session        string `json:"session_state"`
	Scope          string `json:"scope"`
}

// newTokens signs the tokens of a session.
func (s *Service) newTokens(v session, refresh string, now time.Time) (t tokens, err error) {
	access, own := s.claims(v, "Bearer", audience, now), s.claims(v, "ID", v.clientID, now)
	access.Scope, own.Nonce = v.scope, v.nonce
	t = tokens{
		ExpiresIn: int(accessTTL.Seconds()), RefreshExpires: int(v.refreshUntil.Sub(now).Seconds()), Refresh: refresh, Type: "Bearer", Session: v.id, Scope: v.scope,
	}
	if t.Access, err = jwt.Signed(s.signer).Claims(access).Serialize(); err != nil {
		return t, err
	}
	t.ID, err = jwt.Signed(s.signer).Claims(own).Serialize()
	return t, err
}

// byToken makes somebody of an access token. Beside the token itself its session
// must stand, and its card in the registry: a suspension ends tokens at once.
func (s *Service) byToken(ctx context.Context, header string) (principal, error) {
	scheme, text, _ := strings.Cut(header, " ")
	if header == "" || !strings.EqualFold(scheme, "Bearer") {
		return principal{}, refuse(http.StatusUnauthorized, "certify.error.credentials")
	}
	c, err := s.openToken(strings.TrimSpace(text))
	if err != nil {
		return principal{}, refuse(http.StatusUnauthorized, "certify.error.token")
	}
	v, err := s.session(ctx, s.Pool, c.Session)
	if pg.NoRows(err) {
		return principal{}, refuse(http.StatusUnauthorized, "certify.error.token")
	}
	if err != nil {
		return principal{}, err
	}
	if !v.stands(s.Now()) {
		return principal{}, refuse(http.StatusUnauthorized, "certify.error.token")
	}
	i, err := s.known(ctx, s.Pool, v.fingerprint)
	if err != nil {
		return principal{}, err
	}
	if i.ID != v.issuerID {
		return principal{}, refuse(http.StatusForbidden, "certify.error.unknown")
	}
	return principal{i, v.fingerprint, issuer.PathCard}, nil
}

var errToken = errors.New("certify: not an access token of this realm")

// openToken verifies an access token: ES256 and nothing else, this realm's key,
// name and audience, the portal's clock.
func (s *Service) openToken(text string) (c claims, err error) {
	if len(s.Cards.Trust.Authorities) == 0 {
		return c, errToken
	}
	t, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return c, err
	}
	if err := t.Claims(s.key.Public(), &c); err != nil {
		return c, err
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Issuer: s.issuerURL(), AnyAudience: jwt.Audience{audience}, Time: s.Now()}, 0); err != nil {
		return c, err
	}
	if c.Typ != "Bearer" || c.Expiry == nil || !id.Valid(c.Session) {
		return c, errToken
	}
	return c, nil
}

// keySet is the public key for whoever verifies tokens (RFC 7517).
func (s *Service) keySet(*call) (*answer, error) {
	return replyJSON(http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: s.keyID, Algorithm: string(jose.ES256), Use: "sig"}}})
}

// secret is a random text that nobody guesses, and what is stored of it.
func secret() (text string, hash []byte) {
	text = rand.Text() + rand.Text()
	return text, hashOf(text)
}

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
