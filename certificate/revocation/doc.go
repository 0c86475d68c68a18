// Package revocation takes certificates back (Widerruf).
//
// A revocation is one row that outlives the certificate it is about: it holds
// the hashes that verifiers compare and no more. What is revoked stays so; a
// holder who did nothing wrong gets the next version of the certificate. Each
// revocation is audited and has its leaf in the log (package translog), in the
// transaction that makes it.
package revocation
