package passkey_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff"
	"impfportal/staff/passkey"
	"impfportal/staff/passkey/passkeytest"
)

const password = "correct horse battery"

type bundle struct {
	*passkey.Service

	staff *staff.Service
	t     *testing.T
	pool  *pgxpool.Pool
	app   *webtest.App
	maker *passkeytest.Maker
	now   time.Time
	admin string
	totp  string
	op    string // an issuer's operator
}

func setup(t *testing.T) *bundle { return setupMode(t, true) }

func setupMode(t *testing.T, local bool) *bundle {
	t.Helper()
	b := &bundle{t: t, now: time.Date(2021, 6, 14, 9, 0, 0, 0, time.UTC), pool: pgtest.New(t), maker: passkeytest.NewMaker(t)}
	rdb, v := redistest.New(t), vault.ForTest()
	now := func() time.Time { return b.now }
	b.staff = staff.New(b.pool, v, rdb, now, nil, false)
	var err error
	b.Service, err = passkey.New(passkey.Config{
		Pool: b.pool, Redis: rdb, Vault: v, Now: now, Local: local, Origin: "https://impfen.example", Password: b.staff.Login,
	})
	ok(t, err)
	ok(t, b.AllowModel(context.Background(), b.maker.Model(clock.Day(b.now)), "system"))
	b.admin, b.totp, err = b.staff.Create(context.Background(), staff.NewAccount{Login: "ada", Name: "Ada", Password: password, Roles: []string{"admin"}}, "system")
	ok(t, err)
	ok(t, pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) (err error) {
		b.op, err = b.staff.CreateKeyOnly(context.Background(), tx, staff.NewAccount{Login: "apotheke", Name: "Ottilie", Roles: []string{"issuer"}, Scope: "issuer-1"}, "system")
		return err
	}))
	b.app = webtest.New(t, webtest.Config{Pool: b.pool, Now: now, Routes: slices.Concat(b.Routes(), b.staff.Routes(), staff.OverviewRoutes([]web.Card{b.AdminCard()})), Bundles: []web.Bundle{passkey.Assets, staff.Assets}})
	return b
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (b *bundle) code(t *testing.T, accountID string) string {
	t.Helper()
	var printed string
	ok(t, pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) (err error) {
		printed, err = b.NewCode(context.Background(), tx, accountID, time.Hour, "system")
		return err
	}))
	return printed
}

// Who works for an issuer has no password and logs in with a key.
func TestOperatorLogsInWithAKeyOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	_, err := b.staff.Login(ctx, "apotheke", "", "000000", "net")
	is(t, "empty password", err, staff.ErrLogin)
	if _, err := b.staff.Renew(ctx, b.op, password, "system"); !errors.Is(err, staff.ErrNotFound) {
		t.Errorf("gets a password: %v", err)
	}
	if _, err := b.pool.Exec(ctx, `UPDATE staff.account SET password_hash = 'x' WHERE id = $1`, b.op); !pg.Violates(err, "account_issuer") {
		t.Errorf("gets a password in SQL: %v", err)
	}
	k := b.maker.Enrol(b.Service, b.pool, b.op)
	for _, login := range []string{"", "apotheke"} {
		asked, err := b.AskLogin(ctx, login, "net")
		ok(t, err)
		u, err := b.Login(ctx, k.Touch(asked), "net")
		if err != nil || u.ID != b.op || u.Scope != "issuer-1" || !u.Has(web.RoleIssuer) {
			t.Errorf("login as %q: %+v, %v", login, u, err)
		}
	}
	// An unknown name is answered like a known one, and the same each time.
	one, err := b.AskLogin(ctx, "nobody", "net")
	ok(t, err)
	two, err := b.AskLogin(ctx, "nobody", "net")
	ok(t, err)
	if len(one.Allow) != 1 || one.Allow[0] != two.Allow[0] {
		t.Errorf("unknown name: %v, %v", one.Allow, two.Allow)
	}
}

func TestEnrolmentByCode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	old := b.code(t, b.op)
	code := b.code(t, b.op)
	for name, c := range map[string][2]string{"older code": {"apotheke", old}, "another account": {"ada", code}, "nonsense": {"apotheke", "1234"}} {
		_, err := b.OfferWithCode(ctx, c[0], c[1], "net")
		is(t, name, err, passkey.ErrCode)
	}
	o, err := b.OfferWithCode(ctx, "Apotheke ", strings.ToLower(code), "net")
	ok(t, err)
	o2, err := b.OfferWithCode(ctx, "apotheke", code, "net")
	ok(t, err)
	k := b.maker.NewKey()
	made := k.Make(o, "Tresen")
	_, _, err = b.Enrol(ctx, made)
	ok(t, err)
	_, _, err = b.Enrol(ctx, made)
	is(t, "the same answer again", err, passkey.ErrExpired)
	_, _, err = b.Enrol(ctx, b.maker.NewKey().Make(o2, "Zweiter"))
	is(t, "a second key with the code", err, passkey.ErrHasKey)
	err = pg.InTx(ctx, b.pool, func(tx pgx.Tx) error { _, err := b.NewCode(ctx, tx, b.op, time.Hour, "system"); return err })
	is(t, "a code for an account with a key", err, passkey.ErrHasKey)
	keys, err := passkey.Keys(ctx, b.pool, b.op, b.now)
	if err != nil || len(keys) != 1 || keys[0].Attestation != "basic" || keys[0].Model != b.maker.Name || keys[0].Shown != "code" {
		t.Errorf("keys: %+v, %v", keys, err)
	}
}

func TestCodeExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	code := b.code(t, b.op)
	b.now = b.now.Add(time.Hour)
	_, err := b.OfferWithCode(context.Background(), "apotheke", code, "net")
	is(t, "expired", err, passkey.ErrCode)
}

func TestFirstKeyWithPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	code, err := totp.GenerateCode(b.totp, b.now)
	ok(t, err)
	_, err = b.OfferWithPassword(ctx, b.admin, "wrong", code, "net")
	is(t, "wrong password", err, staff.ErrLogin)
	o, err := b.OfferWithPassword(ctx, b.admin, password, code, "net")
	ok(t, err)
	first := b.maker.NewKey()
	_, _, err = b.Enrol(ctx, first.Make(o, "Erster"))
	ok(t, err)
	b.now = b.now.Add(time.Minute)
	code, err = totp.GenerateCode(b.totp, b.now)
	ok(t, err)
	_, err = b.OfferWithPassword(ctx, b.admin, password, code, "net")
	is(t, "password for a second key", err, passkey.ErrHasKey)

	second := b.maker.EnrolAnother(b.Service, b.admin, first)
	keys, err := passkey.Keys(ctx, b.pool, b.admin, b.now)
	ok(t, err)
	ok(t, b.Rename(ctx, b.admin, keys[0].ID, "Alt"))
	_, err = b.AskRemove(ctx, b.op, keys[0].ID)
	is(t, "another's key", err, passkey.ErrNotFound)
	remove := func(asked passkey.Asked) error { return b.Remove(ctx, b.admin, keys[0].ID, second.Touch(asked)) }
	is(t, "without a touch", b.Remove(ctx, b.admin, keys[0].ID, passkey.Touch{}), passkey.ErrExpired)
	other, err := b.AskRemove(ctx, b.admin, keys[1].ID)
	ok(t, err)
	is(t, "touch for another key", remove(other), passkey.ErrRefused)
	other, err = b.AskAdditional(ctx, b.admin)
	ok(t, err)
	is(t, "touch for another deed", remove(other), passkey.ErrRefused)
	asked, err := b.AskRemove(ctx, b.admin, keys[0].ID)
	ok(t, err)
	touch := second.Touch(asked)
	is(t, "another account's touch", b.Remove(ctx, b.op, keys[0].ID, touch), passkey.ErrRefused)
	asked, err = b.AskRemove(ctx, b.admin, keys[0].ID)
	ok(t, err)
	b.now = b.now.Add(3 * time.Minute)
	is(t, "too late", remove(asked), passkey.ErrExpired)
	asked, err = b.AskRemove(ctx, b.admin, keys[0].ID)
	ok(t, err)
	ok(t, remove(asked))
	_, err = b.AskRemove(ctx, b.admin, keys[1].ID)
	is(t, "the last", err, passkey.ErrLastKey)
	asked, err = b.AskLogin(ctx, "", "net")
	ok(t, err)
	_, err = b.Login(ctx, first.Touch(asked), "net")
	is(t, "removed key", err, passkey.ErrRefused)
	asked, err = b.AskLogin(ctx, "", "net")
	ok(t, err)
	_, err = b.Login(ctx, second.Touch(asked), "net")
	is(t, "second key", err, nil)
}

func TestAttestation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		local  bool
		change func(b *bundle, k *passkeytest.Key)
		want   error
	}{
		"attested":                     {true, func(*bundle, *passkeytest.Key) {}, nil},
		"self":                         {true, func(_ *bundle, k *passkeytest.Key) { k.Attestation = "self" }, passkey.ErrModel},
		"none":                         {true, func(_ *bundle, k *passkeytest.Key) { k.Attestation = "none" }, passkey.ErrModel},
		"user not verified":            {true, func(_ *bundle, k *passkeytest.Key) { k.Unverified = true }, passkey.ErrRefused},
		"another site":                 {true, func(_ *bundle, k *passkeytest.Key) { k.Origin = "https://impfen.example.evil" }, passkey.ErrRefused},
		"localhost in production":      {false, func(*bundle, *passkeytest.Key) {}, passkey.ErrRefused},
		"production":                   {false, func(_ *bundle, k *passkeytest.Key) { k.Origin = "https://impfen.example" }, nil},
		"virtual, local":               {true, virtual, nil},
		"virtual model in production":  {false, func(b *bundle, k *passkeytest.Key) { k.Origin = "https://impfen.example"; virtual(b, k) }, passkey.ErrModel},
		"any, local":                   {true, unlisted, nil},
		"unlisted in production":       {false, func(b *bundle, k *passkeytest.Key) { k.Origin = "https://impfen.example"; unlisted(b, k) }, passkey.ErrModel},
		"model ended":                  {false, func(b *bundle, k *passkeytest.Key) { k.Origin = "https://impfen.example"; end(b, k) }, passkey.ErrModel},
		"another maker under its name": {true, func(_ *bundle, k *passkeytest.Key) { k.Maker = k.Maker.Impostor() }, passkey.ErrModel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupMode(t, c.local)
			o, err := b.OfferWithCode(context.Background(), "apotheke", b.code(t, b.op), "net")
			ok(t, err)
			k := b.maker.NewKey()
			c.change(b, k)
			_, _, err = b.Enrol(context.Background(), k.Make(o, "Tresen"))
			is(t, "enrol", err, c.want)
		})
	}
}

func virtual(b *bundle, k *passkeytest.Key) {
	k.Attestation = "none"
	_, err := b.pool.Exec(context.Background(), `UPDATE staff.key_model SET virtual = true`)
	if err != nil {
		panic(err)
	}
}

// unlisted is what is built into a computer: of no model on the list, and attested by nobody.
func unlisted(b *bundle, k *passkeytest.Key) {
	k.Attestation, k.Maker = "none", passkeytest.NewMaker(b.t)
}

func end(b *bundle, k *passkeytest.Key) {
	if err := b.EndModel(context.Background(), k.Maker.AAGUID.String(), clock.Day(b.now), clock.Day(b.now).AddDate(0, 0, -1), "system"); err != nil {
		panic(err)
	}
}

// A database in which a local run has left keys that nobody attested opens nothing in
// production, neither by them nor by their models.
func TestProductionRefusesKeysOfALocalRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	o, err := b.OfferWithCode(ctx, "apotheke", b.code(t, b.op), "net")
	ok(t, err)
	if o.Attestation != "none" {
		t.Error(o.Attestation)
	}
	k := b.maker.NewKey()
	unlisted(b, k)
	_, _, err = b.Enrol(ctx, k.Make(o, "Laptop"))
	ok(t, err)
	asked, err := b.AskLogin(ctx, "apotheke", "net")
	ok(t, err)
	_, err = b.Login(ctx, k.Touch(asked), "net")
	is(t, "local run", err, nil)
	production, err := passkey.New(passkey.Config{
		Pool: b.pool, Redis: redistest.New(t), Vault: vault.ForTest(), Now: func() time.Time { return b.now }, Origin: "https://impfen.example", Password: b.staff.Login,
	})
	ok(t, err)
	asked, err = production.AskLogin(ctx, "apotheke", "net")
	ok(t, err)
	k.Origin = "https://impfen.example"
	_, err = production.Login(ctx, k.Touch(asked), "net")
	is(t, "production", err, passkey.ErrModel)
	o, err = production.OfferWithCode(ctx, "ada", b.code(t, b.admin), "net")
	ok(t, err)
	if o.Attestation != "direct" || len(o.Algorithms) != 2 {
		t.Errorf("%+v", o)
	}
	other := b.maker.NewKey()
	other.Attestation, other.Maker, other.Origin = "none", k.Maker, "https://impfen.example"
	_, _, err = production.Enrol(ctx, other.Make(o, "Laptop"))
	is(t, "a model that a local run has let in", err, passkey.ErrModel)
}

func TestOneKeyOnTwoAccounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	k := b.maker.Enrol(b.Service, b.pool, b.op)
	o, err := b.OfferWithCode(ctx, "ada", b.code(t, b.admin), "net")
	ok(t, err)
	_, _, err = b.Enrol(ctx, k.Make(o, "Derselbe"))
	is(t, "enrolled elsewhere", err, passkey.ErrTaken)
	k.RawID = append([]byte{1}, k.RawID...)
	o, err = b.OfferWithCode(ctx, "ada", b.code(t, b.admin), "net")
	ok(t, err)
	_, _, err = b.Enrol(ctx, k.Make(o, "Mit anderer Nummer"))
	is(t, "the same public key", err, passkey.ErrTaken)
}

func TestCopiedKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	k := b.maker.Enrol(b.Service, b.pool, b.op)
	copied := *k
	login := func(k *passkeytest.Key) error {
		asked, err := b.AskLogin(ctx, "", "net")
		ok(t, err)
		_, err = b.Login(ctx, k.Touch(asked), "net")
		return err
	}
	is(t, "original", login(k), nil)
	is(t, "original", login(k), nil)
	is(t, "copy", login(&copied), passkey.ErrCloned)
	is(t, "disabled", login(k), passkey.ErrRefused)
	keys, err := passkey.Keys(ctx, b.pool, b.op, b.now)
	if err != nil || keys[0].DisabledWhy != "cloned" {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	b.app.LoginAs(web.User{Kind: "staff", ID: b.admin, Name: "Ada", Roles: []web.Role{web.RoleAdmin}})
	if ans := b.app.Get("/admin"); !strings.Contains(ans.Body, "wahrscheinlich kopiert") {
		t.Error("no notice on the administration's first page")
	}
}

// A model that has left the list stops its keys.
func TestModelEndsUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.maker.Enrol(b.Service, b.pool, b.op)
	end(b, k)
	asked, err := b.AskLogin(context.Background(), "", "net")
	ok(t, err)
	_, err = b.Login(context.Background(), k.Touch(asked), "net")
	is(t, "login", err, passkey.ErrModel)
}

// Over HTTP: enrolment, login, a session that is fresh for a deed, own keys.
func TestOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	adm := b.app.Another()
	adm.LoginAs(web.User{Kind: "staff", ID: b.admin, Name: "Ada", Roles: []web.Role{web.RoleAdmin}})
	for _, path := range []string{"/admin/keys", "/admin/key-accounts", "/admin/key-models", "/staff/key", "/staff/login", "/staff/fresh/issuing"} {
		if ans := adm.Get(path); ans.Status != 200 && ans.Status != 303 {
			t.Errorf("%s: %d", path, ans.Status)
		}
	}
	var code passkey.CodeOut
	if ans := adm.JSON("POST", "/api/v1/admin/staff/"+b.op+"/key-code", struct{}{}, &code); ans.Status != 201 {
		t.Fatalf("code: %d %s", ans.Status, ans.Body)
	}
	var offered passkey.Offered
	if ans := b.app.JSON("POST", "/api/v1/staff/keys/offers/code", passkey.CodeIn{Login: "apotheke", Code: code.Code}, &offered); ans.Status != 200 {
		t.Fatalf("offer: %d %s", ans.Status, ans.Body)
	}
	k := b.maker.NewKey()
	if ans := b.app.JSON("POST", "/api/v1/staff/keys", k.Make(offered, "Tresen"), nil); ans.Status != 201 {
		t.Fatalf("enrol: %d %s", ans.Status, ans.Body)
	}
	var asked passkey.Asked
	b.app.JSON("POST", "/api/v1/staff/keys/login/challenge", passkey.LoginIn{}, &asked)
	var session staff.SessionOut
	if ans := b.app.JSON("POST", "/api/v1/staff/keys/login", k.Touch(asked), &session); ans.Status != 201 {
		t.Fatalf("login: %d %s", ans.Status, ans.Body)
	}
	api := b.app.Another()
	api.Bearer(session.Token)
	var keys passkey.KeysOut
	if ans := api.JSON("GET", "/api/v1/staff/keys", nil, &keys); ans.Status != 200 || len(keys.Keys) != 1 {
		t.Errorf("keys: %d %s", ans.Status, ans.Body)
	}
	if ans := api.JSON("POST", "/api/v1/staff/keys/"+keys.Keys[0].ID+"/removal/challenge", struct{}{}, nil); ans.Status != 409 {
		t.Errorf("the last key: %d", ans.Status)
	}
	if ans := api.JSON("POST", "/api/v1/staff/keys/"+keys.Keys[0].ID+"/removal", passkey.RemoveIn{}, nil); ans.Status != 403 {
		t.Errorf("removed without a touch: %d", ans.Status)
	}
	if ans := api.JSON("POST", "/api/v1/staff/fresh/approve/challenge", struct{}{}, nil); ans.Status != 404 {
		t.Errorf("fresh for approving: %d", ans.Status)
	}
	api.JSON("POST", "/api/v1/staff/fresh/issuing/challenge", struct{}{}, &asked)
	if ans := api.JSON("POST", "/api/v1/staff/fresh/issuing", passkey.RefreshIn{Touch: k.Touch(asked)}, nil); ans.Status != 200 {
		t.Errorf("fresh: %d %s", ans.Status, ans.Body)
	}
	// Another session of the same account touches for itself.
	other := b.app.Another()
	other.LoginAs(web.User{Kind: "staff", ID: b.op, Name: "Ottilie", Roles: []web.Role{web.RoleIssuer}, Scope: "issuer-1"})
	api.JSON("POST", "/api/v1/staff/fresh/issuing/challenge", struct{}{}, &asked)
	if ans := other.JSON("POST", "/api/v1/staff/fresh/issuing", passkey.RefreshIn{Touch: k.Touch(asked)}, nil); ans.Status != 403 {
		t.Errorf("touch of another session: %d", ans.Status)
	}
	if ans := adm.Get("/admin/key-accounts"); !strings.Contains(ans.Body, "Tresen") {
		t.Error("accounts page lacks the key")
	}
	m := b.maker.Model(clock.Day(b.now))
	if ans := adm.JSON("POST", "/api/v1/admin/key-models", passkey.ModelIn{AAGUID: m.AAGUID, Name: "Neu", From: "2021-06-15", Roots: m.Roots}, nil); ans.Status != 200 {
		t.Errorf("model: %d %s", ans.Status, ans.Body)
	}
	if ans := adm.PostForm("/admin/key-models", "aaguid", "x", "roots", "-----BEGIN"); ans.Status != 422 {
		t.Errorf("bad model: %d", ans.Status)
	}
	if ans := adm.PostForm("/admin/key-accounts/keys/" + keys.Keys[0].ID + "/revoke"); ans.Status != 303 {
		t.Errorf("revoke: %d", ans.Status)
	}
	if ans := api.JSON("GET", "/api/v1/staff/keys", nil, nil); ans.Status != 401 {
		t.Errorf("session after the key was disabled: %d", ans.Status)
	}
}
