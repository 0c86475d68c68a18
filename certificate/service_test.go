package certificate

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/dcc"
	"impfportal/certificate/signing"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/notify"
)

func TestMake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	if list := b.list(v); len(list) != 1 || list[0].State != StateMaking {
		t.Fatalf("before the worker began: %+v", list)
	}
	b.make(v)
	c := b.exactlyOne(v)
	if len(b.told) != 1 || !strings.Contains(b.told[0].Text, "https://portal.test/certificates") || !strings.Contains(b.told[0].Subject, dcc.Muster) || strings.Contains(b.told[0].Text, "Musterfrau") {
		t.Errorf("told %+v", b.told)
	}
	if e := c.Entry(); c.Payload.Name.FamilyStd != "MUSTERFRAU<GOESSINGER" || e.Dose != 2 || e.Issuer != b.Issuer || !strings.HasPrefix(e.ID, "URN:UVCI:01DE/LEIPZIG/") {
		t.Errorf("%+v", c.Payload)
	}
	for typed, want := range map[string]string{
		c.Entry().ID: v.RecordID, strings.ToLower(strings.TrimPrefix(c.Entry().ID, "URN:UVCI:")): v.RecordID, dcc.NewUVCI("leipzig"): "",
	} {
		if got, err := RecordOf(t.Context(), b.Pool, typed); err != nil || got != want {
			t.Errorf("%s is of record %q (%v), not %q", typed, got, err, want)
		}
	}
	if _, err := RecordOf(t.Context(), b.Pool, c.Entry().ID+"X"); !errors.Is(err, dcc.ErrUVCI) {
		t.Errorf("a typing error: %v", err)
	}
	b.make(v) // delivered twice
	if again := b.exactlyOne(v); again.HC1 != c.HC1 || len(b.told) != 1 {
		t.Error("the second delivery changed something")
	}
	// What lies in the database is sealed.
	var row []byte
	if err := b.Pool.QueryRow(t.Context(), `SELECT convert_to(c::text, 'UTF8') || claims || hc1 FROM certificate.certificate c`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"Musterfrau", "MUSTERFRAU", "1998-02-26", c.HC1[:40]} {
		if bytes.Contains(row, []byte(secret)) {
			t.Errorf("%q stands in the clear", secret)
		}
	}
	if _, err := b.Get(t.Context(), b.Pool, c.ID, id.New()); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody else got it: %v", err)
	}
	for _, bad := range []string{"", "1", "'; --"} {
		if _, err := b.Get(t.Context(), b.Pool, bad, v.PersonID); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Influenza gets no certificate and no error; nor does a record that is gone.
func TestMakeNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(func(v *Vaccination) { v.ProductID, v.DoseNumber, v.DosesTotal = "influvac", 1, 1 })
	b.make(v)
	if list := b.list(v); len(list) != 0 {
		t.Errorf("influenza: %+v", list)
	}
	b.make(Vaccination{RecordID: id.New()})
	gone := b.vaccinate(nil)
	if err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error { return b.Vault.Destroy(t.Context(), tx, gone.KeyID) }); err != nil {
		t.Fatal(err)
	}
	b.make(gone)
	b.put(Vaccination{RecordID: gone.RecordID, KeyID: gone.KeyID, Origin: gone.Origin, Vaccination: dcc.Vaccination{
		ProductID: "comirnaty", FamilyName: "Иванова", DoseNumber: 1, DosesTotal: 2, Day: gone.Day,
	}})
	b.make(gone)
	if n := b.count(`SELECT count(*) FROM certificate.certificate`); n != 0 {
		t.Errorf("%d certificates", n)
	}
}

// A certificate ends with the key of its record.
func TestEndsWithRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	if err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error { return b.Vault.Destroy(t.Context(), tx, v.KeyID) }); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate`); n != 0 {
		t.Errorf("%d certificates outlive the key", n)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for problem, change := range map[string]func(*Vaccination){
		"name":  func(v *Vaccination) { v.FamilyName = "Иванова" },
		"dose":  func(v *Vaccination) { v.ProductID = "janssen" },
		"dates": func(v *Vaccination) { v.Day = v.Day.AddDate(0, 0, 2) },
	} {
		v := b.vaccinate(change)
		b.make(v)
		b.make(v)
		if list := b.list(v); len(list) != 1 || list[0].State != StateRefused || list[0].Problem != problem {
			t.Errorf("%s: %+v", problem, list)
		}
		// The record is corrected, the next try makes the certificate.
		good := Vaccination{Vaccination: sample, Origin: v.Origin}
		good.RecordID, good.KeyID, good.PersonID = v.RecordID, v.KeyID, v.PersonID
		b.put(good)
		b.make(v)
		b.exactlyOne(v)
	}
	if len(b.told) != 0 { // the corrected records have no contact
		t.Errorf("told %+v", b.told)
	}
}

// A worker that dies between any two steps, also while others work on the
// same record, leaves exactly one certificate in the end.
func TestKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	steps := []func(context.Context, Vaccination) error{b.intend, b.sign, b.sequence, b.release}
	for done := range len(steps) + 1 {
		v := b.vaccinate(nil)
		for _, step := range steps[:done] {
			if err := step(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		if list := b.list(v); done < len(steps) && list[0].Ready() {
			t.Fatalf("ready after %d steps", done)
		}
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for range 100 { // one sequencer at a time: who is not it comes again
					if err := b.whole(v); err != nil {
						t.Errorf("after %d steps: %v", done, err)
					}
					if b.list(v)[0].Ready() {
						return
					}
				}
			})
		}
		wg.Wait()
		b.exactlyOne(v)
		if len(b.told) != done+1 {
			t.Fatalf("after %d steps: %d messages in all", done, len(b.told))
		}
	}
}

// Connections are cut at random moments, also within a step's transaction.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	killer, err := pgxpool.New(t.Context(), b.Pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close()
	for range 8 {
		v := b.vaccinate(nil)
		over := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for b.whole(v) != nil || !b.ready(v) { // as the tasks are re-driven
				}
			})
		}
		var kill sync.WaitGroup
		kill.Go(func() {
			for range 20 {
				select {
				case <-over:
					return
				default:
				}
				_, _ = killer.Exec(t.Context(), `
					SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					 WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%certificate%'`)
			}
		})
		wg.Wait()
		close(over)
		kill.Wait()
		b.retry(func() error { return b.Pool.Ping(t.Context()) })
		b.exactlyOne(v)
	}
}

func (b *bench) ready(v Vaccination) bool {
	var ready bool
	err := b.Pool.QueryRow(b.t.Context(), `SELECT state = 'released' FROM certificate.certificate WHERE record_id = $1`, v.RecordID).Scan(&ready)
	return err == nil && ready
}

func (b *bench) retry(fn func() error) {
	b.t.Helper()
	var err error
	for range 50 {
		if err = fn(); err == nil {
			return
		}
	}
	b.t.Fatal(err)
}

// A stored text that was changed in the database is never released; what was
// signed and revoked cannot be changed back.
func TestNeverReleasesWhatDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	for _, step := range []func(context.Context, Vaccination) error{b.intend, b.sign, b.sequence} {
		if err := step(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	for what, sql := range map[string]string{
		"another text":   `UPDATE certificate.certificate SET hc1 = '\x00' WHERE record_id = $1`,
		"other claims":   `UPDATE certificate.certificate SET claims = '\x00' WHERE record_id = $1`,
		"another issuer": `UPDATE certificate.certificate SET issuer_ref = 'centre:dresden' WHERE record_id = $1`,
		"a way back":     `UPDATE certificate.certificate SET state = 'signed', logged_at = NULL WHERE record_id = $1`,
		"another record": `UPDATE certificate.certificate SET record_id = gen_random_uuid() WHERE record_id = $1`,
	} {
		if _, err := b.Pool.Exec(t.Context(), sql, v.RecordID); !pg.Violates(err, "certificate_keep_signature") {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Somebody who may switch triggers off puts another genuine certificate
	// under the row: sealed with the right key, signed by the right signer.
	other := b.vaccinate(nil)
	b.make(other)
	text := b.exactlyOne(other).HC1
	err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
		key, err := b.Vault.Open(t.Context(), tx, v.KeyID)
		if err != nil {
			return err
		}
		for _, sql := range []string{
			`ALTER TABLE certificate.certificate DISABLE TRIGGER certificate_keep_signature`,
			`UPDATE certificate.certificate SET hc1 = $2 WHERE record_id = $1`,
			`ALTER TABLE certificate.certificate ENABLE TRIGGER certificate_keep_signature`,
		} {
			args := []any{}
			if strings.Contains(sql, "$1") {
				args = append(args, v.RecordID, key.Seal(sealHC1, []byte(text)))
			}
			if _, err := tx.Exec(t.Context(), sql, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Make(t.Context(), v.RecordID); !errors.Is(err, ErrDiffers) {
		t.Errorf("released another's certificate: %v", err)
	}
	if list := b.list(v); list[0].State != StateLogged {
		t.Errorf("state %s", list[0].State)
	}
}

func TestRepair(t *testing.T) {
	t.Parallel()
	b := setup(t)
	left := []Vaccination{b.vaccinate(nil), b.vaccinate(nil)}
	for i, v := range left {
		for _, step := range []func(context.Context, Vaccination) error{b.intend, b.sign, b.sequence}[:1+2*i] {
			if err := step(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := b.Repair(t.Context(), b.clock()); n != 0 || err != nil {
		t.Errorf("too early: %d, %v", n, err)
	}
	if n, err := b.Repair(t.Context(), b.clock().Add(2*stale)); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	b.make(left[0]) // its leaf has to be logged first
	for _, v := range left {
		b.exactlyOne(v)
	}
}

// A key that rolls over between intent and signature does not end what was
// begun, and old certificates stay verifiable.
func TestRollOverBetweenSteps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	if err := b.intend(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	cfg := keyConfig(t)
	b.Keys = openKeys(t, cfg) // another DSC
	b.make(v)
	b.exactlyOne(v)
	b.Keys = &signing.Keys{}
	w := b.vaccinate(nil)
	if err := b.Make(t.Context(), w.RecordID); !errors.Is(err, signing.ErrKeys) {
		t.Errorf("without keys: %v", err)
	}
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		production bool
		ok         bool
	}{
		{"MUSTER Impfportal", false, true},
		{"Robert Koch-Institut", true, true},
		{"Robert Koch-Institut", false, false},
		{"Muster Impfportal", true, false},
		{"", true, false},
		{strings.Repeat("ä", 81), true, false},
		{strings.Repeat("ä", 80), true, true},
	} {
		if _, err := New(Config{Issuer: c.name, Production: c.production}); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAnnounce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var to []notify.Recipient
	known := true
	b.Send = func(_ context.Context, _ pgx.Tx, r notify.Recipient, _ notify.Message) error {
		to = append(to, r)
		return vault.ErrDestroyed // gone meanwhile: no reason to hold the certificate back
	}
	b.Recipient = func(context.Context, pg.Querier, string) (notify.Recipient, bool, error) {
		return notify.Recipient{KeyID: "person", Phone: "+4915112345678", Lang: "en"}, known, nil
	}
	b.make(b.vaccinate(nil))
	known = false
	v := b.vaccinate(nil)
	b.make(v)
	b.make(b.vaccinate(func(v *Vaccination) { v.Email = "" }))    // cannot be reached
	b.make(b.vaccinate(func(v *Vaccination) { v.PersonID = "" })) // has no login
	want := []string{"person", v.KeyID}
	if got := []string{to[0].KeyID, to[1].KeyID}; len(to) != 2 || !slices.Equal(got, want) {
		t.Errorf("told %+v", to)
	}
}
