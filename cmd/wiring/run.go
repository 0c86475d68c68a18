package wiring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"impfportal/internal/config"
	"impfportal/internal/local"
	"impfportal/staff"
)

const shutdownTimeout = 4 * time.Second

// RunPortal answers people until ctx ends. In a local run it also runs the
// worker and prints where to go.
func RunPortal(ctx context.Context, cfg config.Config, log *slog.Logger, out io.Writer) (err error) {
	if os.Getenv("GOGC") == "" {
		// What a portal keeps is small, most of it buffers of open connections;
		// looking through it half as often leaves more of the processor to people.
		debug.SetGCPercent(200)
	}
	// The port is taken first: nothing is started that could not be reached.
	ln, err := listen(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	env, err := Connect(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	s, err := Build(env)
	if err != nil {
		return err
	}
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	app, err := s.App()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	address := fmt.Sprintf("http://%s", ln.Addr())
	g.Go(func() error { return app.Fiber().Listener(ln) })
	g.Go(func() error {
		<-ctx.Done()
		return app.Fiber().ShutdownWithTimeout(shutdownTimeout)
	})
	g.Go(func() error { return serveMetrics(ctx, env) })
	g.Go(func() error { return s.serveClients(ctx) })
	s.background(ctx, g)
	if cfg.Local() {
		s.work(ctx, g)
		g.Go(func() error { return watchServers(ctx, env) })
		g.Go(func() error { return s.Seed(ctx) })
		if err := env.Servers.Announce(address); err != nil {
			return err
		}
		welcome(out, address)
	} else {
		log.Info("portal listens", "address", address)
	}
	err = g.Wait()
	s.Booking.Wait()
	s.Inventory.Wait() // an import that was started goes to its end, or rolls back with the connection
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// RunWorker works until ctx ends.
func RunWorker(ctx context.Context, cfg config.Config, log *slog.Logger) (err error) {
	var env *Env
	if cfg.Local() {
		env, err = Attach(ctx, cfg, log)
	} else {
		env, err = Connect(ctx, cfg, log)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Close()) }()
	env.Signs = true
	s, err := Build(env)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serveMetrics(ctx, env) })
	s.work(ctx, g)
	log.Info("worker runs")
	return g.Wait()
}

// listen takes the port: loopback only in a local run.
func listen(cfg config.Config) (net.Listener, error) {
	host := ""
	if cfg.Local() {
		host = "127.0.0.1"
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, cfg.Port))
	if errors.Is(err, syscall.EADDRINUSE) {
		// Most likely it is this portal already: then say so.
		if cfg.Local() {
			if err := local.InUse(cfg.DataDir); err != nil {
				return nil, err
			}
		}
		return nil, fmt.Errorf("port %d is in use by another program: stop that, or choose another port, for example PORT=%d make run", cfg.Port, cfg.Port+1)
	}
	if err != nil {
		return nil, fmt.Errorf("port %d: %w", cfg.Port, err)
	}
	return ln, nil
}

func watchServers(ctx context.Context, env *Env) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-env.Servers.Lost():
		return err
	}
}

// serveMetrics answers /metrics on a listener of its own.
func serveMetrics(ctx context.Context, env *Env) error {
	ln, err := net.Listen("tcp", env.Cfg.MetricsAddr)
	if err != nil {
		return fmt.Errorf("METRICS_ADDR: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(env.Metrics, promhttp.HandlerOpts{}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	env.Log.Debug("metrics", "address", ln.Addr().String())
	var wg sync.WaitGroup
	wg.Go(func() {
		<-ctx.Done()
		_ = srv.Close()
	})
	defer wg.Wait()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func welcome(out io.Writer, address string) {
	fmt.Fprintf(out, `
  The portal runs:      %s
  Messages land here:   %s/dev/mailbox
  Demo logins:          %s/dev/logins  (current one-time codes)

  Staff login:          %s/staff/login   password %s
    admin, -2, -3       state administration        /admin
    agent, agent2       call centre                 /hotline
    zentrum             vaccination centre Leipzig  /site
    leitstelle          dispatch of mobile teams    /teams
    team                mobile team 1               /teams/today
    pruefung            audit                       /admin/audit

  Ctrl-C stops everything; the data stays.

`, address, address, address, address, staff.DemoPassword)
}
