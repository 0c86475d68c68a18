// Package waitingroom keeps the line (Warteraum, Warteschlange): a fair, cheap
// and honest queue in front of groups of routes. The portal puts one room in
// front of registering and of holding appointments; nothing else ever waits.
//
// # Words
//
//   - A room (Warteraum) guards groups of routes and has a valve: phase, rate
//     per minute, active bound, message.
//   - A ticket (Platznummer) is a signed place: room, epoch, cohort, index,
//     issue time, hash of the browser's possession key. The server keeps
//     nothing about who waits; a million people cost it a counter.
//   - The possession key is a random value in a cookie of the browser. A copied
//     ticket or pass is worthless in a browser that does not hold the key.
//   - The serving number: tickets up to it are invited to come in.
//   - A pass (Einlass) lets its browser use the guarded routes for a while. A
//     ticket yields one pass, once.
//   - The snapshot is what everybody may know about the room, the same bytes
//     for all.
//
// # Phases of a room
//
//	            +-----------+      +------------+      +------+ <--resume-- +--------+
//	            | scheduled | ---> | pre-queue  | ---> | open |             | paused |
//	            +-----------+      +------------+      +------+ --pause---> +--------+
//	                                                     |  ^                    |
//	                                              close  v  | open               |
//	                                                   +--------+                |
//	                                                   | closed | <----close-----+
//	                                                   +--------+
//
//	phase      takes places   invites   lets in   passes stay valid
//	scheduled  no             no        no        yes
//	pre-queue  yes            no        no        yes
//	open       yes            yes       yes       yes
//	paused     yes            no        no        yes
//	closed     no             no        no        yes
//
// A new line (epoch + 1) can be begun only while the room is closed; tickets
// of the line before are then void, and the page says so.
//
// # Life of a place
//
//	join -> waiting -> invited -> inside -> released (done, given up)
//	                     |           |
//	                     |           +----> expired (time is up)
//	                     +-> grace over: the invitation no longer keeps a seat
//	                         free, but the ticket may still come in when there is
//	                         room
//
// # Deciding and doing
//
// admit.go decides from numbers alone: how many to invite, who may come in. The
// same rules stand in Lua (redis.go), because they must be atomic over all
// replicas; a test drives both through the same random histories and demands
// the same answers. Time inside is the time of Redis plus the offset of the
// portal's clock, so a replica's wrong clock changes nothing.
//
// # Never more than rate and bound
//
// The door admits through a token bucket whose size and refill add up to at
// most rate admissions in any 60 seconds, and only while fewer than the bound
// are inside. Unused budget is cut at one second's worth. Both hold in one
// atomic script, whatever the number of replicas.
//
// # Order
//
// The live line is strict order of arrival. A replica collects joins for
// [joinWindow] and numbers them in one command; so two people who come to two
// replicas within that window may be numbered either way.
//
// # Losing Redis
//
// Postgres holds what must not be lost: a ceiling that no index ever exceeds,
// the last serving number (at most a second old), and every admission. When the
// state in Redis is missing or older than known, nobody is let in until a
// replica has rebuilt it from these rows under the next generation; an
// admission that was decided under the generation before cannot be written any
// more. Tickets are in the browsers and stay valid: nobody loses a place, no
// number is given twice, nobody who was inside is thrown out.
package waitingroom
