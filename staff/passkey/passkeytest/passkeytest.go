// Package passkeytest is an authenticator in software, for tests: it makes real
// attestations and assertions, and wrong ones when asked to.
package passkeytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg"
	"impfportal/staff/passkey"
)

// Origin is the address of the portal that keys of this package are used at, unless
// told otherwise.
const Origin = "http://localhost:8080"

// Maker makes keys of one model, with a root and an attestation certificate of its own.
type Maker struct {
	t      testing.TB
	AAGUID uuid.UUID
	Name   string
	root   *x509.Certificate
	key    *ecdsa.PrivateKey // of the attestation certificate
	cert   []byte
}

// NewMaker founds a maker.
func NewMaker(t testing.TB) *Maker {
	t.Helper()
	return found(t, uuid.New())
}

// Impostor is another maker who claims to make the same model.
func (m *Maker) Impostor() *Maker { return found(m.t, m.AAGUID) }

func found(t testing.TB, model uuid.UUID) *Maker {
	t.Helper()
	m := &Maker{t: t, AAGUID: model, Name: "Testschlüssel 1"}
	rootKey := m.newKey()
	m.root = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root of test keys"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, m.root, m.root, rootKey.Public(), rootKey)
	m.must(err)
	m.root, err = x509.ParseCertificate(der)
	m.must(err)
	m.key = m.newKey()
	aaguid, err := asn1.Marshal(m.AAGUID[:])
	m.must(err)
	m.cert, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), BasicConstraintsValid: true, NotBefore: m.root.NotBefore, NotAfter: m.root.NotAfter,
		Subject: pkix.Name{Country: []string{"DE"}, Organization: []string{"Test"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Test key"},
		// id-fido-gen-ce-aaguid (WebAuthn, 8.2.1)
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: aaguid}},
	}, m.root, m.key.Public(), rootKey)
	m.must(err)
	return m
}

func (m *Maker) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	m.must(err)
	return k
}

func (m *Maker) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// Model is the model as an administrator would allow it from a day on.
func (m *Maker) Model(from time.Time) passkey.Model {
	return passkey.Model{
		AAGUID: m.AAGUID.String(), From: from, Name: m.Name,
		Roots: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.root.Raw})),
	}
}

// Key is one authenticator. The fields may be changed to misbehave.
type Key struct {
	Maker       *Maker
	Attestation string // "basic", "self", "none"
	RawID       []byte
	Account     string // user handle
	Count       uint32 // the next signature's counter is one more
	Unverified  bool   // leaves the flag of the verified user out
	Origin      string
	private     *ecdsa.PrivateKey
}

// NewKey makes a key.
func (m *Maker) NewKey() *Key {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return &Key{Maker: m, Attestation: "basic", RawID: raw, Origin: Origin, private: m.newKey()}
}

var b64 = base64.RawURLEncoding

func (k *Key) clientData(ceremony, challenge string) []byte {
	b, err := json.Marshal(map[string]any{"type": ceremony, "challenge": challenge, "origin": k.Origin, "crossOrigin": false})
	k.Maker.must(err)
	return b
}

func (k *Key) authData(rpID string, attested bool) []byte {
	hash := sha256.Sum256([]byte(rpID))
	flags := byte(1)
	if !k.Unverified {
		flags |= 4
	}
	if attested {
		flags |= 64
	}
	k.Count++
	out := binary.BigEndian.AppendUint32(append(hash[:], flags), k.Count)
	if !attested {
		return out
	}
	out = append(out, k.Maker.AAGUID[:]...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(k.RawID))) //nolint:gosec // 32
	return append(append(out, k.RawID...), k.PublicKey()...)
}

// PublicKey is the key's COSE_Key (RFC 9053): ES256.
func (k *Key) PublicKey() []byte {
	public, err := k.private.PublicKey.Bytes()
	k.Maker.must(err)
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: public[1:33], -3: public[33:65]})
	k.Maker.must(err)
	return cose
}

func (k *Key) sign(with *ecdsa.PrivateKey, auth, client []byte) []byte {
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, auth...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, with, sum[:])
	k.Maker.must(err)
	return sig
}

// Make answers navigator.credentials.create.
func (k *Key) Make(o passkey.Offered, name string) passkey.Made {
	user, err := b64.DecodeString(o.UserID)
	k.Maker.must(err)
	k.Account = string(user)
	client, auth := k.clientData("webauthn.create", o.Challenge), k.authData(o.RPID, true)
	object := map[string]any{"fmt": "packed", "authData": auth}
	switch k.Attestation {
	case "basic":
		object["attStmt"] = map[string]any{"alg": -7, "sig": k.sign(k.Maker.key, auth, client), "x5c": [][]byte{k.Maker.cert}}
	case "self":
		object["attStmt"] = map[string]any{"alg": -7, "sig": k.sign(k.private, auth, client)}
	default:
		object["fmt"], object["attStmt"] = "none", map[string]any{}
	}
	raw, err := cbor.Marshal(object)
	k.Maker.must(err)
	return passkey.Made{
		ChallengeID: o.ChallengeID, Name: name, CredentialID: b64.EncodeToString(k.RawID), ClientData: b64.EncodeToString(client),
		AttestationObject: b64.EncodeToString(raw), Transports: []string{"usb"},
	}
}

// Touch answers navigator.credentials.get.
func (k *Key) Touch(a passkey.Asked) passkey.Touch {
	client, auth := k.clientData("webauthn.get", a.Challenge), k.authData(a.RPID, false)
	return passkey.Touch{
		ChallengeID: a.ChallengeID, CredentialID: b64.EncodeToString(k.RawID), ClientData: b64.EncodeToString(client), AuthData: b64.EncodeToString(auth),
		Signature: b64.EncodeToString(k.sign(k.private, auth, client)), UserHandle: b64.EncodeToString([]byte(k.Account)),
	}
}

// Enrol gives an account without a key its first one, by a code.
func (m *Maker) Enrol(s *passkey.Service, pool *pgxpool.Pool, accountID string) *Key {
	m.t.Helper()
	ctx := context.Background()
	var printed, login string
	m.must(pool.QueryRow(ctx, `SELECT login FROM staff.account WHERE id = $1`, accountID).Scan(&login))
	m.must(pg.InTx(ctx, pool, func(tx pgx.Tx) (err error) {
		printed, err = s.NewCode(ctx, tx, accountID, time.Hour, "system")
		return err
	}))
	o, err := s.OfferWithCode(ctx, login, printed, "test")
	m.must(err)
	k := m.NewKey()
	_, _, err = s.Enrol(ctx, k.Make(o, "Erster"))
	m.must(err)
	return k
}

// EnrolAnother gives an account another key, vouched for by one that it has.
func (m *Maker) EnrolAnother(s *passkey.Service, accountID string, has *Key) *Key {
	m.t.Helper()
	ctx := context.Background()
	asked, err := s.AskAdditional(ctx, accountID)
	m.must(err)
	o, err := s.OfferAdditional(ctx, accountID, has.Touch(asked))
	m.must(err)
	k := m.NewKey()
	_, _, err = s.Enrol(ctx, k.Make(o, "Weiterer"))
	m.must(err)
	return k
}
