package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/brake"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// activeBench has one active pharmacy with limits out of the way.
func activeBench(t *testing.T, wide bool) (*bench, Issuer) {
	t.Helper()
	b := setup(t)
	b.publish(entriesOf(2)...)
	i := b.active("A-000")
	if wide {
		b.wide(i)
	}
	return b, i
}

func TestOnlyActiveIssuersIssue(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, false)
	b.ok(b.attempt(i))
	b.exec(`UPDATE certificate.issuer SET state = 'paused' WHERE id = $1`, i.ID)
	if err := b.attempt(i); !errors.Is(err, ErrPaused) {
		t.Error(err)
	}
	b.exec(`UPDATE certificate.issuer SET state = 'ended' WHERE id = $1`, i.ID)
	if err := b.attempt(i); !errors.Is(err, ErrInactive) {
		t.Error(err)
	}
	if err := b.attempt(Issuer{ID: id.New()}); !errors.Is(err, ErrInactive) {
		t.Error(err)
	}
	b.ok(b.claim("A-001"))
	if err := b.attempt(b.byEntry("A-001")); !errors.Is(err, ErrInactive) {
		t.Error(err)
	}
}

// Fifty requests at once take as many tokens as there are, and not one more.
func TestBucketRace(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, false)
	b.exec(`ALTER TABLE certificate.issuer_threshold DISABLE TRIGGER issuer_threshold_guard`)
	b.exec(`UPDATE certificate.issuer_threshold SET at_least = 1000`)
	b.declare(i, "LOT-1", 100)
	l, _, err := LimitsOf(t.Context(), b.Pool, i.ID, b.clock())
	b.ok(err)
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for n := range errs {
		wg.Go(func() {
			errs[n] = b.attempt(i, given("LOT-1"), func(a *Attempt) { a.Operator = fmt.Sprint(n % 5) })
		})
	}
	wg.Wait()
	passed := 0
	for _, err := range errs {
		switch {
		case err == nil:
			passed++
		case !errors.Is(err, ErrLimit):
			t.Error(err)
		}
	}
	if passed != l.Burst || b.count(`SELECT count(*) FROM certificate.issuer_issue`) != passed || b.count(`SELECT given FROM certificate.issuer_lot`) != passed {
		t.Errorf("%d of %d passed", passed, l.Burst)
	}
	// It says when to come again, and that is true.
	var limit *LimitError
	if err := b.attempt(i, given("LOT-1")); !errors.As(err, &limit) || limit.Which != "issuer" {
		t.Fatal(err)
	}
	b.pass(limit.After)
	b.ok(b.attempt(i, given("LOT-1")))
}

func TestTighterLimits(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, false)
	b.exec(`ALTER TABLE certificate.issuer_threshold DISABLE TRIGGER issuer_threshold_guard`)
	b.exec(`UPDATE certificate.issuer_threshold SET at_least = 1000`)
	b.declare(i, "LOT-1", 100)
	until := func(change ...func(*Attempt)) (n int, which string) {
		for ; ; n++ {
			var limit *LimitError
			if err := b.attempt(i, change...); errors.As(err, &limit) {
				return n, limit.Which
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, which := until(); n != 10 || which != "seen" {
		t.Errorf("seen in a document: %d %s", n, which)
	}
	if n, which := until(given("LOT-1")); n != 5 || which != "operator" {
		t.Errorf("one operator: %d %s", n, which)
	}
	if n, which := until(given("LOT-1"), func(a *Attempt) { a.Operator = "other" }); n != 5 || which != "issuer" {
		t.Errorf("the issuer: %d %s", n, which)
	}
	// After two weeks its kind's limits are wider.
	b.pass(15 * 24 * time.Hour)
	b.publish(entriesOf(2)...)
	if n, _ := until(); n != 20 {
		t.Errorf("settled: %d", n)
	}
}

// A record that is not written gives token and dose back.
func TestRolledBackAttemptTakesNothing(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, false)
	b.declare(i, "LOT-1", 2)
	stop := errors.New("signing failed")
	for range 60 {
		err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
			a := Attempt{IssuerID: i.ID, Operator: "op", Path: PathCard, Basis: BasisGiven, ProductID: "comirnaty", LotNumber: "LOT-1", Day: today(b.clock()), Person: []byte("p"), At: b.clock()}
			if err := b.Authorize(t.Context(), tx, a); err != nil {
				return err
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
	}
	b.ok(b.attempt(i, given("LOT-1")))
}

// More of a lot than was received is refused and pauses the issuer, and no other.
func TestBulkBeyondALot(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, true)
	other := b.active("A-001")
	b.declare(i, "LOT-1", 3)
	b.declare(i, "LOT-2", 10)
	b.declare(other, "LOT-1", 3)
	if err := b.attempt(i, given("NEVER-SEEN")); !errors.Is(err, ErrLot) {
		t.Errorf("undeclared: %v", err)
	}
	b.ok(b.attempt(i)) // and no alarm
	for range 3 {
		b.ok(b.attempt(i, given("LOT-1")))
	}
	if err := b.attempt(i, given("LOT-1")); !errors.Is(err, ErrTripped) || !errors.Is(err, ErrPaused) {
		t.Fatalf("the fourth of three: %v", err)
	}
	// At once, although the state follows by a task.
	if err := b.attempt(i, given("LOT-2")); !errors.Is(err, ErrPaused) || errors.Is(err, ErrTripped) {
		t.Errorf("afterwards: %v", err)
	}
	b.ok(b.attempt(other, given("LOT-1")))
	b.ok(b.pause(t.Context(), i.ID))
	b.ok(b.pause(t.Context(), i.ID))
	if i = b.byEntry("A-000"); i.State != Paused || i.Why != "alarm.lot_over" {
		t.Errorf("%s %s", i.State, i.Why)
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.paused'`); n != 1 {
		t.Errorf("%d messages", n)
	}
	alarms, err := Alarms(t.Context(), b.Pool, i.ID, 10)
	b.ok(err)
	if len(alarms) != 1 || alarms[0].Measured.Lot != "LOT-1" || alarms[0].Measured.Of != 3 || alarms[0].Measured.Count != 4 {
		t.Errorf("%+v", alarms)
	}
	if n := b.count(`SELECT given FROM certificate.issuer_lot WHERE issuer_id = $1 AND lot_number = 'LOT-1'`, i.ID); n != 3 {
		t.Errorf("%d given", n)
	}
}

// Software that names no lot is held to all declared doses of the product.
func TestWithoutALotTheReceiptsCap(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, true)
	if err := b.attempt(i, given("")); !errors.Is(err, ErrLot) {
		t.Errorf("nothing declared: %v", err)
	}
	b.declare(i, "LOT-1", 2)
	b.declare(i, "LOT-2", 1)
	b.ok(b.attempt(i, given("LOT-1")))
	b.ok(b.attempt(i, given("")))
	b.ok(b.attempt(i, given("")))
	if err := b.attempt(i, given("")); !errors.Is(err, ErrLot) {
		t.Errorf("the fourth of three: %v", err)
	}
}

// Doses with and without a lot are of one and the same vaccine: together they are no
// more than was received.
func TestUnnamedAndNamedDosesAreOneSum(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, true)
	b.declare(i, "EX1", 2)
	b.declare(i, "EX2", 1)
	b.ok(b.attempt(i, given("")))
	b.ok(b.attempt(i, given("")))
	b.ok(b.attempt(i, given("EX1")))
	for _, lot := range []string{"EX1", "EX2", ""} {
		if err := b.attempt(i, given(lot)); !errors.Is(err, ErrLot) {
			t.Errorf("a fourth dose of three, lot %q: %v", lot, err)
		}
	}
	move := func(from, to Lot) error {
		return pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error { return b.MoveDose(t.Context(), tx, i.ID, from, to) })
	}
	b.ok(b.Declare(t.Context(), i.ID, Receipt{"spikevax", "S1", 1, today(b.clock())}, "staff:test"))
	spikevax := func(a *Attempt) { a.ProductID, a.Basis, a.LotNumber = "spikevax", BasisGiven, "" }
	b.ok(b.attempt(i, spikevax))
	if err := move(Lot{ProductID: "comirnaty", LotNumber: "EX1"}, Lot{ProductID: "spikevax", LotNumber: "S1"}); !errors.Is(err, ErrLot) {
		t.Errorf("a second dose of one, by a correction: %v", err)
	}
	b.ok(move(Lot{ProductID: "comirnaty"}, Lot{ProductID: "comirnaty", LotNumber: "EX2"}))
	if n := b.count(`SELECT count(*) FROM certificate.issuer_alarm`); n != 0 {
		t.Errorf("%d alarms", n)
	}
}

// Whoever pauses waits for the record under way, and what comes after sees it.
func TestPausedMidRequest(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, true)
	ctx := t.Context()
	under, err := b.Pool.Begin(ctx)
	b.ok(err)
	defer func() { _ = under.Rollback(ctx) }()
	a := Attempt{IssuerID: i.ID, Operator: "op", Path: PathWeb, Basis: BasisSeen, ProductID: "comirnaty", Day: today(b.clock()), Person: []byte("p"), At: b.clock()}
	b.ok(b.Authorize(ctx, under, a))
	paused, late := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.Pool.Exec(context.Background(), `UPDATE certificate.issuer SET state = 'paused' WHERE id = $1`, i.ID)
		paused <- err
	}()
	b.await(`SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database() AND a.query LIKE 'UPDATE certificate.issuer SET state = ''paused''%'`, 1)
	go func() { late <- b.attempt(i) }()
	b.await(`SELECT count(DISTINCT pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`, 2)
	select {
	case err := <-paused:
		t.Fatalf("paused under a record: %v", err)
	default:
	}
	b.ok(under.Commit(ctx))
	b.ok(<-paused)
	if err := <-late; !errors.Is(err, ErrPaused) {
		t.Errorf("the late one: %v", err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.issuer_issue`); n != 1 {
		t.Errorf("%d records", n)
	}
}

func (b *bench) await(sql string, want int) {
	b.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if b.count(sql) >= want {
			return
		}
	}
	b.t.Fatalf("never: %s", sql)
}

// Many requests at once: the first that trips is the last that passes.
func TestNobodySlipsThroughAnAlarm(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, true)
	var wg sync.WaitGroup
	errs := make([]error, 40)
	for n := range errs {
		wg.Go(func() { errs[n] = b.attempt(i) })
	}
	wg.Wait()
	var passed, tripped int
	for _, err := range errs {
		switch {
		case err == nil:
			passed++
		case errors.Is(err, ErrTripped):
			tripped++
		case !errors.Is(err, ErrPaused):
			t.Error(err)
		}
	}
	if passed != 11 || tripped != 1 {
		t.Errorf("%d passed, %d tripped", passed, tripped)
	}
}

// seen lets one operator certify that many doses given elsewhere, steadily; the last of
// them is one too many.
func (b *bench) seen(t *testing.T, i Issuer, many int) {
	t.Helper()
	for n := range many {
		if n == many-1 {
			if tripped, err := b.Watch(t.Context(), b.clock()); tripped != 0 || err != nil {
				t.Fatalf("one fewer: %d %v", tripped, err)
			}
		}
		b.pass(2 * time.Minute)
		b.ok(b.attempt(i))
	}
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		alarm string
		watch bool // found by the worker
		do    func(t *testing.T, b *bench, i Issuer) error
	}{
		{brake.Crowd, false, func(_ *testing.T, b *bench, i Issuer) (err error) {
			for n := 0; n < 12 && err == nil; n++ {
				err = b.attempt(i, func(a *Attempt) { a.Operator = fmt.Sprint(n) })
			}
			return err
		}},
		{brake.Names, false, func(_ *testing.T, b *bench, i Issuer) (err error) {
			for n := 0; n < 35 && err == nil; n++ {
				b.pass(20 * time.Second)
				err = b.attempt(i)
			}
			return err
		}},
		{brake.OddHours, true, func(_ *testing.T, b *bench, i Issuer) (err error) {
			b.pass(13 * time.Hour) // 23 o'clock
			for n := 0; n < 15 && err == nil; n++ {
				b.pass(time.Minute)
				err = b.attempt(i)
			}
			return err
		}},
		{brake.LotFast, true, func(_ *testing.T, b *bench, i Issuer) (err error) {
			b.declare(i, "LOT-1", 150)
			for n := 0; n < 120 && err == nil; n++ {
				b.pass(time.Minute)
				err = b.attempt(i, given("LOT-1"), func(a *Attempt) { a.Operator = fmt.Sprint(n % 4) })
			}
			return err
		}},
		{brake.Appointments, true, func(_ *testing.T, b *bench, i Issuer) (err error) {
			b.declare(i, "LOT-1", 150)
			b.ok(b.DeclareDay(context.Background(), i.ID, today(b.clock()), 16, "staff:x"))
			for n := 0; n < 24 && err == nil; n++ {
				b.pass(time.Minute)
				err = b.attempt(i, given("LOT-1"))
			}
			return err
		}},
		{brake.Repeat, true, func(_ *testing.T, b *bench, i Issuer) (err error) {
			for n := 0; n < 4 && err == nil; n++ {
				b.pass(time.Minute)
				err = b.attempt(i, func(a *Attempt) { a.Person = []byte("always the same") })
			}
			return err
		}},
		{brake.SeenDay, true, func(t *testing.T, b *bench, i Issuer) (err error) {
			t.Helper()
			b.exec(`INSERT INTO certificate.issuer_threshold (alarm, issuer_kind, from_at, at_least, seconds) VALUES ('seen_day', 'pharmacy', '2020-01-02', 40, 86400)`)
			b.seen(t, i, 40)
			return nil
		}},
		{brake.SeenUsual, true, func(t *testing.T, b *bench, i Issuer) (err error) {
			t.Helper()
			b.pass(time.Minute)
			b.publish(entriesOf(6)...)
			for n := 1; n <= 5; n++ {
				b.ok(b.claim(fmt.Sprintf("A-%03d", n)))
			}
			// The others: on four days each seven or nine, the median is nine.
			b.exec(`INSERT INTO certificate.issuer_issue (id, issuer_id, operator, path, basis, product_id, lot_number, day, person, at)
				SELECT gen_random_uuid(), i.id, 'op', 'web', 'seen', 'comirnaty', '', '2021-06-01', decode(md5(random()::text), 'hex'), $2::timestamptz - d * interval '1 day' - n * interval '1 minute'
				  FROM certificate.issuer i, generate_series(1, 4) d, generate_series(1, 9) n WHERE i.id <> $1 AND (d > 1 OR n < 8)`, i.ID, b.clock())
			b.seen(t, i, 27)
			return nil
		}},
	} {
		t.Run(c.alarm, func(t *testing.T) {
			t.Parallel()
			b, i := activeBench(t, true)
			err := c.do(t, b, i)
			if c.watch {
				b.ok(err)
				if n, err := b.Watch(t.Context(), b.clock()); err != nil || n != 1 {
					t.Fatalf("%d %v", n, err)
				}
			} else if !errors.Is(err, ErrTripped) {
				t.Fatal(err)
			}
			b.ok(b.finishPauses(t.Context()))
			if i = b.byEntry("A-000"); i.State != Paused || i.Why != "alarm."+c.alarm {
				t.Errorf("%s %s", i.State, i.Why)
			}
			if want := []string{i.Ref() + " " + c.alarm}; !slices.Equal(b.alarmed, want) {
				t.Errorf("alarms %v", b.alarmed)
			}
			if n, err := b.Watch(t.Context(), b.clock()); err != nil || n != 0 {
				t.Errorf("again: %d %v", n, err)
			}
		})
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, false)
	declare := func(lot string, doses int, day time.Time) error {
		return b.Declare(t.Context(), i.ID, Receipt{"comirnaty", lot, doses, day}, "staff:x")
	}
	now := today(b.clock())
	b.ok(declare(" ex3599 ", 60, now))
	b.ok(declare("EX3599", 60, now))
	if err := declare("EX3600", 1, now); !errors.Is(err, ErrTooManyDoses) {
		t.Errorf("more than a new pharmacy gets in a week: %v", err)
	}
	b.pass(8 * 24 * time.Hour)
	b.publish(entriesOf(2)...)
	b.ok(declare("EX3600", 1, now))
	for name, err := range map[string]error{
		"no lot": declare("", 1, now), "no doses": declare("X1", 0, now), "tomorrow": declare("X1", 1, now.AddDate(0, 0, 30)),
		"no product": b.Declare(t.Context(), i.ID, Receipt{"water", "X1", 1, now}, "staff:x"),
	} {
		if !errors.Is(err, ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lots, err := Lots(t.Context(), b.Pool, i.ID)
	b.ok(err)
	same(t, lots, []Lot{{"comirnaty", "EX3599", 120, 0}, {"comirnaty", "EX3600", 1, 0}})
}

// More than what holds needs two administrators; less does not.
func TestLimitsAreRaisedByTwo(t *testing.T) {
	t.Parallel()
	b, i := activeBench(t, false)
	b.fake()
	set := func(hourly int, approval any) error {
		b.pass(time.Minute)
		_, err := b.Pool.Exec(t.Context(), `INSERT INTO certificate.issuer_limit (issuer_id, from_at, hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, approval, by)
			VALUES ($1, $2, $3, 10, 10, 10, 5, 5, 100, $4, 'test')`, i.ID, b.clock(), hourly, approval)
		return err
	}
	if err := set(21, nil); !pg.Violates(err, "issuer_two_approved") {
		t.Error(err)
	}
	b.ok(set(5, nil))
	if err := set(6, nil); !pg.Violates(err, "issuer_two_approved") {
		t.Errorf("back up again: %v", err)
	}
	p := b.approved("issuer.limits", i.ID, `{"hourly": 50, "burst": 10, "operator_hourly": 10, "operator_burst": 10, "seen_hourly": 5, "seen_burst": 5, "weekly_doses": 100}`)
	if err := set(51, p); !pg.Violates(err, "issuer_two_approved") {
		t.Errorf("other numbers than were approved: %v", err)
	}
	b.ok(set(50, p))
	b.ok(set(5, nil))
	if err := set(50, p); !pg.Violates(err, "issuer_approval_pk") {
		t.Errorf("one approval twice: %v", err)
	}
	for _, sql := range []string{`UPDATE certificate.issuer_limit SET hourly = 9999`, `DELETE FROM certificate.issuer_limit`} {
		if _, err := b.Pool.Exec(t.Context(), sql); !pg.Violates(err, "issuer_limit_guard") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
