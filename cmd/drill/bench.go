package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

type benchCmd struct {
	Seconds int `help:"length of one round" default:"2"`
}

// Run prints every figure as soon as it is there. ONLY names the slices that
// are wanted.
func (b benchCmd) Run(ctx context.Context) (err error) {
	r := &Report{out: os.Stdout}
	d := time.Duration(max(1, b.Seconds)) * time.Second
	only := os.Getenv("ONLY")
	var p *portal
	defer func() {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	ran := false
	for _, part := range []struct {
		slice string
		alone func(context.Context, *Report, time.Duration) error // starts what it needs
		run   func(context.Context, *portal, *Report, time.Duration) error
	}{
		{slice: "certificate", alone: benchCertificate},
		{slice: "waitingroom", run: benchPoll},
		{slice: "waitingroom", run: benchJoin},
		{slice: "waitingroom", run: benchMemory},
		{slice: "waitingroom", alone: benchPortalMemory},
		{slice: "citizen", run: benchRegister},
		{slice: "booking", run: benchPair},
		{slice: "plan", alone: benchPlan},
		{slice: "certificate", run: benchIssue},
	} {
		if only != "" && !strings.Contains(only, part.slice) {
			continue
		}
		ran = true
		if part.alone != nil {
			err = part.alone(ctx, r, d)
		} else {
			if p == nil {
				if p, err = startPortal(ctx, portalOptions{Yardsticks: yardsticks}); err != nil {
					return err
				}
			}
			err = part.run(ctx, p, r, d)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.slice, err)
		}
	}
	if !ran {
		return fmt.Errorf("no figure belongs to %q", only)
	}
	return r.finish()
}
