package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// maxLog is the size in bytes above which a log is set aside at the next start.
const maxLog = 10 << 20

// process is one running server.
type process struct {
	name    string
	logPath string
	clean   syscall.Signal // asks for a clean end
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
	err     error         // how it ended; read after done
}

// spawn starts cmd in a process group of its own, with clean as the signal that
// the kernel sends it when the calling program dies. inherit stays open in the
// child.
func spawn(name, logPath string, cmd *exec.Cmd, clean syscall.Signal, inherit ...*os.File) (*process, error) {
	log, err := openLog(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = inherit
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = clean

	p := &process{name: name, logPath: logPath, clean: clean, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that
		// started the child ends. So this thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	return p, nil
}

// stop asks for a clean end and kills the whole group when that takes too long.
func (p *process) stop(timeout time.Duration) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(p.clean); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s cannot be stopped: %w", p.name, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(timeout):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-p.done:
	case <-time.After(time.Second):
	}
	return fmt.Errorf("%s did not stop within %s and was killed; its log is %s", p.name, timeout, p.logPath)
}

// ended wraps the end of the process during its start with the last lines it said.
func (p *process) ended() error {
	return fmt.Errorf("%s does not start (%w); the end of %s:\n%s", p.name, p.reason(), p.logPath, tail(p.logPath))
}

// reason is how a process ended that nobody had stopped.
func (p *process) reason() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		_ = os.Rename(path, path+".old")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the log of the server: %w", err)
	}
	return f, nil
}

// tail returns the last lines of a log, indented.
func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	lines = lines[max(0, len(lines)-8):]
	return "  " + strings.Join(lines, "\n  ")
}
