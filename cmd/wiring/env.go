// Package wiring puts the slices together. cmd/portal, cmd/worker, cmd/drill
// and the end-to-end tests all start what is wired here, so that what is tested
// is what runs.
package wiring

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"impfportal/internal/clock"
	"impfportal/internal/config"
	"impfportal/internal/local"
	"impfportal/internal/pg"
	"impfportal/internal/redisurl"
	"impfportal/internal/vault"
	"impfportal/internal/web"
)

// Env is what a program runs on: configuration, servers, secrets, time.
type Env struct {
	Cfg     config.Config
	Log     *slog.Logger
	Pool    *pgxpool.Pool
	Redis   redis.UniversalClient
	Vault   *vault.Vault
	Now     clock.Clock
	Shift   *time.Duration // what Now adds to the true time; nil = it is no shifted clock (tests)
	Metrics *prometheus.Registry
	// Signs says that this program makes certificates: it does not start without
	// a signing key.
	Signs bool
	// Servers are the child processes of a local run; nil in production.
	Servers *local.Servers
}

// Connect reaches Postgres and Redis and brings the database up to date. In a
// local run without DATABASE_URL or REDIS_URL it starts its own servers and
// holds the data folder; without own servers too, so that a second portal on
// the same folder is refused.
func Connect(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *Env, err error) {
	e := &Env{Cfg: cfg, Log: log, Now: clock.Shifted(cfg.Clock), Shift: &cfg.Clock, Metrics: prometheus.NewRegistry()}
	e.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if cfg.Local() {
		if err := e.startLocal(ctx); err != nil {
			return nil, err
		}
	}
	e.Vault = vault.New(e.Cfg.MasterKey, e.Cfg.Secret)
	if e.Redis, err = redisurl.Open(e.Cfg.RedisURL); err != nil {
		return nil, err
	}
	if e.Pool, err = pg.Open(ctx, e.Cfg.DatabaseURL, cfg.PoolSize); err != nil {
		return nil, err
	}
	n, err := pg.Migrate(ctx, e.Pool)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		log.Info("database migrated", "applied", n)
	}
	return e, nil
}

// Attach reaches the servers of a portal that runs on the data folder, for
// commands that work on it from the outside. It starts nothing and does not migrate.
func Attach(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *Env, err error) {
	e := &Env{Cfg: cfg, Log: log, Now: clock.Shifted(cfg.Clock), Shift: &cfg.Clock, Metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if cfg.Local() {
		in, err := local.Find(cfg.DataDir)
		if err != nil {
			return nil, err
		}
		e.Cfg.DatabaseURL, e.Cfg.RedisURL = in.DatabaseURL, in.RedisURL
		if err := e.Cfg.LocalSecrets(); err != nil {
			return nil, err
		}
	}
	e.Vault = vault.New(e.Cfg.MasterKey, e.Cfg.Secret)
	if e.Redis, err = redisurl.Open(e.Cfg.RedisURL); err != nil {
		return nil, err
	}
	e.Pool, err = pg.Open(ctx, e.Cfg.DatabaseURL, 4)
	return e, err
}

func (e *Env) startLocal(ctx context.Context) error {
	s, err := local.Start(ctx, local.Options{
		DataDir: e.Cfg.DataDir, Postgres: e.Cfg.DatabaseURL == "", Redis: e.Cfg.RedisURL == "",
	})
	if err != nil {
		return err
	}
	e.Servers = s
	if e.Cfg.DatabaseURL == "" {
		e.Cfg.DatabaseURL = s.DatabaseURL
	}
	if e.Cfg.RedisURL == "" {
		e.Cfg.RedisURL = s.RedisURL
	}
	s.DatabaseURL, s.RedisURL = e.Cfg.DatabaseURL, e.Cfg.RedisURL
	if e.Cfg.Clock != 0 {
		s.Clock = e.Cfg.Clock.String()
	}
	return e.Cfg.LocalSecrets()
}

// Ready asks Postgres and Redis.
func (e *Env) Ready(ctx context.Context) error {
	return errors.Join(e.Pool.Ping(ctx), e.Redis.Ping(ctx).Err())
}

// Close lets go of everything, the own servers last.
func (e *Env) Close() error {
	if e.Pool != nil {
		e.Pool.Close()
	}
	var err error
	if e.Redis != nil {
		err = e.Redis.Close()
	}
	if e.Servers != nil {
		err = errors.Join(err, e.Servers.Stop())
	}
	return err
}

// NewLog returns the program's log, the libraries' part included: text on a terminal's side, JSON in production.
func NewLog(cfg config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	log := slog.New(slog.NewJSONHandler(os.Stderr, opts))
	if cfg.Local() {
		log = slog.New(slog.NewTextHandler(os.Stderr, opts))
	}
	redisurl.LogTo(log)
	return log
}

// webSecret is what the pages sign tokens with.
func (e *Env) webSecret() []byte { return e.Vault.Derive("web") }

// NewSession logs somebody in without a page, for drills. It returns the
// session's token.
func (e *Env) NewSession(ctx context.Context, u web.User, ttl time.Duration) (string, error) {
	return web.NewSession(ctx, e.Pool, e.webSecret(), e.Now(), u, ttl)
}
