// Package citizen registers people (Registrierung), makes their login data
// (Zugangsdaten: Vorgangsnummer and Zugangscode), shows them what is stored,
// and forgets them. Its pages are the start page, /register, /login, /my-case
// and /my-data.
//
// # Registering
//
// Five steps, one question each, for oneself or for a relative: group and
// proof; names, birth date, sex; earlier dose or recovery; contact; check.
// Group and age limits are the programme's rules of the day. One of telephone,
// e-mail and full postal address is enough. Birth dates may be partial; age
// limits then count from the latest possible day. Names keep every letter of
// every script (Unicode NFC, at most 100 visible characters); what is no part
// of a name is refused with a message that names it, invisible formatting
// characters are dropped, and everything is escaped where it is shown.
//
// Until the end nothing is stored on the server: see draft.go. The waiting
// room's pass is asked for at the first step; from there the sealed draft lets
// a person finish, so a pass that runs out in between costs nothing. The draft
// fixes person id, case number and secret, so pressing the last button twice
// registers once and shows the same login data twice.
//
//	pass --> draft (1..5, in the browser) --> registered --> login data shown
//	           | one hour without a step          |              |
//	           '--> gone, nothing was stored      |              | secret used, left,
//	                                              |              | or half an hour
//	                                              v              v
//	                                            Postgres     never shown again
//
// # A registration's states
//
//	           no other with these names and birth date
//	register ------------------------------------------> active --.
//	    |                                                  ^      | deleted by the person,
//	    | somebody active has them                         |      | or by a retention rule
//	    v               agent: another person (twin + 1)   |      v
//	  check -----------------------------------------------'    closed --> row deleted
//	    |               agent: the same person                    ^
//	    '---------------------------------------------------------'
//
// (Or the agent finds that the first one is false: then the first is closed and
// the one in check becomes active.) closed means: vault key destroyed, indexes and login data deleted. What is
// left is a row of an id, programme, group and times.
//
// # Duplicates
//
// A person may be registered once per programme. Spellings are brought to one
// form before they are compared (matchName): Müller, MUELLER and Mu\u0308ller,
// Weiß and Weiss, Karl-Heinz and Karl Heinz, Łukasz and Lukasz. With partial
// birth dates those count as equal that may be the same day. Registrations of
// the same names and birth year wait for each other (advisory lock), and a
// unique index over the active ones says the same in the schema. So one person
// has one active registration, and booking's unique index on person and
// programme makes that one active series: LockForBooking refuses a registration
// in check, and clarifying 'the same person' deletes the second registration
// instead of joining it to the first, so nothing gets around that index.
//
// Whoever types somebody else's names and birth date must not learn whether
// that person is registered. So a second registration:
//   - runs the same statements as a first one and answers with the same page,
//     status, login data and confirmation; whether it is a second one is only a
//     value inside that one statement. The message to the known contact is sent
//     by the worker, out of a task that every registration enqueues.
//   - has login data that works; 'my case' and 'my data' look like anybody's
//     for the first day, then say that an agent is checking.
//   - cannot book. The refusal says that the registration is being checked, and
//     no reason.
//   - stands in the agents' queue (Checks). The agent asks for what the portal
//     does not show. Nothing of the second registration, least of all its login
//     data, is ever handed to the first: whoever made it may be a stranger.
//
// What remains observable: whoever goes on to book is told about the check, and
// may conclude what it means. Hiding that as well would need letting two
// registrations of one person take places, or turning away strangers at random.
// It is made dear instead: ten tries cost a pass of the waiting room, each one a
// complete registration, the person concerned is told about it, and the attempt
// stays in the audit. Two registrations of the same names at the very same
// moment wait for each other for some milliseconds; that shows that somebody
// registers now, not that somebody is registered.
//
// # Login data
//
// Case number: 40 random bits and two check characters; secret: 90 random bits
// and two check characters; both in an alphabet without I, L, O, U (code.go). A
// typing error is named without asking the database and without counting as an
// attempt. The database has HMAC-SHA256 of case number and secret under a key
// outside it: with 90 random bits a slow password hash would add nothing but
// load. Unknown number and wrong secret get one answer after the same work.
//
// Lost login data: the new secret goes to the known contact, whoever asks, once
// a day (by letter once a week) at most, and the answer on the page is always
// the same. The old secret stays valid until the new one is used for the first
// time; only then it ends, and with it all sessions. So asking for somebody
// else's new login data locks nobody out, and a thief of the old secret loses
// it as soon as the person uses the new one. New secrets that are not used
// within 28 days are deleted.
//
// In messages case number and secret never stand together: the confirmation has
// the number only; new login data goes as two messages, by both ways where both
// are known. A letter, which is sealed, has both.
//
// # What lies in clear
//
// Everything about a person is one JSON value under the person's own vault key.
// In clear stand: programme, group code (figures by group, without opening
// anything), state, and times (retention). Not birth year, sex or postcode:
// nothing needs them in clear. Agents search by blind index: case number; names
// with birth date; family name with postcode.
//
// # How long
//
// Registrations without an appointment end after the policy 'registration',
// counted from registering or from the last cancellation (Touch); those of
// people whose series is complete (SeriesDone) after 'after-vaccination'. An
// appointment that stands keeps a registration in either case.
package citizen
