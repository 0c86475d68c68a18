package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"
)

// Figure is one measured promise. Timings alone mean nothing on a shared
// machine: Ratio is the value against its yardstick in the same run.
type Figure struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Yardstick float64 `json:"yardstick,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
}

// line is how a figure stands on the terminal: name value unit ratio.
func (f Figure) line() string {
	ratio := "-"
	if f.Ratio != 0 {
		ratio = fmt.Sprintf("%.2f", f.Ratio)
		if f.Ratio < 0.1 {
			ratio = fmt.Sprintf("%.4f", f.Ratio)
		}
	}
	digits := 2
	if f.Value == math.Trunc(f.Value) || math.Abs(f.Value) >= 1000 {
		digits = 0
	}
	return fmt.Sprintf("%-40s %12.*f %-18s %s", f.Name, digits, f.Value, f.Unit, ratio)
}

// Report prints figures as they come and writes them as JSON in the end.
type Report struct {
	mu      sync.Mutex
	out     io.Writer
	figures []Figure
	broken  []string
}

func (r *Report) add(f Figure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.figures = append(r.figures, f)
	fmt.Fprintln(r.out, f.line())
}

// note says something that is no figure.
func (r *Report) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "   "+format+"\n", args...)
}

// promise notes a broken promise when ok is false, and says it at once.
func (r *Report) promise(ok bool, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok {
		what := fmt.Sprintf(format, args...)
		r.broken = append(r.broken, what)
		fmt.Fprintln(r.out, "BROKEN: "+what)
	}
}

// finish writes JSON=file and returns an error when a promise broke.
func (r *Report) finish() error {
	if name := os.Getenv("JSON"); name != "" {
		b, err := json.MarshalIndent(r.figures, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil { //nolint:gosec // figures for everybody
			return err
		}
	}
	if len(r.broken) > 0 {
		return fmt.Errorf("%d promises broke", len(r.broken))
	}
	return nil
}

// rounds is how often measurements that are compared take turns.
const rounds = 5

// measurement runs once and returns how many a second.
type measurement func() (float64, error)

// taken are the rounds of measurements that took turns: by measurement, by round.
type taken [][]float64

// interleave runs the measurements in turn, rounds times, so that whatever else
// the machine does disturbs all of them alike.
func interleave(runs ...measurement) (taken, error) {
	out := make(taken, len(runs))
	for range rounds {
		for i, run := range runs {
			v, err := run()
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], v)
		}
	}
	return out, nil
}

// median is that of one measurement.
func (t taken) median(i int) float64 { return median(t[i]) }

// ratio is the median of what measurement i gave against measurement of in the
// same round.
func (t taken) ratio(i, of int) float64 {
	q := make([]float64, len(t[i]))
	for n := range q {
		q[n] = t[i][n] / t[of][n]
	}
	return median(q)
}

// median is the middle of v, or the mean of the two in the middle; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// percentile is the smallest of v that at least share (0 to 1) of v do not exceed; 0 of none.
func percentile(v []time.Duration, share float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	i := int(math.Ceil(share*float64(len(s)))) - 1
	return s[min(max(i, 0), len(s)-1)]
}

// millis is d in milliseconds, with fractions.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
