package programme

import (
	"net/http"
	"strings"
	"testing"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func app(t *testing.T) *webtest.App {
	t.Helper()
	pool := setup(t)
	return webtest.New(t, webtest.Config{Pool: pool, Now: clock.Fixed(january), Routes: New(pool).Routes(), Bundles: []web.Bundle{Assets}})
}

func administrator(a *webtest.App) *webtest.App {
	a.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}})
	return a
}

func TestPublicTexts(t *testing.T) {
	t.Parallel()
	a := app(t)
	for path, words := range map[string][2]string{
		"/impressum":        {"Impressum", "Imprint"},
		"/datenschutz":      {"Datenschutzhinweise", "Privacy notice"},
		"/barrierefreiheit": {"Beschweren Sie sich", "Complain to us"},
	} {
		for i, lang := range []string{"de", "en"} {
			a.Lang = lang
			if r := a.Get(path); r.Status != http.StatusOK || !strings.Contains(r.Body, words[i]) {
				t.Errorf("%s in %s: %d", path, lang, r.Status)
			}
		}
	}
}

func TestEditText(t *testing.T) {
	t.Parallel()
	a := administrator(app(t))
	if r := a.Get("/admin/texts"); r.Status != http.StatusOK {
		t.Fatalf("list: %d", r.Status)
	}
	if r := a.PostForm("/admin/texts/imprint/de", "title", "Neu", "body", "## Vorschau", "preview", "1"); r.Status != http.StatusOK || !strings.Contains(r.Body, "<h2>Vorschau</h2>") {
		t.Errorf("preview: %d", r.Status)
	}
	if r := a.Get("/impressum"); strings.Contains(r.Body, "Vorschau") {
		t.Error("the preview was saved")
	}
	if r := a.PostForm("/admin/texts/imprint/de", "title", "", "body", "bleibt <b>stehen</b>"); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, "bleibt &lt;b&gt;stehen") {
		t.Errorf("without a title: %d", r.Status)
	}
	if r := a.PostForm("/admin/texts/imprint/de", "title", "Impressum neu", "body", "Text <script>alert(1)</script>"); r.Status != http.StatusSeeOther {
		t.Errorf("save: %d %s", r.Status, r.Body)
	}
	if r := a.Get("/impressum"); !strings.Contains(r.Body, "Impressum neu") || strings.Contains(r.Body, "<script>alert") || !strings.Contains(r.Body, "Montag, 11. Januar 2021") {
		t.Error("the new text is not shown as it should")
	}
	for _, path := range []string{"/admin/texts/unknown/de", "/admin/texts/imprint/fr"} {
		if r := a.Get(path); r.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.Status)
		}
	}
}

func TestGroupPages(t *testing.T) {
	t.Parallel()
	a := administrator(app(t))
	for _, path := range []string{"/admin/groups", "/admin/groups?programme=influenza", "/admin/groups/covid-19/s3-age", "/admin/groups/covid-19/new", "/admin/rules", "/admin/rules?programme=influenza"} {
		if r := a.Get(path); r.Status != http.StatusOK {
			t.Errorf("%s: %d", path, r.Status)
		}
	}
	for _, path := range []string{"/admin/groups?programme=plague", "/admin/groups/covid-19/nobody", "/admin/groups/plague/new"} {
		if r := a.Get(path); r.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.Status)
		}
	}
	form := []string{
		"valid_from", "2021-02-01", "rank", "2", "min_age", "70", "open", "1", "proof_kind", "identity",
		"name_de", "Ab 70", "name_en", "70 and over", "proof_de", "Ausweis", "proof_en", "Identity card",
	}
	if r := a.PostForm("/admin/groups/covid-19/s3-age", form...); r.Status != http.StatusSeeOther {
		t.Fatalf("save: %d %s", r.Status, r.Body)
	}
	if r := a.Get("/admin/groups"); !strings.Contains(r.Body, "Montag, 1. Februar 2021: Ab 70") {
		t.Error("the coming change is not shown")
	}
	if r := a.PostForm("/admin/groups/covid-19/new", append(form, "code", "teachers")...); r.Status != http.StatusSeeOther {
		t.Errorf("new group: %d", r.Status)
	}
	for _, bad := range [][]string{{"valid_from", "2021-02-30"}, {"rank", "0"}, {"rank", "x"}, {"min_age", "-1"}, {"name_de", ""}, {"name_en", strings.Repeat("😀", 301)}, {"proof_kind", "diagnosis"}} {
		f := append([]string(nil), form...)
		for i := 0; i < len(f); i += 2 {
			if f[i] == bad[0] {
				f[i+1] = bad[1]
			}
		}
		if r := a.PostForm("/admin/groups/covid-19/s3-age", f...); r.Status != http.StatusUnprocessableEntity || !strings.Contains(r.Body, `aria-invalid="true"`) && bad[0] != "proof_kind" {
			t.Errorf("%v: %d", bad, r.Status)
		}
	}
}

func TestRulePages(t *testing.T) {
	t.Parallel()
	a := administrator(app(t))
	if r := a.PostForm("/admin/rules/age", "programme", "covid-19", "age_product", "comirnaty", "age_from", "2021-02-01", "min_age", "12", "max_age", "", "allowed", "1"); r.Status != http.StatusSeeOther {
		t.Errorf("age: %d %s", r.Status, r.Body)
	}
	if r := a.PostForm("/admin/rules/series", "programme", "covid-19", "series_product", "comirnaty", "series_from", "2021-02-01", "doses", "2", "min_days", "21", "max_days", "", "plan_days", "42"); r.Status != http.StatusSeeOther {
		t.Errorf("series: %d %s", r.Status, r.Body)
	}
	if r := a.Get("/admin/rules"); !strings.Contains(r.Body, "ab 12 Jahren") || !strings.Contains(r.Body, "geplant mit 42 Tagen") {
		t.Error("the new rules are not shown")
	}
	for _, bad := range [][]string{
		{"/admin/rules/age", "programme", "covid-19", "age_product", "influvac", "age_from", "2021-02-01", "min_age", "12"},
		{"/admin/rules/age", "programme", "covid-19", "age_product", "comirnaty", "age_from", "morgen", "min_age", "12"},
		{"/admin/rules/age", "programme", "covid-19", "age_product", "comirnaty", "age_from", "2021-02-01", "min_age", "60", "max_age", "18"},
		{"/admin/rules/series", "programme", "covid-19", "series_product", "comirnaty", "series_from", "2021-02-01", "doses", "2"},
		{"/admin/rules/series", "programme", "covid-19", "series_product", "comirnaty", "series_from", "2021-02-01", "doses", "2", "min_days", "21", "max_days", "42", "plan_days", "43"},
	} {
		if r := a.PostForm(bad[0], bad[1:]...); r.Status != http.StatusUnprocessableEntity {
			t.Errorf("%v: %d", bad, r.Status)
		}
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	a := app(t)
	var groups groupsOut
	if r := a.JSON(http.MethodGet, "/api/v1/programmes/covid-19/groups?on=2021-01-11", nil, &groups); r.Status != http.StatusOK || len(groups.Groups) != 9 {
		t.Errorf("groups: %d, %d", r.Status, len(groups.Groups))
	}
	var products productsOut
	if r := a.JSON(http.MethodGet, "/api/v1/programmes/covid-19/products", nil, &products); r.Status != http.StatusOK || len(products.Products) != 5 ||
		*products.Products[0].MinAge != 16 || products.Products[2].MinAge != nil || products.Products[0].Series.PlanDays != 21 {
		t.Errorf("products: %d, %+v", r.Status, products)
	}
	var all programmesOut
	if r := a.JSON(http.MethodGet, "/api/v1/programmes", nil, &all); r.Status != http.StatusOK || len(all.Programmes) != 2 {
		t.Errorf("programmes: %d", r.Status)
	}
	for path, want := range map[string]int{"/api/v1/programmes/plague/groups": 404, "/api/v1/programmes/covid-19/groups?on=now": 422, "/api/v1/texts/imprint": 200, "/api/v1/texts/x": 404} {
		if r := a.JSON(http.MethodGet, path, nil, nil); r.Status != want {
			t.Errorf("%s: %d, want %d", path, r.Status, want)
		}
	}
	set := setSeriesIn{ValidFrom: "2021-02-01", Doses: 2, MinDays: 21, MaxDays: 42, PlanDays: 42}
	if r := a.JSON(http.MethodPut, "/api/v1/products/comirnaty/series", set, nil); r.Status != http.StatusUnauthorized && r.Status != http.StatusForbidden {
		t.Errorf("nobody sets a series: %d", r.Status)
	}
	administrator(a)
	for path, in := range map[string]any{
		"/api/v1/products/comirnaty/series":     set,
		"/api/v1/products/comirnaty/age-limits": setAgeIn{ValidFrom: "2021-02-01", MinAge: 12, Allowed: true},
		"/api/v1/programmes/covid-19/groups/teachers": setGroupIn{
			ValidFrom: "2021-02-01", Rank: 3, Name: map[string]string{"de": "Lehrkräfte"}, Proof: map[string]string{"de": "Bescheinigung"},
			ProofKind: ProofEmployer, Open: true,
		},
		"/api/v1/texts/notice/de": setTextIn{Title: "Hinweis", Markdown: "Heute"},
	} {
		r := putJSON(a, path, in)
		if r.Status != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, r.Status, r.Body)
		}
	}
	set.PlanDays = 43
	if r := putJSON(a, "/api/v1/products/comirnaty/series", set); r.Status != http.StatusUnprocessableEntity {
		t.Errorf("plan beyond the limit: %d", r.Status)
	}
}

func putJSON(a *webtest.App, path string, in any) webtest.Answer {
	return a.JSON(http.MethodPut, path, in, nil)
}
