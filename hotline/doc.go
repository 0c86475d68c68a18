// Package hotline is the desk of the call centre's agents (Hotline).
//
// An agent finds or registers a caller and books from the hotline's own quota,
// at least as many days ahead as the channel says (five), because the papers
// go by post. Agents do not wait in line. Registering and booking are the same
// functions that the pages of the citizens call, with the same checks.
//
// # What a caller has
//
// From the case an agent changes either appointment or all together, gives the
// later one or all back, and books the later one again: by booking's own swap,
// over the hotline's places and with its lead, so the old appointment stays until
// the new one is certain. What waits for an answer stands in the case as well: an
// offer of the waiting list (accepted, declined, or taken off the list) and the
// times that are kept because of a shortfall (taken, or others chosen instead). Each
// of these is in the audit record with the series, in the transaction that does
// it, and with the person. booking tells the person, by letter too.
//
// # Who reads what
//
// Searching and every opening of a case are in the audit record: the agent,
// the person's id, and for a search in which way it was done and whom it found;
// never what was typed. What is typed into a search goes in the body of the
// request, not in its address.
//
// The note about a call (Gesprächsnotiz) begins with what the agent has done for the
// person in it, as the audit record tells it (doneInCall); where that says nothing the
// agent chooses.
//
// # Registrations to clarify
//
// A registration that may be a second one of somebody is in check (see citizen).
// Its maker sees nothing of that and books over the web, under reserve. Agents
// see it: the queue shows both registrations with their appointments, the
// nearest first, and nobody books for one before it is clarified (ErrChecking),
// on pages and in JSON. The finding is 'another person' (its appointments
// stand), 'the same, delete the new one' (its appointments are cancelled with
// it, its contact is told), or 'the same, delete the earlier one' (refused while
// that one has appointments).
//
// # With the keyboard
//
// Every page of the desk is worked with the keyboard: what can be done has a key,
// which stands beside it, is its alone on the page and lies in no closed section.
// On the pages on which times are chosen the first time has the focus, and the
// first nine have the keys 1 to 9.
//
// # Papers
//
// A letter (DIN 5008 form B) carries both appointments and, for somebody who
// was registered in the same call, the login data. The secret stands on the
// agent's screen once, right after registering, and in that letter; until the
// letter is written it is kept sealed under the person's key (login_data).
//
// A booking over the hotline and its letter belong together, although the
// booking commits alone: the wish for the letter is stored before the booking
// is confirmed, fulfilled right after, and looked after by a job if the program
// is killed in between.
//
//	          booking confirmed, address known
//	wanted ------------------------------------> made (print queue of notify)
//	   \---- booking ended, or no address -----> dropped
//
// Login data of somebody for whom nothing was booked within half an hour goes
// out in a letter of its own. E-mail and SMS about a booking are sent by
// booking itself, whoever booked.
//
// New login data for a caller who has lost it is never told on the telephone:
// it goes to the contact that is known, or by post to the known address.
package hotline
