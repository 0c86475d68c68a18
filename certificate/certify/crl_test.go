package certify_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"impfportal/certificate/certify"
	"impfportal/certificate/certify/card"
	"impfportal/certificate/certify/card/cardtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// A card that its authority has taken back opens nothing, and its session ends at once.
func TestRevokedCard(t *testing.T) {
	b := setup(t)
	var list []byte
	var fetchErr error
	authority, err := card.Parse(b.ca.DER)
	b.ok(err)
	b.cfg.CRLs = []certify.CRL{{Authority: authority, Fetch: func(context.Context) ([]byte, error) { return list, fetchErr }}}
	s := b.service()
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: s.Routes(), Bundles: []web.Bundle{certify.Assets}})
	ctx := t.Context()
	refused := func(what string, status int) {
		t.Helper()
		to := b.ask()
		if a := b.answer(to, b.own, b.own.Sign(t, to.challenge)); a.Status != status {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
	}
	events := func(want int) {
		t.Helper()
		out, err := s.Alerts().Open(ctx, b.clock())
		if err != nil || len(out) != want {
			t.Errorf("%d alerts, want %d: %v", len(out), want, err)
		}
	}
	refused("no list yet", 503)
	fetchErr = errors.New("no route")
	b.ok(s.PullCRLs(ctx))
	events(1)
	list, fetchErr = b.ca.CRL(t, start, start.AddDate(0, 0, 2)), nil
	b.ok(s.PullCRLs(ctx))
	events(0)
	token := b.login(b.own).Access
	a := b.issue(token, person("Eins"))
	want(t, "not taken back", a.Status, a.Body, 200, "")
	// What is no whole list of this authority changes nothing.
	for name, raw := range map[string][]byte{
		"malformed": []byte("x"), "another authority": cardtest.NewAuthority(t, cardtest.P256(t), start).CRL(t, start.Add(time.Hour), start.AddDate(0, 0, 3), b.own),
		"older": b.ca.CRL(t, start.Add(-time.Hour), start.AddDate(0, 0, 3), b.own),
	} {
		list = raw
		b.ok(s.PullCRLs(ctx))
		if n := b.count(`SELECT count(*) FROM certificate.card_revoked`) + b.count(`SELECT count(*) FROM certificate.card_crl WHERE problem = ''`); n != 0 {
			t.Errorf("%s: taken", name)
		}
	}
	list = b.ca.CRL(t, start.Add(time.Minute), start.AddDate(0, 0, 2), b.own, b.card(cardtest.P256(t)))
	b.ok(s.PullCRLs(ctx))
	a = b.issue(token, person("Zwei"))
	want(t, "token of a card that was taken back", a.Status, a.Body, 401, "token")
	refused("taken back", 403)
	// Taken off the list again (a hold that was lifted), it counts.
	list = b.ca.CRL(t, start.Add(2*time.Minute), start.AddDate(0, 0, 2))
	b.ok(s.PullCRLs(ctx))
	b.login(b.own)
	// Past its end nothing counts, or, where so configured, it is an alarm.
	b.pass(48 * time.Hour)
	refused("out of date", 503)
	events(1)
	b.cfg.CRLAlarm = true
	s = b.service()
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: b.clock, Routes: s.Routes(), Bundles: []web.Bundle{certify.Assets}})
	b.login(b.own)
	events(1)
}

// The same for a client certificate.
func TestRevokedClientCertificate(t *testing.T) {
	b := setup(t)
	authority, err := card.Parse(b.ca.DER)
	b.ok(err)
	list := b.ca.CRL(t, start, start.AddDate(0, 0, 2), b.own)
	b.cfg.CRLs = []certify.CRL{{Authority: authority, Fetch: func(context.Context) ([]byte, error) { return list, nil }}}
	at := b.listen() + "/api/certify/v2/issue"
	r := b.post(at, b.own, person("Muster"))
	want(t, "no list yet", r.status, r.body, 503, "crl")
	b.ok(b.service().PullCRLs(t.Context()))
	r = b.post(at, b.own, person("Muster"))
	want(t, "taken back", r.status, r.body, 403, "taken_back")
	b.counts(0, 0)
}
