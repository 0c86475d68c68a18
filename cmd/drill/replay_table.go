package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"impfportal/inventory"
)

// print writes the table and what it means, and returns an error when a promise
// of the ledger did not hold.
func (r *replay) print(ctx context.Context, w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "span\tproduct\tvials in\tback\topened\tdoses given\tleft in vials\tunexplained\tclosed\tdoses\tpromised\tseries\t")
	slices.SortFunc(r.rows, func(a, b *replayRow) int {
		return cmp.Or(cmp.Compare(a.Span, b.Span), cmp.Compare(a.Product, b.Product))
	})
	for _, row := range r.rows {
		row.print(t)
	}
	for _, product := range slices.Sorted(maps.Keys(r.sums)) {
		r.sums[product].print(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nAt the end of each span, closed: vials; doses: what they give by the rule of its last day, as far as a plan may count on them")
	fmt.Fprintln(w, "(a lot whose label nobody has read: for 180 days); promised: second doses of those who had the first; series: what could begin on top.")

	var broken []error
	for _, j := range r.jumps {
		fmt.Fprintf(w, "\n%s, %s: %d doses recorded until then, from %d vials; %d vials are closed, %d doses become %d: %d more\n",
			j.Day.Format(time.DateOnly), j.Product, j.Given, j.Opened, j.Vials, j.Before, j.After, j.After-j.Before)
		if j.After-j.Before != j.Vials {
			broken = append(broken, fmt.Errorf("the new rule added %d doses to %d closed vials", j.After-j.Before, j.Vials))
		}
	}
	for _, product := range slices.Sorted(maps.Keys(r.lacking)) {
		days := r.lacking[product]
		first, sum := slices.Min(slices.Collect(maps.Keys(days))), 0
		for _, n := range days {
			sum += n
		}
		fmt.Fprintf(w, "%s: %d vaccinations on %d days, from %s on, are more than the deliveries explain\n", product, sum, len(days), first)
	}
	for _, vaccine := range slices.Sorted(maps.Keys(r.unknown)) {
		u := r.unknown[vaccine]
		fmt.Fprintf(w, "%s: %d vaccinations from %s to %s, no delivery is reported: left out\n", vaccine, u.n, u.first.Format(time.DateOnly), u.last.Format(time.DateOnly))
	}
	rests, err := inventory.Unreconciled(ctx, r.pool)
	if err != nil {
		return err
	}
	sum := 0
	for _, rest := range rests {
		sum += rest.Rest
	}
	fmt.Fprintf(w, "deliveries that are no whole vials: %d rows, %d doses beside the vials\n", len(rests), sum)
	return errors.Join(append(broken, r.reconcile(ctx, w))...)
}

func (row *replayRow) print(w io.Writer) {
	fmt.Fprintf(w, "%s\t%s\t", row.Span, row.Product)
	for _, n := range []int{row.VialsIn, row.VialsOut, row.Opened, row.Given, row.Rest, row.Unexplained, row.Vials, row.Doses, row.Promised, row.Series} {
		fmt.Fprint(w, strconv.Itoa(n), "\t")
	}
	fmt.Fprintln(w)
}

// reconcile holds the balances against the sum of the movements.
func (r *replay) reconcile(ctx context.Context, w io.Writer) error {
	differences, err := inventory.Reconcile(ctx, r.pool)
	if err != nil {
		return err
	}
	var movements, negative int
	err = r.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM inventory.movement), (SELECT count(*) FROM inventory.balance WHERE vials < 0 OR doses < 0)`).Scan(&movements, &negative)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%d movements; %d balances differ from their sum, %d are negative\n", movements, len(differences), negative)
	if len(differences) > 0 || negative > 0 {
		return errors.New("the ledger does not add up")
	}
	return nil
}
