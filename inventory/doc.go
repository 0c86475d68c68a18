// Package inventory is the stock of vaccine (Impfstofflager): what lies where,
// where it came from and where it went.
//
// # The ledger
//
// A double-entry ledger (doppelte Buchführung) in vials (Durchstechflaschen)
// and doses. Accounts are places:
//
//	supplier          the federation's deliveries come from here
//	central           the state's central store (Zentrallager)
//	centre:<id>       a vaccination centre
//	team:<id>         the box of a mobile team
//	person            doses given
//	waste:<reason>    open-vial, closed-vial, expired, cold-chain
//	return            given back to the federation
//	conversion        a vial goes in, its doses come out
//	gain              doses that a vial gave beyond the rule
//
// A movement is one event of one lot (Charge); its entries sum to zero, in
// vials and in doses, which the database checks. Movements and entries are
// append-only: a mistake is mended by a counter-movement (Stornobuchung), once. So is the
// dose of a treatment record that named the wrong lot or place (regive.go): it comes back
// there and is given here.
// Of the places that hold stock the balance is kept by the same statement that
// writes the entries, and can never be negative. A job compares the balances
// with the sum of the entries every night and raises an alarm when they differ.
//
//	supplier --receive--> central --transfer--> centre:<id> --transfer--> team:<id>
//	                         |                      |  ^-----transfer--------|
//	                         v                      v                        v
//	                       return      open: 1 vial -> n doses; give: 1 dose -> person
//	                                   waste: vials or doses -> waste:<reason>
//
// # Vials and doses
//
// How many doses a vial gives is a rule with a date (Dosen je Flasche): a vial
// is opened by the rule of the day on which it is opened, and closed vials
// count by the rule of the day one asks for. A plan counts them by the lowest rule
// that is in force or known to come while they may be opened: a rise that is known
// counts for what lies there from its day on, a fall at once. A vial is opened when
// there is no open dose of that lot at that place. Remainders of several vials are
// never pooled: what is left of a vial goes to another place whole or not at all, and
// not to where another one of the lot is open.
//
// What came out of a vial is noted at the site (Ausbeute): a dose beyond the rule is a
// gain (Mehrausbeute), one that did not come out is waste. The note says how it is, so
// the same note twice changes nothing, and another one takes the former back by its
// counter-movement. Doses that were thrown away as the rest of a vial before it is
// noted that they never came out are not wasted a second time. The rest is thrown away
// only when it still is what the person saw who says so: the vial may be another one by
// now.
//
// # Thawed and opened
//
// Vaccine comes frozen and lasts a set number of days once it is thawed
// (Auftauen), a set number of hours once the vial is opened: rules with a date by
// product (inventory.shelf_life), those of the day of thawing or opening. A lot
// at a place therefore has portions: its frozen vials, and those thawed on one
// day. Thawing is a movement from the one to the other within the place. Nobody
// has to note it; vials of which nobody noted a thaw are good until their lot
// expires.
//
//	last day of use = the earlier of: expiry of the lot, day of thawing + days of the rule
//
// What runs out first leaves first, unless somebody names a portion. A portion
// past its last day counts for no plan, is not opened and is not sent anywhere but
// back to the central store; a trigger sees to that. Plans end each portion at
// its last day. Doses of a vial that was opened too long ago count for nothing
// and are shown as due to be thrown away; the next dose of the lot opens a new
// vial and writes the old rest off.
//
// In the box of a mobile team closed vials may be for a set number of hours since they
// were loaded (Transport), by the same rules: those that are longest in it count for all
// of the lot, and from one box to the next the time goes on. It goes on, too, when vials
// come back to a refrigerator and are loaded again on the same day (trip.go). After that they are neither
// opened nor brought to a centre; they are thrown away or go to the central store.
//
// One row of balance per place and lot stays what everybody locks first; of it
// 'thawed' is the part that lies in inventory.portion, so that the frozen part
// cannot become negative either.
//
// # Blocked lots
//
// A lot can be blocked (Chargensperre, Rückruf) and released, with a reason. From
// the commit on nothing of it is given, shared out or sent to a centre, and no plan
// counts on it; it may go back or be thrown away. That holds by the order of locks:
// who takes from a balance holds it and looks at the lot after that; who blocks the
// lot waits for every movement of it that is under way, so that a place to which
// something is on its way is told too. No counter-movement sends out what is
// blocked or expired. The lot's page
// shows where it lies, where and when it was given and, by a card of vaccination,
// the records that it concerns; the appointments that lose their vaccine stand in
// the shortfall. No appointment is cancelled.
//
// # Deliveries
//
//	planned <--change--> confirmed --receive, all or more--> received
//	   |                     |
//	   |                     +------receive, less----------> short --rest--> planned anew (a delivery of its own),
//	   +-------cancel--------+------------> cancelled                        or written off
//
// (A planned one is received like a confirmed one.) A delivery counts for planning
// from its day plus a margin (setting of booking) on, confirmed or not: lorries are
// late either way. One that is late counts until its margin is over; stock it
// becomes when it is received, by lot. What a short one lacks (Restmenge) stays
// visible until it is settled. A receipt that is taken back makes the delivery one
// that is to come again. Each change tells the centres concerned at once.
// Before one is cancelled a page says what follows (LossOf): the doses, and how many
// booked appointments have no vaccine without it.
// What comes straight to a centre is received there (Ankunft bestätigen), by whoever
// answers for that place, the rest by an administrator.
// "Equal shares" gives whole vials to all active centres, the same number to each;
// the remainder stays where it is. A delivery for equal shares gives out what it
// brought; what lay in the central store stays. Transactions that move several lots of
// a product (receipts, allocations, reports), and those that block one, wait for each
// other. Everybody locks in one order: delivery, product, balances by place, lot.
//
// # Allocation
//
// A product has an allocation plan (Verteilplan): fixed shares of centres and
// teams, the population of the centres' areas, or by hand. Vials are divided with
// the largest remainder (Hare-Niemeyer): whole vials, none lost, and of every lot
// as evenly as it goes. Somebody sees what would be sent, may change it, and
// confirms it once; when the central store has changed since, nothing is sent, the
// page says what has changed and keeps what was typed. Figures of people (Einwohner)
// carry their source and day; those of the demo are marked as not official. An
// automatic plan shares out each delivery to the central store on arrival, and
// what is planned counts for the centres by it before; what lay there stays. That holds
// for what somebody receives and for what follows from the ministry's report.
//
// # Sent twice
//
// Whoever changes something may send it again when the answer was lost: forms carry a
// key (field once), operations take one in the header Idempotency-Key. The key is noted
// in the transaction that makes the change (inventory.request), with a digest of what
// was asked for. The same request again is looked up before anything is checked, does
// nothing and is answered alike; another one with the same key is refused.
//
// # The next weeks
//
// Outlooks goes through the next weeks of each product at each centre: what lies
// there and until when, what will come, what is booked, what is reserved for second
// doses, what is offered (both told by booking, see DemandOf), what runs out, what
// is left, and in which week nothing is. It counts with the same batches as the plan
// of the appointments (Supply). The page draws it as stacked weeks and says the same as
// a table; over several centres it says that the vaccine lasts only when it lasts in
// each of them.
//
// # The ministry's report
//
// ImportDeliveries reads the federal ministry's table (date, vaccine, doses).
// See ReportedPerVial for how doses become vials again. The key of a row is its
// date and vaccine: the same file twice changes nothing, a changed figure
// becomes a visible counter-movement. Rows of days to come are planned
// deliveries; the job inventory.arrivals books them when their day has come.
// The report names no lot: each row becomes a lot of its own whose number and
// expiry (delivery plus 180 days) are marked as assumed until somebody reads
// the label and corrects the expiry.
//
// UseReported books what a report says was given on a day: vials come from the
// central store, the lot that expires first goes first, whole vials are opened and
// what is left in them is waste. It goes as far as the stock reaches and tells how
// many doses nothing explains. 'drill replay' feeds the reports of a state through
// it, day by day.
//
// Everything that changes the usable stock of a centre, or the doses that it
// gives, sends StockChanged through the outbox.
package inventory
