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
	tick, claim, join := withClock(t, tickLua), withClock(t, claimLua), withClock(t, joinLua)
	rapid.Check(t, func(t *rapid.T) {
		if err := rdb.FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		v := &view{id: "test"}
		now := int64(1_610_000_000_000_000)
		l := NewLine()
		l.Gaps = drawGaps(t)
		l.Issued = lastOf(l.Gaps) + rapid.Int64Range(0, 100).Draw(t, "issued")
		l.Invite, l.Door = Bucket{1 << 42, now}, Bucket{1 << 42, now}
		valve := Valve{
			Open: true, Rate: rapid.Int64Range(1, 300).Draw(t, "rate"), Bound: rapid.Int64Range(1, 30).Draw(t, "bound"),
			Grace: 30 * time.Second, Pass: 2 * time.Minute,
		}
		err := rdb.HSet(ctx, v.key("s"), "gen", 1, "ver", 1, "issued", l.Issued, "serving", 0, "ceil", 1<<40, "out", 0, "adm", 0,
			"it", l.Invite.Tokens, "ia", now, "dt", l.Door.Tokens, "da", now, "gaps", formatGaps(l.Gaps)).Err()
		if err != nil {
			t.Fatal(err)
		}
		args := func(more ...any) []any {
			open := 0
			if valve.Open {
				open = 1
			}
			return append([]any{1, 1, now, 0, open, valve.Rate, valve.Bound, valve.Grace.Microseconds()}, more...)
		}
		check := func(serving, inside, invited int64) {
			t.Helper()
			if serving != l.Serving || inside != int64(len(l.Inside)) || invited != l.invited() {
				t.Fatalf("Redis: serving %d, inside %d, invited %d; rules: %d, %d, %d", serving, inside, invited, l.Serving, len(l.Inside), l.invited())
			}
		}
		seq := 0
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) { now += rapid.Int64Range(-3_000_000, 70_000_000).Draw(t, "us") },
			"valve": func(t *rapid.T) {
				valve.Open = rapid.Bool().Draw(t, "open")
				valve.Rate = rapid.Int64Range(1, 300).Draw(t, "rate")
				valve.Bound = rapid.Int64Range(1, 30).Draw(t, "bound")
			},
			"join": func(t *rapid.T) {
				n := rapid.Int64Range(1, 40).Draw(t, "n")
				want := l.Join(n)
				seq++
				for range rapid.IntRange(1, 3).Draw(t, "times sent") { // a command may arrive again
					got, err := join.Run(ctx, rdb, []string{v.key("s"), v.key("j:replica")}, 1, 1, now, 0, seq, n).Slice()
					if err != nil || word(got, 0) != "ok" || num(got, 1) != want {
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
				check(num(got, 2), num(got, 3), num(got, 4))
			},
			"claim": func(t *rapid.T) {
				i := rapid.Int64Range(max(1, l.Serving-40), l.Serving+20).Draw(t, "index")
				want := l.Claim(now, valve, i)
				p := Place{Room: "test", Epoch: 1, Index: i}
				got, err := claim.Run(ctx, rdb, append(v.lineKeys(), v.usedKey(1)), args(i, p.member(), valve.Pass.Microseconds(), 1000)...).Slice()
				if err != nil {
					t.Fatal(err)
				}
				if Verdict(word(got, 0)) != want {
					t.Fatalf("claim %d: Redis says %v, the rules say %s", i, got, want)
				}
				if want == Admitted && num(got, 1) != l.Inside[i] {
					t.Fatalf("pass until %d, want %d", num(got, 1), l.Inside[i])
				}
			},
			"release": func(t *rapid.T) {
				for i := range l.Inside {
					l.Release(i)
					if err := rdb.ZRem(ctx, v.key("act"), Place{Room: "test", Epoch: 1, Index: i}.member()).Err(); err != nil {
						t.Fatal(err)
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
		got, err := tickScript.Run(ctx, rdb, v.lineKeys(), gen, ver, 0, seen, 1, 60, 10, 1000).Slice()
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
		n, err := restoreScript.Run(ctx, rdb, append(v.lineKeys(), v.usedKey(1)), gen, 3, 0, 10, 100, 5, "", 1, 0, "1.0.4", 1<<51).Int64()
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
		{1, 3, 0, "stale"}, {2, 2, 0, "stale"}, {3, 3, 0, "empty"}, {2, 3, 11, "empty"}, {2, 3, 10, "ok"}, {2, 4, 10, "ok"}, {2, 3, 10, "stale"},
	} {
		if got := ask(c.gen, c.ver, c.seen); got != c.want {
			t.Errorf("generation %d, version %d, seen %d: %s, want %s", c.gen, c.ver, c.seen, got, c.want)
		}
	}
}
