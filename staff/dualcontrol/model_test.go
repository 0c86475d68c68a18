package dualcontrol_test

import (
	"context"
	"strings"
	"testing"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
	"impfportal/staff/passkey/passkeytest"
)

// enrolWith sets a key of another maker up for an approver, who vouches with theirs.
func (b *bundle) enrolWith(m *passkeytest.Maker) error {
	who := b.Approvers[0]
	asked, err := b.Keys.AskAdditional(context.Background(), who.AccountID)
	if err != nil {
		return err
	}
	o, err := b.Keys.OfferAdditional(context.Background(), who.AccountID, who.Key.Touch(asked))
	if err != nil {
		return err
	}
	_, _, err = b.Keys.Enrol(context.Background(), m.NewKey().Make(o, "Zweiter"))
	return err
}

// One administrator admits no authenticator of their own making.
func TestModelNeedsTwo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	one := b.Approvers[0]
	maker := passkeytest.NewMaker(t)
	m := maker.Model(clock.Day(b.now))
	first, err := passkey.FirstSetup(ctx, b.pool)
	if first || err != nil {
		t.Fatalf("first set-up with two approvers: %v", err)
	}
	is(t, "alone", b.Keys.AllowModel(ctx, m, "staff:"+one.AccountID), passkey.ErrTwo)

	app := webtest.New(t, webtest.Config{
		Pool: b.pool, Now: b.clock, Routes: append(b.Routes(), b.Keys.Routes()...), Bundles: []web.Bundle{dualcontrol.Assets, passkey.Assets},
	})
	app.LoginAs(one.User())
	form := []string{"aaguid", m.AAGUID, "name", "Neues Modell", "from", m.From.Format("2006-01-02"), "roots", m.Roots}
	if ans := app.PostForm("/admin/key-models", form...); ans.Status != 422 {
		t.Errorf("without a reason: %d", ans.Status)
	}
	if ans := app.PostForm("/admin/key-models", append(form, "why", "Nachfolger")...); ans.Status != 303 {
		t.Fatalf("propose: %d %s", ans.Status, ans.Body)
	}
	if ans := app.PostForm("/admin/key-models", append(form, "why", "Nachfolger")...); ans.Status != 409 {
		t.Errorf("propose twice: %d", ans.Status)
	}
	waiting, err := passkey.WaitingModels(ctx, b.pool, b.now)
	if err != nil || len(waiting) != 1 || waiting[0].AAGUID != m.AAGUID {
		t.Fatalf("waiting: %+v, %v", waiting, err)
	}
	p := waiting[0].ProposalID
	is(t, "first", b.ApproveBy(one, p), nil)
	is(t, "the same again", b.ApproveBy(one, p), dualcontrol.ErrTwice)
	if ans := app.Get("/admin/key-models"); !strings.Contains(ans.Body, "/admin/approvals/"+p) || !strings.Contains(ans.Body, "1 von 2") {
		t.Error("the page lacks what waits")
	}
	if ans := app.Get("/admin/approvals/" + p); ans.Status != 200 || !strings.Contains(ans.Body, "SHA-256") {
		t.Errorf("proposal without the roots: %d", ans.Status)
	}
	b.forgeModel(t, p, m)
	is(t, "second", b.ApproveBy(b.Approvers[1], p), nil)
	is(t, "a key of it", b.enrolWith(maker), nil)
	b.forgeModel(t, p, passkeytest.NewMaker(t).Model(clock.Day(b.now)))
	if ans := app.Get("/admin/key-models"); !strings.Contains(ans.Body, "von zwei Personen freigegeben") || strings.Contains(ans.Body, "1 von 2") {
		t.Error("the page does not tell who has allowed it")
	}

	// Ending needs nobody else; taking it back needs two.
	is(t, "end", b.Keys.EndModel(ctx, m.AAGUID, m.From, clock.Day(b.now).AddDate(0, 0, 10), "staff:"+one.AccountID), nil)
	is(t, "end later", b.Keys.EndModel(ctx, m.AAGUID, m.From, clock.Day(b.now).AddDate(0, 0, 20), "staff:"+one.AccountID), passkey.ErrNotFound)
	_, err = b.pool.Exec(ctx, `UPDATE staff.key_model SET valid_to = NULL WHERE aaguid = $1`, m.AAGUID)
	refusedModel(t, "no end", err)
	_, err = b.pool.Exec(ctx, `UPDATE staff.key_model SET valid_to = valid_to + 1 WHERE aaguid = $1`, m.AAGUID)
	refusedModel(t, "a day longer", err)
	is(t, "at once", b.Keys.EndModel(ctx, m.AAGUID, m.From, clock.Day(b.now), "staff:"+one.AccountID), nil)
}

func refusedModel(t *testing.T, what string, err error) {
	t.Helper()
	if !pg.Violates(err, "key_model_two") {
		t.Errorf("%s: %v", what, err)
	}
}

// forgeModel is what a program could try with plain SQL, with a proposal that is not
// being applied.
func (b *bundle) forgeModel(t *testing.T, proposalID string, m passkey.Model) {
	t.Helper()
	for what, sql := range map[string]string{
		"new":                      `INSERT INTO staff.key_model (aaguid, valid_from, name, roots, set_by, set_at) VALUES ($1, '2020-01-01', 'x', $2, 'x', now())`,
		"with the proposal":        `INSERT INTO staff.key_model (aaguid, valid_from, name, roots, approval, set_by, set_at) SELECT $1, '2020-01-01', 'x', $2, id, 'x', now() FROM staff.proposal`,
		"other roots":              `UPDATE staff.key_model SET roots = roots || $2, approval = NULL WHERE aaguid <> $1`,
		"earlier":                  `UPDATE staff.key_model SET valid_from = valid_from - 1 WHERE roots <> $2 AND aaguid <> $1`,
		"another model's":          `UPDATE staff.key_model SET aaguid = $1 WHERE roots <> $2`,
		"virtual, with roots":      `INSERT INTO staff.key_model (aaguid, valid_from, name, roots, virtual, set_by, set_at) VALUES ($1, '2020-01-01', 'x', $2, true, 'x', now())`,
		"longer in the same order": `UPDATE staff.key_model SET name = 'x', valid_to = '2020-02-01' WHERE aaguid <> $1 AND roots <> $2`,
	} {
		_, err := b.pool.Exec(context.Background(), sql, m.AAGUID, m.Roots)
		refusedModel(t, what+" ("+proposalID+")", err)
	}
	// What a local run lets in without roots gets none afterwards.
	virtual := passkeytest.NewMaker(t).AAGUID.String()
	b.exec(t, `INSERT INTO staff.key_model (aaguid, valid_from, name, roots, virtual, set_by, set_at) VALUES ($1, '2020-01-01', 'x', '', true, 'x', now())`, virtual)
	_, err := b.pool.Exec(context.Background(), `UPDATE staff.key_model SET virtual = false, roots = $2 WHERE aaguid = $1`, virtual, m.Roots)
	refusedModel(t, "virtual no more", err)
}

// The first set-up does not come back when approvers lose their keys or all models end.
func TestFirstSetupEndsForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	one, two := b.Approvers[0], b.Approvers[1]
	keys, err := passkey.Keys(ctx, b.pool, two.AccountID, b.now)
	is(t, "keys", err, nil)
	is(t, "revoke", b.Keys.Revoke(ctx, keys[0].ID, "staff:"+one.AccountID), nil)
	u := one.User()
	is(t, "disable", b.Staff.Disable(ctx, two.AccountID, true, &u), nil)
	models, err := passkey.Models(ctx, b.pool)
	is(t, "models", err, nil)
	for _, m := range models {
		is(t, "end", b.Keys.EndModel(ctx, m.AAGUID, m.From, clock.Day(b.now).AddDate(0, 0, -1), "staff:"+one.AccountID), nil)
	}
	is(t, "alone", b.Keys.AllowModel(ctx, passkeytest.NewMaker(t).Model(clock.Day(b.now)), "staff:"+one.AccountID), passkey.ErrTwo)
}
