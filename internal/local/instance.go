package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"impfportal/internal/leftover"
)

const (
	ownerLock    = "lock"
	serversLock  = "servers.lock"
	instanceFile = "instance.json"
)

// orphanTimeout is how long Start waits for the servers of a killed portal,
// which have been told to end by the kernel, before it kills them.
const orphanTimeout = 10 * time.Second

var (
	// ErrInUse says that another portal runs on the data folder.
	ErrInUse = errors.New("the data folder is in use")
	// ErrNotRunning says that no portal runs on the data folder.
	ErrNotRunning = errors.New("no portal is running on the data folder")
)

// Instance tells how the portal that runs on a data folder is reached.
type Instance struct {
	PID         int       `json:"pid"`
	Address     string    `json:"address"` // "http://127.0.0.1:8080"; empty until it listens
	DatabaseURL string    `json:"database_url"`
	RedisURL    string    `json:"redis_url"`
	Clock       string    `json:"clock,omitempty"` // how far its clock is moved, "-720h0m0s"
	Started     time.Time `json:"started"`
}

// Announce writes where the instance is reached, for Find. The portal calls it
// with its address as soon as it listens.
func (s *Servers) Announce(address string) error {
	raw, err := json.MarshalIndent(Instance{
		PID: os.Getpid(), Address: address,
		DatabaseURL: s.DatabaseURL, RedisURL: s.RedisURL, Clock: s.Clock, Started: time.Now().UTC(),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	// The URLs of real servers hold passwords: nobody else may read the file.
	path := filepath.Join(s.DataDir, instanceFile)
	fresh := path + ".new"
	if err := os.WriteFile(fresh, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	return nil
}

// Find returns the instance that runs on dataDir, for commands that work on it
// from the outside. It fails with [ErrNotRunning] when there is none.
func Find(dataDir string) (Instance, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return Instance{}, fmt.Errorf("local: %w", err)
	}
	running, err := isRunning(dir)
	if err != nil {
		return Instance{}, err
	}
	inst, readErr := readInstance(dir)
	if !running || errors.Is(readErr, os.ErrNotExist) {
		return Instance{}, fmt.Errorf("%w %s; start it with `make run`", ErrNotRunning, dir)
	}
	return inst, readErr
}

// InUse returns the error that Start would fail with, [ErrInUse], when a portal
// runs on dataDir; so that this can be said before something else goes wrong.
func InUse(dataDir string) error {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	if running, err := isRunning(dir); err != nil || !running {
		return err
	}
	return inUse(dir)
}

// isRunning asks whether somebody holds the portal's lock of dir.
func isRunning(dir string) (bool, error) {
	lock, err := os.OpenFile(filepath.Join(dir, ownerLock), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("local: %w", err)
	}
	defer lock.Close()
	return isLocked(lock)
}

func readInstance(dir string) (Instance, error) {
	var inst Instance
	raw, err := os.ReadFile(filepath.Join(dir, instanceFile))
	if err != nil {
		return inst, fmt.Errorf("local: %w", err)
	}
	if err := json.Unmarshal(raw, &inst); err != nil {
		return inst, fmt.Errorf("local: %s: %w", instanceFile, err)
	}
	return inst, nil
}

// lock takes the portal's lock at once or fails with ErrInUse, then waits until
// the servers of a portal that was killed have ended.
func (s *Servers) lock(ctx context.Context) error {
	owner, err := openLock(s.DataDir, ownerLock)
	if err != nil {
		return err
	}
	switch got, err := tryLock(owner); {
	case err != nil:
		_ = owner.Close()
		return err
	case !got:
		_ = owner.Close()
		return inUse(s.DataDir)
	}
	s.owner = owner

	alive, err := openLock(s.DataDir, serversLock)
	if err != nil {
		return err
	}
	s.alive = alive
	deadline := time.Now().Add(orphanTimeout)
	for {
		got, err := tryLock(alive)
		if err != nil || got {
			return err
		}
		if time.Now().After(deadline) {
			for _, orphan := range leftover.Holding(alive.Name()) {
				orphan.Kill()
			}
			deadline = time.Now().Add(orphanTimeout)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("servers of an earlier portal (processes %v) still use %s: %w",
				leftover.Holding(alive.Name()), s.DataDir, err)
		}
	}
}

func inUse(dir string) error {
	who := "another portal"
	if inst, err := readInstance(dir); err == nil {
		who = fmt.Sprintf("another portal (process %d", inst.PID)
		if inst.Address != "" {
			who += ", " + inst.Address
		}
		who += ")"
	}
	return fmt.Errorf("%w: %s runs on %s; stop it first, or choose another folder with DATA_DIR", ErrInUse, who, dir)
}

func openLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("the data folder %s belongs to another user; "+
			"start as that user, or choose another folder with DATA_DIR: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the data folder cannot be used: %w", err)
	}
	return f, nil
}

// The locks belong to the open file (OFD), not to the process: child processes
// that inherit the file keep them, they go with the last holder however it ends,
// and they can be asked about without being taken.

func tryLock(f *os.File) (bool, error) {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("local: locking %s: %w", f.Name(), err)
	}
	return true, nil
}

func isLocked(f *os.File) (bool, error) {
	ask := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &ask); err != nil {
		return false, fmt.Errorf("local: asking for the lock of %s: %w", f.Name(), err)
	}
	return ask.Type != unix.F_UNLCK, nil
}

// pause waits, or fails when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
