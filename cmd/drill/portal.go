package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"impfportal/cmd/wiring"
	"impfportal/internal/config"
	"impfportal/internal/web"
	"impfportal/waitingroom"
)

const room = "registration"

// portal is a portal of the drill's own, in a scratch folder, with real
// Postgres and Redis of usual durability and without a worker.
type portal struct {
	*wiring.Slices
	env  *wiring.Env
	addr string
	stop func() error
}

// startPortal brings it up with the demo state. yardsticks adds addresses in
// front of the middleware, for comparisons within the same application.
func startPortal(ctx context.Context, yardsticks func(*fiber.App, *wiring.Env)) (_ *portal, err error) {
	dir, err := os.MkdirTemp("", "impfportal-drill-")
	if err != nil {
		return nil, err
	}
	p := &portal{}
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
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	cfg := config.Config{Mode: config.ModeLocal, DataDir: filepath.Join(dir, "data"), PoolSize: 32, Workers: 8, MailFrom: "drill@localhost"}
	if p.env, err = wiring.Connect(ctx, cfg, log); err != nil {
		return nil, err
	}
	stops = append(stops, p.env.Close)
	if p.Slices, err = wiring.Build(p.env); err != nil {
		return nil, err
	}
	if yardsticks != nil {
		p.Yardsticks = func(app *fiber.App) { yardsticks(app, p.env) }
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
	if err := p.openRoom(ctx); err != nil {
		return nil, err
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

// openRoom lets in as many as the valve can, so that the room is not what is measured.
func (p *portal) openRoom(ctx context.Context) error {
	rate, bound := waitingroom.MaxRate, waitingroom.MaxBound
	_, err := p.Rooms.SetValve(ctx, "system", "system", room, waitingroom.Change{Rate: &rate, Bound: &bound})
	return err
}

func (p *portal) serve(app *web.App) (stop func() error, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- app.Fiber().Listener(ln) }()
	go func() { done <- p.Rooms.Run(ctx) }()
	return func() error {
		err := app.Fiber().ShutdownWithTimeout(5 * time.Second)
		cancel()
		for range 2 {
			if e := <-done; !errors.Is(e, context.Canceled) {
				err = errors.Join(err, e)
			}
		}
		return err
	}, nil
}

// browser is a virtual citizen's cookies.
type browser struct {
	addr string
	http *http.Client
	jar  map[string]string
}

func newBrowser(addr string, client *http.Client) *browser {
	return &browser{addr: addr, http: client, jar: map[string]string{}}
}

// cookies is the header as it would be sent.
func (b *browser) cookies() string {
	all := make([]string, 0, len(b.jar))
	for k, v := range b.jar {
		all = append(all, k+"="+v)
	}
	return strings.Join(all, "; ")
}

// call sends JSON and keeps the cookies that come back.
func (b *browser) call(ctx context.Context, method, path, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if len(b.jar) > 0 {
		req.Header.Set("Cookie", b.cookies())
	}
	res, err := b.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	for _, ck := range res.Cookies() {
		b.jar[ck.Name] = ck.Value
	}
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// pass takes a place in the line and enters as soon as it may.
func (b *browser) pass(ctx context.Context) error {
	status, answer, err := b.call(ctx, http.MethodPost, "/api/v1/rooms/"+room+"/join", "")
	if err != nil {
		return err
	}
	if status != http.StatusOK && status != http.StatusCreated {
		return fmt.Errorf("join: %d %s", status, answer)
	}
	for ctx.Err() == nil {
		status, answer, err := b.call(ctx, http.MethodPost, "/api/v1/rooms/"+room+"/enter", "")
		if err != nil {
			return err
		}
		if strings.Contains(string(answer), `"verdict":"in"`) {
			return nil
		}
		if status >= 400 {
			return fmt.Errorf("enter: %d %s", status, answer)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return ctx.Err()
}
