// Package draw decides the order of a pre-queue by lot (Verlosung der Plätze),
// so that everybody can recompute it. It is pure: no clock, no network, no
// database.
//
// # What happens, and what is published when
//
//	before the pre-queue   commitment to a secret seed; the name of a public
//	                       value (beacon) that does not exist yet
//	at the close           statement, signed: how many tickets take part (N),
//	                       the last index, which indexes nobody holds
//	after that             the beacon's value comes into the world
//	at once                seed, key: everybody's place follows
//
// All of it stands in draw.json of the room; [Verify] recomputes it, as do the
// page "check my place" in the browser and the command drill verify-draw.
//
//	commitment = SHA-256(text of room, epoch, attempt || seed)
//	key        = HMAC-SHA-256(seed, text of all that was fixed, beacon's value)
//	place      = permutation(key, N)(rank of the index) + 1
//
// A ticket's index is only its number. Whether somebody came in the first or in
// the last minute of the pre-queue makes no difference to the place.
//
// # Who must trust whom
//
//   - With drand as beacon nobody has to trust the operator for the order: the
//     seed was fixed by its commitment and N by the signed statement, both before
//     the beacon's value existed; the value is signed by a network of
//     organisations that has no part in the portal. To choose the order, the
//     operator would have to control that network, and to know it beforehand
//     somebody would need the seed as well.
//   - With a public lottery the same holds, except that two administrators type
//     the numbers in. Anybody can compare them with what the lottery published.
//   - With a local beacon, or none, the operator is trusted: whoever makes the
//     seed and the value can try seeds until the order pleases. What is
//     published says so ([Published].Trust).
//
// The seed stands in the database until the reveal, in clear. Somebody who reads
// it there learns the order as soon as the beacon's value is public, one or two
// seconds before everybody else; the tickets are fixed by then, so there is
// nothing to gain. Somebody who could also change it would have to change the
// commitment that has been public for days.
//
// # What remains possible
//
//   - A room without login gives a place to every browser that asks. Whoever
//     brings many browsers has many lots; that includes an operator who takes
//     tickets for himself before the close. Proof of work and limits per network
//     make it dear, not impossible. Only a room with login (one place per case
//     number) makes it worthless.
//   - An operator can keep a ticket out by refusing to serve it. People notice,
//     because they hold a signed ticket whose index is at most the last one.
//   - An operator can close the pre-queue late, when the named value is already
//     known. Such an attempt does not count, and shows as such: the next value
//     after the close is named. So the operator can reject one order that he has
//     seen, visibly, and never choose one.
//   - Two administrators can declare a beacon failed; see [LateRule]. That costs
//     an hour, is published with the seed of the failed attempt, and again only
//     rejects an order without choosing the next.
//   - Two administrators means two accounts. The word of an account counts only if
//     it was there, and nobody else has renewed its credentials, since before the
//     draw was committed: a second account made to answer for a draw comes too
//     late. One that was made in advance, or a commitment renewed by planning anew
//     before the pre-queue begins, is not told from a second person; both stand in
//     the audit log.
//   - The signature shows that the portal's key made the statement. That the key
//     is the portal's is known from where it is printed (imprint, press release),
//     not from draw.json itself.
//
// # The permutation
//
// Places are computed when they are read; nothing of a million of them is
// stored or sorted. The permutation is the swap-or-not shuffle of Hoang, Morris
// and Rogaway, "An Enciphering Scheme Based on a Card Shuffle" (CRYPTO 2012),
// with 128 rounds. It works on exactly 0 to N-1 for every N.
//
// It is no Feistel network: one needs a domain that splits into two halves, so
// for other N one enciphers in a larger domain and repeats until the result is
// below N (cycle walking), which takes a different time for each ticket and is
// easy to get wrong twice, in Go and in JavaScript. And the proofs of Feistel
// networks say little about the small domains that ordinary rooms have: with
// few rounds the order of 100 tickets is visibly not random. Swap-or-not is
// proved for small domains: by the paper's bound (theorem on rapid mixing,
// questions fixed beforehand) 128 rounds leave, for every N up to a million, less
// than 2^-40 of a difference to true chance for one ticket and less than 2^-30
// for any group of up to a tenth of the tickets. The bound says nothing about all
// tickets together; the tests of this package look there.
//
// The bit of a round is taken from a hash over 256 neighbouring numbers, so
// that recomputing all places costs one hash per 256 tickets and round; for one
// place it is 128 hashes.
//
// # Tickets whose number nobody is sure of
//
// When Redis is lost in the pre-queue, numbering goes on above a ceiling; the
// range that was jumped is a gap and does not count in N. A few people may have
// got a number in its beginning, in the very last moment. They get the place of
// a ticket chosen by the same lot (index mod N) and share it with its holder:
// nobody loses a place, and nobody can use it to come first.
package draw
