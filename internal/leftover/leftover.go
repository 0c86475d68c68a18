// Package leftover finds processes that a test or a tool left running: those
// with a variable in their environment that was set for the purpose. It works
// for grandchildren too, whatever became of their parents.
package leftover

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is a running process.
type Process struct {
	PID     int
	Command string // the program and its arguments
}

func (p Process) String() string { return strconv.Itoa(p.PID) + " " + p.Command }

// Kill ends it at once.
func (p Process) Kill() { _ = syscall.Kill(p.PID, syscall.SIGKILL) }

// Processes returns the processes that were started with the variable,
// "NAME=value", in their environment. The calling process is not among them.
func Processes(variable string) []Process {
	var found []Process
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		dir := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		raw, err := os.ReadFile(path) // of another user, or gone meanwhile: not ours
		if err != nil || !strings.Contains("\x00"+string(raw), "\x00"+variable+"\x00") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		found = append(found, Process{PID: pid, Command: strings.Join(words, " ")})
	}
	return found
}
