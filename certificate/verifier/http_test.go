package verifier

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"impfportal/certificate/dcc"
	"impfportal/certificate/dcc/dcctest"
	"impfportal/internal/id"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	portal "impfportal/web"
)

// The server's answer for those without JavaScript; the page and its service
// worker, which are the same for everybody.
func TestPages(t *testing.T) {
	t.Parallel()
	signer := dcctest.Signer(t, issued.Add(-time.Hour), issued.Add(2*year), dcc.OIDVaccination)
	s := New(Config{
		Signers:    func() []*x509.Certificate { return []*x509.Certificate{signer.Certificate()} },
		Distrusted: func(context.Context) ([][]byte, error) { return nil, nil },
		Revoked:    func(context.Context, string, []byte) (bool, error) { return false, nil },
		Production: true, MaxAge: time.Hour, Uploads: [][]byte{{1, 2}}, Limiter: redis_rate.NewLimiter(redistest.New(t)),
	})
	app := webtest.New(t, webtest.Config{Pool: pgtest.New(t), Now: func() time.Time { return issued.Add(time.Hour) }, Routes: s.Routes(), Bundles: []web.Bundle{Assets}})
	app.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Frau Wachsam", Roles: []web.Role{web.RoleAdmin}})
	page := app.Get(path)
	for _, want := range []string{"data-pins=\"AQI=\"", "data-anchors=\"" + strings.ReplaceAll(base64.StdEncoding.EncodeToString(signer.Certificate().Raw), "+", "&#43;") + "\"", "data-max-age=\"3600000\"", "data-reason=\"revoked\"", "bleibt auf Ihrem Gerät", "EU/1/20/1525 J07BX03"} {
		if page.Status != http.StatusOK || !strings.Contains(page.Body, want) {
			t.Errorf("%d, lacks %q", page.Status, want)
		}
	}
	if strings.Contains(page.Body, "Wachsam") {
		t.Error("browsers keep a page that says who is logged in")
	}
	if h := page.Header; !strings.Contains(h.Get("Permissions-Policy"), "camera=(self)") || strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("%v", h)
	}
	worker := app.Get(path + "/worker.js?lang=en")
	if worker.Header.Get("Service-Worker-Allowed") != path || !strings.Contains(worker.Body, `"lang":"en"`) || worker.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%v %s", worker.Header, worker.Body)
	}

	text, _ := sign(t, signer, vaccination(), "Freistaat Sachsen")
	for _, c := range []struct{ text, want string }{
		{text, "kern-alert--success"},
		{text, "26.02.1998"},
		{dcctest.Replace(t, text, "Sachsen", "Lachsen"), "verändert oder gefälscht"},
		{"guten Tag", "Kein EU-Zertifikat"},
	} {
		a := app.PostForm(path, "text", c.text)
		answer, _, _ := strings.Cut(a.Body, "<noscript>") // what follows holds all answers, for the script
		if a.Status != http.StatusOK || !strings.Contains(answer, c.want) || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s, lacks %q", c.text, a.Status, a.Header.Get("Cache-Control"), c.want)
		}
	}
	if a := app.PostForm(path, "text", ""); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("nothing: %d", a.Status)
	}
	last := 0
	for range tries.Burst + 1 {
		last = app.PostForm(path, "text", "HC1:").Status
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after many tries: %d", last)
	}
}

// What the service worker keeps is there, and is all that the modules import.
func TestWorkerKeepsEveryFile(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, m := range modules {
		listed[m] = true
	}
	files, err := portal.Files.ReadDir("static/verifier")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := "verifier/" + f.Name(); name != "verifier/worker.js" && !listed[name] {
			t.Errorf("%s is not kept", name)
		}
	}
	dist := portal.Dist()
	for name := range listed {
		_, errOwn := portal.Files.Open("static/" + name)
		_, errDist := dist.Open(name)
		if errOwn != nil && errDist != nil {
			t.Errorf("%s does not exist: browsers would install nothing", name)
		}
	}
}
