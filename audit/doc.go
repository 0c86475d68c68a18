// Package audit is the append-only record (Protokoll) of who did what.
//
// Write adds a row in the transaction of the deed, unchained, so that no
// booking queues behind another. Seal, run by the worker about once a second,
// gives committed rows their sequence number and chains each to the one before:
//
//	hash(n) = SHA-256(hash(n-1) || canonical form of row n)
//
// The database refuses to change or delete a row (trigger append_only); Verify
// recomputes the chain and finds the first row that does not fit.
//
// Actors are ids ("staff:<uuid>", "citizen:<uuid>", "system"), subjects are ids
// too. Names, birth dates, addresses and codes never stand here, so the record
// can outlive the person's data.
package audit
