// Package vaccination is the site: who comes today, check-in, the dose, and
// the treatment record (Behandlungsdokumentation) that stays.
//
// # The treatment record
//
// A [Record] must be kept for ten years (section 630f BGB), a registration only
// for months. So the record is independent: it has its own vault key, its own
// sealed copy of who was treated, and no foreign key to registration or
// appointment. People without a registration (walk-ins, people in care homes)
// have the same kind of record. In the clear stands only what the stock ledger
// and the pseudonymous report to the federal monitor need: day, product, lot,
// dose number, place. The diagnosis that gives somebody priority is never
// recorded; consent is a tick with the date ('Stand') of the forms that were
// signed on paper.
//
// # Who made it, and on what
//
// A record names its issuer (Aussteller), who there made it, by which path, and its
// basis: a dose given (verabreicht), or one given elsewhere and seen in a document
// (nachgetragen: Impfausweis or Impfbescheinigung). Sites of the portal make records of
// doses that they give, with stock, appointment and forms ([Service.Record]). Practices
// and pharmacies make both kinds and have none of the three here
// ([Service.RecordIssued]); numbers beyond the series (3/3, 2/1) stand as they state
// them. What was seen in a document refuses nobody a dose. [Service.History] is what is
// known of the time before a dose; what somebody has stated about it when they
// registered or came stays sealed in the record.
//
// # Correcting a record
//
// What a record says can be corrected ([Service.Correct]): name, spelling of the passport,
// birth date, day, number of the dose, lot, centre. The former content stays beside it,
// sealed under its key, with who corrected it, when and why, and goes with it (section
// 630f BGB, subsection 1, wants it to stay recognisable); the database changes no record
// without. A dose of a wrong lot or centre moves in the stock ledger. Who corrects says
// which version they have seen: of two corrections one wins. [Corrected] tells others.
//
// When a correction gives a record the name and birth date of somebody who has the same
// dose already, it is refused: mostly it is one person and one of two records goes. Where
// two persons have the same name and birth date (Namensvetter), two people decide it
// (kind record.namesake, [Service.ProposeNamesake]): what shall be corrected waits sealed in
// the proposal, the second approval makes the correction, and the database lets nobody
// else put a namesake's dose beside one that stands.
//
// A record that was made twice, or of somebody else, is removed: two people decide it
// (dualcontrol, kind record.remove), and the database removes none without. It then
// counts as not given everywhere, its dose comes back into the ledger, a registration to
// which it did not belong may have the dose, and what it said stays sealed until its
// time is up.
//
//	version 1 --correct--> version 2 --correct--> ... --two approve--> removed
//	     \--the same dose of a namesake: two approve--/
//
// Records are found by the reference of the appointment, by name and birth date, or by the
// id of a certificate (a function of the certificate's package: Service.Certified).
//
// # Perhaps registered twice
//
// The card of an appointment that is under reserve (unter Vorbehalt, see
// citizen) asks the site to look at the identity card with care. It is a notice
// and refuses nothing: who shows the card is the person, and the dose rule below
// sees to it that nobody gets a dose twice, whoever booked how often.
//
// # Giving a dose
//
// One transaction writes the record, takes the dose from the ledger
// (inventory), closes the appointment (booking), writes the audit entry and
// enqueues [Recorded]. Either all of it happened or nothing did. The checks in
// it:
//
//   - the lot is of the product, at the place, not expired, and not empty;
//   - a booked dose is given with the product of its series, on its day, at its
//     centre;
//   - one dose number is given once to one person. People are recognised by a
//     blind index of name and birth date, so also across stations and without
//     a registration. Two people who share both are an explicit decision
//     (override "namesake");
//   - the days since the dose before (Impfabstand) and the age limits of the
//     vaccine follow the programme. Outside them the dose is refused until
//     somebody takes responsibility: an override by name, with a reason, which
//     stands sealed in the record and by its code in the audit.
//
// A request carries a key made by the client. The same key gives the same
// record, so a double click or a retry after a lost answer records one dose. A
// second station with another key is told that the dose was given, and when.
//
// # The day
//
//	expected (erwartet) --check-in--> here (da) --dose--> vaccinated (geimpft)
//	    |                               |
//	    +--mark missed--> missed <------+      missed --check-in--> here
//
//	walk-in (ohne Termin) --dose--> vaccinated
//	called about a leftover dose --came--> here --dose--> vaccinated
//
// Who has come after a call is registered: the dose is recorded on a card like that of
// an appointment (called.go) and counts for the registration. Otherwise they are people
// without an appointment.
//
// The appointment's own states are booking's; this package moves them. Only
// people of the own centre and of today can be seen.
package vaccination
