package certify_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/stop"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web/webtest"
	"impfportal/vaccination"
)

func TestCertificateInEveryForm(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	first := b.issue(token, person("Musterfrau-Dießner"))
	want(t, "no wish", first.Status, first.Body, 200, "")
	p := b.verify(first.Body)
	v := p.V[0]
	ci, _ := v["ci"].(string)
	if p.Nam["fn"] != "Musterfrau-Dießner" || p.Nam["fnt"] != "MUSTERFRAU<DIESSNER" || p.Dob != "1979-04-14" || v["dt"] != "2021-07-20" || fmt.Sprint(v["dn"], "/", v["sd"]) != "2/2" ||
		v["mp"] != "EU/1/20/1528" || !strings.HasPrefix(ci, "URN:UVCI:01DE/"+pharmacy+"/") {
		t.Errorf("%+v", p)
	}
	if first.Header.Get("X-Dgc-Id") != ci || first.Header.Get("Content-Type") != "application/cbor+base45" || first.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", first.Header)
	}
	for accept, form := range map[string]string{
		"*/*": "application/cbor+base45", "application/cbor": "application/cbor", "application/pdf": "application/pdf", "application/pdf;q=0.5, application/cbor": "application/cbor",
		"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": "application/cbor+base45",
	} {
		a := b.issue(token, person("Musterfrau-Dießner"), "Accept", accept)
		if a.Status != 200 || a.Header.Get("Content-Type") != form || a.Header.Get("X-Dgc-Id") != ci {
			t.Errorf("%s: %d %v", accept, a.Status, a.Header)
			continue
		}
		switch form {
		case "application/cbor":
			if got := b.verifyBinary([]byte(a.Body)); got.V[0]["ci"] != ci {
				t.Errorf("%+v", got)
			}
		case "application/pdf":
			if !strings.HasPrefix(a.Body, "%PDF-") {
				t.Error("no PDF")
			}
		}
	}
	for _, accept := range []string{"text/html", "application/json", "application/pdf;q=0"} {
		a := b.issue(token, person("Musterfrau-Dießner"), "Accept", accept)
		want(t, accept, a.Status, a.Body, 406, "accept")
	}
	for _, ct := range []string{"text/plain", "application/json; charset=latin1"} {
		a := b.issue(token, person("Musterfrau-Dießner"), "Content-Type", ct)
		want(t, ct, a.Status, a.Body, 415, "media")
	}
	a := b.issue(token, person("Musterfrau-Dießner"), "Content-Type", "application/json; charset=UTF-8")
	want(t, "JSON", a.Status, a.Body, 200, "")
	b.counts(1, 1)
}

// What is not a request that a certificate can be made of leaves no record.
func TestRefusedRequestsLeaveNothing(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	v := func(field string, value any) map[string]any {
		m := person("Muster")
		if entryOf(m)[field] = value; value == nil {
			delete(entryOf(m), field)
		}
		return m
	}
	top := func(field string, value any) map[string]any { m := person("Muster"); m[field] = value; return m }
	good := text(person("Muster"))
	for name, c := range map[string]struct {
		body   any
		status int
		key    string
	}{
		"recovery":           {top("r", []any{map[string]any{"tg": "840539006"}}), 406, "kind"},
		"test":               {map[string]any{"nam": person("x")["nam"], "dob": "1979-04-14", "t": []any{map[string]any{}}}, 406, "kind"},
		"nothing":            {"", 400, "json"},
		"no object":          {"[]", 400, "json"},
		"two values":         {good + "{}", 400, "json"},
		"broken":             {good[:40], 400, "json"},
		"not UTF-8":          {strings.Replace(good, "Muster", "M\xfcster", 1), 400, "json"},
		"deep":               {strings.Repeat(`{"v":[`, 2000), 400, "json"},
		"name twice":         {strings.Replace(good, `"fn":"Muster"`, `"fn":"Muster","fn":"Anders"`, 1), 400, "twice"},
		"entry twice":        {strings.Replace(good, `"dn":2`, `"dn":2,"dn":1`, 1), 400, "twice"},
		"unknown":            {top("extra", 1), 400, "field"},
		"unknown in v":       {v("is", "Somebody"), 400, "field"},
		"other letters":      {top("DOB", "1979-04-14"), 400, "field"},
		"no name":            {map[string]any{"dob": "1979-04-14", "v": person("x")["v"]}, 400, "missing"},
		"empty name":         {person(""), 400, "missing"},
		"long name":          {person(strings.Repeat("x", 81)), 400, "long"},
		"two vaccinations":   {top("v", []any{entryOf(person("x")), entryOf(person("x"))}), 400, "one"},
		"no vaccination":     {top("v", []any{}), 400, "one"},
		"number as text":     {v("dn", "2"), 400, "type"},
		"fraction":           {v("dn", 1.5), 400, "type"},
		"no day":             {v("dt", nil), 400, "missing"},
		"day that is none":   {v("dt", "2021-02-30"), 400, "date"},
		"unknown birth":      {top("dob", ""), 400, "missing"},
		"birth in words":     {top("dob", "14.4.1979"), 400, "birth"},
		"birth that is none": {top("dob", "1979-02-30"), 400, "birth"},
		"small id":           {v("id", "iz1"), 400, "form"},
		"tomorrow":           {v("dt", "2021-07-22"), 406, "dates"},
		"before vaccines":    {v("dt", "2020-06-01"), 406, "dates"},
		"born later":         {top("dob", "2021-07-21"), 406, "dates"},
		"other script":       {person("Иванов"), 406, "name"},
		"dose of nothing":    {v("dn", 3), 406, "dose"},
		"no dose":            {v("dn", 0), 406, "dose"},
		"other disease":      {v("tg", "6142004"), 406, "codes"},
		"wrong holder":       {v("ma", "ORG-100001699"), 406, "codes"},
		"wrong vaccine":      {v("vp", "1119305005"), 406, "codes"},
		"other product":      {v("mp", "EU/1/20/9999"), 406, "codes"},
		"somebody else's id": {v("id", "300000018"), 403, "location"},
		"huge":               {top("ver", strings.Repeat("x", 70_000)), 413, "large"},
	} {
		a := b.issue(token, c.body)
		want(t, name, a.Status, a.Body, c.status, c.key)
		if a.Status >= 400 && a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v", name, a.Header)
		}
	}
	b.counts(0, 0)
	for name, kv := range map[string][]string{
		"lot that nobody received": {"X-Impfportal-Lot", "ZZ999"},
		"lot with signs":           {"X-Impfportal-Lot", "A%3CB"},
		"another basis":            {"X-Impfportal-Basis", "heard"},
		"seen where":               {"X-Impfportal-Basis", "seen"},
		"seen in what":             {"X-Impfportal-Basis", "seen", "X-Impfportal-Document", "app", "X-Impfportal-Document-Place", "Praxis"},
		"seen in no place":         {"X-Impfportal-Basis", "seen", "X-Impfportal-Document", "booklet"},
		"broken letters":           {"X-Impfportal-Basis", "seen", "X-Impfportal-Document", "booklet", "X-Impfportal-Document-Place", "Gr%FCn"},
		"long key":                 {"Idempotency-Key", strings.Repeat("k", 201)},
	} {
		a := b.issue(token, person("Muster"), kv...)
		if name == "lot that nobody received" {
			want(t, name, a.Status, a.Body, 403, "lot")
		} else {
			want(t, name, a.Status, a.Body, 400, "header")
		}
	}
	b.counts(0, 0)
	if n := b.count(`SELECT count(*) FROM certificate.issuer_issue`); n != 0 {
		t.Errorf("the brakes counted %d", n)
	}
}

// Codes that the guide allows are taken; the certificate carries those of its day.
func TestCodesOfTheGuide(t *testing.T) {
	b := setup(t)
	b.exec(`INSERT INTO certificate.issuer_lot (issuer_id, product_id, lot_number, declared) SELECT $1, p, 'EX3599', 9 FROM unnest(ARRAY['spikevax', 'vaxzevria', 'janssen', 'nuvaxovid']) p`, b.issuerID(pharmacy))
	token := b.login(b.own).Access
	for i, c := range []struct {
		vp, mp, ma, carries string
		dn, sd              int
	}{
		{"J07BX03", "EU/1/20/1528", "ORG-100030215", "1119349007", 1, 2},
		{"1119349007", "EU/1/20/1507", "ORG-100031184", "1119349007", 3, 3},
		{"J07BX03", "EU/1/21/1529", "ORG-100001699", "J07BX03", 2, 2},
		{"J07BX03", "EU/1/20/1525", "ORG-100001417", "J07BX03", 1, 1},
		{"J07BX03", "EU/1/20/1528", "ORG-100030215", "1119349007", 2, 1},
	} {
		m := person(fmt.Sprintf("Muster%c", 'a'+i))
		maps.Copy(entryOf(m), map[string]any{"vp": c.vp, "mp": c.mp, "ma": c.ma, "dn": c.dn, "sd": c.sd})
		m["ver"], m["r"] = "1.3.0", nil
		m["nam"].(map[string]any)["fnt"] = "SOMEBODY<ELSE"
		a := b.issue(token, m)
		if a.Status != 200 {
			t.Errorf("%+v: %d %s", c, a.Status, a.Body)
			continue
		}
		p := b.verify(a.Body)
		if p.V[0]["vp"] != c.carries || p.V[0]["mp"] != c.mp || fmt.Sprint(p.V[0]["dn"], p.V[0]["sd"]) != fmt.Sprint(c.dn, c.sd) || !strings.HasPrefix(p.Nam["fnt"], "MUSTER") {
			t.Errorf("%+v: %+v", c, p)
		}
	}
}

func TestSameRequestFiftyTimesAtOnce(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	answers := make([]webtest.Answer, 50)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = b.issue(token, person("Gleich")) })
	}
	wg.Wait()
	for i, a := range answers {
		if a.Status != 200 || a.Body != answers[0].Body {
			t.Errorf("%d: %d %s", i, a.Status, a.Body)
		}
	}
	b.verify(answers[0].Body)
	b.counts(1, 1)
	if n := b.count(`SELECT count(*) FROM certificate.issuer_issue`); n != 1 {
		t.Errorf("the brakes counted %d", n)
	}
	if n := b.count(`SELECT given FROM certificate.issuer_lot WHERE lot_number = $1`, lot); n != 1 {
		t.Errorf("%d doses of the lot", n)
	}
}

// A key names a request; the same dose told under another key is the same dose.
func TestKeys(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	first := b.issue(token, person("Schluessel"), "Idempotency-Key", "k-1")
	want(t, "first", first.Status, first.Body, 200, "")
	for name, kv := range map[string][]string{"same key": {"Idempotency-Key", "k-1"}, "other key": {"X-Transaction-Id", strings.Repeat("ab", 32)}, "no key": nil} {
		a := b.issue(token, person("Schluessel"), kv...)
		if a.Status != 200 || a.Body != first.Body {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	other := b.issue(token, person("Anders"), "Idempotency-Key", "k-1")
	want(t, "key of another request", other.Status, other.Body, 409, "reused")
	m := person("Schluessel")
	entryOf(m)["dt"] = "2021-07-19"
	a := b.issue(token, m)
	want(t, "the same dose on another day", a.Status, a.Body, 409, "given")
	b.counts(1, 1)
}

// Nobody asks who is vaccinated: without a dose of one's own to record, everybody looks
// alike, and with one the answer costs what a record costs.
func TestWhoIsVaccinatedIsNotTold(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	b.ok(pg.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		p := vaccination.Patient{FamilyName: "Prominent", GivenName: "Erika Dörte", Birth: citizen.PartialDate{Year: 1979, Month: 4, Day: 14}}
		_, err := b.cfg.Records.RecordIssued(t.Context(), tx, vaccination.IssuedDose{
			Key: "elsewhere", Now: b.clock(), IssuerRef: "issuer:" + id.New(), IssuerKind: "practice", Operator: "x", Path: "web", Basis: vaccination.Given, Patient: p,
			ProductID: "comirnaty", LotNumber: "EX1", DoseNumber: 2, DosesTotal: 2, Day: time.Date(2021, 7, 1, 0, 0, 0, 0, time.UTC), Actor: "issuer:x", Role: "issuer",
		})
		return err
	}))
	for _, name := range []string{"Prominent", "Unbekannt"} {
		a := b.issue(token, person(name), "X-Impfportal-Lot", "ZZ999")
		want(t, name+", with a lot that nobody has", a.Status, a.Body, 403, "lot")
	}
	b.exec(`ALTER TABLE certificate.issuer_allowance DISABLE TRIGGER issuer_allowance_guard`)
	b.exec(`UPDATE certificate.issuer_allowance SET burst = 2, seen_burst = 2, operator_burst = 2`)
	for i, c := range []struct {
		status int
		key    string
	}{{409, "given"}, {409, "given"}, {429, "limit"}} {
		a := b.issue(token, person("Prominent"))
		want(t, "try "+string(rune('1'+i)), a.Status, a.Body, c.status, c.key)
	}
	if n := b.count(`SELECT given FROM certificate.issuer_lot WHERE lot_number = $1`, lot); n != 0 {
		t.Errorf("%d doses were counted", n)
	}
}

// A stop keeps requests: the record is there, the certificate waits, and the same
// request fetches it afterwards.
func TestStop(t *testing.T) {
	b := setup(t)
	before := b.issue(b.login(b.own).Access, person("Vorher"))
	want(t, "before", before.Status, before.Body, 200, "")
	stopID, err := b.stop.Order(t.Context(), stop.Order{Scope: stop.Scope{Kind: "pharmacy"}, ReasonDE: "Wir prüfen.", ReasonEN: "We check.", Internal: "test", Actor: "staff:" + id.New(), Role: "admin"})
	b.ok(err)
	token := b.login(b.own).Access
	for range 2 {
		a := b.issue(token, person("Waehrend"), "Accept-Language", "en")
		want(t, "during", a.Status, a.Body, 503, "stopped")
		if a.Header.Get("Retry-After") != "300" || !strings.Contains(a.Body, `"stored":true`) || !strings.Contains(a.Body, "We check.") {
			t.Errorf("%v %s", a.Header, a.Body)
		}
	}
	same := b.issue(token, person("Vorher"))
	if same.Body != before.Body {
		t.Error("what was made before is not handed out")
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record`); n != 2 {
		t.Errorf("%d records", n)
	}
	b.exec(`ALTER TABLE certificate.stop DISABLE TRIGGER USER`) // the approvals are the affair of its own tests
	b.exec(`DELETE FROM certificate.stop WHERE id = $1`, stopID)
	after := b.issue(b.login(b.own).Access, person("Waehrend"))
	want(t, "after", after.Status, after.Body, 200, "")
	b.verify(after.Body)
	b.counts(2, 2)
}

// The worker is away: the request is stored, and found again.
func TestWorkerIsAway(t *testing.T) {
	b := setup(t)
	b.work(false)
	b.cfg.Wait = 50 * time.Millisecond
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.service().Routes()})
	token := b.login(b.own).Access
	a := b.issue(token, person("Spaeter"))
	want(t, "away", a.Status, a.Body, 503, "waits")
	if a.Header.Get("Retry-After") != "30" || !strings.Contains(a.Body, `"stored":true`) {
		t.Errorf("%v %s", a.Header, a.Body)
	}
	b.counts(1, 0)
	b.ok(b.round(t.Context(), true))
	a = b.issue(token, person("Spaeter"))
	want(t, "back", a.Status, a.Body, 200, "")
	b.counts(1, 1)
}

// The certificate says what the record says, not what came with the request: a
// record that was edited behind the service's back gives no certificate that the
// request's bytes had any part in.
func TestCertificateIsBuiltFromTheRecord(t *testing.T) {
	b := setup(t)
	b.work(false)
	b.cfg.Wait = 50 * time.Millisecond
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.service().Routes()})
	token := b.login(b.own).Access
	m := person("Original")
	m["nam"].(map[string]any)["fnt"] = "FORGED"
	a := b.issue(token, m)
	want(t, "stored", a.Status, a.Body, 503, "waits")
	edited := person("Original")
	entryOf(edited)["dn"] = 1
	edited["nam"].(map[string]any)["gn"] = "Andere"
	b.ok(b.round(t.Context(), true))
	a = b.issue(token, m)
	want(t, "made", a.Status, a.Body, 200, "")
	if p := b.verify(a.Body); p.Nam["fnt"] != "ORIGINAL" || fmt.Sprint(p.V[0]["dn"]) != "2" {
		t.Errorf("%+v", p)
	}
	// Another payload is another request, and gets nothing of the first.
	a = b.issue(token, edited)
	want(t, "edited", a.Status, a.Body, 503, "waits")
	b.counts(2, 1)
}

func TestGivenWithoutALotAndSeen(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	a := b.issue(token, person("Ohne"), "X-Impfportal-Lot", "")
	want(t, "no lot", a.Status, a.Body, 200, "")
	b.exec(`UPDATE certificate.issuer_lot SET declared = given + 1 WHERE lot_number = $1`, lot)
	a = b.issue(token, person("Keine"), "X-Impfportal-Lot", "")
	want(t, "receipts are used up", a.Status, a.Body, 403, "lot")
	seen := []string{"X-Impfportal-Basis", "seen", "X-Impfportal-Document", "booklet", "X-Impfportal-Document-Place", "Praxis%20Dr.%20Gr%C3%BCn", "X-Impfportal-Document-Date", "20.7.21"}
	a = b.issue(token, person("Gesehen"), seen...)
	want(t, "seen", a.Status, a.Body, 200, "")
	b.verify(a.Body)
	var recordID string
	b.ok(b.pool.QueryRow(t.Context(), `SELECT id::text FROM vaccination.record WHERE basis = 'seen'`).Scan(&recordID))
	r, err := b.cfg.Records.Get(t.Context(), b.pool, recordID)
	b.ok(err)
	if r.Document == nil || r.Document.Place != "Praxis Dr. Grün" || r.Document.Date != "20.7.21" || r.Path != "card" || r.Operator != b.own.Fingerprint() || r.Location != pharmacy || r.IssuerRef != "issuer:"+b.issuerID(pharmacy) {
		t.Errorf("%+v %+v", r, r.Document)
	}
	b.counts(2, 2)
}

func TestBrakesAnswer(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	b.exec(`ALTER TABLE certificate.issuer_allowance DISABLE TRIGGER issuer_allowance_guard`)
	b.exec(`UPDATE certificate.issuer_allowance SET burst = 1, seen_burst = 1, operator_burst = 1`)
	a := b.issue(token, person("Eins"))
	want(t, "one", a.Status, a.Body, 200, "")
	a = b.issue(token, person("Zwei"))
	want(t, "two", a.Status, a.Body, 429, "limit")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.counts(1, 1)
}

// An issuer that is paused while its request waits gets nothing more; the record
// that stood before has its certificate.
func TestPausedMidRequest(t *testing.T) {
	b := setup(t)
	b.work(false)
	token := b.login(b.own).Access
	// The row is held by whoever pauses; the request waits for it.
	tx, err := b.pool.Begin(t.Context())
	b.ok(err)
	_, err = tx.Exec(t.Context(), `UPDATE certificate.issuer SET state = 'paused' WHERE id = $1`, b.issuerID(pharmacy))
	b.ok(err)
	done := make(chan webtest.Answer)
	go func() { done <- b.issue(token, person("Unterwegs")) }()
	b.waits()
	b.ok(tx.Commit(t.Context()))
	a := <-done
	want(t, "mid request", a.Status, a.Body, 403, "paused")
	a = b.issue(token, person("Danach"))
	want(t, "afterwards", a.Status, a.Body, 403, "paused")
	b.counts(0, 0)
}

// waits returns when somebody waits for a lock in the database.
func (b *bench) waits() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	for {
		var n int
		b.ok(b.pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
		if n > 0 {
			return
		}
	}
}

func TestForeignHashIsRefusedToEverybody(t *testing.T) {
	b := setup(t)
	token := b.login(b.own).Access
	for _, h := range []map[string]string{nil, {"Authorization": "Bearer " + token}} {
		a := b.app.Do(http.MethodPost, "/api/certify/v2/issue/hash", "text/plain", strings.NewReader("TvQb78AX/5r+5ZkVYYeUW0Rn/4FB8ICt6sSdrwOq0EI="), h)
		want(t, "hash", a.Status, a.Body, 403, "hash")
	}
	r := b.post(b.listen()+"/api/certify/v2/issue/hash", b.own, "x")
	want(t, "hash over TLS", r.status, r.body, 403, "hash")
	b.counts(0, 0)
}
