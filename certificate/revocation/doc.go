// Package revocation takes certificates back (Widerruf).
//
// A revocation is one row that outlives the certificate it is about: it holds
// the hashes that verifiers compare and no more. What is revoked stays so; a
// holder who did nothing wrong gets the next version of the certificate. Each
// revocation is audited and has its leaf in the log (package translog), in the
// transaction that makes it.
//
// # One, or many
//
// An administrator revokes a single certificate with a reason; the database
// refuses more than twenty by one account in an hour. Many (Sammelwiderruf) are
// selected by issuer, operator, lot, person or time window (Selection), shown
// beforehand (Preview), and decided by two people with security keys
// (staff/dualcontrol, kind revocation.mass). The decision is a row that only the
// second approval can write; a revocation in its name needs that row. The worker
// carries it out a hundred at a time and goes on where it was stopped. Where the
// decision says so, each holder gets the next version and is told (Reissue).
//
// # What verifiers get
//
// Each minute the worker puts new revocations into batches (Publisher) in the
// form of the EU gateway: one key id and one kind of hash a batch, at most 1,000
// entries, the first 16 bytes of SHA-256; of an ES256 signature only r is hashed,
// so that rewriting s to n-s does not undo a revocation. Batches are signed once
// as CMS, with a key of their own, and never changed:
//
//	GET /certificates/revocations                   index, for a minute
//	GET /certificates/revocations/{id}/batch.cms    signed, for ever
//	GET /certificates/revocations/{id}/batch.json   the same unsigned, for ever
package revocation
