package notify

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
)

func TestEmailAndSMS(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var mail *mailServer
	var sms *twilioStandIn
	b := setup(t, func(b *bundle, c *Config) {
		mail = startMail(t, c)
		sms = startTwilio(t, b.clock)
		c.Twilio = twilioConfig(sms)
	})
	b.send(t, Recipient{Email: "a@example.org", Phone: "+4915123456789", Lang: "de"}, hello)
	for _, r := range b.rows(t) {
		if r.State != StateQueued {
			t.Fatalf("%+v", r)
		}
		for range 3 { // a task that runs again changes nothing
			if err := b.Deliver(ctx, r.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range b.rows(t) {
		if r.State != StateSent || r.ProviderID == nil || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	}
	if len(mail.mails) != 1 || len(sms.sent()) != 1 {
		t.Fatalf("%d e-mails, %d SMS", len(mail.mails), len(sms.sent()))
	}
	for _, want := range []string{"Subject: =?UTF-8?", "To: <a@example.org>", "Auto-Submitted: auto-generated", "Message-ID: <", "@example.org>", "filename=", "Date: Mon, 18 Jan 2021"} {
		if !strings.Contains(mail.mails[0], want) {
			t.Errorf("e-mail lacks %q:\n%s", want, mail.mails[0])
		}
	}
	if got := sms.sent()[0]; got["body"] != "Termin am 25.01. - bis dann" || got["to"] != "+4915123456789" {
		t.Error(got)
	}
	var kept int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM notify.message WHERE sealed IS NOT NULL`).Scan(&kept); err != nil || kept != 0 {
		t.Errorf("%d contents kept after sending, %v", kept, err)
	}
}

// The content must not be readable in the database.
func TestSealed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.send(t, Recipient{Email: "geheim@example.org", Postal: &Address{Name: "Geheim", Street: "Geheim 1", Postcode: "01067", City: "Dresden"}},
		Message{Kind: "k", Subject: "Geheim", Text: "Geheim", ByPost: true})
	var n int
	err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM notify.message m WHERE m::text ILIKE '%geheim%' OR position('eheim'::bytea IN sealed) > 0`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d rows show their content, %v", n, err)
	}
}

func TestSMTPRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err       *smtp.SMTPError
		state     string
		code      string
		wantError bool
	}{
		"for ever": {&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<a@example.org> unknown"}, StateFailed, "smtp 550", false},
		"for now":  {&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "a@example.org later"}, StateQueued, "smtp 451", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mail *mailServer
			b := setup(t, func(_ *bundle, cfg *Config) { mail = startMail(t, cfg) })
			mail.reject = func() error { return c.err }
			b.send(t, Recipient{Email: "a@example.org"}, hello)
			err := b.Deliver(context.Background(), b.rows(t)[0].ID)
			if (err != nil) != c.wantError || err != nil && strings.Contains(err.Error(), "example.org") {
				t.Errorf("error %v", err)
			}
			r := b.rows(t)[0]
			if r.State != c.state || r.Error != c.code {
				t.Errorf("%+v", r)
			}
			if c.state == StateFailed {
				mail.reject = nil
				if err := b.Resend(context.Background(), r.ID, "staff:x", "admin"); err != nil {
					t.Fatal(err)
				}
			}
			mail.mu.Lock()
			mail.reject = nil
			mail.mu.Unlock()
			if err := b.Deliver(context.Background(), r.ID); err != nil {
				t.Fatal(err)
			}
			if r := b.rows(t)[0]; r.State != StateSent || r.Attempts != 2 {
				t.Errorf("%+v", r)
			}
			if err := b.Resend(context.Background(), r.ID, "staff:x", "admin"); !errors.Is(err, ErrNotFound) {
				t.Errorf("a sent message was sent again: %v", err)
			}
		})
	}
}

func TestGivesUpAfterADay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil) // no mail server at all
	b.send(t, Recipient{Email: "a@example.org"}, hello)
	mid := b.rows(t)[0].ID
	if err := b.Deliver(context.Background(), mid); err == nil {
		t.Fatal("delivered without a server")
	}
	if r := b.rows(t)[0]; r.State != StateQueued || r.Error != "smtp not set up" {
		t.Fatalf("%+v", r)
	}
	b.wait(25 * time.Hour)
	if err := b.Deliver(context.Background(), mid); err != nil {
		t.Fatal(err)
	}
	if r := b.rows(t)[0]; r.State != StateFailed {
		t.Errorf("%+v", r)
	}
	figures, err := Count(context.Background(), b.pool, testNow)
	if err != nil || figures[0].Failed != 1 {
		t.Errorf("%+v, %v", figures, err)
	}
}

func TestTwilioRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status, code int
		state        string
	}{
		"bad number":  {400, 21211, StateFailed},
		"too many":    {429, 20429, StateQueued},
		"login":       {401, 20003, StateQueued},
		"their fault": {503, 20500, StateQueued},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sms *twilioStandIn
			b := setup(t, func(b *bundle, cfg *Config) {
				sms = startTwilio(t, b.clock)
				cfg.Twilio = twilioConfig(sms)
			})
			sms.fail = func() (int, int) { return c.status, c.code }
			b.send(t, Recipient{Phone: "+4915123456789"}, hello)
			err := b.Deliver(context.Background(), b.rows(t)[0].ID)
			if err != nil && strings.Contains(err.Error(), "49151") {
				t.Errorf("the number stands in the error: %v", err)
			}
			if r := b.rows(t)[0]; r.State != c.state || (err != nil) != (c.state == StateQueued) {
				t.Errorf("%+v, %v", r, err)
			}
			sms.mu.Lock()
			sms.fail = nil
			sms.mu.Unlock()
			if c.state == StateQueued {
				if err := b.Deliver(context.Background(), b.rows(t)[0].ID); err != nil || len(sms.sent()) != 1 {
					t.Errorf("%v, %d SMS", err, len(sms.sent()))
				}
			}
		})
	}
}

// An SMS whose answer was lost is found at the provider and not sent again;
// two messages with the same text are both sent.
func TestLostAnswerIsLookedUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var sms *twilioStandIn
	b := setup(t, func(b *bundle, cfg *Config) {
		sms = startTwilio(t, b.clock)
		cfg.Twilio = twilioConfig(sms)
	})
	to := Recipient{Phone: "+4915123456789"}
	b.send(t, to, hello)
	b.send(t, to, hello)
	lost := true
	sms.swallow = func() bool { l := lost; lost = false; return l }
	for _, r := range b.rows(t) {
		_ = b.Deliver(ctx, r.ID)
	}
	for _, r := range b.rows(t) {
		if r.State == StateSent {
			continue
		}
		if err := b.Deliver(ctx, r.ID); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for _, r := range b.rows(t) {
		if r.State != StateSent || r.ProviderID == nil {
			t.Fatalf("%+v", r)
		}
		ids[*r.ProviderID] = true
	}
	if len(sms.sent()) != 2 || len(ids) != 2 {
		t.Errorf("%d SMS for two messages, ids %v", len(sms.sent()), ids)
	}
}

// A worker that was killed while sending leaves the state 'sending'; the next
// one waits for the lease and then asks first.
func TestKilledWhileSending(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, taken := range []bool{true, false} {
		var sms *twilioStandIn
		b := setup(t, func(b *bundle, cfg *Config) {
			sms = startTwilio(t, b.clock)
			cfg.Twilio = twilioConfig(sms)
		})
		b.send(t, Recipient{Phone: "+4915123456789"}, hello)
		mid := b.rows(t)[0].ID
		if _, err := b.claim(ctx, mid); err != nil {
			t.Fatal(err)
		}
		if taken { // the request went out before the kill
			if _, err := b.sms.deliver(ctx, mid, content{Phone: "+4915123456789", Text: smsText(hello.SMS)}, b.clock(), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Deliver(ctx, mid); !errors.Is(err, errUnderWay) {
			t.Errorf("within the lease: %v", err)
		}
		b.wait(lease + time.Minute)
		if err := b.Deliver(ctx, mid); err != nil {
			t.Fatal(err)
		}
		if r := b.rows(t)[0]; r.State != StateSent || len(sms.sent()) != 1 {
			t.Errorf("taken %v: %+v, %d SMS", taken, r, len(sms.sent()))
		}
	}
}

func TestManyWorkersOneDelivery(t *testing.T) {
	t.Parallel()
	var sms *twilioStandIn
	b := setup(t, func(b *bundle, cfg *Config) {
		sms = startTwilio(t, b.clock)
		cfg.Twilio = twilioConfig(sms)
	})
	for range 5 {
		b.send(t, Recipient{Phone: "+4915123456789"}, hello)
	}
	rows := b.rows(t)
	var g errgroup.Group
	for range 8 {
		for _, r := range rows {
			g.Go(func() error {
				if err := b.Deliver(context.Background(), r.ID); err != nil && !errors.Is(err, errUnderWay) {
					return err
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := len(sms.sent()); n != 5 {
		t.Errorf("%d SMS for five messages", n)
	}
}

func TestDestroyedKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t, func(_ *bundle, c *Config) { c.Local = true })
	b.send(t, Recipient{Email: "a@example.org", Postal: &Address{Name: "A", Street: "B 1", Postcode: "01067", City: "Dresden"}},
		Message{Kind: "k", Subject: "s", Text: "t", ByPost: true})
	b.inTx(t, func(tx pgx.Tx) error { return b.v.Destroy(ctx, tx, b.key.ID) })
	batch, err := b.TakeBatch(ctx, agent)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := b.BatchZIP(ctx, batch, agent)
	if err != nil {
		t.Fatal(err)
	}
	if z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped))); err != nil || len(z.File) != 0 {
		t.Errorf("%v", err)
	}
	for _, r := range b.rows(t) {
		if err := b.Deliver(ctx, r.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range b.rows(t) {
		if r.State != StateVoid {
			t.Errorf("%+v", r)
		}
	}
	err = pg.InTx(ctx, b.pool, func(tx pgx.Tx) error { return b.Send(ctx, tx, Recipient{KeyID: b.key.ID}, hello) })
	if !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("sent to a deleted person: %v", err)
	}
}

func TestNobodyReachable(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.send(t, Recipient{Phone: "+49341123456"}, hello)
	if r := b.rows(t)[0]; r.Channel != ChannelNone || r.State != StateFailed || r.Error != "unreachable" || r.Resendable {
		t.Errorf("%+v", r)
	}
}

// A rolled back fact sends nothing.
func TestRollback(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_ = pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
		if err := b.Send(context.Background(), tx, Recipient{KeyID: b.key.ID, Email: "a@example.org"}, hello); err != nil {
			t.Error(err)
		}
		return errors.New("no")
	})
	var tasks int
	if err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM jobs.outbox`).Scan(&tasks); err != nil || tasks+len(b.rows(t)) != 0 {
		t.Errorf("%d tasks, %d messages, %v", tasks, len(b.rows(t)), err)
	}
}

// In a local run a message goes through the same task and stays readable.
func TestLocalThroughTheWorker(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background())
	b := setup(t, func(_ *bundle, c *Config) { c.Local = true })
	mux := jobs.NewMux()
	w := jobs.NewWorker(b.pool, redistest.New(t), mux, b.Jobs(mux), clock.Fixed(testNow), slog.New(slog.DiscardHandler), 4)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	b.send(t, Recipient{Email: "a@example.org", Phone: "+4915123456789"}, hello)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		list, err := b.open(ctx, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 2 {
			for _, o := range list {
				if o.Channel == ChannelEmail && (o.Content.Text != hello.Text || len(o.Content.Attachments) != 1) {
					t.Errorf("%+v", o)
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not delivered: %+v", b.rows(t))
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t, func(_ *bundle, c *Config) { c.Local = true })
	b.send(t, Recipient{Email: "a@example.org"}, hello)
	b.send(t, Recipient{Email: "a@example.org"}, hello)
	rows := b.rows(t)
	if err := b.Deliver(ctx, rows[0].ID); err != nil {
		t.Fatal(err)
	}
	run := func(now time.Time) {
		for _, r := range b.RetentionRules() {
			b.inTx(t, func(tx pgx.Tx) error { _, err := r.Run(ctx, tx, now, 30*24*time.Hour, 10); return err })
		}
	}
	run(testNow.AddDate(0, 0, 29))
	if n := len(b.rows(t)); n != 2 {
		t.Errorf("%d rows too early", n)
	}
	run(testNow.AddDate(0, 0, 31))
	if left := b.rows(t); len(left) != 1 || left[0].ID != rows[1].ID {
		t.Errorf("%+v", left)
	}
}

func TestMailboxOnlyLocal(t *testing.T) {
	t.Parallel()
	has := func(local bool) bool {
		for _, r := range New(Config{Local: local}).Routes() {
			if strings.HasPrefix(r.Path, "/dev/") {
				return true
			}
			if len(r.Roles) == 0 && r.Method != http.MethodGet && !r.Webhook { // a webhook is signed
				t.Errorf("%s %s is open to everybody", r.Method, r.Path)
			}
		}
		return false
	}
	if has(false) || !has(true) {
		t.Error("the mailbox must exist in local runs and only there")
	}
}
