package retention_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/retention"
)

func TestPolicyInForce(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	for _, tc := range []struct {
		at   time.Time
		days int
	}{
		{time.Date(2021, 1, 11, 12, 0, 0, 0, time.UTC), 14},
		{time.Date(2021, 1, 31, 22, 59, 0, 0, time.UTC), 14}, // still January in Berlin
		{time.Date(2021, 1, 31, 23, 0, 0, 0, time.UTC), 183}, // February has begun in Berlin
	} {
		keep, err := retention.Keep(context.Background(), pool, "registration", tc.at)
		if err != nil || keep != time.Duration(tc.days)*24*time.Hour {
			t.Errorf("%v: %v, %v", tc.at, keep, err)
		}
	}
}

func TestRunBatchesAndRecords(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), pgtest.New(t)
	now := time.Date(2021, 1, 20, 12, 0, 0, 0, time.UTC)
	left := int64(2500)
	s := retention.New(pool, clock.Fixed(now), []retention.Rule{
		{Name: "broken", Table: "a.b", Run: func(context.Context, pgx.Tx, time.Time, time.Duration, int) (int64, error) {
			return 0, errors.New("no")
		}},
		{Name: "people", Table: "c.d", Policy: "registration", Run: func(_ context.Context, _ pgx.Tx, _ time.Time, keep time.Duration, limit int) (int64, error) {
			if keep != 14*24*time.Hour {
				t.Errorf("keep %v", keep)
			}
			n := min(left, int64(limit))
			left -= n
			return n, nil
		}},
	})
	res, err := s.Run(ctx, now, nil)
	if err == nil || len(res) < 2 || res[1].Deleted != 2500 || left != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	runs, err := retention.Runs(ctx, pool, 10)
	if err != nil || len(runs) != 2 || runs[0].Deleted != 2500 || runs[1].Error == nil {
		t.Errorf("runs %+v, %v", runs, err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), pgtest.New(t)
	now := time.Date(2021, 1, 20, 12, 0, 0, 0, time.UTC)
	s := retention.New(pool, clock.Fixed(now), nil)
	app := webtest.New(t, webtest.Config{Pool: pool, Now: clock.Fixed(now), Routes: s.Routes(), Bundles: []web.Bundle{retention.Assets}})
	app.LoginAs(web.User{Kind: "staff", ID: "00000000-0000-7000-8000-000000000001", Roles: []web.Role{web.RoleAdmin}})
	for _, tc := range []struct {
		from, days string
		want       int
	}{{"2021-01-01", "30", 422}, {"2021-02-30", "30", 422}, {"2021-01-25", "-1", 422}, {"2021-01-25", "30", 303}} {
		if ans := app.PostForm("/admin/retention", "key", "registration", "from", tc.from, "days", tc.days, "why", "new order"); ans.Status != tc.want {
			t.Errorf("%+v: %d", tc, ans.Status)
		}
	}
	keep, err := retention.Keep(ctx, pool, "registration", now.AddDate(0, 0, 6))
	if err != nil || keep != 30*24*time.Hour {
		t.Errorf("kept %v, %v", keep, err)
	}
	if ans := app.Get("/admin/retention"); ans.Status != 200 {
		t.Errorf("page: %d", ans.Status)
	}
	var out retention.StateOut
	if ans := app.JSON("POST", "/api/v1/admin/retention", retention.PolicyIn{Key: "messages", From: "2021-02-01", Days: 7, Why: "x"}, &out); ans.Status != 200 || len(out.Policies) < 5 {
		t.Errorf("API: %d", ans.Status)
	}
}
