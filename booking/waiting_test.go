package booking

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
)

// anywhere are the wishes of somebody who takes everything.
func anywhere() Wishes {
	return Wishes{Centres: []string{leipzig}, Weekdays: []int{1, 2, 3, 4, 5, 6, 7}, Parts: dayParts}
}

// waits registers somebody and puts them on the list.
func (b *bundle) waits(change func(*Wishes), reg ...func(*citizen.Registration)) (citizen.Person, Waiting) {
	b.t.Helper()
	p := b.person(reg...)
	w := anywhere()
	if change != nil {
		change(&w)
	}
	entry, err := b.s.PutOnList(b.ctx, p.ID, w, Web, By{"citizen:" + p.ID, "citizen"})
	b.ok(err)
	return p, entry
}

// full is a centre of ten pairs, all booked, where places return late.
func full(t *testing.T) (*bundle, []Series) {
	t.Helper()
	b, _ := slow(t)
	for i := range 4 { // the first appointments are on Friday
		b.tx(func(tx pgx.Tx) error {
			return centre.SetException(b.ctx, tx, b.now(), leipzig, centre.Exception{Day: day(2021, 1, 11+i), Reason: "Aufbau"}, centre.By{Actor: "staff:test", Role: "admin"})
		})
	}
	b.replan(leipzig, comirnaty)
	var all []Series
	for range 10 {
		s, _ := b.booked(b.choices(leipzig, pair(comirnaty))[0])
		all = append(all, s)
	}
	return b, all
}

func (b *bundle) cancel(s Series) {
	b.t.Helper()
	b.ok(b.s.Cancel(b.ctx, s.ID, s.PersonID, "citizen:x"))
}

// offer runs the job and says how many offers it made.
func (b *bundle) offer() int {
	b.t.Helper()
	_, err := b.s.SettleOffers(b.ctx)
	b.ok(err)
	n, err := b.s.OfferPlaces(b.ctx)
	b.ok(err)
	return n
}

// openOffers are the offers that wait for an answer, oldest first.
func (b *bundle) openOffers() []waitingOffer {
	b.t.Helper()
	list, err := offersWhere(b.ctx, b.pool, `o.answer IS NULL ORDER BY o.made_at, o.id`)
	b.ok(err)
	return list
}

func (b *bundle) answer(o waitingOffer, what string) waitingOffer {
	b.t.Helper()
	out, err := b.s.answerOffer(b.ctx, o.ID, what, viaLink, By{"citizen:" + o.PersonID, "citizen"})
	b.ok(err)
	return out
}

func (b *bundle) waitState(w Waiting) string {
	b.t.Helper()
	var state string
	b.ok(b.pool.QueryRow(b.ctx, `SELECT state FROM booking.waiting WHERE id = $1`, w.ID).Scan(&state))
	return state
}

func TestFreedPlacesAreOfferedToTheListFirst(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, w := b.waits(nil)
	if n := b.offer(); n != 0 {
		t.Fatalf("%d offers of nothing", n)
	}
	b.cancel(all[0])
	if n := b.offer() + b.offer(); n != 1 {
		t.Fatalf("%d offers", n)
	}
	o := b.openOffers()[0]
	if o.PersonID != p.ID || !o.Until.Equal(clock.At(day(2021, 1, 12), morning, 0)) {
		t.Errorf("%+v", o)
	}
	s, err := b.s.SeriesOf(b.ctx, b.pool, p.ID)
	b.ok(err)
	if s.State != StateHeld || !s.HoldUntil.Equal(o.Until) || len(s.Appointments) != 2 || s.Appointments[0].SlotID != all[0].Appointments[0].SlotID {
		t.Errorf("%+v", s)
	}
	if n := b.pairs(leipzig, comirnaty); n != 0 {
		t.Errorf("%d are free for everybody", n)
	}
	b.sound()
	for range 2 { // pressed twice
		if got := b.answer(o, AnswerAccept); got.Answer != OfferAccepted {
			t.Errorf("%+v", got)
		}
	}
	if got := b.answer(o, AnswerDecline); got.Answer != OfferAccepted { // changed their mind too late: they cancel like others
		t.Errorf("%+v", got)
	}
	if s, err = b.s.SeriesOf(b.ctx, b.pool, p.ID); err != nil || s.State != StateConfirmed {
		t.Errorf("%+v %v", s, err)
	}
	if b.waitState(w) != WaitingDone {
		t.Error("still waits")
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'booking.confirmed' AND payload->>'series_id' = $1`, s.ID); n != 1 {
		t.Errorf("%d confirmations", n)
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.offer'`); n != 1 {
		t.Errorf("%d messages", n)
	}
	b.sound()
}

// The rank of the group goes first; within a group the draw decides and not who
// came first, and anybody can check it when the key is known.
func TestTheOrderIsPriorityThenDraw(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	b.exec(`UPDATE programme.priority_group SET open = true WHERE code = 's3-age'`)
	later := func(r *citizen.Registration) {
		r.GroupCode, r.Birth = "s3-age", citizen.PartialDate{Year: 1945, Month: 5, Day: 1 + b.people%28}
	}
	for range 3 { // they come first, and are of the lower rank
		b.waits(nil, later)
	}
	var first []Waiting
	for range 6 {
		_, w := b.waits(nil)
		first = append(first, w)
	}
	for _, s := range all[:8] {
		b.cancel(s)
	}
	if n := b.offer(); n != 8 {
		t.Fatalf("%d offers", n)
	}
	key := b.s.Citizens.Vault.MAC("booking.waiting draw", []byte("2021-01-11"))
	want, _ := candidates(first, map[string]int{"s2-age": 1}, key)
	rows, err := b.pool.Query(b.ctx, `SELECT substr(subject, 9) FROM audit.entry WHERE action = 'booking.offer' ORDER BY id`)
	b.ok(err)
	asked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.ok(err)
	for i, w := range want {
		if asked[i] != w.ID {
			t.Errorf("asked as number %d: %s, the draw says %s", i+1, asked[i], w.ID)
		}
	}
	if n := b.count(`SELECT count(*) FROM booking.waiting_offer o JOIN booking.waiting w ON w.id = o.waiting_id WHERE w.group_code = 's3-age'`); n != 2 {
		t.Errorf("%d of the lower rank were asked, two places are left for them", n)
	}
	// What was promised before is what is revealed after.
	b.at(monday.AddDate(0, 0, 1))
	b.ok(b.s.revealDraws(b.ctx, b.now()))
	b.ok(b.s.revealDraws(b.ctx, b.now()))
	var commitment, revealed string
	b.ok(b.pool.QueryRow(b.ctx, `SELECT after->>'commitment' FROM audit.entry WHERE action = 'booking.draw' AND subject = 'waiting-draw:2021-01-11'`).Scan(&commitment))
	b.ok(b.pool.QueryRow(b.ctx, `SELECT after->>'key' FROM audit.entry WHERE action = 'booking.draw-revealed' AND subject = 'waiting-draw:2021-01-11'`).Scan(&revealed))
	raw, err := hex.DecodeString(revealed)
	b.ok(err)
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != commitment {
		t.Error("the key is not the one that was promised")
	}
	b.sound()
}

// Declined or unanswered, the places go to the next, three times; then they are
// free for everybody. Nobody is asked twice for the same places.
func TestUnansweredOffersGoToTheNext(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	var entries []Waiting
	for range 5 {
		_, w := b.waits(nil)
		entries = append(entries, w)
	}
	b.cancel(all[9]) // a late one, so that there is time
	asked := map[string]bool{}
	for round := range 3 {
		if n := b.offer(); n != 1 {
			t.Fatalf("round %d: %d offers", round, n)
		}
		o := b.openOffers()[0]
		if asked[o.PersonID] || o.Round != round+1 {
			t.Errorf("round %d: %+v", round, o)
		}
		asked[o.PersonID] = true
		if round == 1 {
			if got := b.answer(o, AnswerDecline); got.Answer != OfferDeclined {
				t.Errorf("%+v", got)
			}
			continue
		}
		b.at(o.Until)
		if got := b.answer(o, AnswerAccept); got.Answer != OfferUnanswered {
			t.Errorf("after the end: %+v", got)
		}
		if n, err := b.s.ExpireHolds(b.ctx); err != nil || n != 1 {
			t.Fatalf("%d ended, %v", n, err)
		}
		b.sound()
	}
	if n := b.offer(); n != 0 {
		t.Errorf("%d offers after three rounds", n)
	}
	b.at(b.now().Add(backDelay + backSpread))
	if n := b.giveBack(); n != 1 || b.pairs(leipzig, comirnaty) != 1 {
		t.Errorf("%d returned, %d pairs are free for everybody", n, b.pairs(leipzig, comirnaty))
	}
	for _, w := range entries {
		if state := b.waitState(w); state != WaitingOpen {
			t.Errorf("%s lost their place: %s", w.ID, state)
		}
	}
	b.sound()
}

func TestWhoDoesNotAnswerTwiceRests(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, w := b.waits(nil)
	for i := range maxUnanswered {
		b.cancel(all[9-i])
		if n := b.offer(); n != 1 {
			t.Fatalf("%d offers", n)
		}
		b.at(b.openOffers()[0].Until)
		_, err := b.s.ExpireHolds(b.ctx)
		b.ok(err)
	}
	b.cancel(all[0])
	if n := b.offer(); n != 0 || b.waitState(w) != WaitingPaused {
		t.Errorf("%d offers, %s", n, b.waitState(w))
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'booking.waiting-paused'`); n != 1 {
		t.Errorf("told %d times", n)
	}
	again, err := b.s.PutOnList(b.ctx, p.ID, anywhere(), Web, By{"citizen:" + p.ID, "citizen"})
	b.ok(err)
	if again.ID != w.ID || again.State != WaitingOpen || again.Unanswered != maxUnanswered || !again.Since.Equal(w.Since) {
		t.Errorf("%+v", again)
	}
	if n := b.offer(); n != 1 {
		t.Errorf("%d offers after coming back", n)
	}
	// Saving begins nothing anew: one more without an answer, and it rests again.
	b.at(b.openOffers()[0].Until)
	_, err = b.s.ExpireHolds(b.ctx)
	b.ok(err)
	if b.offer(); b.waitState(w) != WaitingPaused {
		t.Errorf("%s after the third", b.waitState(w))
	}
	b.sound()
}

func TestLeavingTheList(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	p, w := b.waits(nil)
	b.cancel(all[0])
	b.offer()
	if got := b.answer(b.openOffers()[0], AnswerRemove); got.Answer != OfferRemoved {
		t.Errorf("%+v", got)
	}
	if b.waitState(w) != WaitingWithdrawn {
		t.Error("still on the list")
	}
	// Again, and this time from the page while an offer is open.
	_, err := b.s.PutOnList(b.ctx, p.ID, anywhere(), Web, By{"citizen:" + p.ID, "citizen"})
	b.ok(err)
	b.cancel(all[1])
	if n := b.offer(); n != 1 {
		t.Fatalf("%d offers", n)
	}
	for range 2 {
		b.ok(b.s.Withdraw(b.ctx, p.ID, viaAccount, By{"citizen:" + p.ID, "citizen"}))
	}
	if got, err := WaitingOf(b.ctx, b.pool, p.ID); got != nil || err != nil || len(b.openOffers()) != 0 || b.alive(p) != 0 {
		t.Errorf("%+v %v, %d offers", got, err, len(b.openOffers()))
	}
	b.sound()
}

// Where the person is logged in the offer is a held series like any other.
func TestAnOfferIsAnsweredInTheOwnCase(t *testing.T) {
	t.Parallel()
	for _, confirm := range []bool{true, false} {
		b, all := full(t)
		p, w := b.waits(nil)
		b.cancel(all[0])
		b.offer()
		o := b.openOffers()[0]
		want := WaitingOpen
		if confirm {
			_, err := b.s.Confirm(b.ctx, o.SeriesID, p.ID, "")
			b.ok(err)
			want = WaitingDone
		} else {
			b.ok(b.s.Cancel(b.ctx, o.SeriesID, p.ID, "citizen:"+p.ID))
		}
		if n, err := b.s.SettleOffers(b.ctx); n != 1 || err != nil {
			t.Errorf("%d settled, %v", n, err)
		}
		if n, err := b.s.SettleOffers(b.ctx); n != 0 || err != nil {
			t.Errorf("%d settled again, %v", n, err)
		}
		if b.waitState(w) != want || b.count(`SELECT count(*) FROM booking.waiting_offer WHERE via = 'account'`) != 1 {
			t.Errorf("confirm %v: %s", confirm, b.waitState(w))
		}
		b.sound()
	}
}

func TestWishesDecideWhoIsAsked(t *testing.T) {
	t.Parallel()
	b, all := full(t)
	start := all[9].Appointments[0].Start
	on := clock.Day(start)
	weekday := (int(on.Weekday())+6)%7 + 1
	before, after := on.AddDate(0, 0, -1), on.AddDate(0, 0, 1)
	for name, change := range map[string]func(*Wishes){
		"another centre":  func(w *Wishes) { w.Centres = []string{"dresden"} },
		"another weekday": func(w *Wishes) { w.Weekdays = slices.DeleteFunc(w.Weekdays, func(d int) bool { return d == weekday }) },
		"another time": func(w *Wishes) {
			w.Parts = slices.DeleteFunc(slices.Clone(dayParts), func(p string) bool { return p == partOf(start) })
		},
		"later":         func(w *Wishes) { w.Earliest = &after },
		"earlier":       func(w *Wishes) { w.Latest = &before },
		"longer notice": func(w *Wishes) { w.NoticeDays = daysBetween(clock.Day(b.now()), on) + 1 },
	} {
		_, w := b.waits(change)
		if w.Match(leipzig, start, b.now()) {
			t.Errorf("%s: matches", name)
		}
	}
	b.cancel(all[9])
	if n := b.offer(); n != 0 {
		t.Errorf("%d were asked who do not want it", n)
	}
	p, _ := b.waits(func(w *Wishes) { w.Earliest, w.Latest, w.Weekdays = &on, &on, []int{weekday} })
	if n := b.offer(); n != 1 || b.openOffers()[0].PersonID != p.ID {
		t.Errorf("%d offers", n)
	}
	b.sound()
}
