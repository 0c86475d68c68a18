package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

type runCmd struct{}

// Run carries out the drills that ONLY names, or all.
func (runCmd) Run(ctx context.Context) (err error) {
	r := &Report{out: os.Stdout}
	only := os.Getenv("ONLY")
	all := []struct {
		name string
		run  func(context.Context, *Report) error
	}{{"booking", drillBooking}, {"certificates", drillCertificates}, {"certificate-stop", drillStop}, {"statements", drillStatements}, {"registrations", drillRegistrations}, {"opening", drillOpening}, {"opening-faults", drillOpeningFaults}}
	ran := false
	remote := os.Getenv("URL") != ""
	for _, d := range all {
		if only != "" && !slices.Contains(strings.Split(only, ","), d.name) {
			continue
		}
		ran = true
		fmt.Printf("== %s\n", d.name)
		if remote && d.name != "opening" {
			if only != "" {
				return fmt.Errorf("drill %s: %w", d.name, errRemote)
			}
			r.note("left out: %v", errRemote)
			continue
		}
		if err := d.run(ctx, r); err != nil {
			return errors.Join(fmt.Errorf("drill %s: %w", d.name, err), r.finish())
		}
	}
	if !ran {
		return fmt.Errorf("no drill is named %q", only)
	}
	return r.finish()
}
