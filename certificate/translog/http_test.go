package translog

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func TestPublished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := webtest.New(t, webtest.Config{Pool: b.Pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
	var empty CheckpointJSON
	if ans := app.JSON(http.MethodGet, "/api/v1/certificates/log/checkpoint", nil, &empty); ans.Status != 200 || empty.Size != 0 || empty.Note != "" {
		t.Errorf("empty log: %d, %+v", ans.Status, empty)
	}
	b.fill(0, 7)
	b.fill(7, 12)
	ans := app.Get("/certificates/log/checkpoint")
	now, err := OpenCheckpoint([]byte(ans.Body), b.Key.Verifier())
	if err != nil || now.Size != 12 {
		t.Fatalf("%v\n%s", err, ans.Body)
	}
	var found FoundJSON
	leaf := b.leafOf(3)
	if ans := app.JSON(http.MethodGet, "/api/v1/certificates/log/leaf?digest="+hex.EncodeToString(leaf.Digest), nil, &found); ans.Status != 200 || len(found.Leaves) != 1 {
		t.Fatalf("%d %s", ans.Status, ans.Body)
	}
	l := found.Leaves[0]
	if err := tlog.CheckRecord(l.Proof, now.Size, now.Root, l.Index, tlog.RecordHash([]byte(l.Leaf))); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]struct {
		status int
		cache  string
	}{
		"/api/v1/certificates/log/leaves?from=2&count=5":     {200, forever},
		"/api/v1/certificates/log/leaves?from=10&count=5":    {200, briefly},
		"/api/v1/certificates/log/leaves?from=99&count=5":    {200, briefly},
		"/api/v1/certificates/log/leaves?from=-1":            {400, ""},
		"/api/v1/certificates/log/leaves?count=1001":         {400, ""},
		"/api/v1/certificates/log/proof?index=3&size=7":      {200, forever},
		"/api/v1/certificates/log/proof?index=7&size=7":      {404, ""},
		"/api/v1/certificates/log/consistency?from=7&to=12":  {200, forever},
		"/api/v1/certificates/log/consistency?from=12&to=13": {404, ""},
		"/api/v1/certificates/log/consistency?from=0&to=12":  {404, ""},
		"/api/v1/certificates/log/leaf?digest=00":            {400, ""},
		"/api/v1/certificates/log/leaf?digest=" + zeros:      {404, ""},
		"/api/v1/certificates/log/checkpoint":                {200, briefly},
		"/certificates/log/key":                              {200, briefly},
	} {
		ans := app.Get(path)
		if ans.Status != want.status || want.cache != "" && ans.Header.Get("Cache-Control") != want.cache {
			t.Errorf("%s: %d, %q", path, ans.Status, ans.Header.Get("Cache-Control"))
		}
	}
}

var zeros = strings.Repeat("00", 32)

func TestAuditorsPage(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.Read = func(text string) ([]byte, error) { // of the rewritten one (r, n-s) the digest is the same
		if i, ok := map[string]int{"HC1:TWO": 2, "HC1:TWO-REWRITTEN": 2, "HC1:FORGED": 8}[text]; ok {
			return b.leafOf(i).Digest, nil
		}
		return nil, errors.New("not ours")
	}
	app := webtest.New(t, webtest.Config{Pool: b.Pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
	app.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "P", Roles: []web.Role{web.RoleAuditor}})
	b.fill(0, 4)
	page := func(query string, want ...string) {
		t.Helper()
		ans := app.Get("/admin/log" + query)
		for _, s := range want {
			if !strings.Contains(ans.Body, s) {
				t.Errorf("%s: %d, %q is missing in\n%s", query, ans.Status, s, ans.Body)
			}
		}
	}
	page("", "Keine Alarme", ">4<", now(t, b))
	page("?digest="+hex.EncodeToString(b.leafOf(2).Digest), "Der Nachweis stimmt: ", "subject: certificate:2")
	page("?digest="+zeros, "Kein Blatt mit dieser Prüfsumme")
	page("?digest=xyz", "64 Zeichen")
	for _, text := range []string{"HC1:TWO", " HC1:TWO-REWRITTEN "} {
		if ans := app.PostForm("/admin/log/shown", "text", text); ans.Status != http.StatusSeeOther || !strings.HasSuffix(ans.Header.Get("Location"), hex.EncodeToString(b.leafOf(2).Digest)) {
			t.Errorf("%s: %d, %s", text, ans.Status, ans.Header.Get("Location"))
		}
	}
	if ans := app.PostForm("/admin/log/shown", "text", "HC1:OTHER"); ans.Status != http.StatusUnprocessableEntity || len(b.alarms(AlarmUnlogged)) != 0 {
		t.Errorf("not ours: %d, %v", ans.Status, b.alarms(AlarmUnlogged))
	}
	if ans := app.PostForm("/admin/log/shown", "text", "HC1:FORGED"); ans.Status != http.StatusSeeOther || len(b.alarms(AlarmUnlogged)) != 1 {
		t.Errorf("signed past the log: %d, %v", ans.Status, b.alarms(AlarmUnlogged))
	}
	if _, err := b.Seen(ctx, b.leafOf(9).Digest); err != nil {
		t.Fatal(err)
	}
	page("", "2 Alarme", "Gültige Unterschrift ohne Blatt", hex.EncodeToString(b.leafOf(9).Digest))
	// A forged leaf is shown as such, and a spoilt checkpoint does not hide the page.
	b.bypass(`UPDATE certificate.log_leaf SET data = convert_to(replace(convert_from(data, 'UTF8'), 'given', 'seen'), 'UTF8') WHERE idx = 2`)
	page("?digest="+hex.EncodeToString(b.leafOf(2).Digest), "Der Nachweis stimmt nicht")
	b.bypass(`UPDATE certificate.log_checkpoint SET note = 'x'`)
	page("", "Der neueste Prüfpunkt ist nicht lesbar")
	app.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "A", Roles: []web.Role{web.RoleAgent}})
	if ans := app.Get("/admin/log"); ans.Status != http.StatusForbidden {
		t.Errorf("an agent sees it: %d", ans.Status)
	}
}

// now is the first line of the newest checkpoint as the page shows it.
func now(t *testing.T, b *bundle) string {
	t.Helper()
	c, err := b.Newest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitN(string(c.Note), "\n", 2)[0]
}
