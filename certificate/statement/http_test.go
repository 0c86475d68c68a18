package statement

import (
	"net/http"
	"strings"
	"testing"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// An issuer sees its own statements and no other's; the administration sees all.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.log(b.issue(0, Seen), b.issue(1, Given))
	b.at(2021, 7, 1)
	b.run()
	app := webtest.New(t, webtest.Config{Pool: b.Pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
	own, other, office := app.Another(), app.Another(), app.Another()
	own.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "x", Roles: operator, Scope: strings.TrimPrefix(parties[0].Ref, "issuer:")})
	other.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "y", Roles: operator, Scope: strings.TrimPrefix(parties[1].Ref, "issuer:")})
	office.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "z", Roles: admin})
	st, _ := b.of(0, "2021-06")
	wants := func(a webtest.Answer, status int, parts ...string) {
		t.Helper()
		if a.Status != status {
			t.Fatalf("%d: %s", a.Status, a.Body)
		}
		for _, p := range parts {
			if !strings.Contains(a.Body, p) {
				t.Errorf("lacks %q: %s", p, a.Body)
			}
		}
	}
	wants(own.Get("/issuer/statements"), http.StatusOK, st.No(), "18,00", "Juni 2021", "/issuer/statements/"+st.ID+"/lines.csv")
	for file, part := range map[string]string{"statement.pdf": "%PDF-1.7", "lines.csv": "log_index", "proofs.json": "impfportal-log/1"} {
		wants(own.Get("/issuer/statements/"+st.ID+"/"+file), http.StatusOK, part)
		wants(other.Get("/issuer/statements/"+st.ID+"/"+file), http.StatusNotFound)
		wants(office.Get("/admin/statements/"+st.ID+"/"+file), http.StatusOK, part)
	}
	for _, list := range []struct {
		app  *webtest.App
		path string
	}{{own, "/issuer/statements/"}, {office, "/admin/statements/"}} {
		wants(list.app.Get(list.path+st.ID), http.StatusOK, st.No(), parties[0].Name, "18,00", "nachträglich", "?leaf=0", list.path+st.ID+"/lines.csv")
		wants(list.app.Get(list.path+st.ID+"?leaf=0"), http.StatusOK, "Dieser Eintrag steht im Protokoll", "detail.basis: seen")
		wants(list.app.Get(list.path+st.ID+"?from=1"), http.StatusOK, st.ID+"?from=0#lines-h") // beyond the last line, and back
		for _, wrong := range []string{"?leaf=1", "?leaf=-1", "?leaf=x"} {                     // another's, nobody's
			wants(list.app.Get(list.path+st.ID+wrong), http.StatusNotFound)
		}
		wants(list.app.Get(list.path+"x"), http.StatusNotFound)
	}
	wants(other.Get("/issuer/statements/"+st.ID), http.StatusNotFound)
	wants(other.Get("/api/v1/issuer/statements/"+st.ID), http.StatusNotFound)
	wants(own.Get("/api/v1/issuer/statements/"+st.ID), http.StatusOK, `"cents":1800`, `"item":"seen"`)
	wants(own.Get("/api/v1/issuer/statements"), http.StatusOK, st.No())
	wants(office.Get("/admin/statements"), http.StatusOK, "Juni 2021", parties[0].Name, parties[1].Name, "CoronaImpfV", "24,00")
	wants(office.Get("/admin/statements?month=2021-06&q=Beispiel"), http.StatusOK, parties[1].Name)
	wants(office.Get("/api/v1/admin/statements?month=2021-06"), http.StatusOK, `"log_size":2`, parties[0].Name)
	wants(office.Get("/api/v1/admin/tariff"), http.StatusOK, `"cents":1800`)
	late := []string{"kind", "pharmacy", "item", "seen", "euro", "7,50", "source", "Verordnung"}
	wants(office.PostForm("/admin/statements/tariff", append(late, "from", "2021-06-30")...), http.StatusUnprocessableEntity, "schon Abrechnungen")
	wants(office.PostForm("/admin/statements/tariff", append(late, "from", "2021-08-01")...), http.StatusSeeOther)
	rates, err := Rates(t.Context(), b.Pool)
	b.ok(err)
	if rates[0].Cents != 750 || rates[0].SetBy == "system" {
		t.Errorf("%+v", rates[0])
	}
}
