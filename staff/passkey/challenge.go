package passkey

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"impfportal/internal/pg"
)

// Digest names what a deed is done to: SHA-256 of its content.
type Digest [32]byte

// DigestOf is the digest of a text, for deeds whose object has a name.
func DigestOf(text string) Digest { return sha256.Sum256([]byte(text)) }

// challengeOf is what an authenticator signs for a deed, as staff.challenge_of.
func challengeOf(nonce []byte, action string, subject []byte) []byte {
	h := sha256.New()
	h.Write([]byte("impfportal touch 1\x00"))
	h.Write(nonce)
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(action)))) //nolint:gosec // at most 200 bytes (challenge_action)
	h.Write([]byte(action))
	h.Write(subject)
	return h.Sum(nil)
}

// challenge is a stored one.
type challenge struct {
	id        string
	accountID string // "" = the key names the account
	action    string
	subject   Digest
	nonce     []byte
	shown     string
	enrolment *string
	expiresAt time.Time
}

func (c challenge) text() string {
	return base64.RawURLEncoding.EncodeToString(challengeOf(c.nonce, c.action, c.subject[:]))
}

// ask stores a challenge.
func (s *Service) ask(ctx context.Context, q pg.Querier, c challenge) (challenge, error) {
	c.id, c.nonce = newID(), make([]byte, 32)
	_, _ = rand.Read(c.nonce) // never fails (crypto/rand)
	now := s.now()
	c.expiresAt = now.Add(touchTTL)
	_, err := q.Exec(ctx, `
		INSERT INTO staff.challenge (id, account_id, action, subject, nonce, shown, enrolment_id, created_at, expires_at)
		VALUES ($1, nullif($2, '')::uuid, $3, $4, $5, nullif($6, ''), $7, $8, $9)`,
		c.id, c.accountID, c.action, c.subject[:], c.nonce, c.shown, c.enrolment, now, c.expiresAt)
	return c, err
}

// spend uses a challenge up: it is gone whether its answer is right or wrong.
func (s *Service) spend(ctx context.Context, challengeID string) (challenge, error) {
	c := challenge{id: challengeID}
	var subject []byte
	err := s.pool.QueryRow(ctx, `
		UPDATE staff.challenge SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2
		RETURNING coalesce(account_id::text, ''), action, subject, nonce, coalesce(shown, ''), enrolment_id::text, expires_at`, challengeID, s.now()).
		Scan(&c.accountID, &c.action, &subject, &c.nonce, &c.shown, &c.enrolment, &c.expiresAt)
	if pg.NoRows(err) {
		return c, ErrExpired
	}
	copy(c.subject[:], subject)
	return c, err
}
