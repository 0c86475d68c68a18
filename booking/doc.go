// Package booking turns vaccine, stations and minutes into places (Plätze), and
// places into appointments (Termine). A place is a dose, a station and a minute;
// nothing is offered that is not all three.
//
// # Words
//
//   - A slot (Zeitfenster) is a time at a centre for one product. A place row
//     says how many people a channel may bring to a slot (places) and how many
//     it has (taken). The database itself refuses taken > places.
//   - A channel (Buchungsweg) is a way to book: web, hotline, mobile teams. It
//     is a row, with its lead: the hotline's papers go by post, so it books at
//     least five days ahead.
//   - A quota (Kontingent) is a channel's part of a centre's day: a number of
//     places, and percent of what the places of all channels leave; standing
//     (the centre's own, or the default of all centres) or as the exception of a
//     day. It is divided by largest remainder: no place is lost or invented.
//   - The reserve (Reserve) is a channel over which nobody books: its places wait
//     for an administrator to shift them.
//   - A release (Freigabe) is a rule: what a channel has not used of a day flows to
//     another one so many days before, at a set minute.
//   - A lane (Impfstrecken je Impfstoff) says how many stations of a centre work
//     for a product from a day on. A centre without lanes shares its stations
//     evenly among the products that have something to do there.
//   - A series (Impfserie) is what one person books together: both doses for
//     most, one for Janssen, influenza, recovered people, and those who had the
//     first dose elsewhere.
//   - A hold (Vormerkung) keeps a series for ten minutes (setting).
//   - A reference (Buchungsnummer) names a series on paper and in the QR code.
//
// # The plan
//
// plan.go decides from numbers alone. For each centre and product it goes
// through the days in order. A series may start on a day when the stations have
// room on that day and on the days of its later appointments, and when the
// doses for all its appointments are there on the first day: the second dose is
// reserved with the first, so a later delivery never pays for an earlier
// promise, and of n doses floor(n / doses per series) series are offered,
// exactly. Vaccine that expires before an appointment does not carry it; doses
// of opened vials are good for today; planned deliveries count from their day
// plus a margin (setting). What active appointments need is subtracted first.
//
// A later appointment lies PlanDays after the one before; when that day is
// closed or full, on the next open one within the product's limits, else on the
// nearest before. Days are calendar days in Berlin, so nothing moves when the
// clocks change.
//
// The quotas of a day hold for taken and new together (quota_plan.go): what the web has sold
// stays the web's, and the hotline's free places stay the hotline's whatever
// the web does. A channel cannot use the days before its lead. When vaccine is
// what is short, its share of them waits for the first days that it can book;
// when stations are what is short, others may use them. In the end nothing is
// kept back that somebody could book.
//
// Places of later appointments belong to the day on which their series starts
// (place.first_day). That is why there are no half pairs: for every free first
// place of a day and channel there is a free later one that only a series of
// that day can take, and the last pair of a centre is as whole as the first.
// Somebody who needs one dose takes a first place alone; the next plan offers
// the dose that was kept for a second one.
//
// replan.go carries the plan out. It looks without locks first and usually
// finds nothing to do. Otherwise it locks the place rows in the order that
// bookings use, decides again, and writes what differs: places = taken + new. A
// slot that is offered stays offered as long as there is enough, so a plan does
// not pull places from under those who are looking. When more is booked than
// supply or stations carry, nothing is cancelled: the difference is a row of
// booking.shortfall, by day and cause.
//
// Whoever changes what a plan follows from (stock, doses per vial, hours,
// stations, lanes, shares, settings, cancellations) counts booking.plan.wanted
// up; the worker plans within two seconds, once for however many changes. At the
// moments at which plans change by themselves (a release, midnight; moment.go) it
// wants the plans concerned in that very second. Every quarter of an hour and at
// midnight everything is planned anew, because times pass and rules come into
// force.
//
// # Quotas
//
// Where channels flow together, they are one pot: their quotas are added, with
// what they have taken, and the receiver gets what is new. So a release is
// nothing that happens to places; it is what the plan says from a minute on, and
// says again however often it is made.
//
// A shift (Verschiebung) moves free places of a day by hand. It is a row that
// every later plan heeds: the one channel has so many places less than its quota,
// the other one so many more. What is taken is never touched, because a plan
// never does.
//
// A contingent (Gruppenkontingent) is what a priority group has of a channel's
// days for itself until a moment. Its places are rows of their own, with the
// channel 'web:s2-age': who belongs to the group takes those first, then
// everybody's (booking.pots); nobody else can. From the moment on the plan gives
// it nothing new, and what is free of it is everybody's. A series lies in one of
// them as a whole; moving one takes everybody's places.
//
// An opening (Freischaltung) is when new days can be booked. A day comes within the
// horizon; without a rule it opens at that midnight, with one on the next weekday
// of the rule, in stages: so many percent of its places at each minute. Until then
// the plan counts with the day's series, so that nobody else is promised their
// vaccine, but writes no places: there is nothing to book. The next opening stands
// in the public picture and on the pages where nothing is free.
//
// A change that would leave a channel less than it has taken is refused with
// centre, day, channel and number (BelowTakenError). Only what the change itself
// takes away counts: where supply has shrunk, a change may leave it as it is.
// Every change is audited with before and after; the last one of a centre can be
// undone, as long as nobody has booked on the strength of it.
//
// # What is public
//
// Once a second one replica counts what is free, for all of them (picture.go), and
// every replica publishes that picture as files (feed.go): /api/v1/availability, and the same as SMART Scheduling Links
// (manifest /smart-scheduling/$bulk-publish; centres as Location, products at
// centres as Schedule, days with free series as Slot with their number in the
// capacity extension). A request costs no query and no look at who asks; a file
// keeps its ETag until what it tells changes. So nobody has to scrape pages.
//
// # Taking places
//
// hold.go calls one SQL function, booking.hold, in one round trip: the rules (the
// slots make a series that this person may have), the series with its idempotency
// key (the same key gets the same series again), its appointments, and last the
// guarded updates
//
//	UPDATE booking.place SET taken = taken + 1 WHERE ... AND taken < places
//
// in the order of slot_id, the order in which everybody locks places. All or
// nothing. Everything runs at Read Committed. Unique indexes allow one active
// series per person and programme, and one active appointment per dose.
// Before anybody is told 'taken', holds whose time is over are ended and the
// attempt is made once more; then the three nearest alternatives come in the
// same answer.
//
// Who needs only the last dose of a series, because it was begun elsewhere or the
// second appointment was given back, may take any place of a slot (lone.go): places
// lie in pairs, first ones near, later ones far, and three weeks after a first dose
// there is often no first place. The next plan mends the pair that loses its later
// place by it.
//
// Where the programme's rule for a product allows it, the first dose is booked
// alone and the others are waived (Verzicht, waive.go), with a reason: medical,
// elsewhere, own wish. It is a series of one appointment; the dose that was kept for
// a second one is offered by the next plan, and who changes their mind after the
// first books the second like everybody who has begun a series.
//
// Couples (Paare, couple.go): with the login data of a second person one books the
// same times for both; two holds in one transaction, in the order of the people's
// ids, one moment at which both end. One confirmation confirms both, or neither
// when one half has ended meanwhile. What was shown counts for half an hour, and no
// longer than the second person's login data stay the same. Of the second person nothing is shown but the
// case number that was typed; from the confirmation on each series is its person's
// own affair.
//
// # Changing
//
// rebook.go moves either appointment, or all that are open, by a swap (Umbuchung):
// booking.swap takes the new places and gives the old ones back in one transaction,
// so the old appointment stays until the new one is certain, and there is nothing in
// between. What is not moved binds centre and product, a dose that was given binds
// the product, and the doses stay at the right distance, whatever slots are sent.
// Appointment and booking reference stay the same; series.revision counts the
// changes, and each tells the person once, with a calendar file that moves the event
// (SEQUENCE). One appointment alone may take a place that was kept for another kind
// of series, as above. A later appointment can be given back alone and booked again;
// giving back the first one gives back the later ones too.
//
// # Places that return
//
// What is cancelled, expires or is given back is not free at once, or places
// could be traded: given back at an agreed second and caught by whoever knows it.
// The places of a series that were given back together (returning.go) stay taken
// for a delay and a random spread on top (settings; both 0 = at once): taken =
// appointments + returning places, so no plan offers them elsewhere, no count
// shows them, and all constraints hold as before. All places of a series have one
// due time and become free in one transaction, first and later ones together.
// The worker does it, and so does whoever finds a time full when it is due. Where
// a day closes, vaccine is missing or a shortfall is open, returning places go
// away instead. Who gave places back, or let a hold end, may hold the same ones
// again at once: in one transaction, so nobody slips in between.
// Without it being taken in that transaction nothing becomes free (booking.sure).
//
// Choosing and holding wait in line, changing does not: own appointments are there at
// any time, and a swap takes as much as it gives. What keeps one login from holding
// everybody's places is a limit (booking.tries): over the web, holds that were not
// confirmed, bookings that were cancelled and changes count together, and after eight
// within an hour there is no other (ErrTooOften). So a page that is left open and asks
// again and again for one place gets it at most as often as any person could; what it
// has it gives back with the first that it takes. An agent is not limited, and what an
// agent does for somebody counts in nobody's limit.
//
// # The waiting list
//
// Who waits (Warteliste, waiting*.go) says which centres, weekdays, times of day
// and days would do, and how short the notice may be: one entry per person and
// programme. What returns as a whole series is offered to them before it is free
// for everybody, and so is what a plan newly adds: as many new series as somebody
// on the list would take return like given-back ones (waiting_plan.go). Citizens
// who enter themselves get the web's places, those whom an agent enters the
// hotline's.
//
// The order is the rank of the group that is open today, then a draw
// (waiting_rule.go, package listdraw): HMAC-SHA256 of the person's id under the
// day's key. Coming earlier is no advantage, nor is leaving the list and entering
// again, nor registering again: of registrations that are still to be clarified as one
// person only the first on the list has a lot. The hash of the key is audited before its first use and the key itself
// when the day is over; with each offer it is written down who could have been
// asked, with which rank, and who was passed over and why (waiting_draws.go). An
// auditor takes a day's file from /admin/waiting/draws and recomputes it with drill
// verify-waiting; the page does the same.
//
// An offer (Terminangebot, waiting_offer.go) is a series in the state held with a
// longer hold_until, made of the returning places in one transaction: they go from
// hand to hand and are free for nobody in between, and all that holds for holds
// holds for it. The time to answer (setting) is shorter when the appointment is
// near and ends between 8 and 20 o'clock; at night nobody is asked, and places that
// somebody would take wait for the morning. People are told by e-mail and SMS with
// a link, by letter when there is nothing else and time enough; who has only a
// telephone stands on the hotline's list, with name and number; whoever looks at it is
// in the audit record with those who stood there. The link's token opens this offer only;
// opening it changes nothing. Accepting books, by the link as where the person is
// logged in: there is nothing more to decide, and no page asks once more.
//
//	            accept                          another way: booked by oneself
//	open -----------------> accepted     waiting ----------------------> done
//	 | \ \                               |   ^                              ^
//	 |  \ '- remove -> removed           |   | wishes saved anew            | accepted
//	 |   '--- decline -> declined        v   |                              |
//	 '------- until is over -> unanswered  paused ----> withdrawn <---- remove, withdraw
//
// Declining keeps the place on the list, five times; after two offers in a row
// without an answer, too, the entry rests until its wishes are saved again. Saving
// ends the rest and begins no count anew: each further one pauses it again, also in
// a new entry after leaving. By SMS an open offer can be accepted or declined and
// nothing else, because a sender can be forged: nobody comes off the list by it; who
// changes their number answers from the new one (ContactChanged), and the old one
// answers nothing. What
// nobody took after three people were asked (setting) is free for everybody.
//
// # Leftover doses
//
// What is left over in opened vials at the end of a day (Restdosen) goes to people
// on the list who would come on the same day, have a telephone and may have that
// vaccine now (leftover.go): a centre calls one after the other, in the same order of
// group and draw, each person once a day, and never more than doses are left over.
// It sees name and number while it calls, and nobody's before or after. Who has come
// is off the list; who was not reached or does not come stays on it, and it counts as
// no declined offer. The dose that somebody was given who came after a call is theirs
// like one by appointment (leftover_given.go): a series of one appointment that is done,
// which took no place (slot_id 0). So the registration has the dose, the second one can be
// booked at its distance, and nobody is offered the first again. Each call is in the audit record with the person, and with the
// day's draw for those who recompute it.
//
//	called -> came | not_reached | declined
//
// # Shortfall
//
// When a delivery fails, a day closes or a lot is blocked, the plan names what is
// missing (shortfall.go) and touches nobody. shortfall_rule.go says whom it
// concerns: who has had no dose before who has, of these whoever booked last;
// never anybody who is at the centre. proposal.go finds each of them other times
// (Ersatztermin): the own centre first, then the nearest, the same product, the
// right distance; one dose alone where that is enough, else the whole series. The
// places are kept for a day like returning ones (returning.kept), so that
// confirming cannot fail, and the old appointments hold until then. The
// administrator confirms in one go (proposal_confirm.go): one swap per person, to
// be stopped and begun again at any time; each is told through their own channel,
// finds on the own page what was moved, why and from where until they have said that
// they saw it (proposal_seen.go), and may choose otherwise. Whom only a letter
// reaches is moved to no day within the lead of the hotline, over whatever channel
// they booked: the letter would come too late. What is kept can be taken until it
// lapses, whoever takes it and whatever a lead says meanwhile; an agent with the
// person on the telephone may take it before the administrator confirms. For whom
// nothing is found, who changes meanwhile, or whose places were not confirmed in
// time: their appointments stay untouched.
//
// # States
//
// of an appointment:
//
//	        confirm               arrives            dose given
//	held ------------> confirmed ----------> here ------------> done
//	 |  \                |  |  \              |  ^               ^
//	 |   \ give back     |  |   \ not come    |  | came late     |
//	 |    v       cancel |  |    +----------> missed ------------+
//	 |   cancelled <-----+  |                    recorded late
//	 v                      +--> done (recorded without check-in)
//	expired
//
// of a series:
//
//	held --confirm--> confirmed --last appointment done or missed--> ended
//	  |  \               |    ^                                        |
//	  |   \ give back    |    +-------- came late after all -----------+
//	  v    v             |
//	expired cancelled <--+ cancel (ended, when one took place or was missed before)
//
// held, confirmed and here (of appointments) are active. Expired and cancelled
// appointments have given their places back; done and missed ones have used
// them. A missed appointment's dose goes back into the plan. At midnight
// everybody of the day before whom the centre has noted neither way is missed.
//
// # Who may book
//
// entitlement.go: the priority group is open on the day (who has begun a series
// may finish it), the age limits of the product allow it, and doses are missing:
// a dose stated with its proof, or given here, counts; the rest follows it at
// the right distance and with the same product.
//
// A registration that is being clarified books like any other; its series is
// under reserve (unter Vorbehalt), see citizen. The unique index allows one
// active series per registration, and citizen allows one registration per person
// that is not in check: so a person has one active series that is not under
// reserve. When an agent ends the registration, CancelStanding gives back what
// it has in the same transaction. Others lock a series and then the registration
// (Touch), it holds the registration already: so it waits for no series, and its
// caller begins anew when somebody moves one.
//
// # Telling people
//
// Confirming writes a task into the outbox in the same transaction; the worker
// makes PDF and calendar file and hands them to notify, exactly once (mark and
// message are one transaction). So nobody waits for a PDF while places are
// locked, and a confirmation is never lost. People whom the hotline booked get
// their papers from there.
//
// 'Taken' and 'yours' differ in words, icon, colour and border, and no page
// says both.
package booking
