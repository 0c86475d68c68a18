package certify_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate"
	"impfportal/certificate/certificatetest"
	"impfportal/certificate/certify"
	"impfportal/certificate/certify/card"
	"impfportal/certificate/certify/card/cardtest"
	"impfportal/certificate/issuer"
	"impfportal/certificate/signing"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/staff/dualcontrol/dualcontroltest"
)

var start = time.Date(2021, 7, 21, 8, 0, 0, 0, time.UTC)

const (
	realm    = "bmg-ti-certify"
	client   = "user-access-ti"
	back     = "connector://authenticated"
	base     = "https://portal.test"
	pharmacy = "300000017"
	lot      = "EX3599"
)

// bench is the interface with a worker that the test stops and starts.
type bench struct {
	t     *testing.T
	pool  *pgxpool.Pool
	vault *vault.Vault
	cfg   certify.Config
	app   *webtest.App
	keys  *signing.Keys
	certs *certificate.Service
	stop  *stop.Service
	log   *translog.Log

	ca  *cardtest.Card
	own *cardtest.Card // of the pharmacy

	mu      sync.Mutex
	now     time.Time
	working bool
}

func (b *bench) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }

func (b *bench) pass(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func (b *bench) work(on bool) { b.mu.Lock(); defer b.mu.Unlock(); b.working = on }

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func setup(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{t: t, pool: pgtest.New(t), vault: vault.ForTest(), now: start, working: true}
	rdb, log := redistest.New(t), slog.New(slog.DiscardHandler)
	desk := dualcontroltest.New(t, b.pool, rdb, b.clock)
	makers := certificatetest.New(t, certificatetest.Config{Pool: b.pool, Vault: b.vault, Redis: rdb, Now: b.clock, Stop: func(leaves *translog.Log) certificate.Stop {
		b.stop = stop.New(stop.Config{Pool: b.pool, Now: b.clock, Log: leaves, Slog: log, Dual: desk.Service})
		return b.stop
	}})
	records := makers.Records
	b.keys, b.log, b.certs = makers.Keys, makers.Log, makers.Certificates
	issuers := issuer.New(issuer.Config{
		Pool: b.pool, Vault: b.vault, Now: b.clock, Log: log, Limiter: redis_rate.NewLimiter(rdb), Staff: desk.Staff, Keys: desk.Keys, Dual: desk.Service, Grace: 24 * time.Hour,
		Notify: notify.New(notify.Config{Pool: b.pool, Vault: b.vault, Now: b.clock, Local: true, Sender: []string{"Portal"}}),
		Leaf:   func(context.Context, pgx.Tx, string, issuer.Leaf) error { return nil },
	})
	b.ok(pg.InTx(t.Context(), b.pool, func(tx pgx.Tx) error { return programme.SeedDemo(t.Context(), tx, start) }))

	b.ca = cardtest.NewAuthority(t, cardtest.P256(t), start.AddDate(-5, 0, 0))
	b.own = b.card(cardtest.RSA(t))
	professions, err := card.Professions([]string{"pharmacy=" + cardtest.Pharmacy, "practice=" + cardtest.Practice})
	b.ok(err)
	policies, err := card.OIDs([]string{cardtest.Policy})
	b.ok(err)
	authorities, err := card.Authorities([]string{b.ca.File(t)})
	b.ok(err)
	trust := card.Trust{Authorities: authorities, Policies: policies, Professions: professions}
	b.cfg = certify.Config{
		Pool: b.pool, Vault: b.vault, Now: b.clock, Log: log, Limiter: redis_rate.NewLimiter(rdb), Issuers: issuers, Records: records, Certificates: b.certs, Stopped: b.stop.Applies,
		BaseURL: base, Wait: time.Minute,
		Cards:  certify.Cards{Trust: trust, Realm: realm, Clients: []string{client}, Redirects: []string{back}},
		Client: certify.Client{Trust: trust},
	}
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.service().Routes(), Bundles: []web.Bundle{certify.Assets}})
	b.exec(`CREATE OR REPLACE FUNCTION staff.two_approved(proposal uuid, kind text, subject text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true'`)
	b.enter(pharmacy, "pharmacy", b.own)
	b.declare(lot, 100)
	b.worker()
	return b
}

func (b *bench) service() *certify.Service {
	b.t.Helper()
	s, err := certify.New(b.cfg)
	b.ok(err)
	return s
}

// worker makes certificates as the worker does, while it is let.
func (b *bench) worker() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
				b.mu.Lock()
				on := b.working
				b.mu.Unlock()
				if err := b.round(ctx, on); err != nil && ctx.Err() == nil {
					done <- err
					return
				}
			}
		}
	}()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

func (b *bench) round(ctx context.Context, on bool) error {
	if !on {
		return nil
	}
	rows, err := b.pool.Query(ctx, `
		SELECT id::text FROM vaccination.record r WHERE NOT EXISTS (SELECT FROM certificate.certificate c WHERE c.record_id = r.id AND c.state IN ('released', 'refused'))`)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(list) == 0 {
		return err
	}
	for range 2 {
		for _, recordID := range list {
			if err := b.certs.Make(ctx, recordID); err != nil && !errors.Is(err, stop.ErrStopped) {
				return err
			}
		}
		if _, err := b.log.Sequence(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(context.Background(), sql, args...)
	b.ok(err)
}

func (b *bench) count(sql string, args ...any) (n int) {
	b.t.Helper()
	b.ok(b.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// counts holds the numbers of records and certificates against what should be.
func (b *bench) counts(records, certificates int) {
	b.t.Helper()
	if n := b.count(`SELECT count(*) FROM vaccination.record`); n != records {
		b.t.Errorf("%d records, want %d", n, records)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate`); n != certificates {
		b.t.Errorf("%d certificates, want %d", n, certificates)
	}
}

func (b *bench) card(key cardtest.Key, change ...func(*cardtest.Spec)) *cardtest.Card {
	b.t.Helper()
	s := cardtest.Spec{Name: "Apotheke MUSTER", From: start.AddDate(-1, 0, 0), Until: start.AddDate(1, 0, 0)}
	for _, c := range change {
		c(&s)
	}
	return b.ca.Issue(b.t, key, s)
}

// enter makes an active issuer with certificates.
func (b *bench) enter(entryID, kind string, cards ...*cardtest.Card) string {
	b.t.Helper()
	keys := []string{}
	for _, c := range cards {
		keys = append(keys, c.Fingerprint())
	}
	issuerID := id.New()
	b.ok(pg.InTx(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		key, err := b.vault.NewKey(b.t.Context(), tx)
		if err != nil {
			return err
		}
		for _, q := range []struct {
			sql  string
			args []any
		}{
			{`INSERT INTO certificate.registry_entry (id, state, name, street, postcode, city, kind, licence, region, keys, valid_from, sequence, changed_at)
			  VALUES ($1, 'listed', 'MUSTER', 'Markt 1', '04109', 'Leipzig', $2, 'valid', 'DE-SN', $3, '2020-01-01', 1, $4)`, []any{entryID, kind, keys, start}},
			{`INSERT INTO certificate.issuer (id, entry_id, kind, region, state, since, key_id, contact, lang, created_at) VALUES ($1, $2, $3, 'DE-SN', 'claimed', $4, $5, '', 'de', $4)`, []any{issuerID, entryID, kind, start, key.ID}},
			{`UPDATE certificate.issuer SET state = 'sent' WHERE id = $1`, []any{issuerID}},
			{`UPDATE certificate.issuer SET state = 'proven', proven_at = $2 WHERE id = $1`, []any{issuerID, start}},
			{`UPDATE certificate.issuer SET state = 'active', activated_at = $2, approval = $3 WHERE id = $1`, []any{issuerID, start.AddDate(-1, 0, 0), id.New()}},
		} {
			if _, err := tx.Exec(b.t.Context(), q.sql, q.args...); err != nil {
				return err
			}
		}
		return nil
	}))
	return issuerID
}

func (b *bench) issuerID(entryID string) (out string) {
	b.t.Helper()
	b.ok(b.pool.QueryRow(b.t.Context(), `SELECT id::text FROM certificate.issuer WHERE entry_id = $1`, entryID).Scan(&out))
	return out
}

func (b *bench) declare(number string, doses int) {
	b.t.Helper()
	b.ok(b.cfg.Issuers.Declare(b.t.Context(), b.issuerID(pharmacy), issuer.Receipt{ProductID: "comirnaty", LotNumber: number, Doses: doses, Day: time.Date(2021, 7, 20, 0, 0, 0, 0, time.UTC)}, "staff:test"))
}

// person is a request for a person of a family.
func person(family string) map[string]any {
	return map[string]any{
		"nam": map[string]any{"fn": family, "gn": "Erika Dörte"}, "dob": "1979-04-14",
		"v": []any{map[string]any{"id": pharmacy, "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215", "dn": 2, "sd": 2, "dt": "2021-07-20"}},
	}
}

// entryOf is the vaccination in a request.
func entryOf(m map[string]any) map[string]any { return m["v"].([]any)[0].(map[string]any) }

func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// headers are pairs of name and value.
func headers(kv ...string) map[string]string {
	h := map[string]string{"Content-Type": "application/vnd.dgc.v1+json", "X-Impfportal-Lot": lot}
	for i := 0; i+1 < len(kv); i += 2 {
		if h[kv[i]] = kv[i+1]; kv[i+1] == "" {
			delete(h, kv[i])
		}
	}
	return h
}

// issue asks with a token.
func (b *bench) issue(token string, body any, kv ...string) webtest.Answer {
	b.t.Helper()
	raw, ok := body.(string)
	if !ok {
		raw = text(body)
	}
	h := headers(kv...)
	ct := h["Content-Type"]
	delete(h, "Content-Type")
	if token != "" {
		h["Authorization"] = "Bearer " + token
	}
	return b.app.Do(http.MethodPost, "/api/certify/v2/issue", ct, strings.NewReader(raw), h)
}

// listen starts the listener for client certificates and returns its address.
func (b *bench) listen() string {
	b.t.Helper()
	server := b.ca.Issue(b.t, cardtest.P256(b.t), cardtest.Spec{Name: "127.0.0.1", From: start.AddDate(-1, 0, 0), Until: start.AddDate(1, 0, 0)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	b.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := b.service()
	go func() { done <- s.ServeClients(ctx, ln, server.TLS()) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return "https://" + ln.Addr().String()
}

// reply is what came over TLS.
type reply struct {
	status int
	header http.Header
	body   string
}

// post sends a request with a client certificate, nil = none.
func (b *bench) post(address string, c *cardtest.Card, body any, kv ...string) reply {
	b.t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own server
	if c != nil {
		own := c.TLS()
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	}
	tr := &http.Transport{TLSClientConfig: cfg}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, address, strings.NewReader(text(body)))
	b.ok(err)
	for k, v := range headers(kv...) {
		req.Header.Set(k, v)
	}
	res, err := tr.RoundTrip(req)
	b.ok(err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	b.ok(err)
	return reply{res.StatusCode, res.Header, string(raw)}
}

func (b *bench) proxies(list ...string) {
	for _, p := range list {
		b.cfg.Client.Proxies = append(b.cfg.Client.Proxies, netip.MustParseAddr(p))
	}
}

// want holds a status, and the code of an error, against an answer.
func want(t *testing.T, what string, status int, body string, wantStatus int, key string) {
	t.Helper()
	if status != wantStatus || key != "" && !strings.Contains(body, fmt.Sprintf("problem:certify.error.%s\"", key)) {
		t.Errorf("%s: %d %s, want %d %s", what, status, body, wantStatus, key)
	}
}
