package issuer

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/registry"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff"
)

// A list that is refused changes nothing, and what came of it is stored.
func TestListsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(3)...)
	good := b.raw
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	for _, c := range []struct {
		problem string
		offer   func()
	}{
		{"signature", func() { b.offerAs(9, foreign, entriesOf(2)...) }},
		{"signature", func() { b.raw = append([]byte("x"), good...) }},
		{"rollback", func() {
			b.offerAs(0+1, b.key, entriesOf(2)...)
			b.exec(`UPDATE certificate.registry_head SET sequence = 5`)
		}},
		{"forked", func() { b.offerAs(5, b.key, entriesOf(2)...) }},
		{"expired", func() { b.offerAs(9, b.key, entriesOf(2)...); b.pass(25 * time.Hour) }},
		{"future", func() { b.offerAs(9, b.key, entriesOf(2)...); b.pass(-2 * time.Hour) }},
		{"too_large", func() { b.raw = make([]byte, registry.MaxBytes+1) }},
	} {
		c.offer()
		b.pull("refused", c.problem)
		if n := b.count(`SELECT count(*) FROM certificate.registry_entry WHERE state = 'listed'`); n != 3 {
			t.Fatalf("%s: %d entries", c.problem, n)
		}
	}
	b.err = errors.New("no route")
	b.pull("failed", "unreachable")
	if n := b.count(`SELECT count(*) FROM certificate.registry_pull`); n != 9 {
		t.Errorf("%d pulls are stored", n)
	}
}

// Not even a program that forgets to ask brings back an older list.
func TestTheDatabaseKnowsNoWayBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.publish(entriesOf(1)...)
	for _, sql := range []string{
		`UPDATE certificate.registry_head SET sequence = 1`, `UPDATE certificate.registry_head SET sha256 = '\x00'`, `DELETE FROM certificate.registry_head`,
	} {
		if _, err := b.Pool.Exec(t.Context(), sql); !pg.Violates(err, "registry_forward") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestUnchangedListIsNotAppliedTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.publish(entriesOf(3)...)
	same(t, []int{p.Added, p.Changed, p.Missing}, []int{3, 0, 0})
	b.pull("unchanged", "")
	moved := entriesOf(4)
	moved[1].Region = "DE-BE"
	p = b.publish(moved[1:]...)
	same(t, []int{p.Added, p.Changed, p.Missing, p.Held}, []int{1, 1, 1, 0})
}

// Who vanishes or loses the licence is suspended by the very pull that says so;
// claims that had only begun end.
func TestEntryThatVanishesOrLosesItsLicence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := entriesOf(6)
	b.publish(list...)
	for _, e := range list[:4] {
		b.active(e.ID)
	}
	b.ok(b.claim("A-004"))
	lost, ended := list[1], list[2]
	lost.Licence = registry.LicenceWithdrawn
	ended.To = registry.Day{Time: today(b.clock()).AddDate(0, 0, -1)}
	p := b.publish(lost, ended, list[3], list[5])
	if p.Suspended != 4 {
		t.Errorf("%d suspended", p.Suspended)
	}
	for entryID, want := range map[string]string{"A-000": "suspended gone", "A-001": "suspended licence", "A-002": "suspended licence", "A-003": "active ", "A-004": "ended gone"} {
		if i := b.byEntry(entryID); i.State+" "+i.Why != want {
			t.Errorf("%s: %s %s, want %s", entryID, i.State, i.Why, want)
		}
	}
	if err := b.attempt(b.byEntry("A-000")); !errors.Is(err, ErrSuspended) {
		t.Errorf("issues on: %v", err)
	}
	for _, channel := range []string{"email", "letter"} {
		if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.suspended' AND channel = $1`, channel); n != 3 {
			t.Errorf("%d messages by %s", n, channel)
		}
	}
	slices.Sort(b.says[4:])
	same(t, b.says[4:], []string{"suspension gone", "suspension licence", "suspension licence"})
}

// A validity that ends by itself takes effect without a new list: at once for
// every attempt, and for the state within a minute.
func TestValidityThatRunsOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := entry("A-001")
	e.To = registry.Day{Time: today(b.clock())}
	b.publish(e)
	i := b.active(e.ID)
	b.ok(b.attempt(i))
	b.pass(24 * time.Hour)
	if err := b.attempt(i); !errors.Is(err, ErrSuspended) {
		t.Errorf("attempt: %v", err)
	}
	if _, err := b.Look(t.Context(), b.clock()); err != nil || b.state(e.ID) != Suspended {
		t.Errorf("%s %v", b.state(e.ID), err)
	}
}

// Another address, name or key is another place until a code came back from
// there: the old approval does not cover it.
func TestChangedEntryReopensTheVerification(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := entriesOf(4)
	b.publish(list...)
	for _, e := range list {
		b.active(e.ID)
	}
	list[0].Street = "Neumarkt 5"
	list[1].Keys = append(list[1].Keys, entry("Z-999").Keys...)
	list[2].Region = "DE-BE"
	b.publish(list...)
	for entryID, want := range map[string]string{"A-000": Suspended, "A-001": Suspended, "A-002": Active, "A-003": Active} {
		if b.state(entryID) != want {
			t.Errorf("%s: %s", entryID, b.state(entryID))
		}
	}
	i := b.byEntry("A-000")
	if _, err := b.Propose(t.Context(), i.ID, "ohne Code", b.desk.Approvers[0].AccountID); !errors.Is(err, ErrState) {
		t.Errorf("proposed without a code: %v", err)
	}
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	if i = b.byEntry("A-000"); i.State != Suspended || i.Reverify {
		t.Errorf("after the code: %+v", i)
	}
	b.activate("A-000")
	b.ok(b.attempt(i))
}

// A place that changed may be in other hands: who holds the new letter gets the account,
// and who had access before has none any more, also when it goes on.
func TestFormerOperatorsGoWithTheChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := entry("A-000")
	b.publish(e, entry("A-001"))
	i := b.active("A-000")
	before, err := accounts(t.Context(), b.Pool, i.ID)
	b.ok(err)
	app := b.app()
	former := b.asOperator(app, i)
	b.wants(former.Get("/issuer"), 200)
	b.pass(20 * 24 * time.Hour)
	e.Name, e.Street = "Apotheke der Nachfolgerin MUSTER", "Neumarkt 5"
	b.publish(e, entry("A-001"))
	b.letters()
	made, err := b.Prove(t.Context(), Proof{EntryID: "A-000", Code: b.secret("A-000"), Contact: Contact{"n@example.org", "Nora Nachfolge"}, Lang: "de", Network: id.New()})
	b.ok(err)
	if made.Login == "" || made.Code == "" {
		t.Errorf("the holder of the letter gets no account: %+v", made)
	}
	b.activate("A-000")
	if l, _, err := LimitsOf(t.Context(), b.Pool, i.ID, b.clock()); err != nil || l.Hourly != 20 {
		t.Errorf("what may the new owner: %+v, %v", l, err)
	}
	now, err := accounts(t.Context(), b.Pool, i.ID)
	b.ok(err)
	for _, a := range now {
		if wasThere := slices.ContainsFunc(before, func(x Account) bool { return x.ID == a.ID }); wasThere != a.Disabled {
			t.Errorf("%+v, there before: %v", a, wasThere)
		}
	}
	for _, a := range before {
		if err := b.Staff.Disable(t.Context(), a.ID, false, &web.User{Kind: "staff", ID: b.desk.Approvers[0].AccountID}); !errors.Is(err, staff.ErrNotFound) {
			t.Errorf("one administrator brings a former operator back: %v", err)
		}
	}
	if n := b.count(`SELECT count(*) FROM web.session WHERE subject = $1`, before[0].ID); n != 0 {
		t.Errorf("%d sessions of a former operator", n)
	}
}

// Two people decide about one place: what one of them approved does not let another
// place work that has come to stand under the number since.
func TestApprovalsAreOfOnePlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := entry("A-000")
	b.publish(e, entry("A-001"))
	i := b.active("A-000")
	e.Licence = registry.LicenceSuspended
	b.publish(e, entry("A-001"))
	e.Licence = registry.LicenceValid
	b.publish(e, entry("A-001"))
	proposal, err := b.Propose(t.Context(), i.ID, "Zulassung ist wieder da", b.desk.Approvers[0].AccountID)
	b.ok(err)
	b.ok(b.desk.ApproveBy(b.desk.Approvers[0], proposal))
	e.Name, e.Street = "Apotheke der Nachfolgerin MUSTER", "Neumarkt 5"
	b.publish(e, entry("A-001"))
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	if err := b.desk.ApproveBy(b.desk.Approvers[1], proposal); err == nil || b.state("A-000") != Suspended {
		t.Errorf("%s, %v", b.state("A-000"), err)
	}
	// Another kind of place under the same number is nobody whom they know.
	e.Kind = registry.Practice
	b.publish(e, entry("A-001"))
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	if _, err := b.Propose(t.Context(), i.ID, "heißt jetzt Praxis", b.desk.Approvers[0].AccountID); !errors.Is(err, ErrState) {
		t.Errorf("%v", err)
	}
	b.exec(`UPDATE certificate.issuer SET state = 'ended' WHERE id = $1`, i.ID)
	b.pass(time.Second)
	b.ok(b.claim("A-000"))
	if again := b.byEntry("A-000"); again.Kind != registry.Practice {
		t.Error(again.Kind)
	}
}

// One administrator alone cannot take the place of an active issuer's people.
func TestAdministratorHandsOutNoCodeOfAnActiveIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	i := b.active("A-000")
	own, err := accounts(t.Context(), b.Pool, i.ID)
	b.ok(err)
	may := func() error {
		return pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error { return b.MaySetUp(t.Context(), tx, own[0].ID) })
	}
	var p *web.Problem
	if err := may(); !errors.As(err, &p) || p.Key != "issuer.error.set_up" {
		t.Errorf("active: %v", err)
	}
	b.exec(`UPDATE certificate.issuer SET state = 'paused', why = 'admin' WHERE id = $1`, i.ID)
	b.ok(may())
	// What was handed out meanwhile ends when it goes on: nobody has seen that key.
	b.ok(pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
		_, err := b.Keys.NewCode(t.Context(), tx, own[0].ID, time.Hour, "staff:"+b.desk.Approvers[0].AccountID)
		return err
	}))
	b.activate("A-000")
	if n := b.count(`SELECT count(*) FROM staff.enrolment WHERE account_id = $1 AND used_at IS NULL AND expires_at > $2`, own[0].ID, b.clock()); n != 0 {
		t.Errorf("%d codes outlive the approval", n)
	}
}

// A list that loses too many at once is probably a mistake: the vanished wait,
// until an administrator has looked, the list is mended, or the day ends. Who lost
// the licence does not wait.
func TestImplausibleListIsHeld(t *testing.T) {
	t.Parallel()
	list := entriesOf(40)
	begin := func(t *testing.T) *bench {
		b := setup(t)
		b.publish(list...)
		b.active("A-000")
		b.active("A-039")
		short := append([]registry.Entry{}, list[10:]...)
		short[29].Licence = registry.LicenceSuspended
		p := b.publish(short...)
		if p.Held != 10 || p.Suspended != 1 || b.state("A-000") != Active || b.state("A-039") != Suspended {
			t.Fatalf("%+v, %s", p, b.state("A-000"))
		}
		if err := b.claim("A-001"); !errors.Is(err, ErrUnknown) {
			t.Errorf("claimed an entry that is held: %v", err)
		}
		return b
	}
	t.Run("confirmed", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		n, suspended, err := b.Confirm(t.Context(), "staff:"+id.New())
		if err != nil || n != 10 || suspended != 1 || b.state("A-000") != Suspended {
			t.Errorf("%d %d %v", n, suspended, err)
		}
		if _, _, err := b.Confirm(t.Context(), "staff:"+id.New()); !errors.Is(err, ErrState) {
			t.Errorf("twice: %v", err)
		}
	})
	t.Run("mended", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.publish(list...)
		if n, _, _ := Held(t.Context(), b.Pool); n != 0 || b.state("A-000") != Active {
			t.Errorf("%d held, %s", n, b.state("A-000"))
		}
	})
	t.Run("the same day", func(t *testing.T) {
		t.Parallel()
		b := begin(t)
		b.pass(13 * time.Hour) // 23:00 in Berlin
		if n, err := b.Look(t.Context(), b.clock()); err != nil || n != 0 {
			t.Errorf("%d %v", n, err)
		}
		b.pass(45 * time.Minute)
		if n, err := b.Look(t.Context(), b.clock()); err != nil || n != 1 || b.state("A-000") != Suspended {
			t.Errorf("%d %v", n, err)
		}
	})
}

// An old list carries nobody new, after a day of grace.
func TestStaleRegistryFailsClosed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.claim("A-000"); !errors.Is(err, ErrRegistry) {
		t.Errorf("without a list: %v", err)
	}
	b.publish(entriesOf(3)...)
	i := b.active("A-000")
	b.pass(25 * time.Hour)
	if h, err := b.Head(t.Context(), b.Pool); err != nil || !h.Stale(b.clock()) {
		t.Errorf("not stale: %v", err)
	}
	b.ok(b.claim("A-001"))
	b.pass(24 * time.Hour)
	if err := b.claim("A-002"); !errors.Is(err, ErrRegistry) {
		t.Errorf("after the grace: %v", err)
	}
	b.ok(b.attempt(i)) // who is active goes on
}
