package notify

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A message for somebody whose registration ends in the same transaction has a
// key of its own: it is delivered after the person's key is gone, and its key
// ends with it, delivered or not.
func TestMessageUnderItsOwnKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t, func(_ *bundle, c *Config) { c.Local = true })
	keys := func() (n int) {
		t.Helper()
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM vault.key`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	b.inTx(t, func(tx pgx.Tx) error {
		if err := b.Send(ctx, tx, Recipient{Email: "a@example.org", Phone: "+4915123456789"}, hello); err != nil {
			return err
		}
		if err := b.Send(ctx, tx, Recipient{Postal: &Address{Name: "Erika Muster", Street: "Weg 1", Postcode: "04109", City: "Leipzig"}}, hello); err != nil {
			return err
		}
		return b.v.Destroy(ctx, tx, b.key.ID)
	})
	if n := keys(); n != 2 {
		t.Fatalf("%d keys for two messages", n)
	}
	for _, r := range b.rows(t) {
		if err := b.Deliver(ctx, r.ID); err != nil {
			t.Fatal(err)
		}
	}
	var sent, waits int
	for _, r := range b.rows(t) {
		switch r.State {
		case StateSent:
			sent++
		case StateQueued:
			waits++ // for the printer
		}
	}
	if sent != 2 || waits != 1 {
		t.Fatalf("%d sent, %d wait: %+v", sent, waits, b.rows(t))
	}
	run := func(now time.Time) {
		for _, r := range b.RetentionRules() {
			b.inTx(t, func(tx pgx.Tx) error { _, err := r.Run(ctx, tx, now, 30*24*time.Hour, 10); return err })
		}
	}
	run(testNow.AddDate(0, 0, 29))
	if n := len(b.rows(t)); n != 3 || keys() != 2 {
		t.Errorf("%d rows and %d keys, too early", n, keys())
	}
	// One way has failed and was sent again: its key is still needed.
	if _, err := b.pool.Exec(ctx, `UPDATE notify.message SET done_at = $1 WHERE channel = 'sms'`, testNow.AddDate(0, 0, 5)); err != nil {
		t.Fatal(err)
	}
	run(testNow.AddDate(0, 0, 31))
	if n := len(b.rows(t)); n != 2 || keys() != 1 {
		t.Errorf("%d rows and %d keys when the letter's time is over", n, keys())
	}
	run(testNow.AddDate(0, 0, 36))
	if n := len(b.rows(t)); n != 0 || keys() != 0 {
		t.Errorf("%d rows and %d keys are left", n, keys())
	}
}
