// Package leftover finds processes that somebody left running, grandchildren
// too, whatever became of their parents: by a variable in their environment that
// was set for the purpose, or by a file that they hold open.
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

// Marked returns the processes that were started with the variable,
// "NAME=value", in their environment. The calling process is not among them.
// Programs may write over their environment to change what ps shows of them.
func Marked(variable string) []Process {
	return find("environ", func(path string) bool {
		raw, err := os.ReadFile(path)
		return err == nil && strings.Contains("\x00"+string(raw), "\x00"+variable+"\x00")
	})
}

// Holding returns the processes that have the file open, by its absolute path.
// The calling process is not among them.
func Holding(file string) []Process {
	return find("fd/*", func(path string) bool {
		target, err := os.Readlink(path)
		return err == nil && target == file
	})
}

// find returns the processes of which an entry in /proc matches. Entries of
// other users, and of processes that end meanwhile, cannot be read and do not.
func find(entry string, matches func(path string) bool) []Process {
	var found []Process
	seen := map[int]bool{os.Getpid(): true}
	paths, _ := filepath.Glob("/proc/[0-9]*/" + entry)
	for _, path := range paths {
		dir := filepath.Join("/proc", strings.Split(path, "/")[2])
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || seen[pid] || !matches(path) {
			continue
		}
		seen[pid] = true
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		found = append(found, Process{PID: pid, Command: strings.Join(words, " ")})
	}
	return found
}
