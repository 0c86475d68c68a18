package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// child is one of the portal's programs as a child process, as it was built
// beside this one. It ends with the drill, however that ends.
type child struct {
	name string
	cmd  *exec.Cmd
	done chan error
}

// startChild starts bin/name with nothing but env in its environment. What it
// says goes to log.
func startChild(name string, log *os.File, env ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("the %s is built by make: %w", name, err)
	}
	c := &child{name: name, cmd: exec.Command(program), done: make(chan error, 1)}
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "PORTAL_MODE=local", "LOG_LEVEL=error"}, env...)
	c.cmd.Stderr = log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of this thread for the parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.done <- c.cmd.Wait()
		}
	}()
	return c, <-started
}

// kill ends the child as a power cut would.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		return c.endedByItself(<-c.done)
	}
	if err != nil {
		return err
	}
	if err := <-c.done; err == nil {
		return c.endedByItself(nil)
	}
	return nil // "signal: killed"
}

// stop ends the child in order.
func (c *child) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return c.endedByItself(err)
	}
	return <-c.done
}

// running reports an error when the child has ended by itself.
func (c *child) running() error {
	select {
	case err := <-c.done:
		c.done <- err
		return c.endedByItself(err)
	default:
		return nil
	}
}

// peak is the most memory that the child had so far, in bytes.
func (c *child) peak() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var kilobytes int64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err = fmt.Sscanf(rest, "%d kB", &kilobytes)
		}
	}
	return kilobytes << 10, err
}

func (c *child) endedByItself(err error) error {
	if err == nil {
		return fmt.Errorf("the %s ended by itself", c.name)
	}
	return fmt.Errorf("the %s ended by itself: %w", c.name, err)
}
