package certify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/certify/card"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

const (
	challengeTTL = 2 * time.Minute
	codeTTL      = time.Minute
	// sessionTTL is how long a card needs not be asked again.
	sessionTTL = 12 * time.Hour
)

// login is a challenge that waits for its answer.
type login struct {
	id, code, challenge          string // code is known to the caller only
	clientID, redirectURI        string
	state, nonce, scope, codePKE string
}

// begin stores a challenge.
func (s *Service) begin(ctx context.Context, l login) (login, error) {
	var hash []byte
	l.id, l.challenge = id.New(), uuid.NewString()
	l.code, hash = secret()
	_, err := s.Pool.Exec(ctx, `
		INSERT INTO certificate.certify_login (id, code_hash, challenge, client_id, redirect_uri, state, nonce, scope, code_challenge, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		l.id, hash, l.challenge, l.clientID, l.redirectURI, l.state, l.nonce, l.scope, l.codePKE, s.Now().Add(challengeTTL))
	return l, err
}

// take gives a challenge out for its one answer; pgx.ErrNoRows when it was
// answered, is too old, or never was.
func (s *Service) take(ctx context.Context, loginID, code string) (l login, err error) {
	if !id.Valid(loginID) {
		return l, pgx.ErrNoRows
	}
	l.id = loginID
	now := s.Now()
	err = s.Pool.QueryRow(ctx, `
		UPDATE certificate.certify_login SET answered_at = $3 WHERE id = $1 AND code_hash = $2 AND answered_at IS NULL AND expires_at > $3
		RETURNING challenge, client_id, redirect_uri, state, nonce, scope, code_challenge`, loginID, hashOf(code), now).
		Scan(&l.challenge, &l.clientID, &l.redirectURI, &l.state, &l.nonce, &l.scope, &l.codePKE)
	return l, err
}

// session is a card that has answered.
type session struct {
	id, issuerID, fingerprint           string
	clientID, redirectURI, nonce, scope string
	codePKE                             string
	codeUntil, createdAt, endsAt        time.Time
	codeUsed, ended                     *time.Time
	refreshHash, formerHash             []byte
	refreshUntil                        time.Time
}

// stands reports whether a session has tokens that count.
func (v session) stands(now time.Time) bool {
	return v.ended == nil && v.codeUsed != nil && now.Before(v.endsAt)
}

const selectSession = `
	SELECT id::text, issuer_id::text, fingerprint, client_id, redirect_uri, nonce, scope, code_challenge, code_expires_at, created_at, ends_at, code_used_at, ended_at,
	       refresh_hash, former_hash, coalesce(refresh_until, 'epoch') FROM certificate.certify_session `

func scanSession(row pgx.Row) (v session, err error) {
	return v, row.Scan(&v.id, &v.issuerID, &v.fingerprint, &v.clientID, &v.redirectURI, &v.nonce, &v.scope, &v.codePKE, &v.codeUntil, &v.createdAt, &v.endsAt, &v.codeUsed, &v.ended,
		&v.refreshHash, &v.formerHash, &v.refreshUntil)
}

func (s *Service) session(ctx context.Context, q pg.Querier, sessionID string) (session, error) {
	return scanSession(q.QueryRow(ctx, selectSession+`WHERE id = $1`, sessionID))
}

// open makes a session of a challenge that a card has answered, and the code for
// its tokens.
func (s *Service) open(ctx context.Context, l login, issuerID string, c *card.Certificate) (sessionID, code string, err error) {
	now := s.Now()
	ends := now.Add(sessionTTL)
	if c.NotAfter.Before(ends) {
		ends = c.NotAfter
	}
	sessionID = id.New()
	code = uuid.NewString() + "." + sessionID + "." + uuid.NewString()
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO certificate.certify_session (id, issuer_id, fingerprint, client_id, redirect_uri, nonce, scope, code_challenge, code_hash, code_expires_at, created_at, ends_at, authority, serial)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			sessionID, issuerID, c.Fingerprint(), l.clientID, l.redirectURI, l.nonce, l.scope, l.codePKE, hashOf(code), now.Add(codeTTL), now, ends, s.Cards.Trust.By(c).Fingerprint(), c.Serial()); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: "issuer:" + issuerID, Role: "issuer", Action: "issuer.card_login", Subject: "issuer:" + issuerID, After: map[string]any{"session": sessionID, "client": l.clientID, "card": c.Fingerprint()},
		})
	})
	return sessionID, code, err
}

// exchange is what the software shows at the token address.
type exchange struct {
	code, redirectURI, clientID, state, verifier string
}

// redeem gives tokens for a code, once. A code that comes a second time, or from
// somebody else than asked for it, was copied: its session ends.
func (s *Service) redeem(ctx context.Context, x exchange) (tokens, error) {
	return s.renew(ctx, `WHERE code_hash = $1 FOR UPDATE`, hashOf(x.code), func(v session, now time.Time) bool {
		return v.codeUsed == nil && now.Before(v.codeUntil) && v.clientID == x.clientID && v.redirectURI == x.redirectURI && (x.state == "" || x.state == v.id) && proves(x.verifier, v.codePKE)
	})
}

// refresh gives new tokens for the one refresh token that counts. The one before it
// ends the session, because two have it (RFC 9700, section 4.14.2).
func (s *Service) refresh(ctx context.Context, token, clientID string) (tokens, error) {
	hash := hashOf(token)
	return s.renew(ctx, `WHERE refresh_hash = $1 OR former_hash = $1 FOR UPDATE`, hash, func(v session, now time.Time) bool {
		return bytes.Equal(v.refreshHash, hash) && v.stands(now) && now.Before(v.refreshUntil) && v.clientID == clientID
	})
}

// renew finds a session by a secret and gives it new tokens, or ends it where the
// secret is not shown as it should be, or the registry does not carry its card.
func (s *Service) renew(ctx context.Context, where string, hash []byte, good func(v session, now time.Time) bool) (t tokens, err error) {
	now := s.Now()
	denied := refuse(http.StatusBadRequest, "certify.error.grant").grant("invalid_grant")
	var refused error
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		v, err := scanSession(tx.QueryRow(ctx, selectSession+where, hash))
		if pg.NoRows(err) {
			return denied
		}
		if err != nil {
			return err
		}
		if refused = s.carried(ctx, tx, v); refused == nil && !good(v, now) {
			refused = denied
		}
		if refused != nil {
			_, err := tx.Exec(ctx, `UPDATE certificate.certify_session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL`, v.id, now)
			return err
		}
		text, next := secret()
		if v.refreshUntil = now.Add(refreshTTL); v.refreshUntil.After(v.endsAt) {
			v.refreshUntil = v.endsAt
		}
		if _, err := tx.Exec(ctx, `
			UPDATE certificate.certify_session SET code_used_at = coalesce(code_used_at, $2), former_hash = refresh_hash, refresh_hash = $3, refresh_until = $4 WHERE id = $1`,
			v.id, now, next, v.refreshUntil); err != nil {
			return err
		}
		t, err = s.newTokens(v, text, now)
		return err
	})
	if err == nil {
		err = refused
	}
	return t, err
}

// carried reports whether the registry still names the session's card for its issuer.
func (s *Service) carried(ctx context.Context, q pg.Querier, v session) error {
	i, err := s.known(ctx, q, v.fingerprint)
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.grant("invalid_grant")
	case err == nil && i.ID != v.issuerID:
		return refuse(http.StatusForbidden, "certify.error.unknown").grant("invalid_grant")
	}
	return err
}

// proves holds a PKCE verifier against its challenge (RFC 7636, S256). Neither comes
// without the other.
func proves(verifier, challenge string) bool {
	if verifier == "" || challenge == "" {
		return verifier == challenge
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}
