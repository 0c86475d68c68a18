package main

import (
	"context"
	"fmt"
	"os"

	"impfportal/cmd/wiring"
	"impfportal/internal/config"
)

type importCmd struct {
	Deliveries importDeliveriesCmd `cmd:"" help:"Read a list of deliveries (CSV: date, vaccine, doses)."`
}

type importDeliveriesCmd struct {
	File string `arg:"" type:"existingfile" help:"the CSV file"`
}

// Run imports into the portal that runs on DATA_DIR.
func (c importDeliveriesCmd) Run(ctx context.Context, cfg config.Config) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	env, err := wiring.Attach(ctx, cfg, wiring.NewLog(cfg))
	if err != nil {
		return err
	}
	defer func() { _ = env.Close() }()
	return wiring.ImportDeliveries(ctx, env, f, os.Stdout)
}

type staffCmd struct {
	Add staffAddCmd `cmd:"" help:"Make an account; prints the secret of its one-time codes once."`
}

type staffAddCmd struct {
	Login string   `arg:"" help:"user name"`
	Name  string   `help:"name of the person" required:""`
	Role  []string `help:"admin, agent, site, dispatcher, team, auditor" required:""`
	Scope string   `help:"centre or team that the account belongs to"`
}

// Run makes the account. The password is read from PORTAL_PASSWORD, so that it
// stands in no process list.
func (c staffAddCmd) Run(ctx context.Context, cfg config.Config) error {
	password := os.Getenv("PORTAL_PASSWORD")
	if password == "" {
		return fmt.Errorf("set PORTAL_PASSWORD to the new account's password")
	}
	env, err := wiring.Attach(ctx, cfg, wiring.NewLog(cfg))
	if err != nil {
		return err
	}
	defer func() { _ = env.Close() }()
	return wiring.AddStaff(ctx, env, c.Login, c.Name, password, c.Role, c.Scope, os.Stdout)
}
