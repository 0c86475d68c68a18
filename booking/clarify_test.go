package booking

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/citizen"
	"impfportal/internal/vault"
)

// twice registers one identity n times: one active registration and n-1 in check.
func (b *bundle) twice(n int) []citizen.Person {
	b.t.Helper()
	out := make([]citizen.Person, n)
	for i := range out {
		out[i] = b.person(func(r *citizen.Registration) {
			r.FamilyName, r.GivenName, r.Birth = []string{"Müller", "MUELLER"}[i%2], "Erika", citizen.PartialDate{Year: 1930, Month: 1, Day: 2}
			r.Email = fmt.Sprintf("second%d@example.org", i)
		})
		want := citizen.StateCheck
		if i == 0 {
			want = citizen.StateActive
		}
		if out[i].State != want {
			b.t.Fatalf("registration %d is %s", i, out[i].State)
		}
	}
	return out
}

// book holds and confirms a choice over the web.
func (b *bundle) book(p citizen.Person, c Choice) Series {
	b.t.Helper()
	s, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: c.SlotIDs(), Key: "k"})
	b.ok(err)
	s, err = b.s.Confirm(b.ctx, s.ID, p.ID, "")
	b.ok(err)
	return s
}

// alive is how many series of a person are held or confirmed.
func (b *bundle) alive(p citizen.Person) int {
	b.t.Helper()
	return b.count(`SELECT count(*) FROM booking.series WHERE person_id = $1 AND state IN ('held', 'confirmed')`, p.ID)
}

func (b *bundle) taken() int {
	return b.count(`SELECT coalesce(sum(taken), 0)::int FROM booking.place`)
}

const agent = "staff:agent"

// The same person: what the second registration has is given back, its contact
// is told, and it is gone, all at once. The first one keeps what it has.
func TestTheSamePersonGivesEverythingBack(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	p := b.twice(3)
	first := b.book(p[0], list[0])
	before := b.taken()
	second := b.book(p[1], list[1])
	held, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p[2].ID, Channel: Web, SlotIDs: list[2].SlotIDs(), Key: "k"})
	b.ok(err)
	b.ok(b.s.ReplanWanted(b.ctx))
	planned := b.count(`SELECT sum(wanted)::int FROM booking.plan`)

	for _, x := range p[1:] {
		b.ok(b.citizens.ClarifySame(b.ctx, x.ID, agent, "agent"))
		if _, err := b.s.Citizens.Vault.Open(b.ctx, b.pool, x.KeyID); !errors.Is(err, vault.ErrDestroyed) {
			t.Errorf("the key lives: %v", err)
		}
		if err := b.citizens.ClarifySame(b.ctx, x.ID, agent, "agent"); !errors.Is(err, citizen.ErrNotFound) {
			t.Errorf("clarified twice: %v", err)
		}
	}
	for _, s := range []Series{second, held} {
		if n := b.count(`SELECT count(*) FROM booking.series WHERE id = $1 AND state = 'cancelled'`, s.ID); n != 1 {
			t.Error("the series stands")
		}
		if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'booking.cancel' AND subject = $1 AND actor = $2 AND role = 'agent'`, "series:"+s.ID, agent); n != 1 {
			t.Error("the cancellation is not in the audit")
		}
	}
	if n := b.taken(); n != before {
		t.Errorf("%d places taken, %d before", n, before)
	}
	if n := b.count(`SELECT sum(wanted)::int FROM booking.plan`); n != planned+2 {
		t.Errorf("plans wanted: %d more", n-planned)
	}
	if s, err := b.s.SeriesOf(b.ctx, b.pool, p[0].ID); err != nil || s == nil || s.ID != first.ID || s.State != StateConfirmed {
		t.Errorf("the first one: %+v %v", s, err)
	}
	if _, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p[1].ID, Channel: Web, SlotIDs: list[1].SlotIDs(), Key: "again"}); !errors.Is(err, citizen.ErrNotFound) {
		t.Errorf("books after the end: %v", err)
	}
	b.sound()

	// The message is delivered although the person's key is gone.
	rows, err := b.pool.Query(b.ctx, `SELECT id::text FROM notify.message WHERE kind = 'citizen.ended' AND own_key`)
	b.ok(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	b.ok(err)
	for _, x := range ids {
		b.ok(b.s.Notify.Deliver(b.ctx, x))
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'citizen.ended' AND channel = 'email' AND state = 'sent'`); n != 2 || len(ids) != 2 {
		t.Errorf("%d of %d messages delivered", n, len(ids))
	}
}

// Nobody ends a registration under somebody who is at the centre; a dose that
// was given stays given.
func TestTheSamePersonWhileAtTheCentre(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	p := b.twice(2)[1]
	s := b.book(p, list[0])
	b.at(s.Appointments[0].Start)
	b.tx(func(tx pgx.Tx) error { return b.s.MarkHere(b.ctx, tx, s.Appointments[0].ID, b.now()) })
	if err := b.citizens.ClarifySame(b.ctx, p.ID, agent, "agent"); !errors.Is(err, citizen.ErrHere) {
		t.Fatalf("ended at the centre: %v", err)
	}
	if b.alive(p) != 1 || b.count(`SELECT count(*) FROM notify.message WHERE kind = 'citizen.ended'`) != 0 {
		t.Error("a refused finding has changed something")
	}
	b.tx(func(tx pgx.Tx) error { return b.s.MarkDone(b.ctx, tx, s.Appointments[0].ID, b.now()) })
	b.ok(b.citizens.ClarifySame(b.ctx, p.ID, agent, "agent"))
	after, err := seriesByID(b.ctx, b.pool, s.ID)
	b.ok(err)
	if after.State != StateEnded || after.Appointments[0].State != StateDone || after.Appointments[1].State != StateCancelled {
		t.Errorf("%+v", after)
	}
	b.sound()
}

// Another person, or the right one: the series that was under reserve stays.
func TestOtherFindingsLeaveTheAppointments(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	p := b.twice(3)
	first := b.book(p[0], list[0])
	b.book(p[1], list[1])
	b.book(p[2], list[2])
	b.ok(b.citizens.ClarifyOther(b.ctx, p[1].ID, agent, "agent"))
	if err := b.citizens.ClarifyReplace(b.ctx, p[2].ID, agent, "agent"); !errors.Is(err, citizen.ErrStanding) {
		t.Errorf("replaced in spite of an appointment: %v", err)
	}
	b.ok(b.s.Cancel(b.ctx, first.ID, p[0].ID, agent))
	b.ok(b.citizens.ClarifyReplace(b.ctx, p[2].ID, agent, "agent"))
	for _, x := range p[1:] {
		if got, err := b.citizens.Person(b.ctx, b.pool, x.ID); err != nil || got.State != citizen.StateActive || b.alive(x) != 1 {
			t.Errorf("%s, %d series, %v", got.State, b.alive(x), err)
		}
	}
	b.sound()
}

// Whatever the person, the clock and two agents do in the same moment: no series
// survives its registration, nothing waits for ever, and one agent has found it.
func TestNoSeriesSurvivesItsRegistration(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	first := b.twice(1)[0]
	for round := range 24 {
		b.at(monday)
		p := b.person(func(r *citizen.Registration) {
			r.FamilyName, r.GivenName, r.Birth = first.FamilyName, first.GivenName, first.Birth
		})
		var s Series
		hold := func(key string, i int) error {
			got, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[i%len(list)].SlotIDs(), Key: key})
			if err == nil && s.ID == "" {
				s = got
			}
			return err
		}
		var others []func() error
		switch round % 4 {
		case 0: // nothing yet: a hold comes
			others = append(others, func() error { return hold("race", round) })
		case 1: // held: confirmed, held once more
			b.ok(hold("before", round))
			others = append(others, func() error { _, err := b.s.Confirm(b.ctx, s.ID, p.ID, ""); return err },
				func() error {
					_, err := b.s.Hold(b.ctx, HoldRequest{PersonID: p.ID, Channel: Web, SlotIDs: list[0].SlotIDs(), Key: "race"})
					return err
				})
		case 2: // confirmed: given back
			s = b.book(p, list[round%len(list)])
			others = append(others, func() error { return b.s.Cancel(b.ctx, s.ID, p.ID, "citizen:x") })
		case 3: // held, and the time runs out
			b.ok(hold("before", round))
			b.at(b.now().Add(11 * time.Minute))
			others = append(others, func() error { _, err := b.s.ExpireHolds(b.ctx); return err })
		}
		var g errgroup.Group
		start, found := make(chan struct{}), make([]error, 2)
		for i := range found {
			g.Go(func() error {
				<-start
				found[i] = b.citizens.ClarifySame(b.ctx, p.ID, agent, "agent")
				return nil
			})
		}
		for _, do := range others {
			g.Go(func() error {
				<-start
				err := do()
				if err == nil || errors.Is(err, citizen.ErrNotFound) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrHoldExpired) || errors.Is(err, ErrAlreadyBooked) {
					return nil
				}
				return fmt.Errorf("round %d: %w", round, err)
			})
		}
		close(start)
		b.ok(g.Wait())
		if (found[0] == nil) == (found[1] == nil) || !errors.Is(errors.Join(found...), citizen.ErrNotFound) {
			t.Errorf("round %d: two agents found %v", round, found)
		}
		if n := b.alive(p); n != 0 {
			t.Fatalf("round %d: %d series live on", round, n)
		}
		b.sound()
	}
	if n := b.taken(); n != 0 {
		t.Errorf("%d places are lost", n)
	}
}
