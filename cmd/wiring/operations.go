package wiring

import (
	"context"
	"fmt"
	"io"

	"impfportal/internal/jobs"
	"impfportal/inventory"
	"impfportal/staff"
)

// ImportDeliveries reads a delivery list into the store and tells on out what
// it found. Nothing is stored when a line is wrong.
func ImportDeliveries(ctx context.Context, env *Env, r io.Reader, out io.Writer) error {
	s := inventory.New(env.Pool, env.Now, env.Log)
	p, err := jobs.StartProgress(ctx, env.Pool, "import deliveries", 0, "system")
	if err != nil {
		return err
	}
	p.OnStep = func(done, total int64, message string) { fmt.Fprintf(out, "\r%d of %d  %-30s", done, total, message) }
	rep, err := s.ImportDeliveries(ctx, r, "system", p)
	p.Finish(ctx, err)
	fmt.Fprint(out, "\r\033[K")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d rows: %d new, %d changed, %d unchanged, %d of days to come\n", rep.Rows, rep.New, rep.Changed, rep.Unchanged, rep.Waiting)
	for _, v := range rep.Received {
		fmt.Fprintf(out, "  %-14s %+d vials\n", v.ProductID, v.Vials)
	}
	for _, c := range rep.Changes {
		fmt.Fprintf(out, "  line %d: %s %s was %d doses, is now %d: counter-movement of %+d vials\n", c.Line, c.Day, c.Vaccine, c.Before, c.After, c.Vials)
	}
	if len(rep.Unreconciled) > 0 {
		fmt.Fprintln(out, "Amounts that are no whole number of vials (the rest is on the account of unreconciled doses):")
		for _, u := range rep.Unreconciled {
			fmt.Fprintf(out, "  line %d: %s %s %d doses = %d vials of %d and %d doses\n", u.Line, u.Day, u.Vaccine, u.Doses, u.Vials, u.DosesPerVial, u.Rest)
		}
	}
	for _, u := range rep.Unmapped {
		fmt.Fprintf(out, "Left out, no product is known for %q: %d rows, %d doses\n", u.Vaccine, u.Rows, u.Doses)
	}
	return nil
}

// AddStaff makes an account and prints the secret of its one-time codes.
func AddStaff(ctx context.Context, env *Env, login, name, password string, roles []string, scope string, out io.Writer) error {
	s := staff.New(env.Pool, env.Vault, env.Redis, env.Now, nil, false)
	_, secret, err := s.Create(ctx, staff.NewAccount{Login: login, Name: name, Password: password, Roles: roles, Scope: scope}, "system")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Account %s made. Enter this secret into an authenticator app (TOTP, 6 digits, 30 s); it is not shown again:\n%s\n", login, secret)
	return nil
}
