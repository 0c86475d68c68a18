// Package waitingroom keeps the line (Warteraum, Warteschlange): a fair, cheap
// and honest queue in front of groups of routes. By default one room stands in
// front of registering, open to everybody, and one in front of holding
// appointments, with one place per case number; nothing else ever waits.
//
// # Words
//
//   - A room (Warteraum) guards groups of routes and has a valve (phase, rate
//     per minute, active bound, message) and perhaps a plan: pre-queue from,
//     opens at, closes at.
//   - A ticket (Platznummer) is a signed place: room, epoch, cohort, index,
//     issue time, hash of the browser's possession key. The server keeps
//     nothing about who waits; a million people cost it a counter. In a room
//     that demands login the key is the person, and one row per person says
//     which place is theirs on every device.
//   - The possession key is a random value in a cookie of the browser. A copied
//     ticket or pass is worthless in a browser that does not hold the key.
//   - The cohort says where an index comes from: the live line, the pre-queue,
//     behind the line, sent by the hotline. The position is what the serving
//     number counts: the index in the live line, the drawn place (Losplatz) of
//     those who came before the opening.
//   - The serving number: positions up to it are invited to come in.
//   - A pass (Einlass) lets its browser use the guarded routes for a while. A
//     ticket yields one pass, once.
//   - The snapshot is what everybody may know about the room, the same bytes
//     for all.
//
// # Phases of a room
//
//	+-----------+   +-----------+   +---------+   +------+ <--resume-- +--------+
//	| scheduled |-->| pre-queue |-->| drawing |-->| open |             | paused |
//	+-----------+   +-----------+   +---------+   +------+ --pause---> +--------+
//	      |               '---- no draw -----------^ |  ^                  |
//	      '---------------- no pre-queue ----------' |  | open             |
//	                                         close   v  |                  |
//	                                              +--------+               |
//	                                              | closed | <---close-----+
//	                                              +--------+
//
//	phase      takes places              invites   lets in   passes stay valid
//	scheduled  no                        no        no        yes
//	pre-queue  yes, all equal if drawn   no        no        yes
//	drawing    yes, behind the drawn     no        no        yes
//	open       yes                       yes       yes       yes
//	paused     yes                       no        no        yes
//	closed     no                        no        no        yes
//
// plan.go decides from plan and time which phase is due, schedule.go carries it
// out once over all replicas. A line begins anew (epoch + 1) with a pre-queue,
// or by hand in a closed room; tickets of the line before are then void, and the
// page says so, before and after.
//
// # The draw
//
// When somebody came within the pre-queue does not matter: at the opening their
// order is drawn. Package draw has the rules and the proof; drawing.go conducts:
// commitment when the opening is planned, number of tickets signed at the
// close, a public value that nobody can know before, then the reveal. A place
// follows from its index by a keyed permutation, computed where it is read. The
// drawn places are positions 1 to N; the live line goes on behind them.
//
// # Life of a place
//
//	join -> waiting -> invited -> inside -> released (done, given up)
//	                     | |         |
//	                     | |         +----> expired (time is up)
//	                     | +-> full, or the rate is used up: stands at the door,
//	                     |     the next seats are for those who stand there
//	                     +-> late: the place stays and comes in by the lane of
//	                         late comers; after the grace only while nobody
//	                         stands at the door
//
// # Deciding and doing
//
// admit.go decides from numbers alone: how many to invite, who may come in. The
// same rules stand in Lua (scripts_line.go), because they must be atomic over
// all replicas; a test drives both through the same random histories and
// demands the same answers. Any replica may tick, and every claim does, so that
// there is no leader that could be lost. Time inside is the time of Redis plus
// the offset of the portal's clock, so a replica's wrong clock changes nothing.
//
// # Never more than rate and bound, and not less either
//
// The door admits through a token bucket whose size and refill add up to at
// most rate admissions in any 60 seconds, and only while fewer than the bound
// are inside. Unused budget is cut at one second's worth: after a quiet hour
// nobody bursts in. Both hold in one atomic script, whatever the number of
// replicas.
//
// Invitations run ahead of both: by those who will not come (the line learns
// their share from invitations that are over), by those who will have left when
// the invited arrive (it measures both), and by a fiftieth of the bound, so that
// somebody stands at the door when a seat gets free. Who finds no seat keeps the
// first place and is told. Nobody is invited for a seat that somebody at the
// door is waiting for.
//
// Late comers, those whom the hotline sends, and places behind the line come
// through lanes of their own, each with its part of the rate. Places behind are
// those taken without proof of work while machines come (package defence): they
// are invited when nobody else waits.
//
// # Order
//
// The live line is strict order of arrival. A replica collects joins for
// [joinWindow] (2 ms, at most 5) and numbers them in one command; so two people
// who come to two replicas within that window may be numbered either way.
//
// # Losing Redis
//
// Postgres holds what must not be lost: a ceiling that no index ever exceeds,
// the last serving number (at most a second old), every admission, and who has
// which place in rooms with login. When the state in Redis is missing, older
// than what any portal has seen of it, or on another server than the one it was
// built on (another process, to be exact: a replica that took over, a restart
// from disk), nobody is let in until a replica has rebuilt it from these rows
// under the next generation; an admission that was decided under the generation
// before cannot be written any more. Tickets are in the browsers and stay
// valid: nobody loses a place, no number is given twice, nobody who was inside
// is thrown out, no used ticket comes in again.
//
// While Redis or Postgres does not answer, nobody is invited or let in, the
// snapshot says so (trouble), and whoever is inside stays inside. Requests wait
// about three seconds at most. Every command may arrive twice, or long after
// its sender has given up: a claim, an end and an extension change nothing the
// second time, and a batch of joins that nobody waits for any more gives out no
// numbers. Stays that end meanwhile are told to both afterwards (owed.go).
//
// # One server, Sentinel, Cluster
//
// All keys of a room are on one node of a cluster, and different rooms may be
// on different ones: the loss of a node is the trouble of its rooms only. One
// node bears the joins of one room, because replicas send them in batches: with
// portals, Postgres and tests on the same two cores a plain server ran 20,000
// batches a second, 900,000 numbers in batches of fifty. So numbers come from
// one counter, in one order, and are not striped over nodes.
package waitingroom
