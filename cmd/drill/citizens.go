package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"impfportal/waitingroom"
	"impfportal/waitingroom/draw"
)

// kind is what a virtual citizen is like.
type kind int

const (
	patient   kind = iota // comes in when invited
	noShow                // takes a place and never comes back
	late                  // comes when the invitation is long over, together with all the others who are late
	last                  // comes when nobody waits any more, together with all others who do
	reloads               // loads the page at first, and again while waiting
	returns               // closes the page, comes back after a while and asks for the place
	copies                // tries ticket and pass in a second browser
	comesBack             // was inside and tries the used ticket again
)

// kindOf shares out: 40 % never show up, 5 % are late, 5 % come last, 10 % load
// the page again, 5 % each go and return, copy, and come back with a used ticket.
func kindOf(i int) kind {
	switch i % 20 {
	case 1, 3, 6, 8, 11, 13, 16, 18:
		return noShow
	case 5:
		return late
	case 15:
		return last
	case 0, 10:
		return reloads
	case 4:
		return returns
	case 9:
		return copies
	case 14:
		return comesBack
	}
	return patient
}

// What a citizen's browser keeps of the room.
const (
	keyCookie    = "wr_key"
	ticketCookie = "wr_t_" + room
	passCookie   = "wr_p_" + room
)

// Addresses of the room. gatedPath asks for a pass before anything else.
const (
	statePath = "/rooms/" + room + "/state.json"
	pagePath  = "/rooms/" + room
	leavePath = "/rooms/" + room + "/leave"
	enterPath = "/api/v1/rooms/" + room + "/enter"
	gatedPath = "/api/v1/registrations"
)

// The problems that the portal tells.
const (
	problemRefused  = "waitingroom.gate.refused"
	problemNoTicket = "waitingroom.error.no_ticket"
	problemUsed     = "waitingroom.error.used"
	problemNotNow   = "waitingroom.error.unavailable" // the place is kept
)

// person is a virtual citizen: what the browser keeps and what happened. Times
// are counted from the start of the day.
type person struct {
	id   int
	kind kind
	jar  jar
	seen *seen // the last snapshot

	asked, got    time.Duration // of the place
	cohort, index int64
	place         int64 // in the order, once it is known
	told          int64 // the same as the portal told it
	doors         []doorAnswer
	wanted        bool // wants to come in
	in            bool
	leaves        time.Duration // when the wish to leave was sent
}

// seen is a snapshot as many browsers have it.
type seen struct {
	waitingroom.State
	etag string
	lot  *draw.Lot // nil = nothing is drawn, or not yet
}

// position is what serving is compared with; known is false until the draw.
func (p *person) position() (pos int64, known bool) {
	switch {
	case p.place != 0:
	case p.cohort == waitingroom.CohortLive:
		p.place = p.index
	case p.seen != nil && p.seen.lot != nil:
		p.place, _ = p.seen.lot.Place(p.index)
	}
	return p.place, p.place != 0
}

// citizens are the people of an opening day.
type citizens struct {
	portal  *balancer
	n       int
	early   int // the first so many of them come in the pre-queue
	stay    [2]time.Duration
	lateAt  time.Duration // after the opening
	check   int           // every so manieth looks while inside whether the pass counts
	faults  *faults       // nil = nothing goes wrong, and nobody may notice anything
	calm    chan struct{} // closed when nobody waits any more
	start   time.Time     // set before run
	people  []person
	arrival func(i int) time.Duration
	opened  atomic.Int64 // when the room was seen open, since start; 0 = not yet

	polls, joinsAt       series       // by second
	atDoor               atomic.Int64 // who has been called and found no seat
	entered, gone        atomic.Int64
	visits, looks        atomic.Int64 // pages and questions for one's place; questions whether a pass counts
	copiesTried          atomic.Int64
	usedTried            atomic.Int64
	worthless            atomic.Int64 // of both: those that were let in
	thrownOut, lostPlace atomic.Int64
	notNow               atomic.Int64 // answers that asked to come again
	slowest              atomic.Int64 // from the end of a fault until somebody was answered

	states  sync.Map // etag -> *seen
	pool    sync.Pool
	mu      sync.Mutex
	errors  int
	example error // the first of the errors
}

// series counts by second since the start.
type series [1800]atomic.Int32

func (s *series) add(at time.Duration) {
	if i := int(at / time.Second); i >= 0 && i < len(s) {
		s[i].Add(1)
	}
}

// doorAnswer is an answer at the door.
type doorAnswer struct {
	asked, got time.Duration
	verdict    waitingroom.Verdict
}

// run lets all of them live through the day. It returns when the last has left.
func (cs *citizens) run(ctx context.Context) error {
	// A hundred thousand stacks take long to look through, on cores that belong
	// to the portals as well: what the crowd leaves behind may lie a while.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	cs.pool.New = func() any { return &exchange{accept: "application/json"} }
	cs.people = make([]person, cs.n)
	order := make([]int, cs.n)
	at := make([]time.Duration, cs.n)
	for i := range cs.people {
		p := &cs.people[i]
		p.id, p.kind = i, kindOf(i)
		p.wanted = p.kind != noShow
		order[i], at[i] = i, cs.arrival(i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	var wg sync.WaitGroup
	for _, i := range order {
		if wait := at[i] - cs.now(); wait > time.Millisecond {
			if pause(ctx, wait) != nil {
				break
			}
		}
		wg.Go(func() {
			p := &cs.people[i]
			if err := cs.live(ctx, p); err != nil && ctx.Err() == nil {
				cs.fail(err)
			}
			p.jar, p.seen = nil, nil
			cs.gone.Add(1)
		})
	}
	wg.Wait()
	return ctx.Err()
}

func (cs *citizens) now() time.Duration { return time.Since(cs.start) }

func (cs *citizens) fail(err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.errors++
	cs.example = cmp.Or(cs.example, err)
}

// live is the day of one citizen.
func (cs *citizens) live(ctx context.Context, p *person) error {
	var t ticket
	if p.kind == reloads {
		if err := cs.page(ctx, p); err != nil {
			return err
		}
	} else {
		// As the waiting page sets it; every tenth fetches that, too.
		p.jar = jar{{keyCookie, waitingroom.NewKey()}}
	}
	p.asked = cs.now()
	if err := cs.place(ctx, p, &t); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	p.got, p.cohort, p.index = cs.now(), t.Cohort, t.Index
	cs.joinsAt.add(p.got)
	if p.cohort != waitingroom.CohortLive && p.cohort != waitingroom.CohortDrawn {
		return fmt.Errorf("join: a place of cohort %d", p.cohort)
	}
	if p.kind == noShow {
		return nil
	}
	if err := cs.before(ctx, p, &t); err != nil {
		return err
	}
	kept := p.jar.only(keyCookie, ticketCookie)
	if err := cs.follow(ctx, p, t.Turn, asked(t.AskAgain)); err != nil {
		return err
	}
	p.in = true
	cs.entered.Add(1)
	kept = append(kept, p.jar.only(passCookie)...)
	if err := cs.inside(ctx, p); err != nil {
		return err
	}
	p.leaves = cs.now()
	err := cs.ask(ctx, p, &p.jar, question{method: http.MethodPost, path: leavePath, want: http.StatusSeeOther, accept: "text/html"})
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if p.kind == comesBack {
		return cs.again(ctx, p, kept)
	}
	return nil
}

// ticket is a place as the portal tells it.
type ticket struct {
	Cohort, Index, Position int64
	Drawn, Turn             bool
	AskAgain                int `json:"ask_again_seconds"`
}

// place asks for a place; who has one is told the same again.
func (cs *citizens) place(ctx context.Context, p *person, t *ticket) error {
	return cs.ask(ctx, p, &p.jar, question{method: http.MethodPost, path: joinPath, want: http.StatusOK, out: t})
}

// samePlace asks for one's place and wants it to be the one of before. After
// the draw the portal tells the position, too.
func (cs *citizens) samePlace(ctx context.Context, p *person, t *ticket) error {
	cs.visits.Add(1)
	*t = ticket{}
	if err := cs.place(ctx, p, t); err != nil {
		return fmt.Errorf("ask for the place: %w", err)
	}
	if t.Cohort != p.cohort || t.Index != p.index {
		cs.lostPlace.Add(1)
		return fmt.Errorf("had place %d of cohort %d, and is told %d of cohort %d", p.index, p.cohort, t.Index, t.Cohort)
	}
	p.told = t.Position // 0 until the draw
	return nil
}

// page loads the waiting page.
func (cs *citizens) page(ctx context.Context, p *person) error {
	cs.visits.Add(1)
	err := cs.ask(ctx, p, &p.jar, question{method: http.MethodGet, path: pagePath, want: http.StatusOK, accept: "text/html"})
	if err != nil {
		return fmt.Errorf("load the page: %w", err)
	}
	return nil
}

// before is what somebody does before following the line.
func (cs *citizens) before(ctx context.Context, p *person, t *ticket) error {
	switch p.kind {
	case late:
		for cs.opened.Load() == 0 {
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
		}
		at := time.Duration(cs.opened.Load()) + cs.lateAt + rand.N(3*time.Second)
		if err := pause(ctx, at-cs.now()); err != nil {
			return err
		}
	case last:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-cs.calm:
		}
		if err := pause(ctx, rand.N(3*time.Second)); err != nil {
			return err
		}
	case reloads:
		if err := pause(ctx, time.Second+rand.N(4*time.Second)); err != nil {
			return err
		}
		return cs.page(ctx, p)
	case returns:
		if err := pause(ctx, 5*time.Second+rand.N(10*time.Second)); err != nil {
			return err
		}
	case copies:
		return cs.copied(ctx, p, enterPath, http.StatusConflict, problemNoTicket, ticketCookie)
	default:
		return nil
	}
	return cs.samePlace(ctx, p, t)
}

// inside is the stay of somebody who came in.
func (cs *citizens) inside(ctx context.Context, p *person) error {
	stay := cs.stay[0] + rand.N(cs.stay[1]-cs.stay[0])
	if p.id%cs.check != 0 && p.kind != copies {
		return pause(ctx, stay)
	}
	for range 2 {
		if err := pause(ctx, stay/2); err != nil {
			return err
		}
		cs.looks.Add(1)
		// An empty registration: the gate is passed, the form refused.
		err := cs.ask(ctx, p, &p.jar, question{method: http.MethodPost, path: gatedPath, body: "{}", want: http.StatusUnprocessableEntity})
		if errors.Is(err, errRefused) {
			cs.thrownOut.Add(1)
		}
		if err != nil {
			return fmt.Errorf("inside: %w", err)
		}
	}
	if p.kind == copies {
		return cs.copied(ctx, p, gatedPath, http.StatusForbidden, problemRefused, ticketCookie, passCookie)
	}
	return nil
}

// follow does as the waiting page does, until the door lets in.
func (cs *citizens) follow(ctx context.Context, p *person, turn bool, wait time.Duration) error {
	refused := false // at the door: whoever was, asks again as the door says, from the next look on
	defer func() {
		if refused {
			cs.atDoor.Add(-1)
		}
	}()
	for {
		if turn {
			in, again, err := cs.knock(ctx, p)
			if err != nil {
				return fmt.Errorf("enter: %w", err)
			}
			if in {
				return nil
			}
			if wait = again; !refused {
				refused = true
				cs.atDoor.Add(1)
			}
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		if err := cs.poll(ctx, p); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		st := p.seen
		pos, known := p.position()
		turn = known && pos <= st.Serving && st.Phase == waitingroom.Open && !st.Trouble
		wait = st.PollIn(known, st.Ahead(pos), time.Now(), rand.Float64())
		if turn && p.told == 0 && p.cohort == waitingroom.CohortDrawn {
			// Whoever is called looks once more where the portal says they stand.
			if err := cs.samePlace(ctx, p, &ticket{}); err != nil {
				return err
			}
		}
	}
}

// knock asks at the door; again is when to ask next.
func (cs *citizens) knock(ctx context.Context, p *person) (in bool, again time.Duration, err error) {
	a := doorAnswer{asked: cs.now()}
	var out struct {
		Verdict  waitingroom.Verdict
		AskAgain int `json:"ask_again_seconds"`
	}
	if err := cs.ask(ctx, p, &p.jar, question{method: http.MethodPost, path: enterPath, want: http.StatusOK, out: &out}); err != nil {
		return false, 0, err
	}
	a.got, a.verdict = cs.now(), out.Verdict
	p.doors = append(p.doors, a)
	return out.Verdict == waitingroom.Admitted, asked(out.AskAgain), nil
}

// asked is when somebody comes again who was told so in whole seconds.
func asked(seconds int) time.Duration {
	return time.Duration(seconds)*time.Second + rand.N(time.Second) - time.Second/2
}
