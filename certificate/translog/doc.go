// Package translog is the transparency log (Transparenzprotokoll) of everything
// that is issued: a Merkle tree as RFC 6962 hashes it, on golang.org/x/mod's
// tlog, with signed checkpoints (Prüfpunkte) in the form of C2SP's
// tlog-checkpoint. Nobody can issue a certificate, lift a limit or a stop
// without a leaf (Blatt), and nobody, the operator included, can take a leaf
// away or change it later without everybody seeing it who kept a checkpoint.
//
// # From a fact to its proof
//
//	Append     the leaf's row, without index, in the transaction of the fact
//	Sequence   one sequencer at a time (advisory lock): indices in a row, hashes,
//	           signed checkpoint; one transaction
//	witness    the checkpoint goes to the witness file (Zeugendatei) outside the
//	           database, fsynced
//	told       OnSequenced is called for the leaves that the witness covers, in the
//	           transaction that remembers how far that is: each leaf once
//
// A process that is killed at any of these steps leaves the log whole; the next
// Sequence goes on. A certificate is released after the last step only, so what
// people hold is always in a log that was witnessed.
//
// Before it adds anything the sequencer holds the log against the witness file
// (its last entry) and against the last signed checkpoint. A log that is shorter,
// or has another root at that size, is an alarm, and the sequencer refuses to go
// on until a person has looked: nothing is released meanwhile.
//
// # The leaf
//
// A leaf is a text in UTF-8; each line ends with a line feed; empty fields are
// left out; nothing else may stand there:
//
//	impfportal-log/1
//	kind: certificate
//	subject: certificate:0190a3c4-...
//	digest: SHA-256 of what was signed (Sig_structure of RFC 9052), 64 hexadecimal digits
//	issuer: pseudonym of the issuer, 32 hexadecimal digits
//	operator: pseudonym of who did it, 32 hexadecimal digits
//	day: 2021-06-14
//	detail.basis: given
//
// Details are sorted by key. Nothing personal stands in a leaf: no name, no birth
// date, no dose of a person, no signature. A certificate's digest covers its
// random id, so nobody can guess it from a name. Pseudonyms (Pseudonym) are keyed
// and stable: the same issuer is recognised again, and only who has the portal's
// secret finds out which it is. The hash of a leaf is SHA-256(0x00 || text).
//
// Kinds: certificate, reissue, revocation, approval, limit, stop, resume,
// activation, suspension.
//
// An ES256 signature (r, s) can be rewritten to (r, n-s) by anybody; both verify.
// Leaves are keyed by the digest of what was signed, which that does not change:
// the rewritten one has the same leaf, and the database refuses a second.
//
// # Who watches
//
// Anybody can fetch checkpoint, leaves and proofs without logging in; 'drill
// verify-log' recomputes everything from the leaves alone. The worker recomputes
// the whole log every hour (Check), looks every half minute for valid signatures
// without a leaf and for leaves that wait longer than a minute, and writes alarms
// (Alarm) that the auditor sees at /admin/log.
package translog
