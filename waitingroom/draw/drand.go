package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudflare/circl/sign/bls"
)

// Chain is a drand network of the scheme bls-unchained-g1-rfc9380: each round's
// signature (BLS12-381, on G1) is over the round's number alone, so no round
// needs the one before it.
type Chain struct {
	Hash      string `json:"hash"`       // hexadecimal; names the chain
	PublicKey string `json:"public_key"` // hexadecimal, compressed point on G2
	Period    int64  `json:"period"`     // seconds between two rounds
	Genesis   int64  `json:"genesis_time"`
}

// Quicknet is the League of Entropy's chain with a round every three seconds,
// begun on 23 August 2023
// (https://api.drand.sh/52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971/info).
var Quicknet = Chain{
	Hash: "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
	PublicKey: "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451" +
		"0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
	Period: 3, Genesis: 1692803367,
}

// Check returns an error for a chain that cannot be one.
func (c Chain) Check() error {
	if b, err := hex.DecodeString(c.Hash); err != nil || len(b) != 32 {
		return errors.New("draw: the chain's hash is not 32 bytes in hexadecimal")
	}
	if c.Period < 1 || c.Period > 24*3600 || c.Genesis < 1 {
		return errors.New("draw: the chain's period or genesis time is not possible")
	}
	_, err := c.key()
	return err
}

func (c Chain) key() (*bls.PublicKey[bls.KeyG2SigG1], error) {
	raw, err := hex.DecodeString(c.PublicKey)
	key := new(bls.PublicKey[bls.KeyG2SigG1])
	if err == nil {
		err = key.UnmarshalBinary(raw)
	}
	if err != nil || !key.Validate() {
		return nil, errors.New("draw: the chain's public key is not a point of its group")
	}
	return key, nil
}

// Time is when a round's value comes into the world; round 1 is at genesis.
func (c Chain) Time(round int64) time.Time {
	return time.Unix(c.Genesis+(round-1)*c.Period, 0).UTC()
}

// RoundAfter returns the first round whose time is later than t.
func (c Chain) RoundAfter(t time.Time) int64 {
	if d := t.Unix() - c.Genesis; d >= 0 {
		return d/c.Period + 2
	}
	return 1
}

// Name is how a draw names a round: what has to be appended to the address of
// any drand server.
func (c Chain) Name(round int64) string { return c.Hash + "/public/" + number(round) }

// ParseName reads what Name wrote; ok is false for a round of another chain.
func (c Chain) ParseName(name string) (round int64, ok bool) {
	text, ok := strings.CutPrefix(name, c.Hash+"/public/")
	if !ok {
		return 0, false
	}
	round, err := strconv.ParseInt(text, 10, 64)
	return round, err == nil && round > 0 && c.Name(round) == name
}

// message is what the network signs for a round.
func message(round int64) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(round))) //nolint:gosec // positive
	return sum[:]
}

// Value checks a round's signature (hexadecimal) and returns the round's
// randomness, the SHA-256 of the signature. A valid signature of a round is
// unique, so there is one value.
func (c Chain) Value(round int64, signature string) (string, error) {
	key, err := c.key()
	if err != nil {
		return "", err
	}
	raw, err := hex.DecodeString(signature)
	if err != nil || round < 1 || !bls.Verify(key, message(round), raw) {
		return "", fmt.Errorf("draw: the signature is not the chain's for round %d", round)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}
