package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"impfportal/internal/shareddata"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64 // seconds
	ImportPath  string  // of build output
	FailedBuild string
}

// result is a test, or a package when its name is empty.
type result struct {
	pkg, test string
	outcome   string // "pass", "fail", "skip"; empty while it runs
	took      time.Duration
	output    strings.Builder
}

// report collects the events of all tests.
type report struct {
	out           io.Writer
	requireShared bool
	leftBehind    []string // processes

	results map[[2]string]*result
	order   []*result
	builds  map[string]*strings.Builder
}

func newReport(out io.Writer, requireShared bool) *report {
	return &report{
		out: out, requireShared: requireShared,
		results: map[[2]string]*result{}, builds: map[string]*strings.Builder{},
	}
}

// read takes the events of one go test and prints a line for each package.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(r.out, "%s", line) // something beside the events: show it
			} else {
				r.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) add(e event) {
	if e.ImportPath != "" {
		b := r.builds[e.ImportPath]
		if b == nil {
			b = &strings.Builder{}
			r.builds[e.ImportPath] = b
		}
		b.WriteString(e.Output)
		return
	}
	key := [2]string{e.Package, e.Test}
	res := r.results[key]
	if res == nil {
		res = &result{pkg: e.Package, test: e.Test}
		r.results[key] = res
		r.order = append(r.order, res)
	}
	switch e.Action {
	case "output":
		if !noise(e.Output) {
			res.output.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		res.outcome = e.Action
		res.took = time.Duration(e.Elapsed * float64(time.Second))
		if e.FailedBuild != "" {
			if b := r.builds[e.FailedBuild]; b != nil {
				res.output.WriteString(b.String())
			}
		}
		if e.Test == "" {
			r.packageLine(res)
		}
	}
}

// noise is what the events say already.
func noise(line string) bool {
	trimmed := strings.TrimSpace(line)
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "--- PASS", "--- FAIL", "--- SKIP"} {
		if strings.HasPrefix(trimmed, prefix) {
			return true
		}
	}
	return trimmed == "PASS" || trimmed == "FAIL"
}

func (r *report) packageLine(pkg *result) {
	if pkg.outcome == "skip" {
		return // no test files
	}
	tests := 0
	for _, res := range r.order {
		if res.pkg == pkg.pkg && res.test != "" {
			tests++
		}
	}
	word := "ok  "
	if pkg.outcome == "fail" {
		word = "FAIL"
	}
	fmt.Fprintf(r.out, "%s  %-44s %5d tests %8.1f s\n", word, pkg.pkg, tests, pkg.took.Seconds())
}

// clean tells whether nothing has failed so far.
func (r *report) clean() bool {
	return !slices.ContainsFunc(r.order, func(res *result) bool { return res.outcome == "fail" || res.unfinished() })
}

// unfinished is a test that a panic or a time-out cut off.
func (res *result) unfinished() bool { return res.test != "" && res.outcome == "" }

// finish prints the report and returns whether everything passed.
func (r *report) finish(took time.Duration) bool {
	var passed, failed, skipped, refused int
	var failures []*result
	failedTests := map[string]int{} // by package
	for _, res := range r.order {
		if res.test == "" {
			continue
		}
		switch {
		case res.outcome == "pass":
			passed++
		case res.outcome == "skip":
			skipped++
			if !r.mayBeLeftOut(res) {
				refused++
			}
		default:
			failed++
			failedTests[res.pkg]++
			failures = append(failures, res)
		}
	}
	// A package fails without a failing test when it does not compile, or
	// panics or exits outside of one.
	for _, res := range r.order {
		if res.test == "" && res.outcome == "fail" && failedTests[res.pkg] == 0 {
			failed++
			failures = append(failures, res)
		}
	}

	r.slowest()
	r.skips()
	for _, res := range failures {
		r.failure(res)
	}
	for _, process := range r.leftBehind {
		fmt.Fprintf(r.out, "\nLeft running by a test (killed now): %s\n", process)
	}
	if refused > 0 {
		fmt.Fprintf(r.out, "\n%d tests were left out; that counts as a failure: what a test needs must be there.\n", refused)
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped in %s\n", passed, failed, skipped, took.Round(100*time.Millisecond))
	return failed == 0 && refused == 0 && len(r.leftBehind) == 0 && passed > 0
}

// mayBeLeftOut is the single exception: the folder of shared data is absent.
func (r *report) mayBeLeftOut(res *result) bool {
	return !r.requireShared && strings.Contains(res.output.String(), shareddata.Absent)
}

func (r *report) slowest() {
	var tests []*result
	for _, res := range r.order {
		if res.test != "" && !strings.Contains(res.test, "/") && res.took >= time.Second {
			tests = append(tests, res)
		}
	}
	slices.SortStableFunc(tests, func(a, b *result) int { return cmp.Compare(b.took, a.took) })
	tests = tests[:min(8, len(tests))]
	if len(tests) > 0 {
		fmt.Fprintln(r.out, "\nSlowest:")
	}
	for _, res := range tests {
		fmt.Fprintf(r.out, "  %6.1f s  %s %s\n", res.took.Seconds(), res.pkg, res.test)
	}
}

func (r *report) skips() {
	for _, res := range r.order {
		if res.test != "" && res.outcome == "skip" {
			fmt.Fprintf(r.out, "\nSKIPPED  %s %s\n%s", res.pkg, res.test, indent(res.output.String()))
		}
	}
}

func (r *report) failure(res *result) {
	word := "FAILED"
	if res.unfinished() {
		word = "CUT OFF"
	}
	fmt.Fprintf(r.out, "\n%s  %s %s\n%s", word, res.pkg, res.test, indent(res.output.String()))
}

// maxOutput is the number of lines shown of one test.
const maxOutput = 200

func indent(output string) string {
	output = strings.TrimRight(output, "\n")
	if output == "" {
		return ""
	}
	lines := strings.Split(output, "\n")
	if cut := len(lines) - maxOutput; cut > 0 {
		lines = append([]string{fmt.Sprintf("... %d lines before ...", cut)}, lines[cut:]...)
	}
	return "    " + strings.Join(lines, "\n    ") + "\n"
}
