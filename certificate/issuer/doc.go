// Package issuer keeps who may issue certificates besides the portal's own sites
// (ausstellende Stellen): practices, pharmacies, vaccination centres and mobile
// teams of others. Nobody types an issuer into the portal. An issuer is an entry
// of the authority's signed registry (Verzeichnis, see package registry) whose
// owner has shown that a letter to the registry's address reaches them, and whom
// two administrators activated.
//
// # The registry
//
// The worker fetches the list every 15 minutes. Every look is stored with hash,
// sequence, counts and outcome (Pull); a list whose signature, order, time or form
// does not hold changes nothing. What a good list changes is applied in one
// transaction, the issuers' states included:
//
//   - An entry that is gone, or without a valid licence, suspends its issuer at
//     once. A claim that had only begun ends.
//   - Another name, address, kind or key is another place until somebody proved
//     otherwise: the issuer is suspended, and a new code must come back from the new
//     address before anybody reactivates it.
//   - A list that loses more than 5 % of its entries at once (and more than five)
//     is probably a mistake: vanished entries are held, with an alarm, until an
//     administrator confirms, a new list has them again, or the day ends (23:45 in
//     Berlin). Entries that lost their licence do not wait. A held entry cannot be
//     claimed or activated.
//   - A validity that ends by itself stops the issuer with the day, list or no list.
//
// A list past its next update is an alarm; after the grace (Config.Grace) nothing
// new begins: no claims, no activations. Who is active goes on.
//
// # The states of an issuer
//
//	         letter        code            two approvals
//	claimed --------> sent -----> proven ----------------> active <---+
//	   |                |            |                     |   |      | two approvals
//	   |                |            |              alarm  |   |      |
//	   |                |            |                     v   |      |
//	   |                |            |                  paused-|------+
//	   |                |            |                     |   | registry
//	   |                |            |                     v   v      |
//	   |                |            |                   suspended ---+
//	   v                v            v                     |
//	 ended <---------------------------------------- any of them
//
// A trigger keeps these ways, and lets nobody become active for whom two
// administrators did not approve with their keys (staff.two_approved), whichever
// program writes. Pausing and ending take away, so one administrator is enough.
//
// # Claiming
//
// The page takes the entry's id, a name and an e-mail. An id that the registry does
// not carry ends at once and leaves nothing but a count. For every other id the
// answer is the same, whether or not somebody claimed it: nobody learns who is
// here. One claim is open for an entry; its letter goes to the registry's address,
// again after a week at the earliest, and at most three in 30 days.
//
// The code has 90 random bits, works once, for 21 days; a keyed hash of it is stored.
// Wrong ones are counted and limited by network, and do not end it. Whoever holds the
// letter gives name and e-mail anew: what was typed with the claim does not count any
// more, so a claim by somebody else does no harm. The letter is printed by
// administrators, not by the call centre, and whoever took it to print does not approve.
// The holder may also end the claim. A code that proves a changed entry ends the access
// of everybody who had it before: the place may be in other hands, and the holder of the
// letter gets the one account with which it goes on.
//
// Nobody in the administration makes an account for an issuer, and no administrator
// hands out a set-up code for one while the issuer is active: whoever has it could
// issue. It is paused first, and two administrators look before it goes on.
//
// # Brakes
//
// Authorize stands in front of every record. It locks the issuer's row for the
// caller's transaction, so an issuer that is paused while a record is under way
// cannot finish another. It takes from token buckets in Postgres (issuer, operator,
// and for doses seen in documents a smaller one), counts the dose against the lot
// that the issuer declared received, and notes the attempt. All of that belongs to
// the caller's transaction: a record that is not written gives everything back.
//
// Limits follow from the kind of issuer, small for the first two weeks after
// activation (issuer_allowance, dated). These and an issuer's own may be lowered by
// one administrator; raising one needs two, and what is written must be what they
// approved, number by number.
//
// Alarms (package brake) pause one issuer only. Those that can do harm within a
// minute are evaluated in Authorize and stored by a connection of their own, so
// that they stay although the attempt is rolled back; the others each minute by the
// worker. From the alarm's commit on nothing passes; the worker then changes the
// state and tells the issuer. Thresholds are dated rows (issuer_threshold): one
// administrator lets an alarm trip earlier, two let it trip later. Triggers hold both
// tables to that, whichever program writes.
//
// Doses given elsewhere (seen) need no lot and no appointment. One operator's day of them
// is held against a number (seen_day) and against the median day of an operator of
// such issuers in the last four weeks (seen_usual), as soon as five issuers and twenty
// days make a history.
//
// An alarm that is open, a registry that cannot be read, is out of date or has lost
// many entries: that reaches the administrators as messages ([Service.Alerts], package
// alert).
package issuer
