package desk_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/centre"
	"impfportal/certificate"
	"impfportal/certificate/certificatetest"
	"impfportal/certificate/desk"
	"impfportal/certificate/issuer"
	"impfportal/certificate/issuer/registry"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/notify"
	"impfportal/programme"
	"impfportal/staff"
	"impfportal/staff/dualcontrol/dualcontroltest"
	"impfportal/staff/passkey"
	"impfportal/staff/passkey/passkeytest"
	"impfportal/vaccination"
)

var start = time.Date(2021, 7, 21, 8, 0, 0, 0, time.UTC) // 10 o'clock in Berlin, a Wednesday

// bench is a portal with two pharmacies that may issue.
type bench struct {
	t       *testing.T
	pool    *pgxpool.Pool
	mu      sync.Mutex
	now     time.Time
	two     *dualcontroltest.Desk
	issuers *issuer.Service
	records *vaccination.Service
	certs   *certificate.Service
	log     *translog.Log
	stop    *stop.Service
	app     *webtest.App
	desk    *desk.Service
	a, b    shop
}

// shop is a pharmacy with one operator, their key and their browser.
type shop struct {
	issuer.Issuer
	account string
	key     *passkeytest.Key
	*webtest.App
}

func (b *bench) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }

func (b *bench) pass(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) count(sql string, args ...any) (n int) {
	b.t.Helper()
	b.ok(b.pool.QueryRow(b.t.Context(), sql, args...).Scan(&n))
	return n
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), sql, args...)
	b.ok(err)
}

func setup(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{t: t, pool: pgtest.New(t), now: start}
	ctx, v, rdb, log := t.Context(), vault.ForTest(), redistest.New(t), slog.New(slog.DiscardHandler)
	b.two = dualcontroltest.New(t, b.pool, rdb, b.clock)
	messages := notify.New(notify.Config{Pool: b.pool, Vault: v, Now: b.clock, Local: true, Sender: []string{"Impfportal"}})
	_, authority, err := ed25519.GenerateKey(rand.Reader)
	b.ok(err)
	list, err := registry.Sign(registry.List{Authority: "Behörde MUSTER", Sequence: 1, IssuedAt: start.Add(-time.Minute), NextUpdate: start.AddDate(0, 0, 30), Entries: []registry.Entry{entry("A-000"), entry("A-001")}}, authority)
	b.ok(err)
	b.issuers = issuer.New(issuer.Config{
		Pool: b.pool, Vault: v, Now: b.clock, Log: log, Notify: messages, Limiter: redis_rate.NewLimiter(rdb), BaseURL: "https://portal.test",
		Fetch: func(context.Context) ([]byte, error) { return list, nil }, Authority: []crypto.PublicKey{authority.Public()}, Grace: 24 * time.Hour,
		Staff: b.two.Staff, Keys: b.two.Keys, Dual: b.two.Service,
		Hold: func(c *web.Ctx, i issuer.Issuer) (*issuer.Hold, error) {
			st, ok, err := b.stop.Applies(c.Std(), b.pool, stop.Subject{IssuerRef: i.Ref(), IssuerKind: i.Kind, Path: issuer.PathWeb})
			if err != nil || !ok {
				return nil, err
			}
			return &issuer.Hold{Since: st.Since, Why: st.Reason(c.Lang)}, nil
		},
	})
	makers := certificatetest.New(t, certificatetest.Config{Pool: b.pool, Vault: v, Redis: rdb, Now: b.clock, Stop: func(leaves *translog.Log) certificate.Stop {
		b.stop = stop.New(stop.Config{
			Pool: b.pool, Now: b.clock, Log: leaves, Slog: log, Dual: b.two.Service, Admin: b.two.Staff.NameOf,
			Issuers: func(ctx context.Context, q pg.Querier) (out []stop.Issuer, err error) {
				all, err := issuer.All(ctx, q)
				for _, i := range all {
					out = append(out, stop.Issuer{Ref: i.Ref, Kind: i.Kind, Region: vaccination.Region(i.Postcode)})
				}
				return out, err
			},
			Verify: b.issuers.Verify, Lifted: b.issuers.TellResumed,
		})
		return b.stop
	}})
	b.records, b.log, b.certs = makers.Records, makers.Log, makers.Certificates
	b.desk = desk.New(desk.Config{
		Pool: b.pool, Now: b.clock, Issuers: b.issuers, Records: b.records, Certificates: b.certs, Revocations: makers.Revocations, Stop: b.stop,
		Keys: b.two.Keys, Limiter: redis_rate.NewLimiter(rdb),
	})
	b.ok(pg.InTx(ctx, b.pool, func(tx pgx.Tx) error {
		return errors.Join(programme.SeedDemo(ctx, tx, start), centre.SeedDemo(ctx, tx, start))
	}))
	b.app = webtest.New(t, webtest.Config{
		Pool: b.pool, Now: b.clock, Routes: append(append(b.desk.Routes(), b.issuers.Routes()...), append(b.two.Keys.Routes(), b.stop.Routes()...)...),
		Bundles: []web.Bundle{desk.Assets, issuer.Assets, notify.Assets, staff.Assets, passkey.Assets, vaccination.Assets, citizen.Assets, stop.Assets},
	})
	p, err := b.issuers.Pull(ctx)
	if err != nil || p.Outcome != "applied" {
		t.Fatalf("registry: %+v %v", p, err)
	}
	b.a, b.b = b.open("A-000"), b.open("A-001")
	return b
}

func entry(entryID string) registry.Entry {
	return registry.Entry{
		ID: entryID, Name: "Apotheke " + entryID + " MUSTER", Street: "Markt 1", Postcode: "04109", City: "Leipzig", Kind: registry.Pharmacy,
		Licence: registry.LicenceValid, Region: "DE-SN", From: registry.Day{Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
}

// open brings an entry all the way: claimed, proven, an operator with a key, activated
// by two people; and it has received vaccine.
func (b *bench) open(entryID string) (s shop) {
	b.t.Helper()
	ctx := b.t.Context()
	b.ok(b.issuers.Claim(ctx, issuer.Claim{EntryID: entryID, Contact: issuer.Contact{Email: entryID + "@example.org", Name: "Olga Offizin"}, Lang: "de", Network: id.New()}))
	b.exec(`UPDATE certificate.issuer SET state = 'sent' WHERE entry_id = $1`, entryID)
	b.exec(`UPDATE certificate.issuer SET state = 'proven', proven_at = $2 WHERE entry_id = $1`, entryID, b.clock())
	found, err := issuer.Search(ctx, b.pool, "proven", entryID)
	b.ok(err)
	s.Issuer = found[0]
	s.account = b.two.Account("issuer", s.ID)
	s.key = b.two.Maker.Enrol(b.two.Keys, b.pool, s.account)
	proposal, err := b.issuers.Propose(ctx, s.ID, "alles geprüft", b.two.Approvers[0].AccountID)
	b.ok(err)
	b.ok(b.two.ApproveByTwo(proposal))
	b.ok(b.issuers.Declare(ctx, s.ID, issuer.Receipt{ProductID: "comirnaty", LotNumber: "EX3599", Doses: 3, Day: start.Truncate(24 * time.Hour)}, "staff:test"))
	s.App = b.app.Another()
	s.LoginAs(web.User{Kind: "staff", ID: s.account, Name: "Olga", Roles: []web.Role{web.RoleIssuer}, Scope: s.ID})
	if s.Issuer, err = b.issuers.Get(ctx, b.pool, s.ID); err != nil || s.State != issuer.Active {
		b.t.Fatal(s.State, err)
	}
	return s
}

// touch is an answer of the shop's key for a deed of its session.
func (b *bench) touch(s shop, action string) string {
	b.t.Helper()
	var asked passkey.Asked
	a := s.JSON(http.MethodPost, "/api/v1/staff/fresh/"+action+"/challenge", map[string]any{}, &asked)
	if a.Status >= 300 {
		b.t.Fatal(a.Body)
	}
	out, err := json.Marshal(s.key.Touch(asked))
	b.ok(err)
	return string(out)
}

// fields are the answers of a form, with what a test changes of them.
func fields(change ...string) []string {
	m := map[string]string{
		"key": id.New(), "family_name": "Muster", "given_name": "Erika", "birth_day": "12", "birth_month": "8", "birth_year": "1964",
		"lot": "comirnaty|EX3599", "dose": "first", "day": "2021-07-21",
	}
	for i := 0; i < len(change); i += 2 {
		m[change[i]] = change[i+1]
	}
	var out []string
	for k, v := range m {
		out = append(out, k, v)
	}
	return out
}

func seen(change ...string) []string {
	return fields(append([]string{"document", "booklet", "place", "Praxis Dr. Grün", "product", "comirnaty", "written", "EX 1", "lot", "", "day", "2021-05-03"}, change...)...)
}

var recordPath = regexp.MustCompile(`^/issuer/issued/([0-9a-f-]{36})$`)

// issue issues as a shop whose session is fresh.
func (b *bench) issue(s shop, basis string, kv []string) (recordID string) {
	b.t.Helper()
	a := s.PostForm("/issuer/issue/"+basis, kv...)
	m := recordPath.FindStringSubmatch(a.Location)
	if a.Status != http.StatusSeeOther || m == nil {
		b.t.Fatalf("%d %s %s", a.Status, a.Location, text(a))
	}
	return m[1]
}

// freshen touches the shop's key for issuing.
func (b *bench) freshen(s shop) {
	b.t.Helper()
	if a := s.PostForm("/staff/fresh/issuing", "touch", b.touch(s, "issuing"), "to", "/issuer"); a.Status != http.StatusSeeOther {
		b.t.Fatal(a.Status, text(a))
	}
}

// work does what the worker does for a record.
func (b *bench) work(recordID string) {
	b.t.Helper()
	for range 2 {
		if err := b.certs.Make(b.t.Context(), recordID); err != nil && !errors.Is(err, stop.ErrStopped) {
			b.t.Fatal(err)
		}
		_, err := b.log.Sequence(b.t.Context())
		b.ok(err)
	}
}

var tags = regexp.MustCompile(`<[^>]*>`)

func text(a webtest.Answer) string {
	_, main, _ := strings.Cut(a.Body, "<main")
	return strings.Join(strings.Fields(tags.ReplaceAllString(main, " ")), " ")
}

func (b *bench) wants(a webtest.Answer, status int, parts ...string) {
	b.t.Helper()
	if a.Status != status {
		b.t.Fatalf("%d, wanted %d: %s", a.Status, status, text(a))
	}
	for _, p := range parts {
		if !strings.Contains(a.Body, p) {
			b.t.Errorf("lacks %q in %s", p, text(a))
		}
	}
}

func (b *bench) lacks(a webtest.Answer, parts ...string) {
	b.t.Helper()
	for _, p := range parts {
		if strings.Contains(a.Body, p) {
			b.t.Errorf("has %q in %s", p, text(a))
		}
	}
}

func (b *bench) given(s shop) int {
	b.t.Helper()
	return b.count(`SELECT given FROM certificate.issuer_lot WHERE issuer_id = $1 AND lot_number = 'EX3599'`, s.ID)
}

func receipt(lot string, doses int) issuer.Receipt {
	return issuer.Receipt{ProductID: "comirnaty", LotNumber: lot, Doses: doses, Day: start.Truncate(24 * time.Hour)}
}
