// Package passkey knows the security keys (Sicherheitsschlüssel) of staff
// accounts: WebAuthn Level 3 credentials.
//
// # Enrolment (Einrichtung)
//
// An account has as many keys as it wants. Each new key is vouched for in one of
// three ways:
//
//	code      the account has no key: a one-time code (Einrichtungscode) that an
//	          administrator hands out, or that comes by letter
//	password  the account has no key and has a password: password and one-time code
//	key       the account has a key: a touch of it
//
// The authenticator attests its make (attestation "direct"): the statement must be
// of the format "packed" with a certificate that leads to a root of a model on the
// list of allowed models (zugelassene Modelle), which is a list of dated rows. A
// model that has left the list stops its keys too. Two people put a model on it or let
// it count longer (dualcontrol, kind passkey.model; trigger key_model_guard), and
// one ends it at once: whoever could admit an authenticator alone could be everybody
// who approves. During the first set-up, while fewer than two administrators' accounts
// have ever had an accepted key, one administrator allows models, and audit and log
// say so (staff.first_setup). That time does not come back. In a local run every authenticator
// counts whose model is not on the list, virtual ones and those built into computers
// and telephones, without attestation; production refuses them.
//
// # Touch (Berührung)
//
// What needs a key asks for a fresh touch that is bound to the deed: the challenge
// is SHA-256 over a random nonce, the name of the deed and the digest of what it is
// done to. It is stored for two minutes and used once, whether the answer was right
// or not. User verification (PIN, fingerprint) is always demanded. The assertion is
// kept whole, so that it can be verified again years later by somebody else.
//
// # Clones
//
// A key whose counter goes back has been copied, or its copy is in use: the key is
// disabled at once, and an alarm is raised (WebAuthn, 6.1.1). Keys that never count
// (counter 0) cannot be watched that way.
//
// Enrolled keys are disabled and never deleted: what they have approved refers to
// them. Their owner removes one, never the last, with a touch for just that; an
// administrator disables one that is lost.
package passkey
