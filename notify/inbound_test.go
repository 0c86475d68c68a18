package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's signature is HMAC-SHA1
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// twilioSignature signs as Twilio does: address, then names and values of the
// parameters in order.
func twilioSignature(token, address string, form url.Values) string {
	var names []string
	for k := range form {
		names = append(names, k)
	}
	slices.Sort(names)
	text := address
	for _, k := range names {
		text += k + form.Get(k)
	}
	h := hmac.New(sha1.New, []byte(token))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func TestInboundSMS(t *testing.T) {
	t.Parallel()
	const address = "https://impfportal.example" + inboundPath
	var got []string
	fail := false
	b := setup(t, func(_ *bundle, c *Config) {
		c.Twilio, c.BaseURL = Twilio{AccountSID: testSID, AuthToken: testToken}, "https://impfportal.example"
		c.Inbound = func(_ context.Context, from, text string) (string, error) {
			if fail {
				return "", errors.New("no database")
			}
			got = append(got, from+" "+text)
			return "Gebucht & bestätigt – danke", nil
		}
	})
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
	form := url.Values{"From": {"+4915112345678"}, "Body": {" JA\x00 "}, "MessageSid": {"SM1"}, "AccountSid": {testSID}, "To": {"+4915110000000"}}
	post := func(form url.Values, signature string) webtest.Answer {
		return app.Do(http.MethodPost, inboundPath, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), map[string]string{"X-Twilio-Signature": signature})
	}
	good := twilioSignature(testToken, address, form)
	a := post(form, good)
	if a.Status != http.StatusOK || !strings.Contains(a.Body, "<Response><Message>Gebucht &amp; bestätigt - danke</Message></Response>") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/xml") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if !slices.Equal(got, []string{"+4915112345678 JA"}) {
		t.Errorf("%q", got)
	}
	got = nil
	other := url.Values{"From": {"+4915112345678"}, "Body": {"JA"}, "MessageSid": {"SM1"}, "AccountSid": {"AC9"}}
	forged := url.Values{"From": {"+4915199999999"}, "Body": {"JA"}, "MessageSid": {"SM1"}, "AccountSid": {testSID}, "To": {"+4915110000000"}}
	for name, x := range map[string]struct {
		form      url.Values
		signature string
	}{
		"no signature":      {form, ""},
		"another key":       {form, twilioSignature("other", address, form)},
		"another address":   {form, twilioSignature(testToken, "https://elsewhere.example"+inboundPath, form)},
		"another number":    {forged, good},
		"another account":   {other, twilioSignature(testToken, address, other)},
		"no number":         {url.Values{"AccountSid": {testSID}}, twilioSignature(testToken, address, url.Values{"AccountSid": {testSID}})},
		"nonsense as a key": {form, "????"},
	} {
		if a := post(x.form, x.signature); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	if got != nil {
		t.Errorf("read without being signed: %q", got)
	}
	fail = true
	if a := post(form, good); a.Status != http.StatusInternalServerError { // Twilio tells its operator
		t.Errorf("%d", a.Status)
	}
}

// Without an account nobody can sign: the address does not exist.
func TestNoInboundWithoutAnAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *bundle, c *Config) {
		c.Inbound = func(context.Context, string, string) (string, error) { t.Error("called"); return "", nil }
	})
	app := webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: b.Routes(), Bundles: []web.Bundle{Assets}})
	form := url.Values{"From": {"+4915112345678"}, "Body": {"JA"}}
	if a := app.Do(http.MethodPost, inboundPath, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), map[string]string{"X-Twilio-Signature": twilioSignature("", inboundPath, form)}); a.Status != http.StatusNotFound {
		t.Errorf("%d", a.Status)
	}
}
