package passkey

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Bytes travel as base64url without padding (WebAuthn, 5.8).
type bytesText = string

// Asked is what a browser needs to ask for a touch (navigator.credentials.get).
type Asked struct {
	ChallengeID string      `json:"challenge_id"`
	Challenge   bytesText   `json:"challenge" doc:"base64url"`
	RPID        string      `json:"rp_id"`
	Allow       []bytesText `json:"allow" doc:"credential ids, base64url; empty = any key that knows an account"`
	TimeoutMS   int         `json:"timeout_ms"`
}

// Touch is a browser's answer: an assertion (WebAuthn, 5.2.2), base64url.
type Touch struct {
	ChallengeID  string    `json:"challenge_id" maxlen:"36"`
	CredentialID bytesText `json:"credential_id" maxlen:"2000"`
	ClientData   bytesText `json:"client_data" maxlen:"4000"`
	AuthData     bytesText `json:"authenticator_data" maxlen:"4000"`
	Signature    bytesText `json:"signature" maxlen:"2000"`
	UserHandle   bytesText `json:"user_handle,omitempty" maxlen:"200"`
}

// Ask begins a touch of an account for a deed.
func (s *Service) Ask(ctx context.Context, accountID, action string, subject Digest) (Asked, error) {
	c, err := s.ask(ctx, s.pool, challenge{accountID: accountID, action: action, subject: subject})
	if err != nil {
		return Asked{}, err
	}
	allow, err := s.allow(ctx, accountID)
	if err == nil && len(allow) == 0 {
		err = ErrNotFound
	}
	return s.asked(c, allow), err
}

func (s *Service) asked(c challenge, allow []bytesText) Asked {
	if allow == nil {
		allow = []bytesText{}
	}
	return Asked{ChallengeID: c.id, Challenge: c.text(), RPID: s.rpID, Allow: allow, TimeoutMS: int(touchTTL.Milliseconds())}
}

// allow lists the ids of an account's keys.
func (s *Service) allow(ctx context.Context, accountID string) ([]bytesText, error) {
	rows, err := s.pool.Query(ctx, `SELECT staff.base64url(raw_id) FROM staff.credential WHERE account_id = $1 AND disabled_at IS NULL ORDER BY created_at`, accountID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[bytesText])
}

// Proof is a touch that has been verified and that nothing has been done with yet.
type Proof struct {
	AccountID, CredentialID string
	touch                   Touch
	challenge               challenge
	at                      time.Time
}

// Verify checks the answer to a challenge: that it is of this account, this deed
// and this object, that it has not been answered yet, and everything that WebAuthn
// 7.2 demands. The challenge is used up by it. accountID "" takes the account that
// the key belongs to (login).
func (s *Service) Verify(ctx context.Context, accountID, action string, subject Digest, t Touch) (Proof, error) {
	if !id.Valid(t.ChallengeID) {
		return Proof{}, ErrExpired
	}
	c, err := s.spend(ctx, t.ChallengeID)
	if err != nil {
		return Proof{}, err
	}
	if c.shown != "" || c.action != action || c.subject != subject || accountID != "" && c.accountID != accountID {
		return Proof{}, fmt.Errorf("%w: the challenge was for something else", ErrRefused)
	}
	parsed, err := t.parse()
	if err != nil {
		return Proof{}, errors.Join(ErrRefused, err)
	}
	var (
		p         = Proof{touch: t, challenge: c, at: s.now()}
		publicKey []byte
		aaguid    string
		stored    int64
	)
	err = s.pool.QueryRow(ctx, `
		SELECT k.id::text, k.account_id::text, k.public_key, k.aaguid::text, k.sign_count
		FROM staff.credential k JOIN staff.account a ON a.id = k.account_id
		WHERE k.raw_id = $1 AND k.disabled_at IS NULL AND a.disabled_at IS NULL`, parsed.RawID).
		Scan(&p.CredentialID, &p.AccountID, &publicKey, &aaguid, &stored)
	if pg.NoRows(err) {
		return Proof{}, fmt.Errorf("%w: unknown or disabled key", ErrRefused)
	}
	if err != nil {
		return Proof{}, err
	}
	if c.accountID != "" && c.accountID != p.AccountID {
		return Proof{}, fmt.Errorf("%w: a key of another account", ErrRefused)
	}
	if c.accountID == "" && string(parsed.Response.UserHandle) != p.AccountID { // WebAuthn 7.2, step 6
		return Proof{}, fmt.Errorf("%w: the key names another account", ErrRefused)
	}
	if _, err := s.model(ctx, s.pool, aaguid); err != nil {
		return Proof{}, err
	}
	if err := s.verifyAssertion(parsed, c.text(), publicKey); err != nil {
		return Proof{}, errors.Join(ErrRefused, err)
	}
	return p, s.count(ctx, p, stored, int64(parsed.Response.AuthenticatorData.Counter))
}

// verifyAssertion checks everything that an assertion says by itself.
func (s *Service) verifyAssertion(p *protocol.ParsedCredentialAssertionData, challengeText string, publicKey []byte) error {
	return p.Verify(challengeText, s.rpID, "", s.origins(p.Response.CollectedClientData.Origin), nil, nil,
		protocol.TopOriginExplicitVerificationMode, false, true, true, publicKey, protocol.SignaturePolicy{})
}

// count moves the key's counter on (WebAuthn 7.2, step 22).
func (s *Service) count(ctx context.Context, p Proof, stored, said int64) error {
	tag, err := s.pool.Exec(ctx, `
		UPDATE staff.credential SET sign_count = $2, last_used_at = $3
		WHERE id = $1 AND disabled_at IS NULL AND (sign_count < $2 OR sign_count = 0 AND $2 = 0)`, p.CredentialID, said, p.at)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return s.cloned(ctx, p.CredentialID, stored, said)
	}
	return nil
}

// Save keeps the assertion in tx, with what was done by it, and returns its id.
func (p Proof) Save(ctx context.Context, tx pgx.Tx) (touchID string, err error) {
	touchID = newID()
	_, err = tx.Exec(ctx, `
		INSERT INTO staff.touch (id, challenge_id, account_id, credential_id, action, subject, nonce, client_data, auth_data, signature, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		touchID, p.challenge.id, p.AccountID, p.CredentialID, p.challenge.action, p.challenge.subject[:], p.challenge.nonce,
		unbase64(p.touch.ClientData), unbase64(p.touch.AuthData), unbase64(p.touch.Signature), p.at)
	if pg.Violates(err, "touch_challenge") || pg.Violates(err, "touch_assertion") || pg.Violates(err, "touch_key") {
		err = errors.Join(ErrRefused, err)
	}
	return touchID, err
}

// parse reads the answer as the library wants it.
func (t Touch) parse() (*protocol.ParsedCredentialAssertionData, error) {
	r := protocol.CredentialAssertionResponse{
		PublicKeyCredential: protocol.PublicKeyCredential{
			Credential: protocol.Credential{ID: t.CredentialID, Type: "public-key"}, RawID: unbase64(t.CredentialID),
		},
		AssertionResponse: protocol.AuthenticatorAssertionResponse{
			AuthenticatorResponse: protocol.AuthenticatorResponse{ClientDataJSON: unbase64(t.ClientData)},
			AuthenticatorData:     unbase64(t.AuthData), Signature: unbase64(t.Signature), UserHandle: unbase64(t.UserHandle),
		},
	}
	return r.Parse()
}

// unbase64 returns nil for what is none: the parser then refuses it.
func unbase64(s bytesText) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

// IsRefused reports whether an error says that an assertion does not count, as
// against one that could not be looked at.
func IsRefused(err error) bool { return errors.Is(err, ErrRefused) }
