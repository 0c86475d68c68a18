package vaccination_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/inventory"
	"impfportal/vaccination"
)

// walkedIn records a dose for somebody without an appointment.
func (b *bundle) walkedIn(family, lotID string) vaccination.Record {
	b.t.Helper()
	recordID, err := b.s.Record(b.ctx, b.walkIn(family, lotID))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.get(recordID)
}

func (b *bundle) get(recordID string) vaccination.Record {
	b.t.Helper()
	r, err := b.s.Get(b.ctx, b.pool, recordID)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// correction is one of a record as it is, with what change makes of its content.
func (b *bundle) correction(r vaccination.Record, change func(*vaccination.Content)) vaccination.Correction {
	in := vaccination.Correction{RecordID: r.ID, Version: r.Version, Reason: "Vertippt", To: r.Content(), Now: b.now, Actor: "staff:test", Role: "site"}
	change(&in.To)
	return in
}

func (b *bundle) open(centreID, lotID string) int {
	b.t.Helper()
	return b.count(`SELECT coalesce(sum(doses + 5 * vials), 0) FROM inventory.balance WHERE place = $1 AND lot_id = $2`, string(inventory.CentrePlace(centreID)), lotID)
}

func TestCorrectionKeepsWhatWasThere(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	r := b.walkedIn("Maier", lot)
	b.now = b.now.Add(time.Hour)
	one, err := b.s.Correct(b.ctx, b.correction(r, func(c *vaccination.Content) {
		c.FamilyName, c.PassportFamily, c.Birth = "Mayer", "Mayer-Berg", vaccination.PartialDate{Year: 1939, Month: 2}
	}))
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.s.Correct(b.ctx, b.correction(one, func(c *vaccination.Content) { c.Day, c.DoseNumber, c.DosesTotal = day(2021, 1, 17), 3, 3 }))
	if err != nil {
		t.Fatal(err)
	}
	got := b.get(r.ID)
	want := vaccination.Content{
		FamilyName: "Mayer", GivenName: "Karl", PassportFamily: "Mayer-Berg", Birth: vaccination.PartialDate{Year: 1939, Month: 2},
		Day: day(2021, 1, 17), DoseNumber: 3, DosesTotal: 3, ProductID: "comirnaty", LotNumber: "EX1", Place: leipzig,
	}
	if got.Content() != want || two.Content() != want || got.Version != 3 || !got.CorrectedAt.Equal(b.now) ||
		!got.GivenAt.Equal(clock.At(day(2021, 1, 17), 10, 0)) || got.Patient.Contact != r.Patient.Contact {
		t.Errorf("%+v", got)
	}
	revisions, err := b.s.Revisions(b.ctx, b.pool, got)
	if err != nil || len(revisions) != 2 || revisions[0].Content != r.Content() || revisions[1].Content != one.Content() {
		t.Fatalf("%+v, %v", revisions, err)
	}
	if v := revisions[0]; !reflect.DeepEqual(v.Changed, []string{"name", "passport", "birth"}) || v.Reason != "Vertippt" || v.By != "staff:test" || !v.At.Equal(b.now) {
		t.Errorf("%+v", v)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.corrected'`); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry e WHERE action = 'vaccination.corrected' AND NOT e::text ~* 'ma[iy]er|"year": ?1939|vertippt'`); n != 2 {
		t.Errorf("%d audit entries without names, want 2", n)
	}
	if n := b.count(`SELECT count(*) FROM vaccination.revision v WHERE v::text ~* 'ma[iy]er|"year": ?1938|vertippt'`); n != 0 {
		t.Error("former contents stand in the clear")
	}
	// The person is found by the new name, and their dose stands.
	in := b.walkIn("Mayer", lot)
	in.Patient.Birth, in.DoseNumber = want.Birth, 3
	if _, err := b.s.Record(b.ctx, in); !errors.Is(err, vaccination.ErrAlreadyGiven) {
		t.Errorf("third dose again: %v", err)
	}
	// Former contents cannot be changed or dropped, and go with the record.
	for _, sql := range []string{
		`UPDATE vaccination.revision SET by = 'x'`, `DELETE FROM vaccination.revision`, `UPDATE vaccination.record SET dose_number = 1`,
		`UPDATE vaccination.record SET issuer_ref = 'centre:dresden'`, `UPDATE vaccination.record SET region = '99'`, `UPDATE vaccination.record SET operator = 'x'`,
		`UPDATE vaccination.record SET dose_number = 1, version = version + 1`,
	} {
		if _, err := b.pool.Exec(b.ctx, sql); err == nil {
			t.Errorf("allowed: %s", sql)
		}
	}
	b.tx(func(tx pgx.Tx) error {
		_, err := b.s.RetentionRules()[0].Run(b.ctx, tx, b.now.AddDate(11, 0, 0), 3653*24*time.Hour, 10)
		return err
	})
	if n := b.count(`SELECT (SELECT count(*) FROM vaccination.record) + (SELECT count(*) FROM vaccination.revision)`); n != 0 {
		t.Errorf("%d rows after ten years", n)
	}
}

func TestWrongLotMovesTheDose(t *testing.T) {
	b := setup(t)
	place := inventory.CentrePlace(leipzig)
	wrong := b.receive(place, "comirnaty", "WRONG", day(2021, 5, 31), 1)
	right := b.receive(place, "comirnaty", "RIGHT", day(2021, 5, 31), 1)
	other := b.receive(place, "spikevax", "MOD1", day(2021, 5, 31), 1)
	b.receive(inventory.CentrePlace(dresden), "comirnaty", "AWAY", day(2021, 5, 31), 1)
	b.receive(place, "comirnaty", "OLD", day(2021, 1, 18), 1)
	b.now = b.now.AddDate(0, 0, 1)
	r := b.walkedIn("Charge", wrong)
	to := func(number, product string) vaccination.Correction {
		return b.correction(r, func(c *vaccination.Content) { c.LotNumber, c.ProductID = number, product })
	}
	for name, c := range map[string]struct {
		in   vaccination.Correction
		want error
	}{
		"unknown":      {to("NONE", "comirnaty"), vaccination.ErrLot},
		"not here":     {to("AWAY", "comirnaty"), vaccination.ErrLotEmpty},
		"expired then": {to("OLD", "comirnaty"), vaccination.ErrLotExpired},
		"flu":          {to("RIGHT", "influvac"), vaccination.ErrWrongProduct},
	} {
		if _, err := b.s.Correct(b.ctx, c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if b.open(leipzig, wrong) != 4 || b.get(r.ID).Version != 1 {
		t.Error("a refused correction has done something")
	}
	var err error
	for i, step := range []struct {
		number, product     string
		wrong, right, other int // doses that are left of each lot
	}{
		{" right ", "comirnaty", 5, 4, 10},
		{"WRONG", "comirnaty", 4, 5, 10}, // no, it was that one
		{"MOD1", "spikevax", 5, 5, 9},    // another vaccine altogether
	} {
		if r, err = b.s.Correct(b.ctx, to(step.number, step.product)); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		mod := b.count(`SELECT doses + 10 * vials FROM inventory.balance WHERE lot_id = $1`, other)
		if b.open(leipzig, wrong) != step.wrong || b.open(leipzig, right) != step.right || mod != step.other {
			t.Errorf("step %d: %d, %d, %d", i, b.open(leipzig, wrong), b.open(leipzig, right), mod)
		}
	}
	if r = b.get(r.ID); r.LotID != other || r.ProductID != "spikevax" || r.LotNumber != "MOD1" {
		t.Errorf("%+v", r)
	}
	if list, n, err := vaccination.OfLot(b.ctx, b.pool, wrong, 0); err != nil || n != 0 || len(list) != 0 {
		t.Errorf("the recall of the wrong lot names %d: %v", n, err)
	}
	if list, n, err := vaccination.OfLot(b.ctx, b.pool, other, 0); err != nil || n != 1 || list[0].RecordID != r.ID {
		t.Errorf("the recall of the right lot names %d: %v", n, err)
	}
	// A dose that was taken back in the stock meanwhile is only given anew.
	b.tx(func(tx pgx.Tx) error {
		return b.stock.TakeBack(b.ctx, tx, r.ID, "mistake", inventory.By{Actor: "staff:a", Role: "admin"})
	})
	if _, err = b.s.Correct(b.ctx, to("RIGHT", "comirnaty")); err != nil || b.open(leipzig, right) != 4 || b.open(leipzig, wrong) != 5 {
		t.Errorf("after it was taken back: %v", err)
	}
	b.reconciled()
}

func (b *bundle) reconciled() {
	b.t.Helper()
	if diffs, err := inventory.Reconcile(b.ctx, b.pool); err != nil || len(diffs) > 0 {
		b.t.Errorf("balances differ from the ledger: %+v, %v", diffs, err)
	}
}

func TestWrongCentreMovesTheDose(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	r := b.walkedIn("Ort", lot)
	to := b.correction(r, func(c *vaccination.Content) { c.Place = dresden })
	if _, err := b.s.Correct(b.ctx, to); !errors.Is(err, vaccination.ErrLotEmpty) {
		t.Errorf("a lot that is not there: %v", err)
	}
	b.tx(func(tx pgx.Tx) error {
		return b.stock.Transfer(b.ctx, tx, inventory.Transfer{From: inventory.CentrePlace(leipzig), To: inventory.CentrePlace(dresden), LotID: lot, Vials: 1, Actor: "x", Why: "x", At: b.now})
	})
	nowhere := b.correction(r, func(c *vaccination.Content) { c.Place = "atlantis" })
	if _, err := b.s.Correct(b.ctx, nowhere); !errors.Is(err, vaccination.ErrSite) {
		t.Errorf("a place that is none: %v", err)
	}
	if _, err := b.s.Correct(b.ctx, to); err != nil {
		t.Fatal(err)
	}
	r = b.get(r.ID)
	if r.Place != dresden || r.IssuerRef != "centre:dresden" || r.Region != "01" || b.open(leipzig, lot) != 5 || b.open(dresden, lot) != 4 {
		t.Errorf("%+v; %d in Leipzig, %d in Dresden", r, b.open(leipzig, lot), b.open(dresden, lot))
	}
	b.reconciled()
}

func TestCorrectionIsRefused(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 2)
	taken := b.walkedIn("Belegt", lot)
	r := b.walkedIn("Frei", lot)
	for name, c := range map[string]struct {
		change func(*vaccination.Correction)
		want   error
	}{
		"no reason":            {func(in *vaccination.Correction) { in.Reason = " " }, vaccination.ErrReason},
		"nothing":              {func(*vaccination.Correction) {}, vaccination.ErrUnchanged},
		"an older version":     {func(in *vaccination.Correction) { in.Version, in.To.DoseNumber = 0, 2 }, vaccination.ErrChanged},
		"no record":            {func(in *vaccination.Correction) { in.RecordID = id.New() }, vaccination.ErrNotFound},
		"tomorrow":             {func(in *vaccination.Correction) { in.To.Day = day(2021, 1, 19) }, vaccination.ErrDay},
		"before birth":         {func(in *vaccination.Correction) { in.To.Birth = vaccination.PartialDate{Year: 2021, Month: 1, Day: 19} }, vaccination.ErrInvalid},
		"no name":              {func(in *vaccination.Correction) { in.To.FamilyName = "" }, vaccination.ErrInvalid},
		"tenth dose":           {func(in *vaccination.Correction) { in.To.DoseNumber = 10 }, vaccination.ErrInvalid},
		"somebody who has one": {func(in *vaccination.Correction) { in.To.FamilyName = "BELEGT" }, vaccination.ErrAlreadyGiven},
	} {
		in := b.correction(r, func(*vaccination.Content) {})
		c.change(&in)
		_, err := b.s.Correct(b.ctx, in)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		var given *vaccination.AlreadyGivenError
		if errors.As(err, &given) && given.RecordID != taken.ID {
			t.Errorf("%s: names record %s", name, given.RecordID)
		}
	}
	if got := b.get(r.ID); got.Content() != r.Content() || got.Version != 1 {
		t.Errorf("a refused correction has done something: %+v", got)
	}
}

func TestOneOfTwoCorrectionsWins(t *testing.T) {
	b := setup(t)
	place := inventory.CentrePlace(leipzig)
	lots := []string{b.receive(place, "comirnaty", "L0", day(2021, 5, 31), 2), b.receive(place, "comirnaty", "L1", day(2021, 5, 31), 2)}
	// Each pair changes the lots of two records in opposite directions, and one record twice.
	first, second := b.walkedIn("Eins", lots[0]), b.walkedIn("Zwei", lots[1])
	changed := 0
	for _, err := range all(8, func(i int) error {
		r, number := first, "L1"
		if i%2 == 1 {
			r, number = second, "L0"
		}
		_, err := b.s.Correct(b.ctx, b.correction(r, func(c *vaccination.Content) { c.LotNumber = number }))
		return err
	}) {
		if errors.Is(err, vaccination.ErrChanged) {
			changed++
		} else if err != nil {
			t.Error(err)
		}
	}
	if changed != 6 || b.get(first.ID).LotID != lots[1] || b.get(second.ID).LotID != lots[0] {
		t.Errorf("%d were told that somebody was faster, want 6", changed)
	}
	if b.open(leipzig, lots[0]) != 9 || b.open(leipzig, lots[1]) != 9 {
		t.Errorf("%d and %d doses left, want 9 of each", b.open(leipzig, lots[0]), b.open(leipzig, lots[1]))
	}
	b.reconciled()
}

// Two people become one by correction, and somebody records a dose for that one, all at once.
func TestCorrectionAgainstADose(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 3)
	records := []vaccination.Record{b.walkedIn("Eins", lot), b.walkedIn("Zwei", lot)}
	won := 0
	for _, err := range all(3, func(i int) error {
		if i == 2 {
			_, err := b.s.Record(b.ctx, b.walkIn("Drei", lot))
			return err
		}
		_, err := b.s.Correct(b.ctx, b.correction(records[i], func(c *vaccination.Content) { c.FamilyName = "Drei" }))
		return err
	}) {
		if err == nil {
			won++
		} else if !errors.Is(err, vaccination.ErrAlreadyGiven) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d doses with one number for one person", won)
	}
	b.reconciled()
}

func TestIssuedRecordIsCorrected(t *testing.T) {
	b := setup(t)
	recordID, err := b.recordIssued(b.seen("Apotheke"))
	if err != nil {
		t.Fatal(err)
	}
	r := b.get(recordID)
	if _, err := b.s.Correct(b.ctx, b.correction(r, func(c *vaccination.Content) { c.Place = leipzig })); !errors.Is(err, vaccination.ErrSite) {
		t.Errorf("to a centre: %v", err)
	}
	err = pg.InTx(b.ctx, b.pool, func(tx pgx.Tx) error {
		_, err := b.s.CorrectTx(b.ctx, tx, b.correction(r, func(c *vaccination.Content) {
			c.ProductID, c.LotNumber, c.DoseNumber, c.DosesTotal = "spikevax", "3001234", 2, 1
		}))
		return err
	})
	if got := b.get(recordID); err != nil || got.ProductID != "spikevax" || got.LotNumber != "3001234" || got.DosesTotal != 1 || !reflect.DeepEqual(got.Document, r.Document) {
		t.Errorf("%+v, %v", got, err)
	}
}

// How a later dose is numbered follows from the earlier ones, so it is told too.
func TestLaterDosesAreTold(t *testing.T) {
	b := setup(t)
	lot := b.receive(inventory.CentrePlace(leipzig), "comirnaty", "EX1", day(2021, 5, 31), 3)
	first := b.walkedIn("Reihe", lot)
	b.walkedIn("Fremd", lot)
	next := b.seen("Reihe")
	next.DoseNumber, next.DosesTotal = 2, 2
	second, err := b.recordIssued(next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.Correct(b.ctx, b.correction(first, func(c *vaccination.Content) { c.FamilyName = "Reiher" })); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.corrected' AND payload::text LIKE '%' || $1 || '%'`, second); n != 1 {
		t.Errorf("%d events for the later dose, want 1", n)
	}
	if n := b.count(`SELECT count(*) FROM jobs.outbox WHERE kind = 'vaccination.corrected'`); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}
