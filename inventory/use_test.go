package inventory

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A report of 23 doses at five a vial: five vials are opened, two doses left.
func TestUseReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	place := CentrePlace("leipzig")
	older := b.receive(Central, "comirnaty", "OLD", day(2021, 3, 1), 3)
	newer := b.receive(Central, "comirnaty", "NEW", day(2021, 6, 1), 4)
	b.receive(Central, "comirnaty", "PAST", day(2021, 1, 11), 50)
	use := func(doses int, ref string) (used Used, err error) {
		err = b.try(func(tx pgx.Tx) (err error) {
			used, err = b.s.UseReported(b.ctx, tx, Use{Place: place, ProductID: "comirnaty", Doses: doses, Day: day(2021, 1, 12), Ref: ref, Actor: "system"})
			return err
		})
		return used, err
	}
	used, err := use(23, "a")
	if want := (Used{Vials: 5, Given: 23, Rest: 2}); err != nil || used != want {
		t.Fatalf("%+v, %v; want %+v", used, err, want)
	}
	if _, err := use(1, "a"); !errors.Is(err, ErrAlreadyGiven) {
		t.Errorf("the same report twice: %v", err)
	}
	// Two vials are left, and the lot that is past stays.
	used, err = use(20, "b")
	if want := (Used{Vials: 2, Given: 10, Short: 10}); err != nil || used != want {
		t.Errorf("%+v, %v; want %+v", used, err, want)
	}
	if _, err := use(0, ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a reference: %v", err)
	}
	for _, lot := range []string{older, newer} {
		var left int
		if err := b.pool.QueryRow(b.ctx, `SELECT coalesce(sum(vials + doses), 0) FROM inventory.balance WHERE lot_id = $1`, lot).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d left of a lot (%v)", left, err)
		}
	}
	// What people read of it is in their language.
	a := b.app()
	for lang, want := range map[string][]string{
		"de": {"für die Impfungen des Tages, laut Impfbericht", "Rest geöffneter Flaschen"}, "en": {"by the report", "left in opened vials at the end of the day"},
	} {
		a.SetCookie("lang", lang)
		r := a.Get("/admin/stock?movements=all")
		for _, w := range want {
			if r.Status != http.StatusOK || !strings.Contains(r.Body, w) {
				t.Errorf("%s: %d, %q is not there", lang, r.Status, w)
			}
		}
		if lang == "de" && (strings.Contains(r.Body, "reported") || strings.Contains(r.Body, "vials")) {
			t.Errorf("%s: English reasons", lang)
		}
	}
	if d, err := Reconcile(b.ctx, b.pool); err != nil || len(d) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}
