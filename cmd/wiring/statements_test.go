package wiring

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/revocation"
	"impfportal/certificate/statement"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/programme"
	"impfportal/vaccination"
)

// issuing is the whole portal with two places that record doses.
type issuing struct {
	*Slices
	t   *testing.T
	app *webtest.App
	now atomic.Pointer[time.Time]
}

// The pharmacy and the practice.
const (
	pharmacyID = "018f0000-0000-7000-8000-000000000001"
	practiceID = "018f0000-0000-7000-8000-000000000002"
)

func newIssuing(t *testing.T) *issuing {
	t.Helper()
	b := &issuing{t: t}
	b.at(time.June, 14)
	env := testEnv(t)
	env.Now = func() time.Time { return *b.now.Load() }
	var err error
	b.Slices, err = Build(env)
	b.ok(err)
	b.ok(b.Prepare(t.Context()))
	app, err := b.App()
	b.ok(err)
	b.app = webtest.Wrap(t, app)
	b.tx(func(tx pgx.Tx) error {
		if err := programme.SeedDemo(t.Context(), tx, env.Now()); err != nil {
			return err
		}
		key, err := env.Vault.NewKey(t.Context(), tx)
		if err != nil {
			return err
		}
		// As if two people had approved them.
		_, err = tx.Exec(t.Context(), fmt.Sprintf(`
			SET LOCAL session_replication_role = replica;
			INSERT INTO certificate.registry_entry (id, state, name, street, postcode, city, kind, licence, region, keys, valid_from, sequence, changed_at)
			SELECT k, 'listed', k || ' MUSTER', 'Markt 1', '04109', 'Leipzig', k, 'valid', 'DE-SN', '{}', '2020-01-01', 1, '2021-06-01' FROM unnest(ARRAY['pharmacy', 'practice']) k;
			INSERT INTO certificate.issuer (id, entry_id, kind, region, state, since, key_id, contact, lang, approval, created_at, proven_at, activated_at)
			SELECT i, k, k, 'DE-SN', 'active', '2021-06-01', '%s', '', 'de', i, '2021-06-01', '2021-06-01', '2021-06-01'
			  FROM (VALUES ('%s'::uuid, 'pharmacy'), ('%s'::uuid, 'practice')) v (i, k)`, key.ID, pharmacyID, practiceID))
		return err
	})
	return b
}

func (b *issuing) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *issuing) at(month time.Month, day int) {
	now := clock.At(time.Date(2021, month, day, 0, 0, 0, 0, time.UTC), 12, 0)
	b.now.Store(&now)
}

func (b *issuing) tx(fn func(tx pgx.Tx) error) {
	b.t.Helper()
	b.ok(pg.InTx(b.t.Context(), b.env.Pool, fn))
}

// record writes a dose as an issuer's page does, a minute after the one before.
func (b *issuing) record(issuerID, kind string, basis vaccination.Basis, family string, dose int) (recordID string) {
	b.t.Helper()
	now := b.now.Load().Add(time.Minute)
	b.now.Store(&now)
	in := vaccination.IssuedDose{
		Key: "test-" + id.New(), Now: now, IssuerRef: "issuer:" + issuerID, IssuerKind: kind, Operator: "olga", Path: vaccination.PathWeb, Region: "04", Basis: basis,
		ProductID: "comirnaty", LotNumber: "EX3599", DoseNumber: dose, DosesTotal: 2, Day: clock.Day(now).AddDate(0, 0, 28*(dose-2)),
		Patient: vaccination.Patient{FamilyName: family, GivenName: "Karla", Birth: vaccination.PartialDate{Year: 1940, Month: 1, Day: 2}, Postcode: "04109"},
		Actor:   "staff:olga", Role: "issuer",
	}
	if basis == vaccination.Seen {
		in.Document = &vaccination.Document{Kind: vaccination.Booklet, Place: "Dr. Anderswo", Date: in.Day.Format(time.DateOnly), Lot: "EX3599"}
	}
	b.tx(func(tx pgx.Tx) (err error) {
		recordID, err = b.Vaccination.RecordIssued(b.t.Context(), tx, in)
		return err
	})
	return recordID
}

// issue does what the worker does for records.
func (b *issuing) issue(records ...string) {
	b.t.Helper()
	for range 2 { // up to the log, then out of it
		for _, r := range records {
			b.ok(b.Certificate.Make(b.t.Context(), r))
		}
		_, err := b.Log.Sequence(b.t.Context())
		b.ok(err)
	}
}

// leaf is the leaf of a reference.
func (b *issuing) leaf(ref string) translog.Leaf {
	b.t.Helper()
	list, err := translog.ByRefs(b.t.Context(), b.env.Pool, []string{ref})
	b.ok(err)
	if len(list) != 1 {
		b.t.Fatalf("%s has %d leaves", ref, len(list))
	}
	return list[0].Leaf()
}

// version is the id of a certificate.
func (b *issuing) version(recordID string, n int) (certificateID string) {
	b.t.Helper()
	b.ok(b.env.Pool.QueryRow(b.t.Context(), `SELECT id::text FROM certificate.certificate WHERE record_id = $1 AND version = $2`, recordID, n).Scan(&certificateID))
	return certificateID
}

func (b *issuing) revoke(recordID string, why revocation.Reason) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		return b.Revocation.Service.Revoke(b.t.Context(), tx, revocation.Revocation{CertificateID: b.version(recordID, 1), Reason: why, Actor: "system", Role: "worker", At: b.env.Now()})
	})
}

// lines are the items of an issuer's statement and its sum.
func (b *issuing) lines(issuerID string, month time.Time) (st statement.Statement, items string) {
	b.t.Helper()
	list, err := statement.OfMonth(b.t.Context(), b.env.Pool, month, "issuer:"+issuerID)
	b.ok(err)
	if len(list) != 1 {
		b.t.Fatalf("%d statements", len(list))
	}
	lines, err := b.Statements.Lines(b.t.Context(), list[0])
	b.ok(err)
	var out []string
	for _, l := range lines {
		out = append(out, l.Item)
	}
	slices.Sort(out)
	return list[0], strings.Join(out, " ")
}

// What the certificate service writes into the log is what statements are made of:
// the second certificate of a person, the version that replaces another, the
// revocation with and without one. And they are made and shown while everything is
// stopped.
func TestStatementsOfWhatIsIssued(t *testing.T) {
	t.Parallel()
	b := newIssuing(t)
	ctx := t.Context()
	june, july := time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC)
	first := b.record(pharmacyID, vaccination.IssuerPharmacy, vaccination.Seen, "Anders", 1)
	second := b.record(pharmacyID, vaccination.IssuerPharmacy, vaccination.Seen, "Anders", 2)
	forged := b.record(pharmacyID, vaccination.IssuerPharmacy, vaccination.Seen, "Fälscher", 2)
	unwanted := b.record(pharmacyID, vaccination.IssuerPharmacy, vaccination.Seen, "Dorn", 2)
	mistaken := b.record(practiceID, vaccination.IssuerPractice, vaccination.Given, "Müler", 2)
	b.issue(first, second, forged, unwanted, mistaken)
	for recordID, want := range map[string]map[string]string{
		first:    {"basis": "seen", "issuer_kind": "pharmacy", "further": ""},
		second:   {"basis": "seen", "issuer_kind": "pharmacy", "further": "yes"},
		mistaken: {"basis": "given", "issuer_kind": "practice", "further": "", "replaces": ""},
	} {
		l := b.leaf("certificate:" + b.version(recordID, 1))
		for k, v := range want {
			if l.Detail[k] != v || l.Kind != translog.KindCertificate {
				t.Errorf("%s: %s is %q, not %q", l.Kind, k, l.Detail[k], v)
			}
		}
	}

	b.at(time.July, 5)
	_, err := b.Statements.Run(ctx)
	b.ok(err)
	for issuerID, want := range map[string]string{pharmacyID: "6000 further seen seen seen", practiceID: "600 given"} {
		if st, items := b.lines(issuerID, june); fmt.Sprint(st.Cents, " ", items) != want {
			t.Errorf("June: %d %s, not %s", st.Cents, items, want)
		}
	}

	// July: a correction, two revocations; then everything stops.
	r, err := b.Vaccination.Get(ctx, b.env.Pool, mistaken)
	b.ok(err)
	to := r.Content()
	to.FamilyName = "Müller"
	_, err = b.Vaccination.Correct(ctx, vaccination.Correction{RecordID: mistaken, Version: r.Version, Reason: "Schreibfehler", To: to, Now: b.env.Now(), Actor: "staff:olga", Role: "issuer"})
	b.ok(err)
	b.revoke(forged, revocation.Fraud)
	b.revoke(unwanted, revocation.ByHolder)
	b.issue(mistaken)
	before, again := b.leaf("certificate:"+b.version(mistaken, 1)), b.leaf("certificate:"+b.version(mistaken, 2))
	if again.Kind != translog.KindReissue || again.Detail["replaces"] != hex.EncodeToString(before.Digest) {
		t.Errorf("%+v does not replace %x", again, before.Digest)
	}
	for recordID, want := range map[string][2]string{mistaken: {"corrected", "yes"}, forged: {"fraud", ""}, unwanted: {"holder", ""}} {
		l := b.leaf("revocation:" + b.version(recordID, 1))
		if l.Kind != translog.KindRevocation || [2]string{l.Detail["reason"], l.Detail["replaced"]} != want {
			t.Errorf("%+v, want %v", l, want)
		}
	}
	_, err = b.Stop.Order(ctx, stop.Order{ReasonDE: "Prüfung", ReasonEN: "Check", Internal: "test", Actor: "system", Role: "system"})
	b.ok(err)
	waiting := b.record(pharmacyID, vaccination.IssuerPharmacy, vaccination.Seen, "Wartemann", 2)
	b.issue(waiting)

	b.at(time.August, 1)
	b.settledWhileStopped(ctx, july, waiting)
}

// settledWhileStopped wants the statements of a month from a portal that issues nothing.
func (b *issuing) settledWhileStopped(ctx context.Context, month time.Time, waiting string) {
	t := b.t
	t.Helper()
	if n, err := b.Statements.Run(ctx); err != nil || n != 1 {
		t.Fatalf("%d months, %v", n, err)
	}
	var signed bool
	b.ok(b.env.Pool.QueryRow(ctx, `SELECT signed_at IS NOT NULL FROM certificate.certificate WHERE record_id = $1`, waiting).Scan(&signed))
	open, err := stop.Open(ctx, b.env.Pool)
	if err != nil || len(open) != 1 || signed {
		t.Fatalf("nothing is stopped: %v, %v, %v", open, signed, err)
	}
	st, items := b.lines(pharmacyID, month)
	if st.Cents != -1800 || items != "credit revocation" {
		t.Errorf("July of the pharmacy: %d %s", st.Cents, items)
	}
	if st, items := b.lines(practiceID, month); st.Cents != 0 || items != "reissue revocation" {
		t.Errorf("July of the practice: %d %s", st.Cents, items)
	}
	b.app.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Olga", Roles: []web.Role{web.RoleIssuer}, Scope: pharmacyID})
	for path, want := range map[string]string{
		"":                             "Juli 2021",
		"/" + st.ID:                    "Abzug",
		"/" + st.ID + "/statement.pdf": "%PDF-",
		"/" + st.ID + "/lines.csv":     "credit",
		"/" + st.ID + "/proofs.json":   "impfportal-log/1",
	} {
		if a := b.app.Get("/issuer/statements" + path); a.Status != http.StatusOK || !strings.Contains(a.Body, want) {
			t.Errorf("%s answers %d: %.300s", path, a.Status, a.Body)
		}
	}
}
