package desk_test

import (
	"net/http"
	"strings"
	"testing"

	"impfportal/certificate/dcc"
	"impfportal/certificate/desk"
	"impfportal/certificate/stop"
	"impfportal/internal/id"
	"impfportal/internal/web/webtest"
)

const apiPath = "/api/v1/issuer/certificates"

func dose(change ...any) map[string]any {
	m := map[string]any{
		"key": id.New(), "basis": "given", "family_name": "Müßig", "given_name": "Erika", "birth": "1964-08-12",
		"product_id": "comirnaty", "lot_number": "EX3599", "dose": "first", "day": "2021-07-21",
	}
	for i := 0; i < len(change); i += 2 {
		m[change[i].(string)] = change[i+1]
	}
	return m
}

func post(s shop, path string, in, out any) webtest.Answer {
	return s.JSON(http.MethodPost, apiPath+path, in, out)
}

// What the pages do, software does with the same touch, brakes and answers.
func TestAPIFromTouchToRevocation(t *testing.T) {
	b := setup(t)
	in := dose()
	b.wants(post(b.a, "", in, nil), 403, "passkey.error.stale")
	if n := b.count(`SELECT count(*) FROM vaccination.record`) + b.given(b.a); n != 0 {
		t.Errorf("%d without a touch", n)
	}
	b.freshen(b.a)
	b.wants(post(b.a, "", dose("lot_number", "", "birth", "12.8.1964", "dose", "x"), nil), 422, `"lot_number"`, `"birth"`, `"dose"`)
	b.wants(post(b.a, "", dose("basis", "hearsay"), nil), 422, `"basis"`)
	b.wants(post(b.a, "", dose("key", "1"), nil), 422, `"key"`)
	b.wants(post(b.a, "", dose("lot_number", "INVENTED"), nil), 409, "desk.error.lot")
	b.wants(post(b.a, "", dose("hash", "abc"), nil), 400)
	var made desk.MadeOut
	b.wants(post(b.a, "", in, &made), 201)
	again := made
	b.wants(post(b.a, "", in, &again), 201)
	if made.ID == "" || made.State != "making" || again.ID != made.ID || b.given(b.a) != 1 {
		t.Errorf("%+v, %+v", made, again)
	}
	b.wants(post(b.a, "", dose("key", in["key"], "family_name", "Andere"), nil), 409, "desk.error.key")
	b.work(made.ID)
	var st desk.StateOut
	b.wants(b.a.JSON(http.MethodGet, apiPath+"/"+made.ID+"/state", nil, &st), 200)
	if st.State != "ready" || dcc.CheckUVCI(st.UVCI) != nil {
		t.Errorf("%+v", st)
	}
	var rec desk.RecordOut
	b.wants(b.a.JSON(http.MethodGet, apiPath+"/"+made.ID, nil, &rec), 200)
	d, err := dcc.Decode(rec.Certificates[0].HC1)
	if err != nil || d.Claims.HCert.DCC.Name.FamilyStd != "MUESSIG" || rec.Dose != "first" || rec.Birth != "1964-08-12" || len(rec.Files) != 3 {
		t.Errorf("%+v %v", rec, err)
	}
	b.wants(b.a.Get(rec.Files[2]), 200, rec.Certificates[0].HC1)
	// Found by id and by name, without names in the list of all.
	for _, q := range []map[string]any{{"uvci": st.UVCI}, {"family_name": "Müßig", "given_name": "Erika", "birth": "1964-08-12"}} {
		var rows desk.RowsOut
		b.wants(post(b.a, "/search", q, &rows), 200)
		if len(rows.Doses) != 1 || rows.Doses[0].ID != made.ID || rows.Doses[0].State != "released" {
			t.Errorf("%v: %+v", q, rows)
		}
		b.wants(post(b.b, "/search", q, &rows), 200)
		if len(rows.Doses) != 0 {
			t.Errorf("somebody else finds %+v", rows)
		}
	}
	b.wants(post(b.a, "/search", map[string]any{}, nil), 422, "family_name")
	var rows desk.RowsOut
	b.wants(b.a.JSON(http.MethodGet, apiPath, nil, &rows), 200)
	if len(rows.Doses) != 1 || rows.Doses[0].Name != "" {
		t.Errorf("%+v", rows)
	}
	for _, path := range []string{"/" + made.ID, "/" + made.ID + "/state"} {
		b.wants(b.b.JSON(http.MethodGet, apiPath+path, nil, nil), 404)
	}
	// Corrected, then revoked.
	fix := dose("family_name", "Mussig", "version", rec.Version, "reason", "Ausweis gesehen")
	delete(fix, "key")
	delete(fix, "basis")
	b.wants(b.a.JSON(http.MethodPut, apiPath+"/"+made.ID, fix, &st), 200)
	b.wants(b.a.JSON(http.MethodPut, apiPath+"/"+made.ID, fix, nil), 409)
	b.work(made.ID)
	b.wants(post(b.b, "/"+made.ID+"/revocation", map[string]any{"reason": "holder"}, nil), 403)
	b.wants(post(b.a, "/"+made.ID+"/revocation", map[string]any{"reason": "whim"}, nil), 422)
	b.wants(post(b.a, "/"+made.ID+"/revocation", map[string]any{"reason": "holder"}, &st), 200)
	if st.State != "revoked" {
		t.Errorf("%+v", st)
	}
	rec = desk.RecordOut{}
	b.wants(b.a.JSON(http.MethodGet, apiPath+"/"+made.ID, nil, &rec), 200)
	if len(rec.Certificates) != 2 || rec.Certificates[0].HC1 != "" || rec.Certificates[1].RevokedAt == nil || rec.FamilyName != "Mussig" || rec.Files != nil {
		t.Errorf("%+v", rec)
	}
}

// A dose seen in a document, the brakes, and a stop.
func TestAPIBrakesAndStop(t *testing.T) {
	b := setup(t)
	b.freshen(b.a)
	seen := func(change ...any) map[string]any {
		return dose(append([]any{"basis", "seen", "document", "booklet", "place", "Praxis Dr. Grün", "lot_number", "EX 1", "day", "2021-05-03"}, change...)...)
	}
	b.wants(post(b.a, "", seen("document", "fax", "place", ""), nil), 422, `"document"`, `"place"`)
	if _, err := b.stop.Order(t.Context(), stop.Order{Scope: stop.Scope{Kind: "pharmacy"}, ReasonDE: "Wir prüfen.", ReasonEN: "We look into it.", Internal: "Hinweis", Actor: "staff:x", Role: "admin"}); err != nil {
		t.Fatal(err)
	}
	var made desk.MadeOut
	b.wants(post(b.a, "", seen(), &made), 201)
	if made.State != "held" || made.HeldWhy == "" || made.HeldSince == nil {
		t.Errorf("%+v", made)
	}
	last := post(b.a, "", seen("family_name", "Muster"), nil)
	for i := 0; i < 60 && last.Status == http.StatusCreated; i++ {
		last = post(b.a, "", seen("family_name", "Muster"+strings.Repeat("a", i+1)), nil)
	}
	if last.Status != http.StatusTooManyRequests && last.Status != http.StatusConflict {
		t.Errorf("%d %s", last.Status, last.Body)
	}
	b.exec(`UPDATE certificate.issuer SET state = 'suspended', why = 'gone' WHERE id = $1`, b.a.ID)
	b.wants(post(b.a, "", seen("family_name", "Zuletzt"), nil), 409, "desk.error.suspended")
}
