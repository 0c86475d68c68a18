// Package statement makes the monthly statement (Abrechnung) of every issuer:
// what it issued, what that is worth, and where in the transparency log each of it
// stands. It is made of the log (package translog) alone, never of the table of
// certificates: what has no leaf is not billed, and who doubts a line can prove it.
//
// # What a month is
//
// A month is the part of the log between two checkpoints: those that were the
// newest when it began and when it ended, by the clock of Berlin. Each leaf lies in
// exactly one month, so each is on exactly one statement. A leaf that got its place
// after midnight, a revocation, a re-issue of something that was billed long ago:
// all of that stands in the statement of the month in which the log has it. A
// finished statement is never changed.
//
// # What a line is worth
//
//	given       certificate for a dose that the issuer gave              tariff
//	seen        ... for a dose given elsewhere, seen in a document       tariff
//	further     ... seen, of a person of whom the issuer issued another
//	            one of that kind on the same day                         tariff
//	reissue     in place of another                                      0
//	revocation  no fault of the issuer, or its holder got another        0
//	credit      revoked for good through the issuer's fault (fraud,
//	            compromise, wrong lot, a record that was voided): what
//	            was billed for it, however many re-issues ago            minus
//	held        in the log, but not handed out when the month was read   0
//
// What was held is looked at again each month, and billed in the first in which it
// is no longer on its way. What was never logged has no leaf and no line. The tariff
// (Vergütung) is dated by the day of the leaf and by kind of issuer, and can only be
// changed for days whose month is not settled.
//
// # The job
//
//	                 one pass over the log               a hundred issuers at a time
//	begin: range, ──────────────────────────► lines ─────────────────────────────────► statements: ──► done: totals,
//	checkpoint        10,000 leaves at a time             PDF, hashes                      audit
//
// Every step is a transaction that locks the month's row and remembers how far it
// is; a worker that is killed is followed by any other. Reading adds each leaf to
// the tree of the months before and must arrive at the root that was signed
// (ErrRoot), so no leaf of the month is left out and none is added. The database
// refuses a second bill for a leaf, a second credit for a bill, and every change.
// Whether issuing is stopped is no question here.
//
// PDF and lines are stored. The CSV is written from the lines and held against the
// hash that the PDF names (ErrChanged); the proofs are computed from the log, which
// gives the same for ever. The page of a statement lists its lines and proves the one
// that is asked for. A worker that was killed is followed at the job's next turn, at
// most five minutes later.
package statement
