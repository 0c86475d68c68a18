package booking

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"impfportal/internal/clock"
)

// modelWaiter is what the model knows of somebody on the waiting list.
type modelWaiter struct {
	*modelPerson
	entry                string // "", waiting, paused, withdrawn, done
	unanswered, declined int
	offer, offered       string         // the open offer and its series
	seen                 map[string]int // what became of offers, over all histories
}

// waiters registers people for the list; the model begins anew with them each time.
func (b *bundle) waiters() []*modelWaiter {
	b.t.Helper()
	b.ok(b.s.SetOfferRules(b.ctx, OfferRules{Hours: 1, Rounds: 3}, boss))
	out, seen := make([]*modelWaiter, 3), map[string]int{}
	for i := range out {
		out[i] = &modelWaiter{modelPerson: &modelPerson{id: b.person().ID}, seen: seen}
	}
	return out
}

func (w *modelWaiter) reset() {
	*w = modelWaiter{modelPerson: &modelPerson{id: w.id}, seen: w.seen}
}

// ended counts what became of an offer.
func (w *modelWaiter) ended(answer string) {
	w.offer = ""
	w.seen[answer]++
	switch answer {
	case OfferAccepted:
		w.entry = WaitingDone
	case OfferRemoved:
		w.entry, w.unanswered, w.declined = WaitingWithdrawn, 0, w.declined+1
	case OfferDeclined:
		w.unanswered, w.declined = 0, w.declined+1
	case OfferUnanswered:
		w.unanswered++
	}
	if w.entry == WaitingOpen && (answer == OfferDeclined && w.declined >= maxDeclined || answer == OfferUnanswered && w.unanswered >= maxUnanswered) {
		w.entry = WaitingPaused
	}
}

// settle says what the job that settles offers makes of the model's state.
func (w *modelWaiter) settle() {
	mine := w.series == w.offered
	switch {
	case w.offer == "" || mine && w.state == StateHeld:
	case mine && slices.ContainsFunc(w.visit, func(s string) bool { return s != StateCancelled && s != StateExpired }):
		w.ended(OfferAccepted)
	case mine && w.visit[0] == StateCancelled:
		w.ended(OfferDeclined)
	default:
		w.ended(OfferUnanswered)
	}
	if w.state == StateConfirmed && (w.entry == WaitingOpen || w.entry == WaitingPaused) {
		w.entry = WaitingDone
	}
}

// settled runs that job and holds every entry against the model.
func (b *bundle) settled(rt *rapid.T, waiters []*modelWaiter) {
	if _, err := b.s.SettleOffers(b.ctx); err != nil {
		rt.Fatalf("settle: %v", err)
	}
	for _, w := range waiters {
		w.settle()
		if w.entry == "" {
			continue
		}
		var state string
		var unanswered, declined int
		b.ok(b.pool.QueryRow(b.ctx, `SELECT state, unanswered, declined FROM booking.waiting WHERE person_id = $1 ORDER BY ended_at IS NULL DESC, ended_at DESC, id DESC LIMIT 1`, w.id).
			Scan(&state, &unanswered, &declined))
		if state != w.entry || unanswered != w.unanswered || declined != w.declined {
			rt.Fatalf("the entry is %s (%d unanswered, %d declined), the model expects %s (%d, %d)", state, unanswered, declined, w.entry, w.unanswered, w.declined)
		}
		if n := b.count(`SELECT count(*) FROM booking.waiting_offer WHERE person_id = $1 AND answer IS NULL`, w.id); n > 0 != (w.offer != "") {
			rt.Fatalf("%d open offers, the model expects %q", n, w.offer)
		}
	}
}

// offerActions are what happens around the waiting list. over ends what somebody
// has open, again reads anew what is on its way back.
func (b *bundle) offerActions(waiters []*modelWaiter, over func(p *modelPerson, to string), again func()) map[string]func(*rapid.T) {
	one := func(rt *rapid.T) *modelWaiter {
		return waiters[rapid.IntRange(0, len(waiters)-1).Draw(rt, "waiter")]
	}
	return map[string]func(*rapid.T){
		"wait": func(rt *rapid.T) {
			w := one(rt)
			if slices.Contains(w.visit, StateDone) {
				return // whose turn it is after a dose is another test
			}
			_, err := b.s.PutOnList(b.ctx, w.id, anywhere(), Web, By{"citizen:" + w.id, "citizen"})
			if w.state == StateConfirmed {
				if !errors.Is(err, ErrAlreadyBooked) {
					rt.Fatalf("wait with appointments: %v", err)
				}
				return
			}
			b.ok(err)
			w.entry = WaitingOpen
		},
		"withdraw": func(rt *rapid.T) {
			w := one(rt)
			if w.state == StateHeld && !w.until.After(b.now()) { // its time was over, and it is ended on the way
				over(w.modelPerson, StateExpired)
				w.settle()
			}
			b.ok(b.s.Withdraw(b.ctx, w.id, viaAccount, By{"citizen:" + w.id, "citizen"}))
			if w.offer != "" {
				over(w.modelPerson, StateCancelled)
				w.ended(OfferRemoved)
			}
			if w.entry == WaitingOpen || w.entry == WaitingPaused {
				w.entry = WaitingWithdrawn
			}
		},
		"offer": func(rt *rapid.T) {
			before := b.count(`SELECT count(*) FROM booking.waiting_offer`)
			n, err := b.s.OfferPlaces(b.ctx)
			if err != nil {
				rt.Fatalf("offer: %v", err)
			}
			if made := b.count(`SELECT count(*) FROM booking.waiting_offer`) - before; made != n {
				rt.Fatalf("%d offers, %d are said", made, n)
			}
			for _, o := range b.openOffers() {
				w := waiters[slices.IndexFunc(waiters, func(w *modelWaiter) bool { return w.id == o.PersonID })]
				if w.offer == o.ID {
					continue
				}
				if w.offer != "" || w.entry != WaitingOpen || w.state == StateHeld || w.state == StateConfirmed {
					rt.Fatalf("offered to somebody who is %q with a series that is %q", w.entry, w.state)
				}
				if o.Until.Sub(b.now()) < answerAtLeast {
					rt.Fatalf("%v to answer", o.Until.Sub(b.now()))
				}
				s, err := b.s.SeriesByID(b.ctx, b.pool, o.SeriesID, o.PersonID)
				if err != nil || s.State != StateHeld || !s.HoldUntil.Equal(o.Until) || len(s.Appointments) != 2 {
					rt.Fatalf("what is offered: %+v, %v", s, err)
				}
				*w.modelPerson = modelPerson{id: w.id, state: StateHeld, series: s.ID, until: s.HoldUntil, key: w.key}
				for _, a := range s.Appointments {
					w.visits, w.visit = append(w.visits, a.ID), append(w.visit, StateHeld)
				}
				w.offer, w.offered = o.ID, s.ID
			}
			again()
		},
		"answer": func(rt *rapid.T) {
			w := one(rt)
			if w.offer == "" {
				return
			}
			answer := rapid.SampledFrom([]string{AnswerAccept, AnswerDecline, AnswerRemove}).Draw(rt, "answer")
			out, err := b.s.answerOffer(b.ctx, w.offer, answer, viaLink, By{"citizen:" + w.id, "citizen"})
			if err != nil {
				rt.Fatalf("%s: %v", answer, err)
			}
			if !w.until.After(b.now()) {
				if out.Answer != OfferUnanswered {
					rt.Fatalf("%s too late: %s", answer, out.Answer)
				}
				return // the job ends it
			}
			want := map[string]string{AnswerAccept: OfferAccepted, AnswerDecline: OfferDeclined, AnswerRemove: OfferRemoved}[answer]
			if out.Answer != want {
				rt.Fatalf("%s: %s", answer, out.Answer)
			}
			if answer == AnswerAccept {
				w.state = StateConfirmed
				for i := range w.visit {
					w.visit[i] = StateConfirmed
				}
			} else {
				over(w.modelPerson, StateCancelled)
			}
			w.ended(want)
		},
		"hour": func(*rapid.T) {
			if b.now().In(clock.Berlin).Hour() < 18 {
				b.at(b.now().Add(time.Hour))
			}
		},
	}
}
