package wiring

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"impfportal/internal/config"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest/topology"
	"impfportal/internal/web/webtest"
)

// A portal on each kind of Redis that REDIS_URL can name: it is ready, it takes
// places and lets in, and it is not ready when Redis has gone.
func TestEveryKindOfRedis(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (url string, end func()){
		"one server": func(t *testing.T) (string, func()) {
			s := topology.New(t)
			return s.URL(), s.Kill
		},
		"Sentinel": func(t *testing.T) (string, func()) {
			s := topology.NewSentinel(t)
			return s.URL(), func() { s.Master.Kill(); s.Replica.Kill() }
		},
		"cluster": func(t *testing.T) (string, func()) {
			c := topology.NewCluster(t)
			return c.URL(), func() {
				for i := range c.Masters {
					c.Masters[i].Kill()
					c.Replicas[i].Kill()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, end := start(t)
			cfg := config.Config{
				Mode: config.ModeLocal, DataDir: t.TempDir(), DatabaseURL: pgtest.URL(t), RedisURL: url, MailFrom: "portal@localhost", Workers: 4, PoolSize: 8,
			}
			if err := cfg.LocalSecrets(); err != nil {
				t.Fatal(err)
			}
			env, err := Connect(context.Background(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := env.Close(); err != nil {
					t.Error(err)
				}
			})
			s, err := Build(env)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Prepare(context.Background()); err != nil {
				t.Fatal(err)
			}
			app, err := s.App()
			if err != nil {
				t.Fatal(err)
			}
			ready := func() int {
				res, err := app.Fiber().Test(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil), 20_000)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				return res.StatusCode
			}
			if got := ready(); got != http.StatusOK {
				t.Errorf("ready: %d", got)
			}
			visitor := webtest.Wrap(t, app)
			for _, step := range []string{"join", "enter"} {
				if a := visitor.Do(http.MethodPost, "/api/v1/rooms/registration/"+step, "application/json", strings.NewReader("{}"), nil); a.Status != http.StatusOK {
					t.Errorf("%s: %d %s", step, a.Status, a.Body)
				}
			}
			if a := visitor.Get("/register"); a.Status != http.StatusOK {
				t.Errorf("with the pass: %d", a.Status)
			}
			end()
			topology.Await(t, "it is not ready without Redis", func() bool { return ready() == http.StatusServiceUnavailable })
		})
	}
}
