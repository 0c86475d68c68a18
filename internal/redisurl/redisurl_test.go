package redisurl_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"impfportal/internal/redisurl"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"redis://127.0.0.1:1/0": true, "rediss://u:p@h:1/2": true, "unix:///tmp/x?db=3": true,
		"redis+sentinel://h:1/0?master_name=m&addr=i:2": true, "redis+cluster://h:1?addr=i:2": true, "rediss+cluster://h:1": true,
		"redis+other://h:1": false, "http://h": false, "": false, "redis+cluster://h:1?no_such=1": false,
	} {
		rdb, err := redisurl.Open(url)
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if rdb != nil {
			_ = rdb.Close()
		}
	}
}

func TestTheURLDecides(t *testing.T) {
	t.Parallel()
	rdb, err := redisurl.Open("redis://127.0.0.1:1/0?read_timeout=7s&pool_size=3&max_retries=-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	o := rdb.(*redis.Client).Options()
	if o.ReadTimeout != 7*time.Second || o.WriteTimeout != 7*time.Second || o.PoolSize != 3 || o.MaxRetries != 0 || o.DialTimeout != time.Second {
		t.Errorf("%+v", o)
	}
}
