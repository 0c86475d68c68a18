package web_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"impfportal/internal/id"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// Who is sent to the login gets the redirect and nothing else: the handler of
// the page does not run.
func TestRefusedHandlerDoesNotRun(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	handle := func(c *web.Ctx) error {
		ran.Add(1)
		return c.SendString("secret of " + c.User.ID)
	}
	app := webtest.New(t, webtest.Config{Pool: pgtest.New(t), Routes: []web.Route{
		{Method: http.MethodGet, Path: "/own", Roles: []web.Role{web.RoleCitizen}, Handle: handle},
		{Method: http.MethodGet, Path: "/desk", Roles: []web.Role{web.RoleAgent}, Handle: handle},
	}})
	for _, path := range []string{"/own", "/desk"} {
		if a := app.Get(path); a.Status != http.StatusSeeOther || a.Body != "" {
			t.Errorf("%s: %d %q", path, a.Status, a.Body)
		}
	}
	app.LoginAs(web.User{Kind: "staff", ID: id.New(), Roles: web.StaffRoles})
	if a := app.Get("/own"); a.Status != http.StatusSeeOther || a.Body != "" {
		t.Errorf("staff on a citizen's page: %d %q", a.Status, a.Body)
	}
	if n := ran.Load(); n != 0 {
		t.Errorf("a refused page ran %d times", n)
	}
}
