package certificate

import (
	"testing"
	"time"
)

// What is asked for during a stop waits, and is made by itself afterwards,
// oldest first; nothing is signed meanwhile, by task, repair or drain.
func TestDrain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	var waiting []Vaccination
	for range 5 {
		v := b.vaccinate(nil)
		b.make(v)
		waiting = append(waiting, v)
	}
	later := b.clock().Add(2 * stale)
	if n, err := b.Repair(t.Context(), later); n != 0 || err != nil {
		t.Errorf("the repair takes what waits: %d, %v", n, err)
	}
	if _, err := b.Drain(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE state = 'intent' AND waiting_since IS NOT NULL`); n != len(waiting) {
		t.Fatalf("%d wait", n)
	}
	f, err := b.Count(t.Context(), b.Pool, later)
	if err != nil || f.Waiting != len(waiting) || f.Late != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	if list := b.list(waiting[0]); list[0].State != StateIntent || len(b.told) != 0 {
		t.Errorf("%+v, told %d", list, len(b.told))
	}
	b.mu.Lock()
	b.stopped = false
	b.mu.Unlock()
	// No row of a stop has changed here: the look at all that waits comes within a minute.
	if n, err := b.Drain(t.Context(), later.Add(time.Second)); n != 0 || err != nil {
		t.Errorf("too early: %d, %v", n, err)
	}
	if n, err := b.Drain(t.Context(), later.Add(drainAnyway)); n != len(waiting) || err != nil {
		t.Errorf("%d made, %v", n, err)
	}
	for _, v := range waiting {
		b.make(v)
		b.exactlyOne(v)
	}
	if len(b.told) != len(waiting) {
		t.Errorf("%d were told", len(b.told))
	}
}

// What an issuer recorded before it turned out that it must not issue waits, also when
// no stop applies any more; what replaces a certificate is made all the same.
func TestHeldIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	queued := b.vaccinate(func(v *Vaccination) { v.IssuerRef, v.IssuerKind = "issuer:invented", "pharmacy" })
	genuine := b.vaccinate(func(v *Vaccination) { v.IssuerRef, v.IssuerKind = "issuer:real", "pharmacy" })
	b.make(queued)
	b.make(genuine)
	b.mu.Lock()
	b.stopped, b.held = false, map[string]bool{"issuer:invented": true}
	b.mu.Unlock()
	later := b.clock().Add(drainAnyway)
	if _, err := b.Drain(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE digest IS NOT NULL AND issuer_ref = 'issuer:invented'`); n != 0 {
		t.Error("a certificate of an issuer that may not issue was signed")
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1 AND state = 'intent' AND waiting_since IS NOT NULL`, queued.RecordID); n != 1 {
		t.Error("it does not wait")
	}
	b.make(genuine)
	b.exactlyOne(genuine)
	// The genuine one ends too: a holder who has a certificate gets the next one.
	b.mu.Lock()
	b.held["issuer:real"] = true
	b.mu.Unlock()
	genuine = b.correct(genuine, func(v *Vaccination) { v.GivenName = "Gabi" })
	b.make(genuine)
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1 AND version = 2 AND state = 'released'`, genuine.RecordID); n != 1 {
		t.Error("a holder is left without")
	}
	b.mu.Lock()
	clear(b.held)
	b.mu.Unlock()
	if _, err := b.Drain(t.Context(), later.Add(drainAnyway)); err != nil {
		t.Fatal(err)
	}
	b.make(queued)
	b.exactlyOne(queued)
}

// What could not be made counts against the error budget of a return, once.
func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(func(v *Vaccination) { v.FamilyName = "Иванова" })
	b.make(v)
	b.make(v)
	if len(b.failures) != 1 || b.failures[0] != "centre:leipzig" {
		t.Errorf("%v", b.failures)
	}
}
