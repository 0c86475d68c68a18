package dualcontrol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
)

// Over HTTP: two administrators approve, pages and API.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	app := webtest.New(t, webtest.Config{
		Pool: b.pool, Now: b.clock, Routes: append(b.Routes(), b.Keys.Routes()...), Bundles: []web.Bundle{dualcontrol.Assets, passkey.Assets},
	})
	browsers := make([]*webtest.App, 2)
	for i, who := range b.Approvers {
		browsers[i] = app.Another()
		browsers[i].LoginAs(who.User())
	}
	p := b.propose(t)
	approve := func(i, want int) {
		t.Helper()
		var asked passkey.Asked
		if ans := browsers[i].JSON("POST", "/api/v1/admin/proposals/"+p+"/challenge", struct{}{}, &asked); ans.Status != 200 {
			t.Fatalf("challenge: %d %s", ans.Status, ans.Body)
		}
		raw, err := json.Marshal(b.Approvers[i].Key.Touch(asked))
		is(t, "marshal", err, nil)
		if ans := browsers[i].PostForm("/admin/approvals/"+p+"/approve", "touch", string(raw)); ans.Status != want {
			t.Errorf("approve: %d, want %d: %s", ans.Status, want, ans.Body)
		}
	}
	approve(0, 303)
	approve(0, 409)
	for _, path := range []string{"/admin/approvals", "/admin/approvals/" + p} {
		if ans := browsers[1].Get(path); ans.Status != 200 || !strings.Contains(ans.Body, "Mehr Zertifikate") || !strings.Contains(ans.Body, "1 von 2") {
			t.Errorf("%s: %d", path, ans.Status)
		}
	}
	if ans := browsers[1].PostForm("/admin/approvals/"+p+"/approve", "touch", "{}"); ans.Status != 403 {
		t.Errorf("no touch: %d", ans.Status)
	}
	if ans := browsers[1].PostForm("/admin/approvals/" + p + "/refuse"); ans.Status != 422 {
		t.Errorf("refuse without a reason: %d", ans.Status)
	}
	approve(1, 303)
	b.want(t, p, dualcontrol.Applied, 500)
	var got dualcontrol.ProposalOut
	if ans := browsers[0].JSON("GET", "/api/v1/admin/proposals/"+p, nil, &got); ans.Status != 200 || len(got.Approvals) != 2 || !got.Approvals[0].Verified || !got.Approvals[1].Verified {
		t.Errorf("%d %s", ans.Status, ans.Body)
	}
	for _, closed := range []string{"", "?closed=true"} {
		if ans := browsers[0].JSON("GET", "/api/v1/admin/proposals"+closed, nil, nil); ans.Status != 200 {
			t.Errorf("list: %d %s", ans.Status, ans.Body)
		}
	}
	third := b.Admin()
	if ans := browsers[0].PostForm("/admin/approvals/approvers", "account", third.AccountID, "why", "Vertretung"); ans.Status != 303 || browsers[0].Get(ans.Location).Status != 200 {
		t.Errorf("admit: %d", ans.Status)
	}
	if ans := browsers[0].JSON("POST", "/api/v1/admin/approvers", dualcontrol.AdmitIn{Account: third.AccountID, Why: "Vertretung"}, nil); ans.Status != 409 {
		t.Errorf("admit twice: %d", ans.Status)
	}
	other := b.propose(t)
	if ans := browsers[1].JSON("DELETE", "/api/v1/admin/proposals/"+other, nil, nil); ans.Status != 404 {
		t.Errorf("another's: %d", ans.Status)
	}
	if ans := browsers[0].PostForm("/admin/approvals/" + other + "/withdraw"); ans.Status != 303 {
		t.Errorf("withdraw: %d", ans.Status)
	}
}
