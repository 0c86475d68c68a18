// Command drill measures the promises (bench) and tries to break them (run):
// on a portal of its own in a scratch folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Bench benchCmd `cmd:"" help:"Print the figures: name value unit ratio."`
	Run   runCmd   `cmd:"" help:"Load and fault drills; exits non-zero when a promise broke."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c cli
	k := kong.Parse(&c, kong.Name("drill"), kong.BindTo(ctx, (*context.Context)(nil)))
	if err := k.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "drill: "+err.Error())
		os.Exit(1)
	}
}
