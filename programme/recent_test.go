package programme

import (
	"context"
	"testing"
	"time"

	"impfportal/internal/pg/pgtest"
)

// TestRecent: an answer is given again for its moment and no longer, and only
// to the same question.
func TestRecent(t *testing.T) {
	t.Parallel()
	pool, ctx := pgtest.New(t), context.Background()
	on := time.Date(2021, 1, 18, 12, 0, 0, 0, time.UTC)
	old, young := time.Date(1935, 5, 5, 0, 0, 0, 0, time.UTC), time.Date(2011, 5, 5, 0, 0, 0, 0, time.UTC)
	var code string
	if err := pool.QueryRow(ctx, `SELECT code FROM programme.priority_group WHERE programme_id = 'covid-19' AND open ORDER BY rank LIMIT 1`).Scan(&code); err != nil {
		t.Fatal(err)
	}
	kept, asked := &Recent{Keep: time.Hour}, &Recent{}
	ask := func(r *Recent) bool {
		t.Helper()
		open, err := r.GroupOpen(ctx, pool, "covid-19", code, on)
		if err != nil {
			t.Fatal(err)
		}
		return open
	}
	allowed := func(r *Recent, birth time.Time) int {
		t.Helper()
		products, series, err := r.Allowed(ctx, pool, "covid-19", birth, on)
		if err != nil || len(series) < len(products) {
			t.Fatalf("%d products, %d series, %v", len(products), len(series), err)
		}
		return len(products)
	}
	if !ask(kept) || !ask(asked) || allowed(kept, old) == 0 || allowed(kept, young) != 0 {
		t.Fatal("the rules of January 2021 are others")
	}
	if _, err := pool.Exec(ctx, `UPDATE programme.priority_group SET open = false`); err != nil {
		t.Fatal(err)
	}
	if !ask(kept) || ask(asked) {
		t.Error("kept for an hour: the old answer; not kept: the new one")
	}
	kept.Keep = time.Nanosecond
	kept.answers = nil
	for range 2 {
		if ask(kept) {
			t.Error("an answer outlived its moment")
		}
	}
}
