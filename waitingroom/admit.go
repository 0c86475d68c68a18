package waitingroom

import "time"

// This file decides; nothing in it knows Redis, Postgres or HTTP. The Lua
// scripts in scripts_line.go follow it line by line, in whole numbers, so that
// both give the same answers.

// tokensPerAdmission makes the buckets exact in whole numbers: a rate per
// minute times microseconds.
const tokensPerAdmission = int64(time.Minute / time.Microsecond)

// clockSlack is how far time may run backwards (another Redis after a
// failover) before a bucket takes the earlier time as the true one.
const clockSlack = int64(2 * time.Second / time.Microsecond)

// arrivalWindow is how long after an invitation its owner is expected to come.
// Whoever comes later is late: the place stays, but no seat waits for it.
const arrivalWindow = int64(15 * time.Second / time.Microsecond)

// knockLife is how long somebody who found the room full counts as standing at
// the door; browsers there knock again within a few seconds.
const knockLife = int64(10 * time.Second / time.Microsecond)

// The share of invited people who come is kept in 1/1024. It begins at all of
// them, learns from invitations that are over, and is never taken for less than
// an eighth.
const (
	showUnit  = int64(1024)
	showLeast = showUnit / 8
	showPrior = int64(8) // invitations' worth of believing that all come
)

// firstDelay is how long an invited person takes to come, in milliseconds,
// until the room has measured it.
const firstDelay = int64(3000)

// Valve is what the administrator has set, as the rules need it.
type Valve struct {
	Open   bool          // invites and lets in
	Rate   int64         // admissions in any 60 seconds
	Bound  int64         // people inside at once
	Grace  time.Duration // how long a late comer goes before those who were invited long ago
	Pass   time.Duration // how long a pass lasts
	Guests int64         // percent of the rate for those whom the hotline sends
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

// LateRate is the part of the rate that late comers may use while others wait:
// a quarter, so that thousands who come back together do not stop the line.
func LateRate(rate int64) int64 { return max(1, rate/4) }

// GuestRate is the part of the rate for those whom the hotline sends.
func GuestRate(rate, percent int64) int64 { return max(1, rate*percent/100) }

// Gap is a range of positions that nobody holds, left by a loss of Redis.
type Gap struct{ First, Last int64 }

// GapsBetween counts the positions of gaps in (after, before), both ends excluded.
func GapsBetween(gaps []Gap, after, before int64) int64 {
	var n int64
	for _, g := range gaps {
		n += max(0, min(g.Last, before-1)-max(g.First, after+1)+1)
	}
	return n
}

// Ahead returns how many people come before a position when the line stands at
// serving; 0 for those who are next or invited.
func Ahead(pos, serving int64, gaps []Gap) int64 {
	if pos <= serving {
		return 0
	}
	return pos - serving - 1 - GapsBetween(gaps, serving, pos)
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

// Batch is the invitations of one second.
type Batch struct {
	From, UpTo int64 // serving number before and after
	At         int64 // microseconds
	Called     int64 // people in it
	Came       int64 // of them, so far
}

func (b Batch) holds(pos int64) bool { return b.From < pos && pos <= b.UpTo }

// Line is the live state of one room. It is the model of what Redis holds.
type Line struct {
	Issued, Serving             int64 // positions
	BehindIssued, BehindServing int64 // of the places behind the line
	Gaps                        []Gap
	Invite, Door, Late, Guest   Bucket

	Fresh    []Batch          // invitations within arrivalWindow, oldest first
	Old      []Batch          // later ones within their grace, oldest first
	Inside   map[string]int64 // member -> end of the pass in microseconds
	Used     map[string]bool
	Knocking map[string]int64 // invited and found no seat: member -> until when it counts

	Admitted int64 // so far
	NoShows  int64 // invitations that are over and whose owners have not come
	Called   int64 // sums over invitations that are over, halved from time to time
	Came     int64
	Delay    int64 // between invitation and door, milliseconds, smoothed
	CalledAt int64 // of the last invitation
	Left     int64 // stays that had ended when Leaving was measured
	LeftAt   int64
	Leaving  int64 // ends of stays per minute, smoothed
}

// NewLine returns an empty line.
func NewLine() *Line {
	return &Line{Inside: map[string]int64{}, Used: map[string]bool{}, Knocking: map[string]int64{}, Delay: firstDelay}
}

// Join gives out n places and returns the first.
func (l *Line) Join(n int64) (first int64) {
	first = l.Issued + 1
	l.Issued += n
	return first
}

// JoinBehind gives out n places behind the line and returns the first.
func (l *Line) JoinBehind(n int64) (first int64) {
	first = l.BehindIssued + 1
	l.BehindIssued += n
	return first
}

// Show is the share of invited people who come, in 1/1024.
func (l *Line) Show() int64 {
	return max(showLeast, (l.Came+showPrior)*showUnit/(l.Called+showPrior))
}

// expected is how many of those invited lately are still to come.
func (l *Line) expected() int64 {
	var sum int64
	for _, b := range l.Fresh {
		sum += max(0, b.Called*l.Show()-b.Came*showUnit)
	}
	return (sum + showUnit - 1) / showUnit
}

// Tick drops what is over and invites whom rate and bound allow. Calling it
// again at the same time, from any replica, changes nothing.
func (l *Line) Tick(now int64, v Valve) {
	for m, until := range l.Inside {
		if until <= now {
			delete(l.Inside, m)
		}
	}
	for m, until := range l.Knocking {
		if until <= now {
			delete(l.Knocking, m)
		}
	}
	inside, knocking := int64(len(l.Inside)), int64(len(l.Knocking))
	l.measureLeaving(now, inside)
	l.settle(now, v)

	show := l.Show()
	// Invitations run ahead by those who will not come; a room that few people
	// come to is not called faster than its rate allows at the door.
	rate := v.Rate * showUnit / show
	l.Invite = l.Invite.Refill(now, rate, InviteSize(rate))
	if !v.Open || now == l.CalledAt {
		return
	}
	l.Serving = Land(l.Serving, l.Gaps)
	// Seats that will be free when those whom we call now arrive, and a few people
	// more at the door, so that no seat waits.
	want := v.Bound - inside - knocking - l.expected() + min(v.Bound/2, l.Leaving*l.Delay/60_000) + v.Bound/50
	want = min(want, 2*DoorSize(v.Rate)-knocking)
	if want <= 0 {
		return
	}
	if n := min(l.Invite.Has(), Waiting(l.Issued, l.Serving, l.Gaps), want*showUnit/show); n > 0 {
		l.Invite = l.Invite.Take(n)
		l.call(now, n)
		want -= n * show / showUnit
	}
	// Places behind are called when nobody else waits.
	if Waiting(l.Issued, l.Serving, l.Gaps) == 0 {
		if n := min(l.Invite.Has(), l.BehindIssued-l.BehindServing, want); n > 0 {
			l.Invite = l.Invite.Take(n)
			l.BehindServing += n
			l.CalledAt = now
		}
	}
}

// measureLeaving smooths how many stays end per minute.
func (l *Line) measureLeaving(now, inside int64) {
	left := l.Admitted - inside
	switch passed := now - l.LeftAt; {
	case passed >= 1_000_000:
		rate := max(0, left-l.Left) * tokensPerAdmission / passed
		if passed < 8_000_000 {
			rate = (3*l.Leaving + rate) / 4
		}
		l.Leaving, l.Left, l.LeftAt = rate, left, now
	case passed < -clockSlack:
		l.Left, l.LeftAt = left, now
	}
}

// settle learns from invitations that are over, and forgets those whose grace is.
func (l *Line) settle(now int64, v Valve) {
	grace := v.Grace.Microseconds()
	for len(l.Fresh) > 0 && l.Fresh[0].At+min(arrivalWindow, grace) <= now {
		b := l.Fresh[0]
		l.Fresh = l.Fresh[1:]
		came := min(b.Came, b.Called)
		l.Called += b.Called
		l.Came += came
		l.NoShows += b.Called - came
		if l.Called > max(200, v.Rate) {
			l.Called, l.Came = l.Called/2, l.Came/2
		}
		l.Old = append(l.Old, b)
	}
	for len(l.Old) > 0 && l.Old[0].At+grace <= now {
		l.Old = l.Old[1:]
	}
}

// call moves serving by n places and notes whom it called.
func (l *Line) call(now, n int64) {
	from := l.Serving
	l.Serving, l.CalledAt = Advance(from, n, l.Gaps), now
	if k := len(l.Fresh) - 1; k >= 0 && now >= l.Fresh[k].At && now < l.Fresh[k].At+1_000_000 && l.Fresh[k].UpTo == from {
		l.Fresh[k].UpTo = l.Serving
		l.Fresh[k].Called += n
		return
	}
	l.Fresh = append(l.Fresh, Batch{From: from, UpTo: l.Serving, At: now, Called: n})
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

// Lane is how somebody comes to the door.
type Lane string

// The lanes.
const (
	InLine Lane = "line"   // by the position in the line
	Behind Lane = "behind" // by the number behind the line
	Guest  Lane = "guest"  // sent by the hotline: no waiting, a share of the rate
)

// Claim asks for entry with the place that member names, at pos of its lane. It
// first ticks, so that nobody has to wait for a tick when there is no line.
//
// Who was invited lately and finds no seat stands at the door: the next seats
// are theirs, because Tick calls nobody for them. Late comers have a lane of
// their own beside: within their grace they are served like the others as far
// as LateRate goes, after it only while nobody stands at the door.
func (l *Line) Claim(now int64, v Valve, lane Lane, pos int64, member string) Verdict {
	l.Tick(now, v)
	if _, inside := l.Inside[member]; inside {
		return Admitted
	}
	if l.Used[member] {
		return Used
	}
	if !v.Open {
		return Shut
	}
	fresh, old := -1, false
	switch lane {
	case InLine:
		if pos > l.Serving {
			return Wait
		}
		for i, b := range l.Fresh {
			if b.holds(pos) {
				fresh = i
			}
		}
		for _, b := range l.Old {
			old = old || b.holds(pos)
		}
	case Behind:
		if pos > l.BehindServing {
			return Wait
		}
	case Guest:
	}
	inside, knocking := int64(len(l.Inside)), int64(len(l.Knocking))
	_, stands := l.Knocking[member] // since it was invited: no late comer
	late := fresh < 0 && !stands && lane != Guest
	if inside >= v.Bound {
		l.knock(now, member, fresh >= 0 || stands)
		return Full
	}
	if late && !old && inside+knocking >= v.Bound {
		return Full
	}
	l.Door = l.Door.Refill(now, DoorRate(v.Rate), DoorSize(v.Rate))
	if l.Door.Has() < 1 {
		l.knock(now, member, fresh >= 0 || stands)
		return Busy
	}
	if late && (knocking > 0 || Waiting(l.Issued, l.Serving, l.Gaps) > 0) {
		rate := LateRate(v.Rate)
		l.Late = l.Late.Refill(now, rate, DoorSize(rate))
		if l.Late.Has() < 1 {
			return Busy
		}
		l.Late = l.Late.Take(1)
	}
	if lane == Guest {
		rate := GuestRate(v.Rate, v.Guests)
		l.Guest = l.Guest.Refill(now, rate, DoorSize(rate))
		if l.Guest.Has() < 1 {
			return Busy
		}
		l.Guest = l.Guest.Take(1)
	}
	l.Door = l.Door.Take(1)
	l.Inside[member] = now + v.Pass.Microseconds()
	l.Used[member] = true
	l.Admitted++
	delete(l.Knocking, member)
	switch {
	case fresh >= 0:
		b := &l.Fresh[fresh]
		b.Came++
		l.Delay = (31*l.Delay + max(0, now-b.At)/1000) / 32
	case lane == InLine:
		l.NoShows = max(0, l.NoShows-1)
		if stands {
			l.Came = min(l.Called, l.Came+1) // it did come in its time
		}
	}
	return Admitted
}

// knock notes that somebody who was invited lately stands at the door.
func (l *Line) knock(now int64, member string, invitedLately bool) {
	if invitedLately {
		l.Knocking[member] = now + knockLife
	}
}

// Release ends a stay before its time.
func (l *Line) Release(member string) { delete(l.Inside, member) }

// Extend lets a stay last until a later moment; one that is over stays over.
func (l *Line) Extend(now int64, member string, until int64) bool {
	end, inside := l.Inside[member]
	if !inside || end <= now {
		return false
	}
	l.Inside[member] = max(end, until)
	return true
}
