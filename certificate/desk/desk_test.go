package desk_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer"
	"impfportal/certificate/stop"
)

func TestIssueToCertificate(t *testing.T) {
	b := setup(t)
	b.wants(b.a.Get("/issuer/issue"), 200, "Bei uns geimpft", "Genesenen- und Testzertifikate")
	b.wants(b.a.Get("/issuer/issue/given"), 200, "Comirnaty, EX3599 (noch 3)", "Erste von zwei Impfungen")
	b.wants(b.a.PostForm("/issuer/issue/given/check", fields("family_name", "", "dose", "")...), 422, "Bitte wählen Sie, welche Impfung", `value="Erika"`)
	kv := fields("family_name", "Müßig")
	b.wants(b.a.PostForm("/issuer/issue/given/check", kv...), 200, "MUESSIG&lt;&lt;ERIKA", "Schlüssel berühren und ausstellen", `name="family_name" value="Müßig"`)
	// Without a touch nothing is made, and nothing is lost.
	b.wants(b.a.PostForm("/issuer/issue/given", kv...), 422, "Ihre Angaben sind noch da", `name="family_name" value="Müßig"`)
	if n := b.count(`SELECT count(*) FROM vaccination.record`) + b.given(b.a); n != 0 {
		t.Errorf("%d without a touch", n)
	}
	recordID := b.issue(b.a, "given", append(kv, "touch", b.touch(b.a, "issuing")))
	b.wants(b.a.Get("/issuer/issued/"+recordID), 200, "Die Impfung ist gespeichert", `http-equiv="refresh" content="2"`)
	b.wants(b.a.Get("/issuer/issued/"+recordID+"/certificate.pdf"), 404)
	b.work(recordID)
	b.wants(b.a.Get("/issuer/issued/"+recordID), 200, "Das Zertifikat ist fertig", "URN:UVCI:01DE/A000/")
	b.lacks(b.a.Get("/issuer/issued/"+recordID), "http-equiv", "Müßig")
	hc1 := b.a.Get("/issuer/issued/" + recordID + "/hc1.txt")
	d, err := dcc.Decode(hc1.Body)
	b.ok(err)
	// Its id says who issued it.
	by, err := issuer.Search(t.Context(), b.pool, "", d.Claims.HCert.DCC.V[0].ID)
	if err != nil || len(by) != 1 || by[0].ID != b.a.ID {
		t.Errorf("%+v %v", by, err)
	}
	if err != nil || d.Claims.HCert.DCC.Name.FamilyStd != "MUESSIG" || d.Claims.HCert.DCC.V[0].Dose != 1 || d.Claims.HCert.DCC.V[0].Doses != 2 {
		t.Errorf("%s: %v", hc1.Body, err)
	}
	if a := b.a.Get("/issuer/issued/" + recordID + "/certificate.pdf"); a.Status != 200 || !strings.HasPrefix(a.Body, "%PDF") {
		t.Error(a.Status)
	}
	if a := b.a.Get("/issuer/issued/" + recordID + "/qr.png"); a.Status != 200 || !strings.HasPrefix(a.Body, "\x89PNG") {
		t.Error(a.Status)
	}
	// The touch holds for fifteen minutes.
	b.wants(b.a.PostForm("/issuer/issue/given/check", fields()...), 200, "Jetzt ausstellen")
	b.pass(16 * time.Minute)
	b.wants(b.a.PostForm("/issuer/issue/given", fields("family_name", "Spät")...), 422, `value="Spät"`)
}

func TestSeenDosesAreMarked(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	b.wants(b.a.PostForm("/issuer/issue/seen/check", seen("document", "fax", "place", "")...), 422, "Art des Nachweises", "wer geimpft hat")
	recordID := b.issue(b.a, "seen", seen())
	b.work(recordID)
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE basis = 'seen' AND path = 'web' AND operator = $1 AND issuer_ref = $2`, b.a.account, b.a.Ref()); n != 1 {
		t.Error("not marked")
	}
	b.wants(b.a.Get("/issuer/certificates/"+recordID), 200, "Praxis Dr. Grün", "03.05.2021", "EX 1")
	if b.given(b.a) != 0 {
		t.Error("counted against a lot of the pharmacy")
	}
	// What the vaccine does not allow is said at the field.
	for dose, product := range map[string]string{"single": "comirnaty", "second": "janssen", "first": "janssen"} {
		b.wants(b.a.PostForm("/issuer/issue/seen/check", seen("dose", dose, "product", product)...), 422, "passt nicht zu diesem Impfstoff")
	}
	b.wants(b.a.PostForm("/issuer/issue/seen/check", seen("dose", "single", "product", "janssen")...), 200)
	b.wants(b.a.PostForm("/issuer/issue/seen/check", seen("day", "2020-12-01")...), 422, "8. Dezember 2020")
}

// Two clicks at once, on the last dose of the lot: one record, one dose, no alarm.
func TestTwoClicksAreOne(t *testing.T) {
	b := setup(t)
	b.exec(`UPDATE certificate.issuer_lot SET declared = 1 WHERE issuer_id = $1`, b.a.ID)
	b.freshen(b.a)
	kv := fields()
	var wg sync.WaitGroup
	got := make([]string, 4)
	for i := range got {
		wg.Go(func() { got[i] = b.a.PostForm("/issuer/issue/given", kv...).Location })
	}
	wg.Wait()
	for _, g := range got {
		if g != got[0] || !recordPath.MatchString(g) {
			t.Errorf("%q, %q", g, got[0])
		}
	}
	if n := b.count(`SELECT count(*) FROM vaccination.record`); n != 1 || b.given(b.a) != 1 {
		t.Errorf("%d records, %d doses", n, b.given(b.a))
	}
	if n := b.count(`SELECT count(*) FROM certificate.issuer_alarm`); n != 0 {
		t.Error("a second click is an alarm")
	}
	// The same form for somebody else, and the same dose with another form.
	var key string
	for i := 0; i < len(kv); i += 2 {
		if kv[i] == "key" {
			key = kv[i+1]
		}
	}
	b.wants(b.a.PostForm("/issuer/issue/given", fields("key", key, "family_name", "Andere")...), 422, "schon etwas anderes ausgestellt")
	if again := b.a.PostForm("/issuer/issue/given", fields()...).Location; again != got[0] {
		t.Error(again)
	}
	b.freshen(b.b)
	b.wants(b.b.PostForm("/issuer/issue/given", fields()...), 422, "schon bescheinigt")
}

func TestLimitsArePlain(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	b.wants(b.a.PostForm("/issuer/issue/given", fields("lot", "comirnaty|ERFUNDEN")...), 422, "keine erklärte Dosis mehr frei", `value="Erika"`)
	last := b.a.PostForm("/issuer/issue/seen", seen()...)
	for i := 0; i < 60 && last.Status == http.StatusSeeOther; i++ {
		last = b.a.PostForm("/issuer/issue/seen", seen("family_name", "Muster"+strings.Repeat("a", i+1))...)
	}
	b.wants(last, 422)
	if s := text(last); !strings.Contains(s, "Limit") && !strings.Contains(s, "angehalten") {
		t.Error(s)
	}
}

// An issuer that loses its standing while a form is open ends with nothing.
func TestPausedMidForm(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	kv := fields()
	b.wants(b.a.PostForm("/issuer/issue/given/check", kv...), 200)
	b.exec(`UPDATE certificate.issuer SET state = 'suspended', why = 'gone' WHERE id = $1`, b.a.ID)
	b.wants(b.a.PostForm("/issuer/issue/given", kv...), 422, "gesperrt", "Es wurde nichts gespeichert")
	b.wants(b.a.Get("/issuer/issue"), 200, "Ihre Stelle kann zurzeit nichts ausstellen")
	if n := b.count(`SELECT count(*) FROM vaccination.record`); n != 0 {
		t.Error("a record")
	}
}

// A touch counts for what it was asked for, and for the session that asked.
func TestForeignTouches(t *testing.T) {
	b := setup(t)
	kv := fields()
	b.wants(b.a.PostForm("/issuer/issue/given", append(kv, "touch", b.touch(b.a, "statement"))...), 422)
	b.wants(b.a.PostForm("/issuer/issue/given", append(kv, "touch", b.touch(b.b, "issuing"))...), 422)
	b.wants(b.a.PostForm("/issuer/issue/given", append(kv, "touch", "{}")...), 422)
	used := b.touch(b.a, "issuing")
	b.issue(b.a, "given", append(kv, "touch", used))
	b.pass(20 * time.Minute)
	b.wants(b.a.PostForm("/issuer/issue/given", append(fields("family_name", "Zwei"), "touch", used)...), 422)
	if n := b.count(`SELECT count(*) FROM vaccination.record`); n != 1 {
		t.Errorf("%d records", n)
	}
}

// What an issuer made does not exist for another one.
func TestOthersSeeNothing(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	b.freshen(b.b)
	recordID := b.issue(b.a, "given", fields())
	b.work(recordID)
	var uvci string
	b.ok(b.pool.QueryRow(t.Context(), `SELECT uvci FROM certificate.certificate`).Scan(&uvci))
	for _, path := range []string{"/issuer/issued/" + recordID, "/issuer/issued/" + recordID + "/hc1.txt", "/issuer/certificates/" + recordID, "/issuer/certificates/x", "/issuer/issued/0190d1e0-0000-7000-8000-0000000000aa"} {
		b.wants(b.b.Get(path), 404)
	}
	b.wants(b.b.PostForm("/issuer/certificates", "uvci", uvci), 200, "nichts ausgestellt, das dazu passt")
	name := []string{"family_name", "muster", "given_name", "ERIKA", "birth_day", "12", "birth_month", "8", "birth_year", "1964"}
	b.wants(b.b.PostForm("/issuer/certificates", name...), 200, "nichts ausgestellt, das dazu passt")
	b.wants(b.a.PostForm("/issuer/certificates", name...), 200, "Muster, Erika")
	if a := b.a.PostForm("/issuer/certificates", "uvci", uvci); a.Location != "/issuer/certificates/"+recordID {
		t.Error(a.Status, a.Location)
	}
	correction := fields("version", "1", "reason", "Name verglichen", "family_name", "Falsch")
	for _, path := range []string{"", "/check", "/edit", "/revoke"} {
		b.wants(b.b.PostForm("/issuer/certificates/"+recordID+path, append(correction, "why", "fraud")...), 404)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE revoked_at IS NULL AND version = 1`); n != 1 {
		t.Error("changed by somebody else")
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'vaccination.search'`); n < 2 {
		t.Errorf("%d searches in the audit", n)
	}
}

func TestCorrectAndRevoke(t *testing.T) {
	b := setup(t)
	b.ok(b.issuers.Declare(t.Context(), b.a.ID, receipt("EX4000", 1), "staff:test"))
	b.freshen(b.a)
	recordID := b.issue(b.a, "given", fields())
	b.work(recordID)
	path := "/issuer/certificates/" + recordID
	b.wants(b.a.Get(path), 200, "Muster, Erika", "gültig", "Angaben berichtigen", "Zertifikat widerrufen")
	change := fields("version", "1", "reason", "Charge noch einmal verglichen", "lot", "comirnaty|EX4000", "family_name", "Mustermann")
	b.wants(b.a.PostForm(path+"/check", fields("version", "1")...), 422, "Bitte nennen Sie den Grund")
	b.wants(b.a.PostForm(path+"/check", fields("version", "1", "reason", "ohne Änderung")...), 422, "nichts geändert")
	b.wants(b.a.PostForm(path+"/check", change...), 200, "MUSTERMANN&lt;&lt;ERIKA", "<del>", "EX4000")
	b.wants(b.a.PostForm(path, fields("version", "1", "reason", "erfundene Charge", "lot", "comirnaty|ERFUNDEN")...), 422, "keine erklärte Dosis")
	if a := b.a.PostForm(path, change...); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, text(a))
	}
	b.wants(b.a.PostForm(path, change...), 422, "inzwischen von jemand anderem berichtigt")
	b.work(recordID)
	if b.given(b.a) != 0 || b.count(`SELECT given FROM certificate.issuer_lot WHERE lot_number = 'EX4000'`) != 1 {
		t.Error("the dose is counted against the wrong lot")
	}
	b.wants(b.a.Get(path), 200, "Mustermann, Erika", "Fassung 2", "Ersetzt durch eine neue Fassung", "Charge noch einmal verglichen")
	for v, name := range []string{"Zwei", "Drei"} {
		if a := b.a.PostForm(path, fields("version", string(rune('2'+v)), "reason", "noch einmal", "lot", "comirnaty|EX4000", "family_name", name)...); a.Status != http.StatusSeeOther {
			t.Fatal(a.Status, text(a))
		}
	}
	b.wants(b.a.PostForm(path, fields("version", "4", "reason", "viele Namen", "lot", "comirnaty|EX4000", "family_name", "Vier")...), 422, "schon dreimal berichtigt")
	b.work(recordID)
	b.wants(b.a.PostForm(path+"/revoke", "why", "compromise"), 422, "Bitte wählen Sie den Grund")
	if a := b.a.PostForm(path+"/revoke", "why", "holder"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, text(a))
	}
	b.wants(b.a.Get(path), 200, "widerrufen")
	b.wants(b.a.PostForm(path+"/revoke", "why", "holder"), 422, "kein gültiges Zertifikat")
	b.work(recordID)
	b.wants(b.a.Get("/issuer/issued/"+recordID+"/hc1.txt"), 404)

	// One that nobody has yet: revoked before the log has it, it is never handed out.
	second := b.issue(b.a, "given", fields("family_name", "Zweite"))
	path = "/issuer/certificates/" + second
	b.wants(b.a.PostForm(path+"/revoke", "why", "holder"), 422, "kein gültiges Zertifikat")
	b.ok(b.certs.Make(t.Context(), second))
	b.wants(b.a.Get(path), 200, "Zertifikat widerrufen")
	if a := b.a.PostForm(path+"/revoke", "why", "holder"); a.Status != http.StatusSeeOther {
		t.Fatal(a.Status, text(a))
	}
	b.work(second)
	b.wants(b.a.Get(path), 200, "widerrufen")
	b.wants(b.a.Get("/issuer/issued/"+second), 200, "widerrufen")
	b.wants(b.a.Get("/issuer/issued/"+second+"/hc1.txt"), 404)
}

// Who tries names in a correction to learn who is vaccinated is braked like who issues.
func TestCorrectionsTellOfFewOthers(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	b.freshen(b.b)
	recordID := b.issue(b.a, "given", fields())
	b.issue(b.b, "given", fields("family_name", "Prominent"))
	path := "/issuer/certificates/" + recordID + "/check"
	try := func(name string) string {
		return text(b.a.PostForm(path, fields("version", "1", "reason", "Name verglichen", "family_name", name)...))
	}
	told := 0
	for range 60 {
		if !strings.Contains(try("Prominent"), "schon bescheinigt") {
			break
		}
		told++
	}
	if told == 0 || told >= 60 {
		t.Fatalf("%d answers about somebody else", told)
	}
	// And then nobody is told apart.
	one, two := try("Prominent"), try("Unbekannt")
	if one = strings.ReplaceAll(one, "Prominent", "X"); one != strings.ReplaceAll(two, "Unbekannt", "X") || !strings.Contains(one, "Limit") {
		t.Errorf("%s\n%s", one, two)
	}
}

// A stop: records are taken, certificates wait, the box says so; the return in cohorts
// verifies the issuers, makes what waited, and tells them.
func TestStopAndReturn(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	stopID, err := b.stop.Order(t.Context(), stop.Order{Scope: stop.Scope{Kind: "pharmacy"}, ReasonDE: "Wir prüfen eine Sicherheitslücke.", ReasonEN: "We look into a security hole.", Internal: "Hinweis von außen", Actor: "staff:x", Role: "admin"})
	b.ok(err)
	b.wants(b.a.Get("/issuer"), 200, "panel--paused", "Das Ausstellen ist zurzeit angehalten", "Sicherheitslücke", "Wir informieren Sie")
	b.wants(b.a.Get("/issuer/issue"), 200, "Sicherheitslücke", "Bei uns geimpft")
	recordID := b.issue(b.a, "given", fields())
	b.work(recordID)
	b.wants(b.a.Get("/issuer/issued/"+recordID), 200, "Die Impfung ist gespeichert", "Sicherheitslücke", "sobald es weitergeht", `content="30"`)
	// The other pharmacy's key is gone: it does not come back.
	b.exec(`UPDATE staff.credential SET disabled_at = $2, disabled_why = 'revoked' WHERE account_id = $1`, b.b.account, b.clock())
	proposal, err := b.stop.ProposeReturn(t.Context(), stopID, stop.Plan{Budget: 10}, "Lücke geschlossen", b.two.Approvers[0].AccountID)
	b.ok(err)
	b.ok(b.two.ApproveByTwo(proposal))
	failed, err := b.stop.Admit(t.Context(), stopID, 1, "staff:x", "admin")
	b.ok(err)
	if len(failed) != 1 || failed[b.b.Ref()] != "key" {
		t.Errorf("%v", failed)
	}
	b.work(recordID)
	b.wants(b.a.Get("/issuer/issued/"+recordID), 200, "Das Zertifikat ist fertig")
	b.wants(b.a.Get("/issuer"), 200, "panel--yours")
	b.wants(b.b.Get("/issuer"), 200, "panel--paused")
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'issuer.resumed' AND payload::text LIKE '%' || $1 || '%'`, b.a.ID); n != 1 {
		t.Errorf("%d tasks to tell", n)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'issuer.resumed' AND payload::text LIKE '%' || $1 || '%'`, b.b.ID); n != 0 {
		t.Error("who stays out is told that it works")
	}
}
