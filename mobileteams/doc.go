// Package mobileteams brings the vaccine to those who cannot come: teams drive
// to care homes and other facilities (Einrichtungen) with doses from a centre's
// stock, and vaccinate there.
//
// # A visit (Einsatz)
//
//	planned (geplant) --assign--> assigned (zugeteilt) --start--> under_way (unterwegs) --finish--> done (erledigt)
//	    |    ^                      |    |                          |
//	    |    +-------unassign-------+    |                          |
//	    +------------cancel--------------+----------cancel----------+--> cancelled (abgesagt)
//
// A visit is entered by the dispatcher (Disposition): facility, day and time,
// vaccine, number of people, and the centre whose stock gives the doses. A team
// has at most one visit under way. A visit is cancelled with a reason
// (quarantine of the home, consent of guardians missing, ...); what the team
// carries then stays in its box until it is brought back. Done and cancelled
// are final.
//
// # Doses
//
// The team's box is a place of the ledger (inventory.TeamPlace). The dispatcher
// moves vials from the centre's stock into the box and what is left over back
// to the centre, where it can be booked again; what was in the box for longer than
// it may be (inventory.ErrCarriedTooLong), is blocked, expired or thawed too long ago is
// shown as such and is not brought back to be used. Doses of an opened vial do not
// travel back: they are given on the spot or written off with the reason 'open
// vial'.
//
// # People
//
// People in facilities never register. Their details are typed at the visit
// and go into the treatment record alone, by the same path as at a centre
// (vaccination.Record): Place is the facility, the stock is the team's box.
// This package keeps no personal data; it knows which record was made at which
// visit and nothing else. The team sees the people of its own visit of today.
package mobileteams
