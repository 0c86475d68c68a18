// Package alert tells administrators by e-mail what is wrong (Meldung an die
// Verwaltung): an issuer that an alarm has paused, a registry that cannot be read, a
// signature without a leaf, a log that stands still.
//
// The slices keep what is wrong, and each offers a [Source]: what is wrong at this
// moment. Every minute the worker asks all sources and compares with what it knew:
//
//	        not told yet              a day later, and it lasts
//	new ------------------> told  ------------------------------> told again
//	                          |
//	                          +--- the source says it no more ---> ended
//
// So one event is one message to each administrator, and one a day while it lasts;
// events of the same minute go together in one message. What ends and comes again
// within a day is not told twice. Only when a message was stored does the event count
// as told: a worker that is killed tells it a minute later, and while nobody has given
// an address it stays untold, and stands on the administration's first page.
//
// Addresses are given by administrators themselves (/admin/alerts), sealed under the
// key of the account, and answered by a first message. A worker that does not run
// tells nothing: that it runs is watched from outside (/metrics).
package alert
