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
	first, last translog.Leaf
	party, now  int // who issued the first, and the last
	cents       int
	ended       bool
}

// Whatever is issued, replaced and revoked in whichever order and month: the
// statements of a month together are the leaves of that month priced, no leaf is
// billed twice, and in the end what stands is paid and nothing else.
func TestSumsOfAllMonths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := setup(t)
		defer b.Pool.Close()
		var chains []*chain
		var total int64
		for month := range 3 {
			b.at(2021, time.Month(6+month), rapid.IntRange(14, 28).Draw(rt, "day"))
			var want int64
			leaves := 0
			for range rapid.IntRange(0, 12).Draw(rt, "leaves") {
				var l translog.Leaf
				switch open := pick(rt, chains); rapid.IntRange(0, 3).Draw(rt, "what") {
				case 1: // corrected: revoked and replaced, perhaps by another issuer
					if open == nil || open.ended {
						continue
					}
					b.log(b.revoke(open.now, open.last, "corrected", true))
					leaves++
					open.now = rapid.IntRange(0, 2).Draw(rt, "party")
					l = b.reissue(open.now, open.last)
					open.last = l
				case 2: // revoked for good; it may be said twice
					if open == nil {
						continue
					}
					reason := rapid.SampledFrom([]string{"fraud", "record-void", "holder", "compromise"}).Draw(rt, "reason")
					if open.ended {
						reason = "fraud"
					}
					l = b.revoke(open.now, open.last, reason, false)
					if reason != "holder" {
						want -= int64(open.cents)
						open.cents = 0
					}
					open.ended = true
				default:
					party := rapid.IntRange(0, 2).Draw(rt, "party")
					l = b.issue(party, rapid.SampledFrom([]string{Given, Seen}).Draw(rt, "basis"))
					tariff, err := Rates(t.Context(), b.Pool)
					b.ok(err)
					c := &chain{first: l, last: l, party: party, now: party, cents: tariff.Cents(parties[party].Kind, l.Detail["basis"], l.Day)}
					want += int64(c.cents)
					chains = append(chains, c)
				}
				b.log(l)
				leaves++
			}
			b.at(2021, time.Month(7+month), 1)
			b.run()
			total += want
			if len(chains) == 0 {
				continue
			}
			list, err := Months(t.Context(), b.Pool)
			b.ok(err)
			if list[0].Cents != want || list[0].Lines != int64(leaves) || !list[0].Done() {
				rt.Fatalf("month %d: %+v, wanted %d cents of %d leaves", month, list[0], want, leaves)
			}
		}
		var standing int64
		for _, c := range chains {
			standing += int64(c.cents)
		}
		if total != standing {
			rt.Fatalf("%d cents were paid for what is worth %d", total, standing)
		}
	})
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
