// Command drill measures the promises (bench) and tries to break them (run), on
// a portal of its own in a scratch folder with real Postgres and Redis of usual
// durability; verify-draw recomputes a draw that a portal has published,
// verify-log its transparency log, verify-waiting a draw of the waiting list. The first two are told what to do by
// the environment:
//
//	ONLY=a,b   only these: slices for bench, drills for run
//	JSON=file  writes the figures as a list of name, value, unit, yardstick, ratio
//	FULL=1     large sizes instead of some minutes
//	URL=...    run: on the local portal that runs there (opening only);
//	           ADMIN_LOGIN chooses the demo login, "admin" without it
//
// A figure is a line: name, value, unit, ratio. Timings alone mean nothing on a
// shared machine, so the ratio compares with a yardstick that was measured in
// turn in the same run (median of five rounds).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Bench benchCmd `cmd:"" help:"Print the figures: name value unit ratio."`
	Run   runCmd   `cmd:"" help:"Load and fault drills; exits non-zero when a promise broke."`

	Replay        replayCmd        `cmd:"" help:"Feed reported deliveries and vaccinations through ledger, rules and plan, day by day."`
	VerifyDraw    verifyDrawCmd    `cmd:"" help:"Recompute the draw of a waiting room from its draw.json; exits non-zero when anything does not hold."`
	VerifyLog     verifyLogCmd     `cmd:"" help:"Recompute the transparency log of a portal from its leaves; exits non-zero when anything does not hold."`
	VerifyWaiting verifyWaitingCmd `cmd:"" help:"Recompute a day of the waiting list from the file that auditors get; exits non-zero when anything does not hold."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("drill"), kong.BindTo(ctx, (*context.Context)(nil)))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "drill: "+err.Error())
		os.Exit(1)
	}
}
