package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// worker is bin/worker as a child process on the drill's data folder.
type worker struct {
	cmd  *exec.Cmd
	done chan error
}

func startWorker(dataDir string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(self), "worker")
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("the worker is built by make: %w", err)
	}
	w := &worker{cmd: exec.Command(program), done: make(chan error, 1)}
	w.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "PORTAL_MODE=local", "DATA_DIR=" + dataDir, "LOG_LEVEL=error"}
	w.cmd.Stderr = os.Stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of this thread for the parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := w.cmd.Start()
		started <- err
		if err == nil {
			w.done <- w.cmd.Wait()
		}
	}()
	return w, <-started
}

// kill ends the worker as a power cut would.
func (w *worker) kill() error {
	err := w.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("the worker ended by itself: %w", <-w.done)
	}
	if err != nil {
		return err
	}
	if err := <-w.done; err == nil {
		return errors.New("the worker ended by itself")
	}
	return nil // "signal: killed"
}

// stop ends the worker in order.
func (w *worker) stop() error {
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("the worker ended by itself: %w", err)
	}
	return <-w.done
}

// running reports an error when the worker has ended by itself.
func (w *worker) running() error {
	select {
	case err := <-w.done:
		w.done <- err
		return fmt.Errorf("the worker ended by itself: %w", err)
	default:
		return nil
	}
}
