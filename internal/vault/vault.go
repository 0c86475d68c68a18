// Package vault encrypts per person: each person (and each treatment record)
// has one data key of its own, wrapped by a master key that lies outside the
// database. Destroying the row of a key makes everything sealed under it
// unreadable, in every backup too that does not hold the master key.
//
// Names are found again by blind index: a keyed hash of their normalised form
// (HMAC-SHA256), which says nothing to somebody who has only the database.
package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// KeySize is the length of the master and index secrets in bytes.
const KeySize = 32

// ErrDestroyed says that the data key is gone: what it sealed is deleted.
var ErrDestroyed = errors.New("vault: key destroyed")

// ErrUnreadable says that a sealed value was changed, or belongs to another
// key or context.
var ErrUnreadable = errors.New("vault: sealed value cannot be opened")

// Vault holds the two secrets that never lie in the database.
type Vault struct {
	master   *subtle.AESGCM
	masterID string
	index    []byte
}

// New makes a vault. Both secrets must have KeySize bytes; it panics
// otherwise, because config has checked them.
func New(master, index []byte) *Vault {
	if len(master) != KeySize || len(index) != KeySize {
		panic("vault: master and index secrets must have 32 bytes")
	}
	a, err := subtle.NewAESGCM(master)
	if err != nil {
		panic(err) // only for a wrong size
	}
	sum := sha256.Sum256(append([]byte("impfportal master key id\x00"), master...))
	return &Vault{master: a, masterID: hex.EncodeToString(sum[:6]), index: index}
}

// ForTest returns a vault with fixed secrets.
func ForTest() *Vault {
	return New([]byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210"))
}

// Key is the opened data key of one person or record.
type Key struct {
	ID   string
	aead *subtle.AESGCM
}

// NewKey makes a data key and stores it, wrapped, in tx.
func (v *Vault) NewKey(ctx context.Context, tx pgx.Tx) (Key, error) {
	k, wrapped, err := v.Generate()
	if err != nil {
		return Key{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO vault.key (id, wrapped, master, created_at) VALUES ($1, $2, $3, $4)`,
		k.ID, wrapped, v.masterID, time.Now().UTC())
	if err != nil {
		return Key{}, fmt.Errorf("store data key: %w", err)
	}
	return k, nil
}

// Generate makes a data key without storing it; the caller inserts
// (id, wrapped, MasterID()) into vault.key within its own statement. NewKey is
// the usual way; this one saves a round trip where many are made.
func (v *Vault) Generate() (k Key, wrapped []byte, err error) {
	raw := make([]byte, KeySize)
	if _, err := rand.Read(raw); err != nil {
		return Key{}, nil, fmt.Errorf("random: %w", err)
	}
	a, err := subtle.NewAESGCM(raw)
	if err != nil {
		return Key{}, nil, err
	}
	k = Key{ID: id.New(), aead: a}
	wrapped, err = v.master.Encrypt(raw, []byte(k.ID))
	if err != nil {
		return Key{}, nil, fmt.Errorf("wrap data key: %w", err)
	}
	return k, wrapped, nil
}

// MasterID is the fingerprint of the master key that wraps new data keys.
func (v *Vault) MasterID() string { return v.masterID }

// Open fetches and unwraps a data key. It returns ErrDestroyed when there is
// no such row (any more).
func (v *Vault) Open(ctx context.Context, q pg.Querier, keyID string) (Key, error) {
	var wrapped []byte
	err := q.QueryRow(ctx, `SELECT wrapped FROM vault.key WHERE id = $1`, keyID).Scan(&wrapped)
	if pg.NoRows(err) {
		return Key{}, ErrDestroyed
	}
	if err != nil {
		return Key{}, fmt.Errorf("fetch data key: %w", err)
	}
	return v.Unwrap(keyID, wrapped)
}

// Unwrap opens a data key that the caller fetched itself, for example joined
// to the row that it sealed.
func (v *Vault) Unwrap(keyID string, wrapped []byte) (Key, error) {
	raw, err := v.master.Decrypt(wrapped, []byte(keyID))
	if err != nil {
		return Key{}, fmt.Errorf("unwrap data key %s: %w", keyID, ErrUnreadable)
	}
	a, err := subtle.NewAESGCM(raw)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: keyID, aead: a}, nil
}

// Destroy deletes the data key; what it sealed cannot be read again.
// Destroying a key twice is no error.
func (v *Vault) Destroy(ctx context.Context, tx pgx.Tx, keyID string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM vault.key WHERE id = $1`, keyID); err != nil {
		return fmt.Errorf("destroy data key: %w", err)
	}
	return nil
}

// Seal encrypts plain (AES-256-GCM, random nonce in front). context names the
// column or purpose; a value sealed for one purpose does not open for another,
// nor under another person's key.
func (k Key) Seal(context string, plain []byte) []byte {
	out, err := k.aead.Encrypt(plain, k.aad(context))
	if err != nil {
		panic(err) // only when the system has no randomness or plain exceeds 64 GiB
	}
	return out
}

// Unseal decrypts what Seal made, or returns ErrUnreadable.
func (k Key) Unseal(context string, sealed []byte) ([]byte, error) {
	out, err := k.aead.Decrypt(sealed, k.aad(context))
	if err != nil {
		return nil, ErrUnreadable
	}
	return out, nil
}

func (k Key) aad(context string) []byte { return []byte(k.ID + "\x00" + context) }

// SealJSON seals the JSON form of v.
func (k Key) SealJSON(context string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return k.Seal(context, b), nil
}

// UnsealJSON opens what SealJSON made into v.
func (k Key) UnsealJSON(context string, sealed []byte, v any) error {
	b, err := k.Unseal(context, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// BlindIndex returns the 32-byte keyed hash under which a normalised value is
// found again. domain separates kinds of values ("citizen.name+birth").
func (v *Vault) BlindIndex(domain, normalised string) []byte {
	return v.MAC("blind index "+domain, []byte(normalised))
}

// MAC returns HMAC-SHA256 over data with a key that is derived for domain alone.
func (v *Vault) MAC(domain string, data []byte) []byte {
	m := hmac.New(sha256.New, v.Derive(domain))
	m.Write(data)
	return m.Sum(nil)
}

// Derive returns a 32-byte key for one purpose (HKDF-SHA256, RFC 5869).
func (v *Vault) Derive(domain string) []byte {
	k, err := hkdf.Key(sha256.New, v.index, nil, "impfportal "+domain, KeySize)
	if err != nil {
		panic(err) // only for absurd lengths
	}
	return k
}
