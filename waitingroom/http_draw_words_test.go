package waitingroom

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// What one administrator has entered nobody else sees, in no place, before the
// draw has its value: two enter it independently.
func TestNobodyCopiesTheNumbers(t *testing.T) {
	t.Parallel()
	f, app := drawSite(t, LotteryBeacon)
	f.joins(t, 3)
	f.shift.Add(int64(10 * time.Minute))
	f.until(t, Drawing)
	f.pass(t, lotteryWait+time.Minute)
	viewer := func(id string, role web.Role) *webtest.App {
		a := app.Another()
		a.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-00000000000" + id, Name: id, Roles: []web.Role{role}})
		return a
	}
	anna, ben, auditor := viewer("a", web.RoleAdmin), viewer("b", web.RoleAdmin), viewer("c", web.RoleAuditor)
	const page = "/admin/rooms/registration/draw"
	enter := func(a *webtest.App, value string) {
		t.Helper()
		if res := a.PostForm(page, "action", "value", "value", value); res.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", res.Status, res.Body)
		}
	}
	const own, other, differ = "3 12 17 superzahl 7", "3 12 18 superzahl 7", "Die Angaben sind verschieden"
	sees := func(who string, a *webtest.App, yes []string, no ...string) {
		t.Helper()
		res := a.Get(page)
		mustContain(t, res, http.StatusOK, yes...)
		for _, text := range no {
			if strings.Contains(res.Body, text) {
				t.Errorf("%s sees %q", who, text)
			}
		}
	}
	enter(anna, own)
	sees("Anna", anna, []string{own}, differ)
	sees("Ben", ben, []string{"Eine andere Person", "hat die Zahlen eingegeben"}, own, differ)
	sees("the auditor", auditor, []string{"hat die Zahlen eingegeben"}, own, differ)
	if res := ben.PostForm(page, "action", "value", "value", "?"); res.Status != http.StatusUnprocessableEntity || strings.Contains(res.Body, own) {
		t.Errorf("after a mistake: %d", res.Status)
	}
	enter(ben, other)
	sees("Ben", ben, []string{other, differ}, own)
	sees("Anna", anna, []string{own, differ}, other)
	sees("the auditor", auditor, []string{"hat die Zahlen eingegeben"}, own, other, differ)

	told := func() (n int) {
		t.Helper()
		if err := f.pool.QueryRow(context.Background(), `SELECT count(*) FROM audit.entry WHERE after::text LIKE '%superzahl%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := told(); n != 0 {
		t.Errorf("%d entries of the record tell the numbers beforehand", n)
	}
	enter(ben, own)
	f.until(t, Open)
	sees("the auditor", auditor, []string{own}, differ, "hat die Zahlen eingegeben")
	if told() == 0 {
		t.Error("the record does not tell what was said")
	}
}
