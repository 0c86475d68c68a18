package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// stopTimeout is how long Stop waits for a clean end before it kills. It leaves
// the portal itself some of the ten seconds within which everything must stop.
const stopTimeout = 6 * time.Second

// Options says what to start and where.
type Options struct {
	// DataDir is the data folder, made when absent. Ignored when Ephemeral.
	DataDir string
	// Postgres and Redis choose what is started. With neither, Start only locks
	// the folder and announces the instance.
	Postgres, Redis bool
	// Ephemeral puts the data into a new folder below [os.TempDir], which goes
	// when the servers end, also when the calling program was killed.
	Ephemeral bool
	// Fast trades durability for speed: for tests only.
	Fast bool
	// PostgresSettings are further settings, "name=value".
	PostgresSettings []string

	// noUserNamespace makes root behave as where user namespaces are forbidden.
	noUserNamespace bool
}

// Servers are the running child processes.
type Servers struct {
	// DataDir is the absolute path of the data folder.
	DataDir string
	// DatabaseURL and RedisURL reach the servers; empty when not started. A
	// program that uses a server of its own instead sets the field before
	// Announce, so that Find tells the same.
	DatabaseURL, RedisURL string
	// Clock is told by Find: a command that works on the instance from the
	// outside moves its clock as far. Set before Announce.
	Clock string

	sockets  string
	owner    *os.File // the portal's lock
	alive    *os.File // the servers' lock
	broom    *broom   // nil unless ephemeral
	postgres *process
	redis    *process
	lost     chan error
	stopping chan struct{}
	stopOnce sync.Once
	stopErr  error
}

// Start locks the data folder and starts the chosen servers. They accept
// connections when it returns. ctx bounds the start only.
//
// The errors [ErrInUse] and [*MissingError] are meant for the person at the
// terminal and say what to do.
func Start(ctx context.Context, opts Options) (*Servers, error) {
	found, err := findPrograms(opts)
	if err != nil {
		return nil, err
	}
	s := &Servers{lost: make(chan error, 2), stopping: make(chan struct{})}
	if err := s.start(ctx, opts, found); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Servers) start(ctx context.Context, opts Options, found programs) error {
	if err := s.openDataDir(opts); err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	var err error
	if s.sockets, err = socketDir(s.DataDir); err != nil {
		return err
	}

	if opts.Ephemeral {
		if s.broom, err = newBroom(s.DataDir, s.sockets); err != nil {
			return err
		}
	}

	var wg sync.WaitGroup
	errs := make([]error, 2)
	if opts.Postgres {
		wg.Go(func() { errs[0] = s.startPostgres(ctx, opts, found) })
	}
	if opts.Redis {
		wg.Go(func() { errs[1] = s.startRedis(ctx, opts, found) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, p := range []*process{s.postgres, s.redis} {
		if p != nil {
			go s.watch(p)
		}
	}
	return s.Announce("")
}

// inherited are the files that tell by being open that a server lives.
func (s *Servers) inherited() []*os.File {
	if s.broom != nil {
		return []*os.File{s.alive, s.broom.held}
	}
	return []*os.File{s.alive}
}

// openDataDir makes the data folder.
func (s *Servers) openDataDir(opts Options) error {
	dir := opts.DataDir
	if opts.Ephemeral {
		temp, err := os.MkdirTemp("", "impfportal-")
		if err != nil {
			return fmt.Errorf("local: %w", err)
		}
		dir = temp
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	s.DataDir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the data folder cannot be made: %w", err)
	}
	return nil
}

// watch reports a server that ends though nobody stopped it.
func (s *Servers) watch(p *process) {
	select {
	case <-s.stopping:
	case <-p.done:
		select {
		case <-s.stopping:
		default:
			s.lost <- fmt.Errorf("%s ended unexpectedly (%w); its log is %s", p.name, p.reason(), p.logPath)
		}
	}
}

// Lost delivers an error when a server ends though nobody stopped it. The
// portal should then stop: its locks and data stay consistent.
func (s *Servers) Lost() <-chan error { return s.lost }

// Stop ends the servers cleanly (PostgreSQL by a fast shutdown, Redis with its
// file written), within less than ten seconds, and frees the data folder. It
// may be called more than once.
func (s *Servers) Stop() error {
	s.stopOnce.Do(func() { s.stopErr = s.stop() })
	return s.stopErr
}

func (s *Servers) stop() error {
	close(s.stopping)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, p := range []*process{s.postgres, s.redis} {
		if p != nil {
			wg.Go(func() { errs[i] = p.stop(stopTimeout) })
		}
	}
	wg.Wait()

	if s.owner != nil {
		// While the lock is held nobody else owns these.
		_ = os.Remove(filepath.Join(s.DataDir, instanceFile))
		if s.sockets != "" {
			_ = os.RemoveAll(s.sockets)
		}
	}
	if s.broom != nil {
		errs = append(errs, s.broom.sweep())
	}
	for _, f := range []*os.File{s.alive, s.owner} {
		if f != nil {
			_ = f.Close()
		}
	}
	return errors.Join(errs...)
}
