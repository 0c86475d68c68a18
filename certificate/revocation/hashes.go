package revocation

import "crypto/sha256"

// HashType says what verifiers compare.
type HashType string

// The hash types of the EU gateway. This portal publishes SignatureHash and UCI;
// verifiers must know all three.
const (
	TypeSignature  HashType = "SIGNATURE"
	TypeUCI        HashType = "UCI"
	TypeCountryUCI HashType = "COUNTRYCODEUCI"
)

// hashLen is how much of the SHA-256 is published: the first 16 bytes.
const hashLen = 16

func hashOf(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:hashLen]
}

// UCIHash is the hash of a certificate's id as it stands in the certificate.
func UCIHash(uvci string) []byte { return hashOf([]byte(uvci)) }

// CountryUCIHash is the hash of issuing country (claim 1) and id.
func CountryUCIHash(country, uvci string) []byte { return hashOf([]byte(country + uvci)) }

// SignatureHash is the hash of a signature. Of ES256 (COSE algorithm -7) only r
// counts, the first half: (r, s) and (r, n-s) are both valid, and rewriting one
// to the other must not undo a revocation.
func SignatureHash(alg int64, signature []byte) []byte {
	if alg == -7 {
		signature = signature[:len(signature)/2]
	}
	return hashOf(signature)
}
