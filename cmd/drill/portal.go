package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/cmd/wiring"
	"impfportal/internal/clock"
	"impfportal/internal/config"
	"impfportal/internal/web"
	"impfportal/waitingroom"
)

// The rooms of the portal: in front of registering, which is what the opening
// drill is about, and of booking.
const (
	room        = "registration"
	bookingRoom = "appointments"
)

// portal is a portal of the drill's own, in a scratch folder, with real
// Postgres and Redis of usual durability and, in this process, without a worker.
type portal struct {
	*wiring.Slices
	env     *wiring.Env
	addr    string
	dataDir string
	log     *slog.LevelVar // what of the portal's log is shown
	fleet   *fleet         // nil = this process answers
	stop    func() error
}

type portalOptions struct {
	// Yardsticks adds addresses in front of the middleware, for comparisons
	// within the same application.
	Yardsticks func(*fiber.App, *wiring.Env)
	// Replicas is how many processes of the real program answer, instead of this
	// one; then there is a worker in each.
	Replicas int
	// Now is the clock of this process; nil = the true time.
	Now clock.Clock
}

// quiet is above every level: faults that a drill makes are no news.
const quiet = slog.Level(100)

// startPortal brings it up with the demo state, all places planned and the
// waiting rooms as wide open as they go, so that they are not what is measured.
func startPortal(ctx context.Context, o portalOptions) (_ *portal, err error) {
	dir, err := os.MkdirTemp("", "impfportal-drill-")
	if err != nil {
		return nil, err
	}
	p := &portal{dataDir: filepath.Join(dir, "data"), log: &slog.LevelVar{}}
	p.log.Set(slog.LevelError)
	stops := []func() error{func() error { return os.RemoveAll(dir) }}
	p.stop = func() error {
		var all error
		for i := len(stops) - 1; i >= 0; i-- {
			all = errors.Join(all, stops[i]())
		}
		return all
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: p.log}))
	cfg := config.Config{Mode: config.ModeLocal, DataDir: p.dataDir, PoolSize: 32, Workers: 8, MailFrom: "drill@localhost", TrustedProxies: []string{"127.0.0.1"}}
	if p.env, err = wiring.Connect(ctx, cfg, log); err != nil {
		return nil, err
	}
	stops = append(stops, p.env.Close)
	if o.Now != nil {
		p.env.Now, p.env.Shift = o.Now, nil
	}
	if p.Slices, err = wiring.Build(p.env); err != nil {
		return nil, err
	}
	if o.Yardsticks != nil {
		p.Yardsticks = func(app *fiber.App) { o.Yardsticks(app, p.env) }
	}
	if err := p.Prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.Seed(ctx); err != nil {
		return nil, err
	}
	if err := p.Booking.ReplanAll(ctx, "system", nil); err != nil {
		return nil, err
	}
	wide := waitingroom.Change{Rate: ptr(waitingroom.MaxRate), Bound: ptr(waitingroom.MaxBound)}
	if err := p.valve(ctx, wide); err != nil {
		return nil, err
	}
	if _, err := p.Rooms.SetValve(ctx, "system", "system", bookingRoom, wide); err != nil {
		return nil, err
	}
	if o.Replicas > 0 {
		p.fleet = newFleet(p, dir, o.Replicas)
		stops = append(stops, p.fleet.stop)
		return p, p.fleet.start(ctx)
	}
	app, err := p.App()
	if err != nil {
		return nil, err
	}
	stop, err := p.serve(app)
	if err != nil {
		return nil, err
	}
	stops = append(stops, stop)
	return p, nil
}

func ptr[T any](v T) *T { return &v }

func (p *portal) valve(ctx context.Context, c waitingroom.Change) error {
	_, err := p.Rooms.SetValve(ctx, "system", "system", room, c)
	return err
}

// newLine empties the waiting room: all tickets become void.
func (p *portal) newLine(ctx context.Context) error {
	if err := p.valve(ctx, waitingroom.Change{Phase: ptr(waitingroom.Closed), NewLine: true}); err != nil {
		return err
	}
	return p.valve(ctx, waitingroom.Change{Phase: ptr(waitingroom.Open)})
}

// recovered waits until Postgres answers on every connection again.
func (p *portal) recovered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	p.env.Pool.Reset()
	for {
		err := p.env.Ready(ctx)
		if err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("Postgres did not come back: %w", err)
		}
	}
}

// serve listens on a free port and runs what a replica of the portal does by itself.
func (p *portal) serve(app *web.App) (stop func() error, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	running := []func() error{
		func() error { return app.Fiber().Listener(ln) },
		func() error { return p.Rooms.Run(ctx) },
		func() error { p.Booking.KeepAvailability(ctx, time.Second); return nil },
	}
	done := make(chan error, len(running))
	for _, run := range running {
		go func() { done <- run() }()
	}
	return func() error {
		err := app.Fiber().ShutdownWithTimeout(5 * time.Second)
		cancel()
		for range running {
			if e := <-done; !errors.Is(e, context.Canceled) {
				err = errors.Join(err, e)
			}
		}
		if err != nil {
			return fmt.Errorf("stop the portal: %w", err)
		}
		return nil
	}, nil
}
