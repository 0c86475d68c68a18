package inventory

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/shareddata"
)

func (b *bundle) importFile(path string) ImportReport {
	b.t.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rep, err := b.s.ImportDeliveries(b.ctx, f, "system", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return rep
}

func (b *bundle) importText(rows ...string) (ImportReport, error) {
	return b.s.ImportDeliveries(b.ctx, strings.NewReader("date,vaccine,doses\n"+strings.Join(rows, "\n")+"\n"), "staff:test", nil)
}

func (b *bundle) vialsBy(place Place, productID string, d time.Time) int {
	b.t.Helper()
	n, err := VialsBy(b.ctx, b.pool, place, productID, d)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestRealDeliveries is the story of January 2021 on the ministry's own figures.
func TestRealDeliveries(t *testing.T) {
	t.Parallel()
	path := shareddata.Path(t, "saxony-deliveries.csv")
	b := setup(t)
	rep := b.importFile(path)
	if rep.Rows != 266 || rep.New != 266 || rep.Changed != 0 || rep.Unchanged != 0 || len(rep.Unmapped) != 0 {
		t.Errorf("report: %d rows, %d new, %d changed, %d unchanged, %d unmapped", rep.Rows, rep.New, rep.Changed, rep.Unchanged, len(rep.Unmapped))
	}
	if n := b.vialsBy(Central, "comirnaty", day(2020, 12, 26)); n != 1950 {
		t.Errorf("Comirnaty by 26 December: %d vials, want 1,950", n)
	}
	if n := b.vialsBy(Central, "comirnaty", day(2021, 1, 8)); n != 20475 {
		t.Errorf("Comirnaty by 8 January: %d vials, want 20,475", n)
	}
	// Today is 11 January: what is reported for later days is planned, not stock.
	if st := b.stock(Central, "comirnaty", b.now); st != (Stock{Vials: 20475, DosesPerVial: 5, Doses: 102375}) {
		t.Errorf("stock today: %+v", st)
	}
	if n := b.stock(Central, "spikevax", b.now).Vials; n != 0 {
		t.Errorf("Spikevax of 12 January is stock on the 11th: %d", n)
	}
	planned, err := b.s.Planned(b.ctx, b.pool, Central, "comirnaty", b.now)
	if err != nil || len(planned) == 0 || !planned[0].Day.Equal(day(2021, 1, 19)) || planned[0].Vials != 6825 {
		t.Fatalf("planned: %+v, %v", planned, err)
	}

	// The same file again changes nothing.
	again := b.importFile(path)
	if again.New != 0 || again.Changed != 0 || again.Unchanged != 266 || len(again.Received) != 0 {
		t.Errorf("second import: %+v", again)
	}

	// Equal shares: 1,575 vials for each of the 13 centres, nothing left.
	b.tx(func(tx pgx.Tx) error {
		sh, err := b.s.EqualShares(b.ctx, tx, "comirnaty", "first distribution", b.by)
		if sh != (Shares{Each: 1575, Places: 13, Left: 0}) {
			t.Errorf("shares: %+v", sh)
		}
		return err
	})
	centres, err := centre.List(b.ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	pairs := func(on time.Time) (n int) {
		for _, c := range centres {
			n += b.stock(CentrePlace(c.ID), "comirnaty", on).Doses / 2
		}
		return n
	}
	if n := pairs(b.now); n != 51181 {
		t.Errorf("pairs at five doses: %d, want 51,181", n)
	}
	b.tx(func(tx pgx.Tx) error {
		return b.s.SetDosesPerVial(b.ctx, tx, "comirnaty", day(2021, 1, 15), 6, b.by)
	})
	if five, six := pairs(day(2021, 1, 14)), pairs(day(2021, 1, 15)); five != 51181 || six != 61425 {
		t.Errorf("pairs on 14 and 15 January: %d, %d, want 51,181 and 61,425", five, six)
	}

	// A week later the next delivery has come, by the job and only once.
	b.now = clock.At(day(2021, 1, 20), 6, 0)
	for i, want := range []int{2, 0} { // Spikevax of the 12th, Comirnaty of the 19th
		if n, err := b.s.BookArrivals(b.ctx, b.now); err != nil || n != want {
			t.Errorf("arrivals, run %d: %d, %v; want %d", i+1, n, err, want)
		}
	}
	if n := b.stock(Central, "comirnaty", b.now).Vials; n != 6825 {
		t.Errorf("central store on 20 January: %d vials, want 6,825", n)
	}
	b.reconciled()
}

// TestRealDeliveriesToTheEnd: from the end of the record everything has come,
// what was given back was there, and the doses beside whole vials are listed.
func TestRealDeliveriesToTheEnd(t *testing.T) {
	t.Parallel()
	path := shareddata.Path(t, "saxony-deliveries.csv")
	b := setup(t)
	b.now = clock.At(day(2022, 5, 1), 12, 0)
	rep := b.importFile(path)
	if rep.Waiting != 0 {
		t.Errorf("%d rows wait", rep.Waiting)
	}
	rest := map[string]int{}
	for _, r := range rep.Unreconciled {
		if r.Doses != r.Vials*r.DosesPerVial+r.Rest || r.Rest == 0 || r.Rest >= r.DosesPerVial || r.Rest <= -r.DosesPerVial {
			t.Errorf("unreconciled: %+v", r)
		}
		rest[r.Vaccine] += r.Rest
	}
	if rest["Pfizer/BioNTech"] == 0 || len(rep.Unreconciled) < 5 {
		t.Errorf("unreconciled: %+v", rep.Unreconciled)
	}
	account, err := Unreconciled(b.ctx, b.pool)
	if err != nil || len(account) != len(rep.Unreconciled) {
		t.Errorf("account of unreconciled doses: %d lines, %v; report says %d", len(account), err, len(rep.Unreconciled))
	}
	// Doses in the file = vials in the ledger, counted as reported, plus the rest.
	var doses, fromVials, unreconciled int
	if err := b.pool.QueryRow(b.ctx, `SELECT sum(doses), sum(booked * doses_per_vial), sum(unreconciled) FROM inventory.import_row`).
		Scan(&doses, &fromVials, &unreconciled); err != nil {
		t.Fatal(err)
	}
	if doses != fromVials+unreconciled || doses == 0 {
		t.Errorf("%d doses reported, %d from vials and %d beside them", doses, fromVials, unreconciled)
	}
	var returned int
	if err := b.pool.QueryRow(b.ctx, `SELECT sum(vials) FROM inventory.entry WHERE place = 'return'`).Scan(&returned); err != nil {
		t.Fatal(err)
	}
	if want := 15120 + 50 + 7080; returned != want {
		t.Errorf("given back: %d vials, want %d", returned, want)
	}
	b.reconciled()
}

func TestChangedFigureIsACounterMovement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	steps := []struct {
		row     string
		vials   int    // in the central store afterwards
		kind    string // of the newest movement
		change  int    // vials of the change that the report names
		changed int
	}{
		{"2021-01-08,Pfizer/BioNTech,9750", 1950, "receive", 0, 0},
		{"2021-01-08,Pfizer/BioNTech,9750", 1950, "receive", 0, 0},
		{"2021-01-08,Pfizer/BioNTech,4875", 975, "correction", -975, 1},
		{"2021-01-08,Pfizer/BioNTech,5850", 1170, "correction", 195, 1},
		{"2021-01-08,Pfizer/BioNTech,0", 0, "correction", -1170, 1},
		{"2021-01-08,Pfizer/BioNTech,975", 195, "receive", 195, 1},
	}
	for i, s := range steps {
		b.now = b.now.Add(time.Minute)
		rep, err := b.importText(s.row)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		change := 0
		for _, c := range rep.Changes {
			change += c.Vials
		}
		if got := b.stock(Central, "comirnaty", b.now).Vials; got != s.vials || rep.Changed != s.changed || change != s.change {
			t.Errorf("step %d: %d vials, %d changed by %d; want %d, %d, %d", i, got, rep.Changed, change, s.vials, s.changed, s.change)
		}
		ms, err := Movements(b.ctx, b.pool, Central, 1)
		if err != nil || ms[0].Kind != s.kind || ms[0].Correctable() {
			t.Errorf("step %d: newest movement %+v, %v; want %s", i, ms, err, s.kind)
		}
	}
	d, err := Deliveries(b.ctx, b.pool, "", 10)
	if err != nil || len(d) != 1 || d[0].State != "received" || d[0].Vials != 195 {
		t.Errorf("deliveries: %+v, %v", d, err)
	}
	b.reconciled()
}

func TestChangedReturn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, s := range []struct {
		row   string
		vials int
	}{
		{"2021-01-09,Moderna,-100", 90}, // 10 vials of 100 go back
		{"2021-01-09,Moderna,-250", 75},
		{"2021-01-09,Moderna,-50", 95},
		{"2021-01-09,Moderna,50", 105}, // no return after all, but a delivery
		{"2021-01-09,Moderna,-1000", 0},
	} {
		if _, err := b.importText("2021-01-08,Moderna,1000", s.row); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := b.stock(Central, "spikevax", b.now).Vials; got != s.vials {
			t.Errorf("step %d: %d vials, want %d", i, got, s.vials)
		}
	}
	b.reconciled()
}

func TestNothingIsHalfImported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, rows := range map[string][]string{
		"malformed":          {"2021-01-08,Moderna,1000", "2021-01-09,Moderna,many"},
		"more given back":    {"2021-01-08,Moderna,1000", "2021-01-09,Moderna,-1010"},
		"date twice":         {"2021-01-08,Moderna,1000", "2021-01-08,Moderna,1000"},
		"given back unheard": {"2021-01-08,Moderna,1000", "2021-01-09,Novavax,-10"},
	} {
		_, err := b.importText(rows...)
		var bad ImportErrors
		if !errors.As(err, &bad) || len(bad) != 1 || bad[0].Line != 3 {
			t.Errorf("%s: %v, want an error in line 3", name, err)
		}
	}
	var n int
	if err := b.pool.QueryRow(b.ctx, `SELECT (SELECT count(*) FROM inventory.import_row) + (SELECT count(*) FROM inventory.import_run)
		+ (SELECT count(*) FROM inventory.delivery) + (SELECT count(*) FROM inventory.movement) + (SELECT count(*) FROM inventory.lot)`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows were stored, %v", n, err)
	}
}

func TestImportListsWhatItCannotMap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rep, err := b.importText("2021-01-05,Valneva,500", "2021-01-06,Moderna,1003", "2021-01-07,Valneva,20")
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Unmapped) != 1 || rep.Unmapped[0].Vaccine != "Valneva" || rep.Unmapped[0].Doses != 520 || rep.Unmapped[0].Rows != 2 ||
		rep.Unmapped[0].Lines[0] != 2 || rep.Unmapped[0].Lines[1] != 4 {
		t.Errorf("unmapped: %+v", rep.Unmapped)
	}
	if len(rep.Unreconciled) != 1 || rep.Unreconciled[0].Rest != 3 || rep.Unreconciled[0].Vials != 100 || rep.Unreconciled[0].Line != 3 {
		t.Errorf("unreconciled: %+v", rep.Unreconciled)
	}
	runs, err := ImportRuns(b.ctx, b.pool, 5)
	if err != nil || len(runs) != 1 || runs[0].Report.Unmapped[0].Doses != 520 {
		t.Errorf("runs: %+v, %v", runs, err)
	}
}

func TestImportShowsItsProgress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, err := jobs.StartProgress(b.ctx, b.pool, "inventory.import", 0, "staff:test")
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	p.OnStep = func(int64, int64, string) { steps++ }
	_, err = b.s.ImportDeliveries(b.ctx, strings.NewReader("date,vaccine,doses\n2021-01-06,Moderna,100\n2021-01-07,Moderna,100\n"), "staff:test", p)
	p.Finish(b.ctx, err)
	row, rowErr := jobs.ProgressByID(b.ctx, b.pool, p.ID)
	if err != nil || rowErr != nil || steps == 0 || row.Percent() != 100 || row.Total != 2 {
		t.Errorf("progress: %+v, %d steps, %v %v", row, steps, err, rowErr)
	}
}

func TestImportsAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	done := make(chan error)
	for range 4 {
		go func() {
			_, err := b.importText("2021-01-06,Moderna,1000", "2021-01-07,Moderna,-100")
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil && !pg.IsLockTimeout(err) {
			t.Error(err)
		}
	}
	if got := b.stock(Central, "spikevax", b.now).Vials; got != 90 {
		t.Errorf("%d vials, want 90", got)
	}
	b.reconciled()
}
