// Package staff knows the accounts of everybody who works with the portal
// (Beschäftigte): call-centre agents, vaccination centres, dispatchers, mobile
// teams, administrators, auditors.
//
// An account logs in with a password (Argon2id, RFC 9106) and a one-time code
// (TOTP, RFC 6238); a code counts once. The answer to a wrong login is the same
// whatever was wrong, takes the same time for an unknown login, and tries are
// limited per login and per network. An account is disabled and never deleted,
// because the record (audit) refers to it; disabling ends its sessions at once.
//
// What a role may do stands in the list of routes; this package only fills the
// roles of the session.
package staff
