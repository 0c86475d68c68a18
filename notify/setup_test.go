package notify

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/vault"
)

var testNow = time.Date(2021, 1, 18, 9, 0, 0, 0, time.UTC)

// bundle is one test's service with a clock that the test moves.
type bundle struct {
	*Service
	pool *pgxpool.Pool
	v    *vault.Vault
	key  vault.Key

	mu  sync.Mutex
	now time.Time
}

func (b *bundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bundle) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func setup(t *testing.T, change func(*bundle, *Config)) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.New(t), v: vault.ForTest(), now: testNow}
	cfg := Config{
		Pool: b.pool, Vault: b.v, Now: b.clock, From: "Impfportal <termin@example.org>",
		Sender: []string{"Impfportal Sachsen", "Musterstraße 1", "01067 Dresden"},
	}
	if change != nil {
		change(b, &cfg)
	}
	b.Service = New(cfg)
	b.inTx(t, func(tx pgx.Tx) (err error) {
		b.key, err = b.v.NewKey(context.Background(), tx)
		return err
	})
	return b
}

func (b *bundle) inTx(t *testing.T, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := pg.InTx(context.Background(), b.pool, fn); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) send(t *testing.T, to Recipient, m Message) {
	t.Helper()
	to.KeyID = b.key.ID
	b.inTx(t, func(tx pgx.Tx) error { return b.Send(context.Background(), tx, to, m) })
}

func (b *bundle) rows(t *testing.T) []Row {
	t.Helper()
	rows, err := List(context.Background(), b.pool, Filter{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// mailServer is a real SMTP server that keeps what it takes.
type mailServer struct {
	mu     sync.Mutex
	mails  []string
	reject func() error
}

func (m *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{m}, nil }

type mailSession struct{ m *mailServer }

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Rcpt(string, *smtp.RcptOptions) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.reject != nil {
		return s.m.reject()
	}
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.mails = append(s.m.mails, string(b))
	return err
}
func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }

func startMail(t *testing.T, cfg *Config) *mailServer {
	t.Helper()
	m := &mailServer{}
	srv := smtp.NewServer(m)
	srv.Domain = "localhost"
	l, port := listen(t)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	cfg.SMTP = SMTP{Host: "127.0.0.1", Port: port, TLS: "none"}
	return m
}

func twilioConfig(s *twilioStandIn) Twilio {
	return Twilio{AccountSID: testSID, AuthToken: testToken, From: "+4915110000000", Client: s.client()}
}

var hello = Message{
	Kind: "test.hello", Subject: "Ihre Termine – Łučina", Text: "Grüße aus Bautzen (Budyšin)\n", SMS: "Termin am 25.01. – bis dann",
	Attachments: []Attachment{{Name: "Bestätigung.pdf", ContentType: "application/pdf", Body: []byte("%PDF-1.4 x")}},
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, l.Addr().(*net.TCPAddr).Port
}
