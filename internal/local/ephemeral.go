package local

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// broom removes folders when the calling program and all its servers are gone,
// however they went.
type broom struct {
	held *os.File // inherited by the servers; the broom sweeps when the last one is closed
	cmd  *exec.Cmd
}

func newBroom(dirs ...string) (*broom, error) {
	waits, held, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	defer waits.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", `cat; rm -rf -- "$@"`, "sh"}, dirs...)...)
	cmd.Stdin = waits
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is not for the broom
	if err := cmd.Start(); err != nil {
		_ = held.Close()
		return nil, fmt.Errorf("local: %w", err)
	}
	return &broom{held: held, cmd: cmd}, nil
}

// sweep lets go; it returns when the folders are gone.
func (b *broom) sweep() error {
	if err := b.held.Close(); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	if err := b.cmd.Wait(); err != nil {
		return fmt.Errorf("local: removing the scratch folder: %w", err)
	}
	return nil
}
