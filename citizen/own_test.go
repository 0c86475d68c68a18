package citizen

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/await"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/retention"
)

func TestChangeContactTellsTheOldOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	r := b.register(erika())
	ct := Contact{Email: "neu@example.org", Lang: "de"}
	ct.Address.Postcode = "01067"
	p, err := b.ChangeContact(ctx, r.Person.ID, ct, "citizen:x", "citizen")
	if err != nil {
		t.Fatal(err)
	}
	if p.Email != "neu@example.org" || p.Phone != "" || p.FamilyName != "Müller" || !p.ContactChangedAt.Equal(opening) {
		t.Errorf("%+v", p)
	}
	for _, m := range b.messages() {
		if m.Kind != "citizen.contact_changed" || m.To == "neu@example.org" {
			t.Errorf("told %+v", m)
		}
	}
	if n := len(b.messages()); n != 2 {
		t.Errorf("%d messages to the old contact, want e-mail and SMS", n)
	}
	if found, err := b.Search(ctx, b.pool, SearchQuery{Family: "Müller", Postcode: "01067"}); err != nil || len(found) != 1 {
		t.Errorf("not found under the new postcode: %v", err)
	}
	var invalid Invalid
	if _, err := b.ChangeContact(ctx, r.Person.ID, Contact{}, "citizen:x", "citizen"); !errors.As(err, &invalid) {
		t.Errorf("no contact at all: %v", err)
	}
}

func TestDeleteOnRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	r := b.register(erika())
	b.books(map[string]bool{r.Person.ID: true})
	if err := b.Delete(ctx, r.Person.ID, "citizen:x", "citizen"); !errors.Is(err, ErrStanding) {
		t.Fatalf("with an appointment: %v", err)
	}
	b.books(nil)
	if err := b.Delete(ctx, r.Person.ID, "citizen:x", "citizen"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Vault.Open(ctx, b.pool, r.Person.KeyID); !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("key: %v", err)
	}
	if _, err := b.Person(ctx, b.pool, r.Person.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("person: %v", err)
	}
	if _, err := b.Login(ctx, r.CaseNumber, r.Secret); !errors.Is(err, ErrLogin) {
		t.Errorf("login: %v", err)
	}
	if err := b.Delete(ctx, r.Person.ID, "citizen:x", "citizen"); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if again := b.register(erika()); again.Duplicate {
		t.Error("who has deleted everything cannot register again")
	}
	b.work() // the task of the deleted one does nothing
}

// A hold that is under way keeps a registration from being deleted under it.
func TestDeleteWaitsForAHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	r := b.register(erika())
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if err := lockForBooking(ctx, tx, r.Person.ID); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Delete(ctx, r.Person.ID, "citizen:x", "citizen") }()
	await.True(t, "the other one waits for the lock", func() bool {
		return b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	b.books(map[string]bool{r.Person.ID: true}) // the hold is committed
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrStanding) {
		t.Errorf("deleted under a hold: %v", err)
	}
}

// lockForBooking does what a hold does before it writes.
func lockForBooking(ctx context.Context, tx pgx.Tx, personID string) error {
	b := &pgx.Batch{}
	LockForBooking(b, personID)
	return LockError(tx.SendBatch(ctx, b).Close())
}

func TestRetention(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	reg := func(name string) Registered {
		in := erika()
		in.GivenName = name
		return b.register(in)
	}
	lapsed, booked, cancelled, vaccinated := reg("Anna"), reg("Berta"), reg("Clara"), reg("Dora")
	b.books(map[string]bool{booked.Person.ID: true})
	if err := SeriesDone(ctx, b.pool, vaccinated.Person.ID, opening.AddDate(0, 0, 5)); err != nil {
		t.Fatal(err)
	}
	if err := Touch(ctx, b.pool, cancelled.Person.ID, opening.AddDate(0, 0, 10)); err != nil {
		t.Fatal(err)
	}
	svc := retention.New(b.pool, b.Now, b.RetentionRules())
	alive := func(r Registered) bool {
		_, err := b.Person(ctx, b.pool, r.Person.ID)
		return err == nil
	}
	for _, c := range []struct {
		day                                   int // after the opening
		lapsed, booked, cancelled, vaccinated bool
	}{
		{13, true, true, true, true},
		{15, false, true, true, true}, // 14 days
		{20, false, true, true, true},
		{36, false, true, true, false}, // 30 days after the last dose; from 1 February the policy says six months
		{200, false, true, false, false},
	} {
		b.set(opening.AddDate(0, 0, c.day))
		results, err := svc.Run(ctx, b.Now(), nil)
		if err != nil {
			t.Fatalf("day %d: %v %v", c.day, err, results)
		}
		if alive(lapsed) != c.lapsed || alive(booked) != c.booked || alive(cancelled) != c.cancelled || alive(vaccinated) != c.vaccinated {
			t.Errorf("day %d: lapsed %v, booked %v, cancelled %v, vaccinated %v", c.day, alive(lapsed), alive(booked), alive(cancelled), alive(vaccinated))
		}
	}
	b.set(opening.AddDate(0, 0, 230))
	if _, err := svc.Run(ctx, b.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM citizen.person`); n != 1 {
		t.Errorf("%d rows are left, want the booked one", n)
	}
}

// A bare row to which something still refers stays, and the others go.
func TestClosedRowsWithReferencesStay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	var ids []string
	for _, name := range []string{"Anna", "Berta", "Clara"} {
		in := erika()
		in.GivenName = name
		r := b.register(in)
		ids = append(ids, r.Person.ID)
		if err := b.Delete(ctx, r.Person.ID, "citizen:x", "citizen"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.pool.Exec(ctx, `CREATE TABLE refers (person_id uuid REFERENCES citizen.person (id))`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(ctx, `INSERT INTO refers VALUES ($1)`, ids[1]); err != nil {
		t.Fatal(err)
	}
	err := pg.InTx(ctx, b.pool, func(tx pgx.Tx) error {
		n, err := purgeClosed(ctx, tx, opening.AddDate(0, 0, 15), 0, 100)
		if n != 2 {
			t.Errorf("%d deleted, want 2", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM citizen.person`); n != 1 {
		t.Errorf("%d rows are left", n)
	}
}
