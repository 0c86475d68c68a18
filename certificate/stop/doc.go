// Package stop is the one switch that ends issuing, and the way back.
//
// # The stop (Notschalter)
//
// One administrator stops everything, or what a kind of issuer, a path of
// access, a region or a document signer makes. Before each signature the
// signing transaction asks [Service.Check]; the order waits for the signatures
// that are under way (milliseconds) and has effect, in every process, before it
// is answered; it counts from its commit on, also where a signer hangs. Nothing is cached: where the answer cannot be had, nothing is
// signed. Vaccination, booking and statements know nothing of it and go on;
// certificates that were asked for wait and are made by themselves afterwards.
//
// People read a notice: what is stopped, since when, who is not affected, and
// the day from which it may go on if one was given.
//
// # The return
//
//	order            two approve a plan            two approve
//	-----> stopped --------------> returning -------------> lifted
//	          |                     |  admit cohort by cohort
//	          |                     |  too many errors
//	          |                     v
//	          |                   halted --two approve--> returning
//	          +--two approve------------------------------> lifted
//
// A plan deals the issuers concerned into cohorts (Kohorten), small ones first.
// Before a cohort is admitted each of its members is verified anew; who fails
// stays out. While cohorts return, errors of their members (a certificate that
// could not be made, an alarm) are counted against the certificates that they
// made: beyond the error budget (Fehlerbudget) the return halts by itself and
// everybody waits again.
//
// Every order, return, halt and end has a leaf in the transparency log.
package stop
