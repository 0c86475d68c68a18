package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/smallstep/pkcs7"

	"impfportal/certificate/dcc"
	"impfportal/certificate/translog"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/dualcontrol/dualcontroltest"
	"impfportal/staff/passkey"
)

type bundle struct {
	*Desk
	*Publisher
	t        testing.TB
	pool     *pgxpool.Pool
	log      *translog.Log
	keyID    string
	mu       sync.Mutex
	now      time.Time
	reissued []string
	people   *dualcontroltest.Desk
}

func (b *bundle) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }

func (b *bundle) pass(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func setup(t testing.TB) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pgtest.New(t), keyID: id.New(), now: time.Date(2021, 7, 1, 10, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	key, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: dir, Origin: "localhost/certificates/log"})
	if err != nil {
		t.Fatal(err)
	}
	b.log = translog.New(translog.Config{Pool: b.pool, Vault: vault.ForTest(), Now: b.clock, Key: key, Witness: filepath.Join(dir, "witness.txt")})
	signer, err := OpenSigner(dir, true, b.now)
	if err != nil {
		t.Fatal(err)
	}
	b.people = dualcontroltest.New(t, b.pool, redistest.New(t), b.clock)
	b.Publisher = &Publisher{Pool: b.pool, Now: b.clock, Signer: signer}
	b.Desk = &Desk{Pool: b.pool, Now: b.clock, Service: New(b.log), Dual: b.people.Service, Reissue: func(_ context.Context, _ pgx.Tx, records []string) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reissued = append(b.reissued, records...)
		return nil
	}}
	b.Desk.Settle = func(context.Context) error { return nil }
	b.Desk.Issuers = numbers{}
	b.people.Handle(KindMass, b.Handler())
	b.exec(`INSERT INTO vault.key (id, wrapped, master, created_at) VALUES ($1, 'x', 'x', now())`, b.keyID)
	return b
}

// numbers knows one issuer of the registry.
type numbers struct{}

func (numbers) RefOf(_ context.Context, _ pg.Querier, number string) (string, error) {
	return map[string]string{"300000002": "issuer:bad"}[number], nil
}

func (numbers) NameOf(_ context.Context, _ pg.Querier, ref string) (string, error) {
	return strings.ReplaceAll(ref, "issuer:bad", "Apotheke MUSTER (300000002)"), nil
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// certificates stores n released ones.
func (b *bundle) certificates(n int, kid, issuer, lot string) (ids []string) {
	b.t.Helper()
	for i := range n {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %d", kid, issuer, lot, i))
		certificateID := id.New()
		b.exec(`INSERT INTO certificate.certificate (id, record_id, version, key_id, person_id, state, uvci, issued_at, expires_at, claims, kid, digest, hc1, r_hash, created_at, signed_at, logged_at, released_at,
			issuer_ref, operator, lot_number)
			VALUES ($1, $2, 1, $3, $4, 'released', $5, $6, $6::timestamptz + interval '1 year', 'x', $7, $8, 'x', $9, $6, $6, $6, $6, $10, 'staff:7', $11)`,
			certificateID, id.New(), b.keyID, id.New(), dcc.NewUVCI("test"), b.clock(), []byte(kid), digest[:], digest[:16], issuer, lot)
		ids = append(ids, certificateID)
	}
	return ids
}

func (b *bundle) revoke(actor string, ids ...string) error {
	return pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
		for _, i := range ids {
			if err := b.Service.Revoke(context.Background(), tx, Revocation{CertificateID: i, Reason: Fraud, Actor: actor, Role: "admin", At: b.clock()}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// batches reads and verifies all published ones, as a verifier would.
func (b *bundle) batches(app *webtest.App) (out []Batch) {
	b.t.Helper()
	var index struct{ Batches []Listed }
	ans := app.Get("/certificates/revocations")
	if err := json.Unmarshal([]byte(ans.Body), &index); err != nil {
		b.t.Fatalf("%v\n%s", err, ans.Body)
	}
	for _, l := range index.Batches {
		cms := app.Get("/certificates/revocations/" + l.ID + "/batch.cms")
		plain := app.Get("/certificates/revocations/" + l.ID + "/batch.json")
		if !strings.Contains(cms.Header.Get("Cache-Control"), "immutable") || !strings.Contains(plain.Header.Get("Cache-Control"), "immutable") {
			b.t.Errorf("caches may not keep %s", l.ID)
		}
		p7, err := pkcs7.Parse([]byte(cms.Body))
		if err != nil {
			b.t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(b.Signer.cert)
		if err := p7.Verify(); err != nil || !p7.GetOnlySigner().Equal(b.Signer.cert) || !bytes.Equal(p7.Content, []byte(plain.Body)) {
			b.t.Errorf("signature of %s: %v", l.ID, err)
		}
		var batch Batch
		if err := json.Unmarshal(p7.Content, &batch); err != nil || len(batch.Entries) != l.Entries || batch.HashType != l.HashType {
			b.t.Fatalf("%+v, %v", l, err)
		}
		out = append(out, batch)
	}
	return out
}

func (b *bundle) app() *webtest.App {
	return webtest.New(b.t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: slices.Concat(b.Desk.Routes(), b.Publisher.Routes()), Bundles: []web.Bundle{Assets}})
}

// A rewritten signature (r, n-s) has the hash of the first: a revoked certificate
// stays revoked however its signature is written.
func TestHashes(t *testing.T) {
	t.Parallel()
	r, s, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)
	if a, b := SignatureHash(-7, slices.Concat(r, s)), SignatureHash(-7, slices.Concat(r, other)); !bytes.Equal(a, b) || len(a) != 16 {
		t.Errorf("%x, %x", a, b)
	}
	if a, b := SignatureHash(-37, slices.Concat(r, s)), SignatureHash(-37, slices.Concat(r, other)); bytes.Equal(a, b) {
		t.Error("of PS256 the whole signature counts")
	}
	want := sha256.Sum256([]byte("DEURN:UVCI:01DE/X#1"))
	if !bytes.Equal(CountryUCIHash("DE", "URN:UVCI:01DE/X#1"), want[:16]) || bytes.Equal(UCIHash("URN:UVCI:01DE/X#1"), want[:16]) {
		t.Error("hash of country and id")
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	app := b.app()
	if list := b.batches(app); len(list) != 0 {
		t.Fatalf("%+v", list)
	}
	ids := b.certificates(1003, "kid-one.", "centre:leipzig", "L1")
	two := b.certificates(1, "kid-two.", "centre:dresden", "L2")
	if err := b.revoke("system", append(ids, two...)...); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Publish(ctx); err != nil || n != 6 { // two kinds of hash; 1000 + 3 of one key, 1 of the other
		t.Fatalf("made %d, %v", n, err)
	}
	if n, err := b.Publish(ctx); err != nil || n != 0 {
		t.Fatalf("again %d, %v", n, err)
	}
	seen := map[string]int{}
	for _, batch := range b.batches(app) {
		if len(batch.Entries) > MaxEntries || batch.Country != "DE" || !batch.Expires.Equal(b.clock().AddDate(1, 0, 0)) {
			t.Errorf("batch of %d, %s, %s", len(batch.Entries), batch.Country, batch.Expires)
		}
		for _, e := range batch.Entries {
			if len(e.Hash) != 16 {
				t.Fatalf("hash of %d bytes", len(e.Hash))
			}
			seen[string(batch.KID)+string(batch.HashType)]++
		}
	}
	if seen["kid-one.SIGNATURE"] != 1003 || seen["kid-one.UCI"] != 1003 || seen["kid-two.SIGNATURE"] != 1 || seen["kid-two.UCI"] != 1 {
		t.Errorf("%v", seen)
	}
	if _, err := b.pool.Exec(ctx, `UPDATE certificate.revocation_batch SET body = 'x'`); !pg.Violates(err, "revocation_batch_keep") {
		t.Errorf("a batch could be changed: %v", err)
	}
	// What expired is no longer listed, and goes.
	b.pass(366 * 24 * time.Hour)
	if list := b.batches(app); len(list) != 0 {
		t.Errorf("%d batches of expired certificates", len(list))
	}
	for _, rule := range RetentionRules() {
		if err := pg.InTx(ctx, b.pool, func(tx pgx.Tx) error { _, err := rule.Run(ctx, tx, b.clock(), 0, 5000); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT count(*) FROM certificate.revocation_batch`) + b.count(`SELECT count(*) FROM certificate.revocation_entry`) + b.count(`SELECT count(*) FROM certificate.revocation`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// Many are revoked only when two people have decided it; each has its leaf and,
// where they are replaced, its next certificate.
func TestMass(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	hit := b.certificates(249, "kid-one.", "issuer:bad", "L1")
	b.certificates(3, "kid-one.", "issuer:bad", "L2")
	b.certificates(3, "kid-one.", "centre:leipzig", "L1")
	sel := Selection{Issuer: "issuer:bad", Lot: "L1"}
	if p, err := b.Preview(ctx, sel); err != nil || p.Count != 249 || len(p.Issuers) != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	proposal, err := b.Propose(ctx, sel, Compromise, true, "Apotheke gibt es nicht", b.people.Approvers[0].AccountID)
	if err != nil {
		t.Fatal(err)
	}
	var massID string
	if err := b.pool.QueryRow(ctx, `SELECT substr(subject, 12) FROM staff.proposal WHERE id = $1`, proposal).Scan(&massID); err != nil {
		t.Fatal(err)
	}
	// Nobody gets round the two.
	_, err = b.pool.Exec(ctx, `INSERT INTO certificate.revocation_mass (id, proposal_id, decision, decided_at) SELECT $1, id, payload, now() FROM staff.proposal WHERE id = $2`, massID, proposal)
	if !pg.Violates(err, "revocation_mass_two") {
		t.Errorf("without approvals: %v", err)
	}
	if err := b.revoke("mass:"+massID, hit[0]); !pg.Violates(err, "revocation_mass_two") {
		t.Errorf("in the name of a decision that is none: %v", err)
	}
	if err := b.people.ApproveBy(b.people.Approvers[0], proposal); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.revocation_mass`); n != 0 {
		t.Fatal("one approval is enough")
	}
	if err := b.people.ApproveBy(b.people.Approvers[1], proposal); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(ctx, `UPDATE certificate.revocation_mass SET decision = '{}'`); !pg.Violates(err, "revocation_mass_keep") {
		t.Errorf("the decision could be changed: %v", err)
	}
	b.pass(time.Second)
	later := b.certificates(2, "kid-one.", "issuer:bad", "L1 ")
	b.exec(`UPDATE certificate.certificate SET revoked_at = NULL WHERE id = $1`, later[0])
	late := sync.OnceFunc(func() { // bears a time before the decision, is committed after it
		b.pass(-time.Second)
		defer b.pass(time.Second)
		b.certificates(1, "kid-two.", "issuer:bad", "L1")
	})
	b.Desk.Settle = func(context.Context) error { late(); return nil }
	for range 2 { // the task runs at least once
		if err := b.Carry(ctx, massID); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT count(*) FROM certificate.revocation WHERE reason = 'compromise' AND replaced AND revoked_by = 'mass:' || $1`, massID); n != 250 {
		t.Errorf("%d revoked", n)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE revoked_at IS NULL`); n != 8 {
		t.Errorf("%d stand", n)
	}
	if n := b.count(`SELECT count(DISTINCT ref) FROM certificate.log_leaf WHERE kind = 'revocation'`); n != 250 || len(b.reissued) != 250 {
		t.Errorf("%d leaves, %d new certificates", n, len(b.reissued))
	}
	if n := b.count(`SELECT hit FROM certificate.revocation_mass WHERE done_at IS NOT NULL`); n != 250 {
		t.Errorf("it says %d", n)
	}
	if err := b.revoke("mass:"+massID, later[0]); !pg.Violates(err, "revocation_mass_two") {
		t.Errorf("after it was done: %v", err)
	}
}

func TestSelectionNamesSomething(t *testing.T) {
	t.Parallel()
	from := time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC)
	to := from.AddDate(0, 0, 1)
	for _, c := range []struct {
		s  Selection
		ok bool
	}{
		{Selection{}, false},
		{Selection{From: &from}, false},
		{Selection{From: &from, To: &to}, true},
		{Selection{From: &to, To: &from, Lot: "L"}, false},
		{Selection{Lot: "L"}, true},
		{Selection{Issuer: "x", To: &to}, true},
		{Selection{Person: "x"}, true},
		{Selection{Operator: "x"}, true},
	} {
		if err := c.s.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrSelection) {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
}

// Who approves reads whom the selection hits by now, and not only whom it hit when
// somebody proposed it.
func TestApproversReadTheScopeOfToday(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.certificates(2, "kid-one.", "issuer:bad", "L1")
	proposalID, err := b.Propose(t.Context(), Selection{Issuer: "issuer:bad"}, Fraud, false, "zwei falsche", b.people.Approvers[0].AccountID)
	if err != nil {
		t.Fatal(err)
	}
	b.certificates(3, "kid-one.", "issuer:bad", "L2")
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.people.Routes(), Bundles: []web.Bundle{Assets, dualcontrol.Assets, passkey.Assets, staff.Assets}})
	app.LoginAs(b.people.Approvers[1].User())
	var out dualcontrol.ProposalOut
	if ans := app.JSON("GET", "/api/v1/admin/proposals/"+proposalID, nil, &out); ans.Status != 200 {
		t.Fatalf("%d %s", ans.Status, ans.Body)
	}
	last := out.Changes[len(out.Changes)-1]
	if last.Before != "2" || last.After != "5" {
		t.Errorf("%+v", out.Changes)
	}
}

// One administrator revokes single certificates, twenty in an hour.
func TestPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := b.app()
	app.LoginAs(b.people.Approvers[0].User())
	ids := b.certificates(25, "kid-one.", "issuer:bad", "L1")
	uvci := func(i int) (uvci string) {
		if err := b.pool.QueryRow(t.Context(), `SELECT uvci FROM certificate.certificate WHERE id = $1`, ids[i]).Scan(&uvci); err != nil {
			t.Fatal(err)
		}
		return strings.ToLower(strings.TrimPrefix(uvci, "URN:UVCI:")) // as somebody types it
	}
	wantIn := func(ans webtest.Answer, status int, text string) {
		t.Helper()
		if ans.Status != status || !strings.Contains(ans.Body, text) {
			t.Errorf("%d, %q is missing in\n%s", ans.Status, text, ans.Body)
		}
	}
	wantIn(app.Get("/admin/revocations"), 200, "Zertifikate widerrufen")
	wantIn(app.PostForm("/admin/revocations/single", "uvci", uvci(0), "reason", "corrected"), 422, "Bitte wählen Sie einen Grund")
	wantIn(app.PostForm("/admin/revocations/single", "uvci", "URN:UVCI:01DE/NONE", "reason", "fraud"), 422, "kein gültiges Zertifikat")
	for i := range 20 {
		if ans := app.PostForm("/admin/revocations/single", "uvci", uvci(i), "reason", "fraud", "replace_single", "1"); ans.Status != 303 {
			t.Fatalf("%d: %d\n%s", i, ans.Status, ans.Body)
		}
	}
	wantIn(app.PostForm("/admin/revocations/single", "uvci", uvci(0), "reason", "fraud"), 422, "kein gültiges Zertifikat")
	wantIn(app.PostForm("/admin/revocations/single", "uvci", uvci(20), "reason", "fraud"), 422, "höchstens 20")
	if len(b.reissued) != 20 {
		t.Errorf("%d new certificates", len(b.reissued))
	}
	wantIn(app.Get("/admin/revocations?from=2021-07-01"), 422, "beide Enden")
	wantIn(app.Get("/admin/revocations?from=x&lot=L1"), 422, "einen Tag")
	wantIn(app.Get("/admin/revocations?lot=L9"), 200, "Kein gültiges Zertifikat")
	wantIn(app.Get("/admin/revocations?from=2021-07-01&to=2021-07-01&lot=L1"), 200, "5 Zertifikate würden widerrufen")
	wantIn(app.Get("/admin/revocations?certificate="+url.QueryEscape(uvci(22))), 200, "Ein Zertifikat würde widerrufen")
	// By its number in the registry, or by a certificate: of the same issuer, by the same hand.
	wantIn(app.Get("/admin/revocations?issuer=300000002"), 200, "Apotheke MUSTER (300000002): 5")
	wantIn(app.Get("/admin/revocations?issuer=300000009"), 422, "keine ausstellende Stelle")
	wantIn(app.Get("/admin/revocations?of=issuer&certificate="+url.QueryEscape(uvci(22))), 200, "5 Zertifikate würden widerrufen")
	wantIn(app.Get("/admin/revocations?of=operator&certificate="+url.QueryEscape(uvci(22))), 200, "5 Zertifikate würden widerrufen")
	wantIn(app.Get("/admin/revocations?of=person"), 422, "Bitte geben Sie eine Stelle")
	// A key narrows what is shown, and goes on into what is proposed.
	wantIn(app.Get("/admin/revocations?signer=00&lot=L1"), 200, "Kein gültiges Zertifikat")
	wantIn(app.Get(fmt.Sprintf("/admin/revocations?signer=%x&lot=L1", "kid-one.")), 200, fmt.Sprintf(`<input type="hidden" name="signer" value="%x">`, "kid-one."))
	wantIn(app.PostForm("/admin/revocations/propose", "lot", "L1", "reason", "lot"), 422, "Bitte begründen")
	if ans := app.PostForm("/admin/revocations/propose", "lot", "L1", "reason", "lot", "why", "Rückruf"); ans.Status != 303 {
		t.Errorf("%d\n%s", ans.Status, ans.Body)
	}
	wantIn(app.Get("/admin/revocations"), 200, "Rückruf")
	app.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "A", Roles: []web.Role{web.RoleAuditor}})
	if ans := app.Get("/admin/revocations"); ans.Status != 403 {
		t.Errorf("an auditor: %d", ans.Status)
	}
}
