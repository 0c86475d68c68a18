// Package defence tells machines from people at the door of a waiting room, as
// far as that can be told, and makes mass requests dear (Bot-Abwehr). It never
// decides that one person is a machine: it limits networks, judges the rush as a
// whole, and asks newcomers for a proof of work while the judgement says machines.
//
// # What is counted
//
// Every replica counts the arrivals of its own requests in memory ([Meter]) and
// exchanges once a second with Redis ([Watch.Exchange]): so a join costs no
// command of its own, and all replicas know the same a second later. A request
// counts for its networks, never for its address: IPv4 /24, IPv6 /64 and /48
// ([Networks]).
//
// # Limits per network
//
// Each network has token buckets in Redis (as one point in time each, GCRA), for
// places, for challenges fetched, and for solutions that were wrong:
//
//	places below soft   nothing is asked
//	above soft          a newcomer of this network must prove work; nobody is refused
//	above hard          429 with Retry-After; nothing is counted against the network
//	fetched, wrong      429 above their own limit
//
// A /48 has [Limits.Wide] times the limits of a /64. The limits are generous
// because one address may be a hospital, a school, or ten thousand mobile phones:
// 3,000 people behind one address who come in the same minute all have a place
// within a few minutes ([DefaultLimits]).
//
// A replica decides from what Redis told at the last exchange and from what it
// has let through itself since then. It tells Redis of a network once an eighth
// of its burst has come ([untold]): of the many networks that bring one person or
// two, nobody but this replica ever knows, and Redis has nothing to keep. The
// worst case follows from that: in one second before they know of each other, R
// replicas may together let through R bursts of a network. It does not add up:
// the exchange charges everything that was let through, from the time it came, as
// debt if need be (of up to 15 minutes of the rate), so that over any longer time
// T a network gets at most R*(burst + burst/8) + rate*T, with the soft limit for
// places without proof and with the hard one for all. Only what trickles so slowly
// that no replica sees an eighth of a burst within a minute is not charged: from R
// replicas at most R*burst/8 a minute, up to four times that while so many networks
// come that small ones are forgotten sooner. After a clock that went back, what was
// counted ahead of it is forgotten.
//
// # Judgement
//
// [Judge] looks at the signals of the last minute, summed over all replicas, and
// finds reasons with a measured value and a threshold each; see there. It takes
// two reasons of weight, so that neither many people behind one address nor a
// crowd that the servers' own pace makes regular is taken for machines. The
// verdict is kept in Redis for [Hold] after the last finding: all replicas act
// alike, and it does not flap.
//
// # Proof of work
//
// A [Challenge] in the format of ALTCHA, version 2: find the counter for which
// PBKDF2-HMAC-SHA-256(nonce || counter, salt) begins as given. The browser needs
// about a second; there is no picture, no sound and nothing to read, so a blind
// person passes as everybody does. PBKDF2 instead of bare SHA-256 because a
// browser computes it in native code: a machine of the attacker's gains a factor
// of less than three over a browser on the same processor, with bare SHA-256 it
// gained two hundred. The signature binds a challenge to room, line and network
// of the one who asked for it; a solution counts once ([Spend]).
//
// # Privacy
//
// An address never leaves the request. What is kept are networks, only in Redis,
// and there for at most 15 minutes ([keepLimit]): the counts of the last minute
// for two, a bucket until it is full again. Logs, audit and Postgres name no
// network. Administrators see the biggest networks of the last minute as /24
// and /48.
//
// # What it cannot do
//
// A room without login cannot prevent that somebody takes several places; it can
// only make them dear. A slow attack from many networks with browsers that keep
// their cookies looks like people; then the challenge can be switched on by
// hand, and a room that demands login gives one place per case number.
package defence
