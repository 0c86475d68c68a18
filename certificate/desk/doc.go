// Package desk is what an issuer's person does in the browser (Ausstellen).
//
// # Issuing
//
// Who: an operator of an issuer (package issuer), logged in with a security key, with a
// fresh touch of it for "issuing" (package passkey: 15 minutes). What: a dose that the
// issuer gave (selbst verabreicht), from a lot that it declared received, or one given
// elsewhere and seen in a document (Nachtrag). The certificate itself is never made
// here: one transaction asks the issuer's brakes and writes the treatment record, and
// the certificate follows from the record as any other.
//
//	form -> check your answers -> [touch] -> record -> result page, until it is released
//
// Each form carries a key of its own, so that a second click, or a second try after a
// lost answer, leads to the same record and counts against no limit. The answers travel
// with the page: neither a mistake nor a touch that has expired loses them. While
// issuing is stopped (package stop), the record is stored and the certificate waits.
//
// # Afterwards
//
// An issuer finds its own records, and those only: somebody else's do not exist. It
// corrects them with a reason (the certificate gets its next version, the old one is
// revoked) and revokes a certificate with a reason; both take a token of the issuer's
// buckets, and revoking has the hourly brake of the database besides. A record is
// corrected here at most correctionsMost times: otherwise one dose would do for many
// names. Every search, look and download is in the audit; looks are rate-limited.
package desk
