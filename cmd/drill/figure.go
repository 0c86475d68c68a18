package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
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

// Report prints figures as they come and writes them as JSON in the end.
type Report struct {
	out     io.Writer
	figures []Figure
	broken  []string
}

func (r *Report) add(f Figure) {
	r.figures = append(r.figures, f)
	ratio := "-"
	if f.Ratio != 0 {
		ratio = fmt.Sprintf("%.2f", f.Ratio)
	}
	fmt.Fprintf(r.out, "%-36s %14.2f %-12s %s\n", f.Name, f.Value, f.Unit, ratio)
}

// promise notes a broken promise when ok is false.
func (r *Report) promise(ok bool, format string, args ...any) {
	if !ok {
		r.broken = append(r.broken, fmt.Sprintf(format, args...))
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
	for _, b := range r.broken {
		fmt.Fprintln(r.out, "BROKEN: "+b)
	}
	if len(r.broken) > 0 {
		return fmt.Errorf("%d promises broke", len(r.broken))
	}
	return nil
}

// rounds is how often ours and the yardstick take turns.
const rounds = 5

// interleave measures ours and the yardstick in turn and returns the median of
// each and of their ratios.
func interleave(ours, yardstick func() (float64, error)) (own, bare, ratio float64, err error) {
	var o, y, q []float64
	for range rounds {
		b, err := yardstick()
		if err != nil {
			return 0, 0, 0, fmt.Errorf("yardstick: %w", err)
		}
		a, err := ours()
		if err != nil {
			return 0, 0, 0, err
		}
		o, y, q = append(o, a), append(y, b), append(q, a/b)
	}
	return median(o), median(y), median(q), nil
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
