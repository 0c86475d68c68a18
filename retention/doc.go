// Package retention deletes on time (Löschkonzept) and keeps the proof.
//
// Each slice offers its Rules; every table of the database has one or a stated
// Exempt, which a test enforces on the migrated database. How long something is
// kept is a row of retention.policy with the day from which it is in force: the
// first policy for registrations was 14 days, from 1 February 2021 six months.
//
// A run goes through the rules in batches, each batch in a transaction of its
// own, so it can be killed and goes on at the next run. Every run that deleted
// something leaves a row (rule, cut-off, number) and every destroyed key a line
// in the deletion ledger, a file outside the database that is replayed after a
// restore from a backup.
package retention
