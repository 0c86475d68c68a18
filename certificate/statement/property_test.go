package statement

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"impfportal/certificate/translog"
	"impfportal/internal/pg/pgtest"
)

// chain is a certificate with what became of it, as the test knows it.
type chain struct {
	last  translog.Leaf
	now   int // who issued it
	cents int // what was paid for the first
	ended bool
}

// years is a log that goes on month after month, with all that was issued in a try.
type years struct {
	*bench
	month  time.Time // the present one
	tariff Tariff
	chains []*chain
	want   int64           // what the present month is worth
	leaves []translog.Leaf // of the present month, not in the log yet
}

// Whatever is issued, replaced and revoked in whichever order and month, by whichever
// tariff: the statements of a month together are the leaves of that month priced, no
// leaf is billed twice, and in the end what stands is paid and nothing else.
func TestSumsOfAllMonths(t *testing.T) {
	t.Parallel()
	// One log for all tries: each begins where the last one has ended.
	y := &years{bench: setup(t), month: monthOf(begun)}
	y.log(y.issue(0, Seen))
	y.next()
	rapid.Check(t, func(rt *rapid.T) {
		y.chains = nil
		y.changeTariff(rt)
		var paid, standing int64
		for range 3 {
			y.at(y.month.Year(), y.month.Month(), rapid.IntRange(1, 28).Draw(rt, "day"))
			y.want, y.leaves = 0, nil
			n := 0
			for range rapid.IntRange(0, 12).Draw(rt, "leaves") {
				n += y.happens(rt)
			}
			y.log(y.leaves...)
			y.next()
			list, err := Months(t.Context(), y.Pool)
			y.ok(err)
			if m := list[0]; m.Cents != y.want || m.Lines != int64(n) || !m.Done() || !m.Month.AddDate(0, 1, 0).Equal(y.month) {
				rt.Fatalf("%+v, wanted %d cents of %d leaves", m, y.want, n)
			}
			paid += y.want
		}
		for _, c := range y.chains {
			standing += int64(c.cents)
		}
		if paid != standing {
			rt.Fatalf("%d cents were paid for what is worth %d", paid, standing)
		}
	})
}

// next ends the month and makes its statements.
func (y *years) next() {
	y.t.Helper()
	y.month = y.month.AddDate(0, 1, 0)
	y.at(y.month.Year(), y.month.Month(), 1)
	y.run()
}

// changeTariff sets a rate for a day of the months to come.
func (y *years) changeTariff(rt *rapid.T) {
	y.t.Helper()
	_, err := y.Pool.Exec(y.t.Context(), `
		INSERT INTO certificate.statement_tariff (issuer_kind, item, from_day, cents, source) VALUES ($1, $2, $3, $4, 'test') ON CONFLICT (issuer_kind, item, from_day) DO UPDATE SET cents = $4`,
		rapid.SampledFrom([]string{"", "pharmacy", "centre"}).Draw(rt, "kind"), rapid.SampledFrom([]string{Given, Seen}).Draw(rt, "item"),
		y.month.AddDate(0, 0, rapid.IntRange(0, 80).Draw(rt, "from")), rapid.IntRange(0, 3000).Draw(rt, "cents"))
	y.ok(err)
	y.tariff, err = Rates(y.t.Context(), y.Pool)
	y.ok(err)
}

// happens lets one thing happen and returns how many leaves tell of it.
func (y *years) happens(rt *rapid.T) int {
	open := pick(rt, y.chains)
	switch rapid.IntRange(0, 3).Draw(rt, "what") {
	case 1: // corrected: revoked and replaced, perhaps by another issuer
		if open == nil || open.ended {
			return 0
		}
		revoked := y.revoke(open.now, open.last, "corrected", true)
		open.now = rapid.IntRange(0, 2).Draw(rt, "party")
		open.last = y.reissue(open.now, open.last)
		y.leaves = append(y.leaves, revoked, open.last)
		return 2
	case 2: // revoked for good; it may be said twice
		if open == nil {
			return 0
		}
		reason := rapid.SampledFrom([]string{"fraud", "record-void", "holder", "compromise"}).Draw(rt, "reason")
		if open.ended {
			reason = "fraud"
		}
		if reason != "holder" {
			y.want -= int64(open.cents)
			open.cents = 0
		}
		open.ended = true
		y.leaves = append(y.leaves, y.revoke(open.now, open.last, reason, false))
		return 1
	}
	party := rapid.IntRange(0, 2).Draw(rt, "party")
	l := y.issue(party, rapid.SampledFrom([]string{Given, Seen}).Draw(rt, "basis"))
	c := &chain{last: l, now: party, cents: y.tariff.Cents(parties[party].Kind, l.Detail["basis"], l.Day)}
	y.want += int64(c.cents)
	y.chains, y.leaves = append(y.chains, c), append(y.leaves, l)
	return 1
}

func pick(rt *rapid.T, chains []*chain) *chain {
	if len(chains) == 0 {
		return nil
	}
	return rapid.SampledFrom(chains).Draw(rt, "chain")
}

// The worker is killed at each step, again and again, while another one is at it:
// every issuer has one statement, and they are those of an undisturbed run.
func TestKilledWhileSettling(t *testing.T) {
	t.Parallel()
	pool, dir := pgtest.New(t), t.TempDir()
	b := setupOn(t, pool, dir)
	var leaves []translog.Leaf
	for i := range 300 {
		leaves = append(leaves, b.issue(i%3, Seen))
	}
	b.log(leaves...)
	b.at(2021, 7, 1)
	for i := range 16 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(4*i)*time.Millisecond)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = b.Run(ctx) }) // killed
		}
		kill(t, pool, i)
		wg.Wait()
		cancel()
	}
	b.run()
	list, err := Months(t.Context(), b.Pool)
	b.ok(err)
	if len(list) != 1 || !list[0].Done() || list[0].Lines != 300 || list[0].Statements != 3 || list[0].Cents != 200*1800 {
		t.Fatalf("%+v", list)
	}
	for party := range 3 {
		st, _ := b.of(party, "2021-06")
		_, err := b.CSV(t.Context(), st)
		b.ok(err)
	}
}

// kill ends the connections of the others, every fourth time.
func kill(t *testing.T, pool *pgxpool.Pool, i int) {
	t.Helper()
	if i%4 == 0 {
		_, _ = pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
}
