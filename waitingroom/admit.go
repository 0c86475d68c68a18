package waitingroom

import "time"

// This file decides; nothing in it knows Redis, Postgres or HTTP. The Lua
// scripts in redis.go follow it line by line.

// tokensPerAdmission makes the buckets exact in whole numbers: a rate per
// minute times microseconds.
const tokensPerAdmission = int64(time.Minute / time.Microsecond)

// clockSlack is how far time may run backwards (another Redis after a
// failover) before a bucket takes the earlier time as the true one.
const clockSlack = int64(2 * time.Second / time.Microsecond)

// Valve is what the administrator has set, as the rules need it.
type Valve struct {
	Open  bool          // invites and lets in
	Rate  int64         // admissions in any 60 seconds
	Bound int64         // people inside at once
	Grace time.Duration // how long an invitation keeps a seat free
	Pass  time.Duration // how long a pass lasts
}

// Bucket is a token bucket; At is in microseconds.
type Bucket struct {
	Tokens int64
	At     int64
}

// Refill adds what rate (per minute) has brought since At, never more than
// size admissions: what was not used is gone.
func (b Bucket) Refill(now, rate, size int64) Bucket {
	passed := now - b.At
	switch {
	case passed >= 0:
		b.Tokens += rate * min(passed, tokensPerAdmission)
		b.At = now
	case passed < -clockSlack:
		b.At = now
	}
	b.Tokens = min(b.Tokens, size*tokensPerAdmission)
	return b
}

// Take removes n admissions' worth of tokens.
func (b Bucket) Take(n int64) Bucket {
	b.Tokens -= n * tokensPerAdmission
	return b
}

// Has returns the whole admissions in the bucket.
func (b Bucket) Has() int64 { return b.Tokens / tokensPerAdmission }

// InviteSize is how many invitations may fall together: two seconds' worth, so
// that a late tick loses nothing, and at least one.
func InviteSize(rate int64) int64 { return max(1, rate/30) }

// DoorSize is how many may come in together: one second's worth, at least one.
func DoorSize(rate int64) int64 { return max(1, rate/60) }

// DoorRate is the refill of the door per minute. A window of 60 seconds sees at
// most DoorSize at its start and less than DoorRate + 1 afterwards: together
// never more than rate.
func DoorRate(rate int64) int64 { return rate - DoorSize(rate) + 1 }

// Gap is a range of indexes that nobody holds, left by a loss of Redis.
type Gap struct{ First, Last int64 }

// GapsBetween counts the indexes of gaps in (after, before), both ends excluded.
func GapsBetween(gaps []Gap, after, before int64) int64 {
	var n int64
	for _, g := range gaps {
		n += max(0, min(g.Last, before-1)-max(g.First, after+1)+1)
	}
	return n
}

// Ahead returns how many people come before index when the line stands at
// serving; 0 for those who are next or invited.
func Ahead(index, serving int64, gaps []Gap) int64 {
	if index <= serving {
		return 0
	}
	return index - serving - 1 - GapsBetween(gaps, serving, index)
}

// Waiting returns how many places are not yet invited.
func Waiting(issued, serving int64, gaps []Gap) int64 {
	return max(0, issued-serving-GapsBetween(gaps, serving, issued+1))
}

// Land moves serving over a gap that begins right behind it. A gap may hide a
// few people who got their numbers just before Redis was lost: the line does not
// wait for somebody behind the gap to invite them, too.
func Land(serving int64, gaps []Gap) int64 {
	for _, g := range gaps {
		if g.First <= serving+1 && g.Last > serving {
			serving = g.Last
		}
	}
	return serving
}

// Advance moves serving by n places and over the gaps on its way.
func Advance(serving, n int64, gaps []Gap) int64 {
	for _, g := range gaps {
		if g.Last <= serving {
			continue
		}
		before := max(0, g.First-1-serving) // places in front of the gap
		if n <= before {
			break
		}
		n -= before
		serving = g.Last
	}
	return Land(serving+n, gaps)
}

// Batch is one step of the serving number: invitations that keep seats free
// until their grace is over.
type Batch struct {
	From, UpTo int64 // serving number before and after the step
	At         int64 // microseconds
	Left       int64 // invited and not yet inside
}

// Line is the live state of one room. It is the model of what Redis holds.
type Line struct {
	Issued, Serving int64
	Gaps            []Gap
	Invite, Door    Bucket
	Batches         []Batch
	Inside          map[int64]int64 // index -> end of the pass in microseconds
	Used            map[int64]bool
}

// NewLine returns an empty line.
func NewLine() *Line { return &Line{Inside: map[int64]int64{}, Used: map[int64]bool{}} }

// Join gives out n places and returns the first.
func (l *Line) Join(n int64) (first int64) {
	first = l.Issued + 1
	l.Issued += n
	return first
}

// Tick drops what is over and invites whom rate and bound allow. Calling it
// again at the same time, from any replica, changes nothing.
func (l *Line) Tick(now int64, v Valve) {
	for i, until := range l.Inside {
		if until <= now {
			delete(l.Inside, i)
		}
	}
	for len(l.Batches) > 0 && l.Batches[0].At+v.Grace.Microseconds() <= now { // oldest first
		l.Batches = l.Batches[1:]
	}
	l.Invite = l.Invite.Refill(now, v.Rate, InviteSize(v.Rate))
	if !v.Open {
		return
	}
	l.Serving = Land(l.Serving, l.Gaps)
	n := min(l.Invite.Has(), Waiting(l.Issued, l.Serving, l.Gaps), v.Bound-int64(len(l.Inside))-l.invited())
	if n <= 0 {
		return
	}
	l.Invite = l.Invite.Take(n)
	from := l.Serving
	l.Serving = Advance(from, n, l.Gaps)
	l.Batches = append(l.Batches, Batch{From: from, UpTo: l.Serving, At: now, Left: n})
}

// invited counts the seats kept free for people who may come any moment.
func (l *Line) invited() (n int64) {
	for _, b := range l.Batches {
		n += b.Left
	}
	return n
}

// Verdict is the answer at the door.
type Verdict string

// The answers at the door. All but Used leave the place as it was.
const (
	Admitted Verdict = "in"   // now, or already before
	Wait     Verdict = "wait" // not yet this ticket's turn
	Full     Verdict = "full" // the bound is reached
	Busy     Verdict = "busy" // the rate is used up for this moment
	Shut     Verdict = "shut" // the room does not let in now
	Used     Verdict = "used" // this ticket was inside already
)

// Claim asks for entry with the ticket index. It first ticks, so that nobody
// has to wait for a tick when there is no line.
func (l *Line) Claim(now int64, v Valve, index int64) Verdict {
	l.Tick(now, v)
	if _, inside := l.Inside[index]; inside {
		return Admitted
	}
	if l.Used[index] {
		return Used
	}
	if !v.Open {
		return Shut
	}
	if index > l.Serving {
		return Wait
	}
	if int64(len(l.Inside)) >= v.Bound {
		return Full
	}
	l.Door = l.Door.Refill(now, DoorRate(v.Rate), DoorSize(v.Rate))
	if l.Door.Has() < 1 {
		return Busy
	}
	l.Door = l.Door.Take(1)
	l.Inside[index] = now + v.Pass.Microseconds()
	l.Used[index] = true
	// Who comes after the grace has no batch any more. Left may be 0 already:
	// somebody who got a number just before Redis was lost sits inside a gap.
	for i, b := range l.Batches {
		if b.From < index && index <= b.UpTo && b.Left > 0 {
			l.Batches[i].Left--
		}
	}
	return Admitted
}

// Release ends a stay before its time.
func (l *Line) Release(index int64) { delete(l.Inside, index) }
