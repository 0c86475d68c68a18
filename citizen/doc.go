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
// the one in check becomes active.) Active and in check are the same to whoever
// made the registration. closed means: vault key destroyed, indexes and login data deleted. What is
// left is a row of an id, programme, group and times.
//
// # Duplicates
//
// A person may be registered once per programme. Spellings are brought to one
// form before they are compared (matchName): Müller, MUELLER and Mu\u0308ller,
// Weiß and Weiss, Karl-Heinz and Karl Heinz, Łukasz and Lukasz. With partial
// birth dates those count as equal that may be the same day. Registrations of
// the same names and birth year wait for each other (advisory lock), and a
// unique index over the active ones says the same in the schema.
//
// Whoever types somebody else's names and birth date must not learn whether
// that person is registered: not from the answer, and not from what works
// afterwards. So a second registration is like a first one in everything that
// its maker can see:
//   - It runs the same statements and is answered with the same page, status,
//     login data and confirmation; whether it is a second one is only a value
//     inside one statement. The message to the known contact is sent by the
//     worker, out of a task that every registration enqueues.
//   - It looks for, holds, confirms and cancels appointments like any other,
//     with the same pages, messages and papers, for as long as it is in check.
//     What it has is under reserve (unter Vorbehalt): that is what appointments
//     of a registration in check are, and no column says it again.
//   - It stands in the agents' queue, the nearest appointment first. The agent
//     asks for what the portal does not show, and books for it only after that.
//     At the centre the site is told to look at the identity card with care.
//   - Nothing of it, least of all its login data, is ever handed to the first:
//     whoever made it may be a stranger.
//
// So one person has one active registration (the index above), that one has one
// active series (booking's index on person and programme), and whatever else
// stands under those names and birth date is under reserve. The dose itself is
// guarded by the treatment records: one dose number is given once to one name
// and birth date, whatever was booked.
//
// 'The same person' (ClarifySame) cancels what the second registration has
// booked, tells its contact that it has ended, and deletes it, in one
// transaction. The words of that message would fit an invented person as well;
// as the person's key is destroyed with the registration, the message has a key
// of its own. A hold keeps the row FOR KEY SHARE (LockForBooking) and whoever
// ends a registration locks it FOR UPDATE, so no series survives its
// registration. While the person is at the centre nobody ends it. 'Another
// person' leaves everything as it is; the series is under reserve no longer.
//
// What remains observable:
//   - The agent's finding: a registration that ends tells its maker that
//     something was found. It takes an agent who has asked, and by then the
//     person concerned has been told about the attempt.
//   - That an agent has opened the case stands in 'my data', as for anybody. The
//     queue shows what is needed without opening one.
//   - On the telephone an agent who does not book says by that that something is
//     to be clarified.
//   - Two registrations of the same names at the very same moment wait for each
//     other for some milliseconds; that shows that somebody registers now, not
//     that somebody is registered.
//
// What it costs: second registrations can take places until they are clarified,
// ten per pass of the waiting room at most, just as many as invented people
// could. They come back with the agent's word; at the latest, when nobody comes,
// the dose goes back into the plan.
//
// # Login data
//
// Case number: 40 random bits and two check characters; secret: 90 random bits
// and two check characters; both in an alphabet without I, L, O, U (internal/code). A
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
