package booking

import (
	"testing"
)

func TestAdminAPI(t *testing.T) {
	t.Parallel()
	b, _ := small(t)
	app := b.app()
	app.LoginAs(adminUser())
	var out QuotasOut
	if ans := app.JSON("GET", "/api/v1/admin/quotas/leipzig", nil, &out); ans.Status != 200 || out.Shares["web"] != 100 {
		t.Fatalf("%d %+v", ans.Status, out)
	}
	for _, c := range []struct {
		method, path string
		in           any
		want         int
	}{
		{"PUT", "/api/v1/admin/quotas/leipzig", map[string]any{"shares": map[string]int{"web": 60, "hotline": 30}}, 422},
		{"PUT", "/api/v1/admin/quotas/leipzig", map[string]any{"shares": map[string]int{"web": 110, "hotline": -10}}, 422},
		{"PUT", "/api/v1/admin/quotas/leipzig", map[string]any{"shares": map[string]int{"nobody": 100}}, 422},
		{"PUT", "/api/v1/admin/quotas/leipzig", map[string]any{}, 422},
		{"PUT", "/api/v1/admin/quotas/nowhere", map[string]any{"shares": map[string]int{"web": 70, "hotline": 30}}, 404},
		{"PUT", "/api/v1/admin/quotas/leipzig", map[string]any{"shares": map[string]int{"web": 70, "hotline": 30}}, 200},
		{"PUT", "/api/v1/admin/quotas/leipzig/days/2021-02-30", map[string]any{"shares": map[string]int{"web": 100}}, 422},
		{"PUT", "/api/v1/admin/quotas/leipzig/days/2020-01-01", map[string]any{"shares": map[string]int{"web": 100}}, 422},
		{"PUT", "/api/v1/admin/quotas/leipzig/days/2021-02-10", map[string]any{"shares": map[string]int{"web": 100}}, 204},
		{"PUT", "/api/v1/admin/quotas/leipzig/days/2021-02-10", map[string]any{"shares": nil}, 204},
		{"PUT", "/api/v1/admin/capacity/leipzig", map[string]any{"product_id": "comirnaty", "from": "2021-02-10", "stations": 100}, 422},
		{"PUT", "/api/v1/admin/capacity/leipzig", map[string]any{"product_id": "comirnaty", "from": "2021-02-10", "stations": 1}, 200},
		{"PATCH", "/api/v1/admin/booking/settings", map[string]any{"hold_minutes": 1}, 422},
		{"PATCH", "/api/v1/admin/booking/settings", map[string]any{"hold_minutes": 15, "lead_days": map[string]int{"hotline": 6}}, 204},
	} {
		if ans := app.JSON(c.method, c.path, c.in, nil); ans.Status != c.want {
			t.Errorf("%s %s %v: %d, want %d: %s", c.method, c.path, c.in, ans.Status, c.want, ans.Body)
		}
	}
	if ans := app.JSON("GET", "/api/v1/admin/quotas/leipzig", nil, &out); ans.Status != 200 || out.Shares["hotline"] != 30 || len(out.Lanes) == 0 {
		t.Errorf("after the changes: %+v", out)
	}
	var plan PlanOut
	if ans := app.JSON("POST", "/api/v1/admin/capacity/plan", nil, &plan); ans.Status != 202 || app.Get(plan.Progress).Status != 200 {
		t.Errorf("plan: %d %+v", ans.Status, plan)
	}
	b.s.Wait()
	if ans := app.JSON("GET", "/api/v1/admin/shortfalls", nil, nil); ans.Status != 200 {
		t.Errorf("shortfalls: %d", ans.Status)
	}
}
