package waitingroom

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"impfportal/internal/redistest"
)

// withClock gives a script the clock of the test: ARGV[3] is then the time.
func withClock(t *testing.T, script string) *redis.Script {
	t.Helper()
	out := strings.Replace(script, clockLua, "local now = tonumber(ARGV[3])\n", 1)
	if out == script {
		t.Fatal("the script reads no clock")
	}
	return redis.NewScript(out)
}

// TestScriptsDecideAsTheRulesDo drives the scripts on real Redis and the rules
// of admit.go through the same histories.
func TestScriptsDecideAsTheRulesDo(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ctx := context.Background()
	runID, err := rdb.Eval(ctx, serverLua+"return server", nil).Text()
	if err != nil {
		t.Fatal(err)
	}
	tick, claim, join, extend := withClock(t, tickLua), withClock(t, claimLua), withClock(t, joinLua), withClock(t, extendLua)
	rapid.Check(t, func(t *rapid.T) {
		if err := rdb.FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		v := &view{id: "test"}
		now := int64(1_610_000_000_000_000)
		l := NewLine()
		l.Gaps = drawGaps(t)
		l.Issued = lastOf(l.Gaps) + rapid.Int64Range(0, 100).Draw(t, "issued")
		full := Bucket{1 << 42, now}
		l.Invite, l.Door, l.Late, l.Guest, l.LeftAt = full, full, full, full, now
		valve := Valve{
			Open: true, Rate: rapid.Int64Range(1, 300).Draw(t, "rate"), Bound: rapid.Int64Range(1, 30).Draw(t, "bound"),
			Grace: 30 * time.Second, Pass: 2 * time.Minute, Guests: rapid.Int64Range(0, 50).Draw(t, "guests"),
		}
		err := rdb.HSet(ctx, v.key("s"), "gen", 1, "ver", 1, "n", 0, "issued", l.Issued, "serving", 0, "ceil", 1<<40, "bi", 0, "bs", 0, "bc", 1<<40,
			"fresh", "", "adm", 0, "ns", 0, "sn", 0, "sa", 0, "dl", firstDelay, "lc", 0, "lt", now, "lm", 0, "ca", 0,
			"it", full.Tokens, "ia", now, "dt", full.Tokens, "da", now, "tt", full.Tokens, "ta", now, "gt", full.Tokens, "ga", now, "gaps", formatGaps(l.Gaps)).Err()
		if err == nil {
			err = rdb.Set(ctx, v.key("here"), runID+":1", time.Minute).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		args := func(more ...any) []any {
			open := 0
			if valve.Open {
				open = 1
			}
			return append([]any{1, 1, now, 0, open, valve.Rate, valve.Bound, valve.Grace.Microseconds(), valve.Guests}, more...)
		}
		seq := 0
		t.Repeat(map[string]func(*rapid.T){
			"wait":  func(t *rapid.T) { now += rapid.Int64Range(-3_000_000, 20_000_000).Draw(t, "us") },
			"blink": func(t *rapid.T) { now += rapid.Int64Range(0, 800_000).Draw(t, "us") },
			"valve": func(t *rapid.T) {
				valve.Open = rapid.Bool().Draw(t, "open")
				valve.Rate = rapid.Int64Range(1, 300).Draw(t, "rate")
				valve.Bound = rapid.Int64Range(1, 30).Draw(t, "bound")
			},
			"join": func(t *rapid.T) {
				n, lane := rapid.Int64Range(1, 40).Draw(t, "n"), rapid.SampledFrom([]Lane{InLine, Behind}).Draw(t, "lane")
				var want int64
				if lane == Behind {
					want = l.JoinBehind(n)
				} else {
					want = l.Join(n)
				}
				seq++
				for range rapid.IntRange(1, 3).Draw(t, "times sent") { // a command may arrive again
					got, err := join.Run(ctx, rdb, v.stateKeys(v.key("j:"+string(lane))), 1, 1, now, 0, seq, n, string(lane), 0).Slice()
					if err != nil || word(got, 0) != "ok" || num(got, 2) != want {
						t.Fatalf("join: %v, %v; want %d", got, err, want)
					}
				}
			},
			"tick": func(t *rapid.T) {
				l.Tick(now, valve)
				got, err := tick.Run(ctx, rdb, v.lineKeys(), args()...).Slice()
				if err != nil || word(got, 0) != "ok" {
					t.Fatalf("tick: %v, %v", got, err)
				}
				have := [9]int64{num(got, 2), num(got, 3), num(got, 4), num(got, 5), num(got, 6), num(got, 10), num(got, 11), num(got, 12), num(got, 14)}
				want := [9]int64{l.Issued, l.Serving, int64(len(l.Inside)), l.expected(), l.Admitted, l.NoShows, l.Show(), int64(len(l.Knocking)), l.BehindServing}
				if have != want {
					t.Fatalf("Redis: issued, serving, inside, expected, admitted, no-shows, show, knocking, behind %d; the rules: %d", have, want)
				}
			},
			"claim": func(t *rapid.T) {
				lane, pos := drawClaim(t, l)
				member := memberOf(lane, pos)
				want := l.Claim(now, valve, lane, pos, member)
				cohort := map[Lane]int64{InLine: CohortLive, Behind: CohortBehind, Guest: CohortInvited}[lane]
				got, err := claim.Run(ctx, rdb, append(v.lineKeys(), v.usedKey(1, cohort)),
					args(string(lane), pos, member, pos, valve.Pass.Microseconds(), 1000)...).Slice()
				if err != nil {
					t.Fatal(err)
				}
				if Verdict(word(got, 0)) != want {
					t.Fatalf("claim %s %d: Redis says %v, the rules say %s", lane, pos, got, want)
				}
				if want == Admitted && num(got, 2) != l.Inside[member] {
					t.Fatalf("pass until %d, want %d", num(got, 2), l.Inside[member])
				}
			},
			"release": func(t *rapid.T) {
				for m := range l.Inside {
					l.Release(m)
					if err := rdb.ZRem(ctx, v.key("act"), m).Err(); err != nil {
						t.Fatal(err)
					}
					break
				}
			},
			"extend": func(t *rapid.T) {
				for m, end := range l.Inside {
					until := end + rapid.Int64Range(-10_000_000, 100_000_000).Draw(t, "us")
					want := l.Extend(now, m, until)
					got, err := extend.Run(ctx, rdb, v.stateKeys(v.key("act")), 1, 1, now, 0, m, until).Slice()
					if err != nil || (word(got, 0) == "ok") != want || want && num(got, 2) != l.Inside[m] {
						t.Fatalf("extend: %v, %v; want %v", got, err, want)
					}
					break
				}
			},
		})
	})
}

// TestScriptsRefuseToGuess: a state that is missing, older or newer than what
// the caller knows is told, not used.
func TestScriptsRefuseToGuess(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ctx := context.Background()
	v := &view{id: "test"}
	ask := func(gen, ver, seen int64) string {
		t.Helper()
		got, err := tickScript.Run(ctx, rdb, v.lineKeys(), gen, ver, 0, seen, 1, 60, 10, 1000, 5).Slice()
		if err != nil {
			t.Fatal(err)
		}
		return word(got, 0)
	}
	if got := ask(1, 1, 0); got != "empty" {
		t.Errorf("no state: %s", got)
	}
	restore := func(gen int) int64 {
		t.Helper()
		n, err := restoreScript.Run(ctx, rdb, append(v.lineKeys(), v.usedKey(1, CohortLive)), gen, 3, 0, 10, 100, 5, "", 1, 0, 0, 0, 0, firstDelay, "1.0.4", 1<<51).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if got := restore(2); got != 1 {
		t.Errorf("restore into nothing: %d", got)
	}
	if got := restore(2); got != 0 {
		t.Errorf("restore of the same generation: %d", got)
	}
	for _, c := range []struct {
		gen, ver, seen int64
		want           string
	}{
		{1, 3, 0, "stale"}, {2, 2, 0, "stale"}, {3, 3, 0, "empty"}, {2, 3, 1, "empty"}, {2, 3, 0, "ok"}, {2, 4, 0, "ok"}, {2, 3, 0, "stale"},
	} {
		if got := ask(c.gen, c.ver, c.seen); got != c.want {
			t.Errorf("generation %d, version %d, seen %d: %s, want %s", c.gen, c.ver, c.seen, got, c.want)
		}
	}
	// Another server took over with a full copy of the state: it does not have the mark.
	if err := rdb.Del(ctx, v.key("here")).Err(); err != nil {
		t.Fatal(err)
	}
	if got := ask(2, 4, 0); got != "empty" {
		t.Errorf("a copy: %s", got)
	}
	if got := restore(2); got != 1 {
		t.Errorf("restore of a copy under the same generation: %d", got)
	}
}
