package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"impfportal/cmd/wiring"
)

// recoverWithin is how long after a fault everything must be well again, and
// how long a citizen is ready to hear "not now" afterwards.
const recoverWithin = 10 * time.Second

// fault is something that goes wrong at a fixed moment.
type fault struct {
	name string
	at   time.Duration // since the start
	lets func(ctx context.Context) error
	// stops says that Redis is away as long as lets takes; the others are over at once.
	stops bool

	from, to time.Duration // when it happened; under faults.mu
}

// faults are those of one day. A nil *faults is a day without any.
type faults struct {
	all  []*fault
	away atomic.Int32 // faults that last at this moment
	over atomic.Int64 // end of the last one, since the start

	mu sync.Mutex
}

// run lets the faults happen. now is the time since the start.
func (f *faults) run(ctx context.Context, now func() time.Duration, told func(format string, args ...any)) error {
	for _, x := range f.all {
		if err := pause(ctx, x.at-now()); err != nil {
			return nil //nolint:nilerr // the day is over
		}
		told("%5.1f s: %s", now().Seconds(), x.name)
		f.mu.Lock()
		x.from, x.to = now(), now()
		f.mu.Unlock()
		f.away.Add(1)
		if !x.stops {
			f.over.Store(int64(now()))
		}
		err := x.lets(ctx)
		if x.stops {
			f.mu.Lock()
			x.to = now()
			f.mu.Unlock()
			f.over.Store(int64(now()))
		}
		f.away.Add(-1)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
	}
	return nil
}

// happened are the faults so far.
func (f *faults) happened() (out []fault) {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		if x.from > 0 {
			out = append(out, *x)
		}
	}
	return out
}

// bearable reports whether a citizen who hears "not now" since first has reason
// to wait: a fault lasts, or is over for less than ten seconds.
func (f *faults) bearable(now, first time.Duration) bool {
	if f == nil {
		return false
	}
	over := time.Duration(f.over.Load())
	return f.away.Load() > 0 || over > 0 && now-max(first, over) < recoverWithin
}

// answered notes how long after the fault somebody got an answer who had heard
// "not now" since first.
func (f *faults) answered(now, first time.Duration, slowest *atomic.Int64) {
	took := int64(now - max(first, time.Duration(f.over.Load())))
	for old := slowest.Load(); took > old && !slowest.CompareAndSwap(old, took); old = slowest.Load() {
	}
}

// killAndRestart ends a replica with SIGKILL and starts it again after a while.
func killAndRestart(m *member, after time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := m.kill(); err != nil {
			return err
		}
		if err := pause(ctx, after); err != nil {
			return nil //nolint:nilerr // the day is over
		}
		return m.start(ctx)
	}
}

func flushRedis(env *wiring.Env) func(context.Context) error {
	return func(ctx context.Context) error { return env.Redis.FlushAll(ctx).Err() }
}

// stopRedis freezes the drill's own Redis for a while. Should the drill be
// killed meanwhile, a shell wakes Redis up, so that it finds out and ends, too.
func stopRedis(env *wiring.Env, length time.Duration) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		pid, err := redisPID(ctx, env)
		if err != nil {
			return err
		}
		wake := exec.Command("/bin/sh", "-c", fmt.Sprintf("sleep %.1f; kill -CONT %d", length.Seconds()+1, pid))
		wake.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := wake.Start(); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
			_ = syscall.Kill(-wake.Process.Pid, syscall.SIGKILL)
			_ = wake.Wait() // "signal: killed"
		}()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
		_ = pause(ctx, length) // whoever ends the day early has Redis back, too
		return nil
	}
}

// redisPID is the process that answers as the drill's Redis.
func redisPID(ctx context.Context, env *wiring.Env) (int, error) {
	info, err := env.Redis.Info(ctx, "server").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "process_id:"); ok {
			return strconv.Atoi(rest)
		}
	}
	return 0, errors.New("Redis tells no process_id")
}
