// Command portal answers people. In a local run it starts the worker, Postgres
// and Redis too; for real the worker is a program of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"impfportal/cmd/wiring"
	"impfportal/internal/config"
	"impfportal/internal/local"
)

type cli struct {
	Run    runCmd    `cmd:"" default:"1" help:"Answer people (the default)."`
	Import importCmd `cmd:"" help:"Read real data into the running portal."`
	Staff  staffCmd  `cmd:"" help:"Staff accounts."`

	Registry registryCmd `cmd:"" help:"The authority's signed list of issuers."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := realMain(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "portal: "+err.Error())
		os.Exit(1)
	}
}

func realMain(ctx context.Context, args []string) error {
	var c cli
	parser, err := kong.New(&c, kong.Name("portal"), kong.Description("The vaccination portal. Settings come from the environment; see README.md."))
	if err != nil {
		return err
	}
	k, err := parser.Parse(args)
	if err != nil {
		return err
	}
	if strings.HasPrefix(k.Command(), "registry ") {
		return k.Run() // files alone: no portal, no settings
	}
	if err := followRunning(k.Command()); err != nil {
		return err
	}
	if k.Command() != "run" {
		if err := adopt(); err != nil {
			return err
		}
	}
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	k.BindTo(ctx, (*context.Context)(nil))
	return k.Run(cfg)
}

// followRunning makes a command other than run belong to the local portal that
// runs on DATA_DIR, unless the environment names real servers: so that
// 'portal import' beside 'make run' needs no settings.
func followRunning(command string) error {
	if command == "run" {
		return nil
	}
	for _, name := range []string{"PORTAL_MODE", "DATABASE_URL", "DATABASE_URL_FILE"} {
		if os.Getenv(name) != "" {
			return nil
		}
	}
	return os.Setenv("PORTAL_MODE", config.ModeLocal)
}

// adopt lets a command meet the local portal that runs on DATA_DIR: its mode
// and its clock, unless the environment says otherwise.
func adopt() error {
	if os.Getenv("PORTAL_MODE") != "" || os.Getenv("DATABASE_URL") != "" || os.Getenv("DATABASE_URL_FILE") != "" {
		return nil
	}
	dir := os.Getenv("DATA_DIR")
	if dir == "" {
		dir = "./data"
	}
	in, err := local.Find(dir)
	if err != nil {
		return err
	}
	if err := os.Setenv("PORTAL_MODE", config.ModeLocal); err != nil || in.Clock == "" || os.Getenv("PORTAL_CLOCK") != "" {
		return err
	}
	return os.Setenv("PORTAL_CLOCK", in.Clock)
}

type runCmd struct{}

// Run starts everything and waits for the end.
func (runCmd) Run(ctx context.Context, cfg config.Config) error {
	return wiring.RunPortal(ctx, cfg, wiring.NewLog(cfg), os.Stdout)
}
