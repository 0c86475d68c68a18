package issuer

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/certificate/issuer/registry"
	"impfportal/internal/code"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// knownCode makes a code of 18 characters and its check characters.
func knownCode(text string) string {
	b := make([]byte, codeLen)
	for i := range text {
		b[i] = byte(strings.IndexByte(code.Alphabet, text[i]))
	}
	return code.Of(b, codeLen)
}

// otherCode is a code with good check characters that nobody was given.
func otherCode() string { return code.New(codeLen) }

func TestFromClaimToProof(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim(" a-000 "))
	if b.state("A-000") != Claimed {
		t.Fatal(b.state("A-000"))
	}
	b.letters()
	b.letters() // a task may come twice
	if b.state("A-000") != Sent || b.count(`SELECT count(*) FROM certificate.issuer_code`) != 1 {
		t.Fatal(b.state("A-000"))
	}
	// The letter goes by post, to the registry's address and nowhere else.
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.code' AND channel = 'letter'`); n != 1 || b.count(`SELECT count(*) FROM notify.message`) != 1 {
		t.Errorf("%d letters", n)
	}
	secret := b.secret("A-000")
	b.ok(b.prove("A-000", strings.ToLower(code.Print(secret))))
	i := b.byEntry("A-000")
	if i.State != Proven {
		t.Error(i.State)
	}
	// The contact of whoever held the letter counts.
	if c, err := b.contactOf(t.Context(), b.Pool, i); err != nil || c.Name != "Olga Offizin" {
		t.Errorf("%+v %v", c, err)
	}
	if err := b.prove("A-000", secret); !errors.Is(err, ErrCode) {
		t.Errorf("the code twice: %v", err)
	}
}

// Whoever read the code in the letter gave their own e-mail address. The place itself hears
// of its activation by post; of a pause that is over only the contact does.
func TestThePlaceHearsOfItsActivation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	i := b.active("A-000")
	b.exec(`UPDATE certificate.issuer SET state = 'paused', why = 'admin' WHERE id = $1`, i.ID)
	b.activate("A-000")
	for channel, want := range map[string]int{"email": 2, "letter": 1} {
		if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.active' AND channel = $1`, channel); n != want {
			t.Errorf("%d by %s, want %d", n, channel, want)
		}
	}
}

// An invented id ends at once: no account, no claim, nothing but a number.
func TestInventedID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	keys := b.count(`SELECT count(*) FROM vault.key`)
	for range 2 {
		if err := b.claim("ADLER-APOTHEKE-1"); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT count(*) FROM certificate.issuer`) + b.count(`SELECT count(*) FROM vault.key`) - keys + b.count(`SELECT count(*) FROM jobs.outbox`); n != 0 {
		t.Errorf("%d rows", n)
	}
	if n := b.count(`SELECT n FROM certificate.issuer_unknown`); n != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestExpiredLicenceCannotBeClaimed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := entriesOf(3)
	list[0].Licence = registry.LicenceSuspended
	list[1].To = registry.Day{Time: today(b.clock()).AddDate(0, 0, -1)}
	list[2].From = registry.Day{Time: today(b.clock()).AddDate(0, 0, 1)}
	b.publish(list...)
	for _, e := range list {
		if err := b.claim(e.ID); !errors.Is(err, ErrNoLicence) {
			t.Errorf("%s: %v", e.ID, err)
		}
	}
}

// Who claims second gets the same answer and changes nothing: one claim, one letter.
func TestTwoClaimsOfOneEntry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for n := range errs {
		wg.Go(func() { errs[n] = b.claim("A-000") })
	}
	wg.Wait()
	b.ok(errors.Join(errs...))
	b.letters()
	b.ok(b.claim("A-000"))
	b.letters()
	b.active2(t)
	b.ok(b.claim("A-000")) // active: still the same answer
	b.letters()
	if n, m := b.count(`SELECT count(*) FROM certificate.issuer`), b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.code'`); n != 1 || m != 1 {
		t.Errorf("%d issuers, %d letters", n, m)
	}
}

func (b *bench) active2(t *testing.T) {
	t.Helper()
	b.ok(b.prove("A-000", b.secret("A-000")))
	b.activate("A-000")
}

// A letter that got lost is sent again after a week, with another code; three
// letters a month are the most that somebody can be annoyed with.
func TestLetterAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	letters := func() int { return b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.code'`) }
	var old string
	for n, want := range []int{1, 2, 3, 3} {
		b.offer(entriesOf(1)...)
		b.pull("applied", "")
		b.ok(b.claim("A-000"))
		b.letters()
		if letters() != want {
			t.Fatalf("claim %d: %d letters", n+1, letters())
		}
		if n == 0 {
			old = b.secret("A-000")
		}
		b.pass(letterAgain + time.Minute)
	}
	if err := b.prove("A-000", old); !errors.Is(err, ErrCode) {
		t.Errorf("the first letter's code: %v", err)
	}
}

// Ten wrong codes void the right one; a typing error is no try.
func TestBruteForce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim("A-000"))
	b.letters()
	secret := b.secret("A-000")
	typo := []byte(secret)
	typo[3] = map[bool]byte{true: '4', false: '3'}[typo[3] == '3']
	for range 30 {
		if err := b.prove("A-000", string(typo)); !errors.Is(err, ErrCode) {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT tries FROM certificate.issuer_code`); n != 0 {
		t.Errorf("%d tries after typing errors", n)
	}
	// Who does not know the code cannot keep the place out by typing.
	for range 30 {
		if err := b.prove("A-000", otherCode()); !errors.Is(err, ErrCode) {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT tries FROM certificate.issuer_code`); n != 30 {
		t.Errorf("%d tries are counted", n)
	}
	if err := b.prove("A-000", secret); err != nil || b.state("A-000") != Proven {
		t.Errorf("the right code afterwards: %v, %s", err, b.state("A-000"))
	}
}

func TestNetworkIsLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(30)...)
	var refused int
	for n := range claimsPerNetwork + 5 {
		err := b.Claim(t.Context(), Claim{EntryID: fmt.Sprintf("A-%03d", n), Lang: "de", Network: "192.0.2.7"})
		if errors.Is(err, ErrTooMany) {
			refused++
		} else {
			b.ok(err)
		}
	}
	for range codesPerNetwork + 5 {
		_, err := b.Prove(t.Context(), Proof{EntryID: "A-000", Code: otherCode(), Network: "192.0.2.7"})
		if errors.Is(err, ErrTooMany) {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d refused", refused)
	}
}

// Wrong codes are answered alike, whatever stands behind the entry.
func TestCodesTellNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(4)...)
	b.active("A-000")
	b.ok(b.claim("A-001"))
	b.letters()
	b.ok(b.claim("A-002"))
	for _, e := range []string{"A-000", "A-001", "A-002", "A-003", "NOBODY"} {
		if err := b.prove(e, otherCode()); !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v", e, err)
		}
	}
}

// The holder of the letter can end a claim that somebody else began; the entry is
// free then.
func TestNotAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim("A-000"))
	b.letters()
	secret := b.secret("A-000")
	if _, err := b.Prove(t.Context(), Proof{EntryID: "A-000", Code: secret, Network: id.New(), Refuse: true}); err != nil || b.state("A-000") != Ended {
		t.Fatalf("%v %s", err, b.state("A-000"))
	}
	if err := b.prove("A-000", secret); !errors.Is(err, ErrCode) {
		t.Error(err)
	}
	b.pass(time.Minute)
	b.active("A-000")
}

func TestCodeExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(1)...)
	b.ok(b.claim("A-000"))
	b.letters()
	secret := b.secret("A-000")
	b.pass(codeTTL)
	if err := b.prove("A-000", secret); !errors.Is(err, ErrCode) {
		t.Error(err)
	}
	b.ok(b.expire(t.Context(), b.clock()))
	if b.state("A-000") != Ended {
		t.Error(b.state("A-000"))
	}
}

// The database alone keeps the ways of the states and the two approvals.
func TestStatesAreKeptByTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake()
	b.publish(entriesOf(2)...)
	b.ok(b.claim("A-000"))
	b.letters()
	b.ok(b.prove("A-000", b.secret("A-000")))
	i, other := b.byEntry("A-000"), id.New()
	try := func(name, constraint, set string, args ...any) {
		t.Helper()
		_, err := b.Pool.Exec(t.Context(), `UPDATE certificate.issuer SET `+set+` WHERE id = $1`, append([]any{i.ID}, args...)...)
		if !pg.Violates(err, constraint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	const active = `state = 'active', activated_at = now(), approval = $2`
	try("without a proposal", "issuer_two_approved", `state = 'active', activated_at = now()`)
	try("an unapproved one", "issuer_two_approved", active, id.New())
	try("of another kind", "issuer_two_approved", active, b.approved("issuer.resume", i.ID, `{}`))
	try("of another issuer", "issuer_two_approved", active, b.approved("issuer.activate", other, `{}`))
	try("a jump", "issuer_guard", `state = 'paused', activated_at = now(), approval = $2`, other)
	try("back", "issuer_guard", `state = 'claimed'`)
	try("another entry", "issuer_guard", `entry_id = 'A-001'`)
	try("an approval by the way", "issuer_guard", `approval = $2`, other)
	if _, err := b.Pool.Exec(t.Context(), `INSERT INTO certificate.issuer (id, entry_id, kind, region, state, since, key_id, contact, lang, created_at, proven_at, activated_at, approval)
		SELECT $1, 'A-001', kind, region, 'active', since, key_id, contact, lang, created_at, now(), now(), $1 FROM certificate.issuer`, other); !pg.Violates(err, "issuer_guard") {
		t.Errorf("born active: %v", err)
	}
	p := b.approved("issuer.activate", i.ID, `{}`)
	b.exec(`UPDATE certificate.issuer SET `+active+` WHERE id = $1`, i.ID, p)
	b.exec(`UPDATE certificate.issuer SET state = 'paused' WHERE id = $1`, i.ID)
	try("the activation again", "issuer_two_approved", active, p)
	r := b.approved("issuer.resume", i.ID, `{}`)
	b.exec(`UPDATE certificate.issuer SET `+active+` WHERE id = $1`, i.ID, r)
	b.exec(`UPDATE certificate.issuer SET state = 'paused' WHERE id = $1`, i.ID)
	try("one resumption twice", "issuer_approval_pk", active, r)
	b.exec(`UPDATE certificate.registry_entry SET licence = 'suspended' WHERE id = 'A-000'`)
	try("without a licence", "issuer_listed", active, b.approved("issuer.resume", i.ID, `{}`))
}
