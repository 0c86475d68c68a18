package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

func pages(t *testing.T, b *bundle) *webtest.App {
	t.Helper()
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
	app.LoginAs(web.User{Kind: "staff", ID: id.New(), Name: "Admin", Roles: []web.Role{web.RoleAdmin}})
	return app
}

func TestMailboxPages(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *bundle, c *Config) { c.Local = true })
	app := pages(t, b).Another() // nobody is logged in
	m := hello
	m.ByPost = true
	m.Text = "Guten Tag <b>Łučina</b>"
	b.send(t, Recipient{
		Email: "a@example.org", Phone: "+4915123456789", Lang: "de",
		Postal: &Address{Name: "Jiří Großmann", Street: "Weg 1", Postcode: "02625", City: "Bautzen"},
	}, m)
	if a := app.Get("/dev/mailbox"); strings.Contains(a.Body, "a@example.org") || !strings.Contains(a.Body, "Jiří Großmann") {
		t.Errorf("before delivery only the letter may be there: %s", a.Body)
	}
	for _, r := range b.rows(t) {
		if err := b.Deliver(context.Background(), r.ID); err != nil {
			t.Fatal(err)
		}
	}
	var mails []mailboxMail
	if err := json.Unmarshal([]byte(app.Get("/dev/mailbox.json").Body), &mails); err != nil || len(mails) != 3 {
		t.Fatalf("%+v, %v", mails, err)
	}
	for _, x := range mails {
		page := app.Get("/dev/mailbox/" + x.ID)
		switch x.Channel {
		case ChannelEmail:
			if !strings.Contains(page.Body, "Guten Tag &lt;b&gt;Łučina") {
				t.Errorf("%s", page.Body)
			}
			if a := app.Get("/dev/mailbox/" + x.ID + "/files/0"); a.Status != 200 || a.Header.Get("Content-Type") != "application/pdf" || !strings.Contains(a.Header.Get("Content-Disposition"), "attachment") {
				t.Errorf("%d %v", a.Status, a.Header)
			}
			if a := app.Get("/dev/mailbox/" + x.ID + "/files/1"); a.Status != http.StatusNotFound {
				t.Error(a.Status)
			}
		case ChannelSMS:
			if !strings.Contains(page.Body, "1 Teil, GSM-7") {
				t.Errorf("%s", page.Body)
			}
		case ChannelLetter:
			if a := app.Get("/dev/mailbox/" + x.ID + "/letter.pdf"); a.Status != 200 || !strings.HasPrefix(a.Body, "%PDF") {
				t.Error(a.Status)
			}
		}
	}
	for _, path := range []string{"/dev/mailbox/x", "/dev/mailbox/" + id.New(), "/dev/mailbox/" + id.New() + "/letter.pdf"} {
		if a := app.Get(path); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
}

func TestAdminSeesAndMendsFailures(t *testing.T) {
	t.Parallel()
	var sms *twilioStandIn
	b := setup(t, func(b *bundle, cfg *Config) {
		sms = startTwilio(t, b.clock)
		cfg.Twilio = twilioConfig(sms)
	})
	app := pages(t, b)
	sms.fail = func() (int, int) { return 400, 21211 }
	b.send(t, Recipient{Phone: "+4915123456789"}, hello)
	mid := b.rows(t)[0].ID
	if err := b.Deliver(context.Background(), mid); err != nil {
		t.Fatal(err)
	}
	page := app.Get("/admin/messages?state=failed")
	if !strings.Contains(page.Body, "sms 400/21211") || !strings.Contains(page.Body, "gescheitert") || strings.Contains(page.Body, "49151") {
		t.Errorf("%s", page.Body)
	}
	if a := app.Get("/admin/messages?state=sent&channel=email"); strings.Contains(a.Body, mid) {
		t.Error("the filter does not filter")
	}
	var list struct {
		Messages []Row `json:"messages"`
	}
	if a := app.JSON("GET", "/api/v1/messages?state=failed", nil, &list); a.Status != 200 || len(list.Messages) != 1 || !list.Messages[0].Resendable {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	sms.mu.Lock()
	sms.fail = nil
	sms.mu.Unlock()
	if a := app.PostForm("/admin/messages/" + mid + "/resend"); a.Status != http.StatusSeeOther {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if err := b.Deliver(context.Background(), mid); err != nil {
		t.Fatal(err)
	}
	if r := b.rows(t)[0]; r.State != StateSent {
		t.Errorf("%+v", r)
	}
	for path, want := range map[string]int{"/api/v1/messages/" + mid + "/resend": 404, "/api/v1/messages/x/resend": 404} {
		if a := app.JSON("POST", path, nil, nil); a.Status != want {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	if a := app.Get("/dev/mailbox"); a.Status != http.StatusNotFound {
		t.Errorf("the mailbox exists outside local runs: %d", a.Status)
	}
}
