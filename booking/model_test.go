package booking

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// modelPerson is what the model knows of a person.
type modelPerson struct {
	id      string
	state   string // "", held, confirmed, over
	series  string
	until   time.Time
	visits  []string // ids of the appointments
	visit   []string // their states
	key     int
	lastKey string
	slots   []int64 // that lastKey was used for
}

// modelBack is what the model knows of places on their way back.
type modelBack struct {
	places          int
	earliest, final time.Time // it is back somewhere between
}

func (p *modelPerson) open() (n int) {
	for _, s := range p.visit {
		if s == StateHeld || s == StateConfirmed || s == StateHere {
			n++
		}
	}
	return n
}

// TestModel drives the engine on a real database through random histories and
// holds every answer against a model of the states.
func TestModel(t *testing.T) {
	t.Parallel()
	b, _ := small(t)                       // 20 doses
	b.closeDay(leipzig, clock.Day(monday)) // no appointment passes while the hours of a history do
	b.replan(leipzig, comirnaty)
	waiters := b.waiters()
	rapid.Check(t, func(rt *rapid.T) {
		b.exec(`DELETE FROM booking.series`)
		b.exec(`DELETE FROM booking.returning`)
		b.exec(`DELETE FROM booking.idempotency`)
		b.exec(`DELETE FROM booking.waiting`)
		b.exec(`DELETE FROM booking.waiting_offer`)
		b.exec(`DELETE FROM booking.waiting_asked`)
		b.exec(`UPDATE booking.place SET taken = 0`)
		b.at(monday)
		b.replan(leipzig, comirnaty)
		minutes := rapid.IntRange(0, 6)
		delay, spread := time.Duration(minutes.Draw(rt, "delay"))*time.Minute, time.Duration(minutes.Draw(rt, "spread"))*time.Minute
		b.returns(delay, spread)
		var back []modelBack
		returning := func() int {
			return b.count(`SELECT count(*) FROM booking.returning_place`)
		}
		people := make([]*modelPerson, 4)
		for i := range people {
			people[i] = &modelPerson{id: id.New()}
		}
		for _, w := range waiters {
			w.reset()
			people = append(people, w.modelPerson)
		}
		someone := func(rt *rapid.T) *modelPerson {
			return people[rapid.IntRange(0, len(people)-1).Draw(rt, "person")]
		}
		expect := func(rt *rapid.T, what string, err, want error) {
			if !errors.Is(err, want) {
				rt.Fatalf("%s: %v, the model expects %v", what, err, want)
			}
		}
		over := func(p *modelPerson, to string) {
			freed := 0
			for i, s := range p.visit {
				if s == StateHeld || s == StateConfirmed {
					p.visit[i] = to
					freed++
				}
			}
			if freed > 0 && delay+spread > 0 {
				back = append(back, modelBack{freed, b.now().Add(delay), b.now().Add(delay + spread)})
			}
			p.state = "over"
		}
		again := func() { // which of them it was is the database's affair
			back = nil
			for _, m := range b.backs() {
				back = append(back, modelBack{m.places, m.earliest, m.final})
			}
		}
		actions := b.offerActions(waiters, over, again)
		maps.Copy(actions, map[string]func(*rapid.T){
			"hold": func(rt *rapid.T) {
				p := someone(rt)
				list := b.choices(leipzig, pair(comirnaty))
				if len(list) == 0 {
					return
				}
				c := list[rapid.IntRange(0, len(list)-1).Draw(rt, "choice")]
				p.key++
				key := fmt.Sprint(p.key)
				s, err := b.take(p.id, key, pair(comirnaty), c.SlotIDs()...)
				if p.state == StateHeld && p.until.After(b.now()) || p.state == StateConfirmed {
					expect(rt, "hold with a series", err, ErrAlreadyBooked)
					return
				}
				if err != nil {
					rt.Fatalf("hold: %v", err)
				}
				if p.state == StateHeld { // its time was over, and it was ended on the way
					over(p, StateExpired)
				}
				*p = modelPerson{id: p.id, state: StateHeld, series: s.ID, until: s.HoldUntil, key: p.key, lastKey: key, slots: c.SlotIDs()}
				for _, a := range s.Appointments {
					p.visits, p.visit = append(p.visits, a.ID), append(p.visit, StateHeld)
				}
			},
			"same key": func(rt *rapid.T) {
				p := someone(rt)
				if p.lastKey == "" {
					return
				}
				_, err := b.take(p.id, p.lastKey, pair(comirnaty), -1, -2)
				expect(rt, "same key, other slots", err, ErrKeyReused)
				s, err := b.take(p.id, p.lastKey, pair(comirnaty), p.slots...)
				if err != nil || s.ID != p.series {
					rt.Fatalf("same key: %s, %v", s.ID, err)
				}
			},
			"confirm": func(rt *rapid.T) {
				p := someone(rt)
				if p.series == "" {
					return
				}
				_, err := b.s.Confirm(b.ctx, p.series, p.id, "")
				switch {
				case p.state == StateHeld && p.until.After(b.now()):
					expect(rt, "confirm", err, nil)
					p.state = StateConfirmed
					for i := range p.visit {
						p.visit[i] = StateConfirmed
					}
				case p.state == StateConfirmed:
					expect(rt, "confirm again", err, nil)
				case slices.ContainsFunc(p.visit, func(s string) bool { return s == StateDone || s == StateMissed }):
					expect(rt, "confirm what took place", err, nil)
				case p.visit[0] == StateCancelled:
					expect(rt, "confirm what is cancelled", err, ErrHoldExpired)
				default:
					expect(rt, "confirm too late", err, ErrHoldExpired)
				}
			},
			"cancel": func(rt *rapid.T) {
				p := someone(rt)
				if p.series == "" {
					return
				}
				expect(rt, "cancel", b.s.Cancel(b.ctx, p.series, p.id, "citizen:"+p.id), nil)
				if p.state == StateHeld || p.state == StateConfirmed {
					here := false
					for _, s := range p.visit {
						here = here || s == StateHere
					}
					over(p, StateCancelled)
					if here {
						p.state = StateConfirmed
					}
				}
			},
			"visit": func(rt *rapid.T) {
				p := someone(rt)
				if p.series == "" {
					return
				}
				i := rapid.IntRange(0, len(p.visits)-1).Draw(rt, "leg")
				to := rapid.SampledFrom([]string{StateHere, StateDone, StateMissed}).Draw(rt, "to")
				err := pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
					switch to {
					case StateHere:
						return b.s.MarkHere(b.ctx, tx, p.visits[i], b.now())
					case StateDone:
						return b.s.MarkDone(b.ctx, tx, p.visits[i], b.now())
					default:
						return b.s.MarkMissed(b.ctx, tx, p.visits[i], b.now())
					}
				})
				from := map[string][]string{
					StateHere: {StateConfirmed, StateMissed, StateHere}, StateDone: {StateConfirmed, StateHere, StateMissed, StateDone},
					StateMissed: {StateConfirmed, StateHere, StateMissed},
				}[to]
				for _, f := range from {
					if p.visit[i] == f {
						expect(rt, f+" to "+to, err, nil)
						p.visit[i] = to
						if p.state = "over"; p.open() > 0 {
							p.state = StateConfirmed
						}
						return
					}
				}
				expect(rt, p.visit[i]+" to "+to, err, ErrState)
			},
			"time": func(rt *rapid.T) {
				b.at(b.now().Add(time.Duration(rapid.IntRange(1, 7).Draw(rt, "minutes")) * time.Minute))
			},
			"sweep": func(rt *rapid.T) {
				want := 0
				for _, p := range people {
					if p.state == StateHeld && !p.until.After(b.now()) {
						over(p, StateExpired)
						want++
					}
				}
				if n, err := b.s.ExpireHolds(b.ctx); err != nil || n != want {
					rt.Fatalf("%d holds ended (%v), want %d", n, err, want)
				}
			},
			"take back": func(rt *rapid.T) {
				p := someone(rt)
				if p.state != "over" || b.count(`SELECT count(*) FROM booking.returning WHERE series_id = $1 AND due_at > $2`, p.series, b.now()) == 0 || len(p.slots) != 2 {
					return
				}
				whole := b.count(`SELECT count(*) FROM booking.returning_place p JOIN booking.returning r ON r.id = p.returning_id WHERE r.series_id = $1`, p.series) == 2
				p.key++
				key := fmt.Sprint(p.key)
				s, err := b.take(p.id, key, pair(comirnaty), p.slots...)
				if !whole && errors.Is(err, ErrSlotTaken) {
					return
				}
				if err != nil {
					rt.Fatalf("take back: %v", err)
				}
				*p = modelPerson{id: p.id, state: StateHeld, series: s.ID, until: s.HoldUntil, key: p.key, lastKey: key, slots: p.slots}
				for _, a := range s.Appointments {
					p.visits, p.visit = append(p.visits, a.ID), append(p.visit, StateHeld)
				}
				again()
			},
			"give back": func(rt *rapid.T) {
				b.giveBack()
				back = slices.DeleteFunc(back, func(m modelBack) bool { return !m.final.After(b.now()) })
				least, most := 0, 0
				for _, m := range back {
					most += m.places
					if m.earliest.After(b.now()) {
						least += m.places
					}
				}
				if n := returning(); n < least || n > most {
					rt.Fatalf("%d places return, the model expects %d to %d", n, least, most)
				}
			},
			"plan": func(rt *rapid.T) {
				b.replan(leipzig, comirnaty)
				doses := 20 - returning()
				for _, p := range people {
					doses -= p.open()
				}
				if n := b.pairs(leipzig, comirnaty); n != doses/2 {
					rt.Fatalf("%d pairs offered of %d free doses", n, doses)
				}
				again() // what is new goes to the list first
			},
			"": func(rt *rapid.T) {
				b.settled(rt, waiters)
				b.sound()
			},
		})
		// What is given back is what is offered: the two often follow each other.
		actions["cancel and offer"] = func(rt *rapid.T) { actions["cancel"](rt); actions["offer"](rt) }
		actions["offer and answer"] = func(rt *rapid.T) { actions["offer"](rt); actions["answer"](rt) }
		for range waiters {
			actions["wait"](rt)
		}
		rt.Repeat(actions)
	})
	for _, answer := range []string{OfferAccepted, OfferDeclined, OfferRemoved, OfferUnanswered} {
		if waiters[0].seen[answer] == 0 {
			t.Errorf("no offer was %s: %v", answer, waiters[0].seen)
		}
	}
}

// backs are the places on their way back, with their true time.
func (b *bundle) backs() []modelBack {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, `
		SELECT count(p.*)::int, r.due_at, r.due_at FROM booking.returning r JOIN booking.returning_place p ON p.returning_id = r.id GROUP BY r.id`)
	b.ok(err)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m modelBack, err error) {
		return m, row.Scan(&m.places, &m.earliest, &m.final)
	})
	b.ok(err)
	return list
}
