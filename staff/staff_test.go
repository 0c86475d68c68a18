package staff_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pquerna/otp/totp"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/staff"
)

const password = "correct horse battery"

type bundle struct {
	s      *staff.Service
	app    *webtest.App
	secret string
	id     string
	now    time.Time
	pool   *pgxpool.Pool
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{now: time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)}
	pool := pgtest.New(t)
	b.pool = pool
	clock := func() time.Time { return b.now }
	s := staff.New(pool, vault.ForTest(), redistest.New(t), clock, nil, false)
	b.s = s
	var err error
	b.id, b.secret, err = s.Create(context.Background(), staff.NewAccount{Login: "anna", Name: "Anna", Password: password, Roles: []string{"agent"}}, "system")
	if err != nil {
		t.Fatal(err)
	}
	b.app = webtest.New(t, webtest.Config{Pool: pool, Now: clock, Routes: s.Routes(), Bundles: []web.Bundle{staff.Assets}})
	return b
}

func (b *bundle) code(t *testing.T) string {
	t.Helper()
	code, err := totp.GenerateCode(b.secret, b.now)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// Since follows who else could know an account's credentials.
func TestSince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	start := b.now
	since := func(want time.Time) {
		t.Helper()
		if got, err := staff.Since(ctx, b.pool, "staff:"+b.id); err != nil || !got.Equal(want) {
			t.Errorf("since %s, %v, want %s", got, err, want)
		}
	}
	since(start)
	renew := func(id, actor string) {
		t.Helper()
		b.now = b.now.Add(time.Hour)
		if _, err := b.s.Renew(ctx, id, password+"?", actor); err != nil {
			t.Fatal(err)
		}
	}
	renew(b.id, "staff:"+b.id) // by herself
	since(start)
	renew(b.id, "staff:00000000-0000-7000-8000-000000000001")
	since(b.now)
	last := b.now.Add(time.Hour)
	renew(strings.ToUpper(b.id), "staff:00000000-0000-7000-8000-000000000001") // however the address is written
	since(last)
	renew(b.id, "staff:"+b.id)
	since(last)
	for _, nobody := range []string{"system", "citizen:" + b.id, "staff:x", "staff:00000000-0000-7000-8000-00000000000f"} {
		if _, err := staff.Since(ctx, b.pool, nobody); !errors.Is(err, staff.ErrNotFound) {
			t.Errorf("%s: %v", nobody, err)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := context.Background()
	code := b.code(t)
	for name, in := range map[string][3]string{
		"unknown login":  {"berta", password, code},
		"wrong password": {"anna", "wrong horse battery", code},
		"wrong code":     {"anna", password, "000000"},
		"no code":        {"anna", password, ""},
	} {
		if _, err := b.s.Login(ctx, in[0], in[1], in[2], "10.0.0.1"); !errors.Is(err, staff.ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	u, err := b.s.Login(ctx, " Anna ", password, code, "10.0.0.1")
	if err != nil || !u.Has(web.RoleAgent) {
		t.Fatalf("login: %v, %v", u, err)
	}
	if _, err := b.s.Login(ctx, "anna", password, code, "10.0.0.1"); !errors.Is(err, staff.ErrLogin) {
		t.Errorf("a code counted twice: %v", err)
	}
}

func TestOneCodeOneLoginUnderRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	code := b.code(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok := 0
	for range 6 {
		wg.Go(func() {
			if _, err := b.s.Login(context.Background(), "anna", password, code, "10.0.0.1"); err == nil {
				mu.Lock()
				ok++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ok != 1 {
		t.Errorf("%d logins with one code", ok)
	}
}

func TestTriesAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var err error
	for range 12 {
		_, err = b.s.Login(context.Background(), "anna", "wrong", "000000", "10.0.0.1")
	}
	if !errors.Is(err, staff.ErrTooMany) {
		t.Errorf("after twelve tries: %v", err)
	}
	if _, err := b.s.Login(context.Background(), "anna", password, b.code(t), "10.0.0.2"); err != nil {
		t.Errorf("a stranger elsewhere has locked the account: %v", err)
	}
}

// Who has the password and tries codes is stopped, however many networks the
// tries come from.
func TestCodesAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var err error
	for i := range 11 {
		_, err = b.s.Login(context.Background(), "anna", password, "000000", fmt.Sprintf("10.0.1.%d", i))
	}
	if !errors.Is(err, staff.ErrTooMany) {
		t.Errorf("after eleven codes: %v", err)
	}
}

func TestPagesAndDisable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ans := b.app.PostForm("/staff/login", "login", "anna", "password", "wrong wrong wrong", "code", "123456")
	if ans.Status != 422 || !strings.Contains(ans.Body, `value="anna"`) {
		t.Fatalf("refused login: %d, typed value kept: %v", ans.Status, strings.Contains(ans.Body, `value="anna"`))
	}
	if strings.Contains(ans.Body, "wrong wrong wrong") {
		t.Error("the password stands in the page")
	}
	ans = b.app.PostForm("/staff/login", "login", "anna", "password", password, "code", b.code(t), "to", "//evil.example")
	if ans.Status != 303 || ans.Location != "/hotline" {
		t.Fatalf("login: %d to %q", ans.Status, ans.Location)
	}
	if got := b.app.Get("/admin/staff"); got.Status != 403 {
		t.Errorf("an agent on the administrators' page: %d", got.Status)
	}
	adm := b.app.Another()
	adm.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-000000000001", Name: "Ada", Roles: []web.Role{web.RoleAdmin}})
	if got := adm.Get("/admin/staff"); got.Status != 200 || !strings.Contains(got.Body, "anna") {
		t.Fatalf("list: %d", got.Status)
	}
	if got := adm.PostForm("/admin/staff/" + b.id + "/disable"); got.Status != 303 {
		t.Fatalf("disable: %d %s", got.Status, got.Body)
	}
	if got := b.app.Get("/staff/login"); got.Status != 200 {
		t.Errorf("the session of a disabled account still stands: %d to %q", got.Status, got.Location)
	}
}

func TestCreateChecks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, tc := range []struct {
		in    staff.NewAccount
		field string
	}{
		{staff.NewAccount{Login: "A B", Name: "x", Password: password, Roles: []string{"agent"}}, "login"},
		{staff.NewAccount{Login: "berta", Name: "", Password: password, Roles: []string{"agent"}}, "name"},
		{staff.NewAccount{Login: "berta", Name: "x", Password: "short", Roles: []string{"agent"}}, "password"},
		{staff.NewAccount{Login: "berta", Name: "x", Password: password}, "roles"},
		{staff.NewAccount{Login: "berta", Name: "x", Password: password, Roles: []string{"citizen"}}, "roles"},
		{staff.NewAccount{Login: "berta", Name: "x", Password: password, Roles: []string{"site"}}, "scope"},
		// One administrator alone makes nobody who issues.
		{staff.NewAccount{Login: "berta", Name: "x", Roles: []string{"issuer"}, Scope: "00000000-0000-7000-8000-000000000001"}, "roles"},
	} {
		_, _, err := b.s.Create(context.Background(), tc.in, "system")
		var p *web.Problem
		if !errors.As(err, &p) || p.Fields[0].Field != tc.field {
			t.Errorf("%+v: %v, want field %s", tc.in, err, tc.field)
		}
	}
	if _, _, err := b.s.Create(context.Background(), staff.NewAccount{Login: "anna", Name: "x", Password: password, Roles: []string{"agent"}}, "system"); !errors.Is(err, staff.ErrLoginTaken) {
		t.Errorf("second account of one login: %v", err)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if ans := b.app.JSON("POST", "/api/v1/staff/sessions", staff.LoginIn{Login: "anna", Password: "x", Code: "1"}, nil); ans.Status != 401 {
		t.Errorf("wrong login: %d", ans.Status)
	}
	var out staff.SessionOut
	if ans := b.app.JSON("POST", "/api/v1/staff/sessions", staff.LoginIn{Login: "anna", Password: password, Code: b.code(t)}, &out); ans.Status != 201 || out.Token == "" {
		t.Fatalf("login: %d", ans.Status)
	}
	api := b.app.Another()
	api.Bearer(out.Token)
	if ans := api.JSON("GET", "/api/v1/admin/staff", nil, nil); ans.Status != 403 {
		t.Errorf("an agent lists accounts: %d", ans.Status)
	}
	if ans := api.JSON("DELETE", "/api/v1/staff/sessions", nil, nil); ans.Status != 204 {
		t.Errorf("logout: %d", ans.Status)
	}
	if ans := api.JSON("GET", "/api/v1/admin/staff", nil, nil); ans.Status != 401 {
		t.Errorf("after logout: %d", ans.Status)
	}
}

func TestAdminAPI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	adm := b.app.Another()
	adm.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-000000000001", Name: "Ada", Roles: []web.Role{web.RoleAdmin}})
	var made staff.SecretOut
	in := staff.AccountIn{Login: "Berta", Name: "Berta", Password: password, Roles: []string{"agent"}}
	if ans := adm.JSON("POST", "/api/v1/admin/staff", in, &made); ans.Status != 201 || made.Secret == "" {
		t.Fatalf("create: %d %s", ans.Status, ans.Body)
	}
	if ans := adm.JSON("POST", "/api/v1/admin/staff", in, nil); ans.Status != 422 {
		t.Errorf("the same login twice: %d", ans.Status)
	}
	if ans := adm.JSON("POST", "/api/v1/admin/staff", staff.AccountIn{Login: "c"}, nil); ans.Status != 422 {
		t.Errorf("nothing in it: %d", ans.Status)
	}
	path := "/api/v1/admin/staff/" + made.ID
	for _, c := range []struct {
		path     string
		disabled bool
		want     int
	}{{path, true, 204}, {path, true, 404}, {path, false, 204}, {"/api/v1/admin/staff/x", true, 404}, {"/api/v1/admin/staff/00000000-0000-7000-8000-000000000001", true, 409}} {
		if ans := adm.JSON("PATCH", c.path, staff.DisableIn{Disabled: c.disabled}, nil); ans.Status != c.want {
			t.Errorf("%+v: %d", c, ans.Status)
		}
	}
	before := made.Secret
	if ans := adm.JSON("POST", path+"/renew", staff.RenewIn{Password: "short"}, nil); ans.Status != 422 {
		t.Errorf("short password: %d", ans.Status)
	}
	if ans := adm.JSON("POST", path+"/renew", staff.RenewIn{Password: password + "!"}, &made); ans.Status != 201 || made.Secret == before {
		t.Errorf("renew: %d", ans.Status)
	}
}

// A browser that comes for the first time gets one token for both forms.
func TestBothFormsOfTheLoginCarryOneToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	found := regexp.MustCompile(`name="_csrf" value="([^"]+)"`).FindAllStringSubmatch(b.app.Get("/staff/login").Body, -1)
	if len(found) != 2 || found[0][1] != found[1][1] {
		t.Errorf("tokens: %v", found)
	}
}
