package redistest_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"impfportal/internal/redistest"
)

func TestEachTestHasAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for range 20 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			client := redistest.New(t)
			if n := client.DBSize(ctx).Val(); n != 0 {
				t.Fatalf("the database holds %d keys before the test", n)
			}
			if err := client.Set(ctx, "key", t.Name(), 0).Err(); err != nil {
				t.Fatal(err)
			}
			if got := client.Get(ctx, "key").Val(); got != t.Name() {
				t.Errorf("key = %q: another test wrote into the database", got)
			}
		})
	}
}

func TestURLNamesAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	opts, err := redis.ParseURL(redistest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	if opts.DB == 0 {
		t.Error("the URL names database 0, which all tests share")
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("the database holds %d keys", n)
	}
}
