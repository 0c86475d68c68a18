package inventory

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestStillOut(t *testing.T) {
	t.Parallel()
	at := func(hour int) time.Time { return time.Date(2021, 1, 11, hour, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		moves []carried
		want  int // hour; 0 = now
	}{
		"nothing":                        {nil, 0},
		"only loaded":                    {[]carried{{-5, at(8)}}, 0},
		"came back":                      {[]carried{{-5, at(8)}, {2, at(8)}}, 8},
		"and went out again":             {[]carried{{-5, at(8)}, {2, at(8)}, {-2, at(8)}}, 0},
		"one of them":                    {[]carried{{-5, at(8)}, {2, at(8)}, {-1, at(8)}}, 8},
		"with others":                    {[]carried{{-5, at(8)}, {2, at(8)}, {-7, at(8)}}, 0},
		"of two trips, the longest":      {[]carried{{2, at(9)}, {3, at(7)}}, 7},
		"the longest went out again":     {[]carried{{2, at(9)}, {3, at(7)}, {-3, at(7)}}, 9},
		"and part of the others":         {[]carried{{2, at(9)}, {3, at(7)}, {-4, at(7)}}, 9},
		"loaded before others came back": {[]carried{{-3, at(7)}, {-4, at(8)}, {1, at(8)}}, 8},
	} {
		got := 0
		if since, late := stillOut(c.moves, at(5)); late != 0 {
			t.Errorf("%s: %d are late", name, late)
		} else if since != nil {
			got = since.Hour()
		}
		if got != c.want {
			t.Errorf("%s: since %d, want %d", name, got, c.want)
		}
	}
	if since, late := stillOut([]carried{{2, at(7)}, {3, at(9)}}, at(8)); late != 2 || since == nil || since.Hour() != 9 {
		t.Errorf("two of them stay: since %v, %d late", since, late)
	}
}

// TestReloadingABoxBeginsNoNewTwelveHours: vials that were put back and loaded again on
// the same day have been on the way since they left the refrigerator the first time.
func TestReloadingABoxBeginsNoNewTwelveHours(t *testing.T) {
	t.Parallel()
	b, leipzig, lot, _ := openingSetup(t)
	b.now = b.now.Add(-6 * time.Hour) // 8:00
	left := b.now
	team, other := TeamPlace("t1"), TeamPlace("t2")
	move := func(from, to Place, vials int) error {
		return b.try(func(tx pgx.Tx) error {
			return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: vials, Actor: "x", Why: "x", At: b.now})
		})
	}
	until := func(team Place, want time.Time) {
		t.Helper()
		if h := b.holding(team, lot); h.Carried == nil || !h.Carried.Equal(want) {
			t.Errorf("%s: until %v, want %v", team, h.Carried, want)
		}
	}
	must(t, move(leipzig, team, 3))
	b.now = left.Add(2 * time.Hour)
	must(t, move(team, leipzig, 3)) // all of it back
	b.now = left.Add(3 * time.Hour)
	must(t, move(leipzig, team, 2)) // the box is loaded anew
	until(team, left.Add(12*time.Hour))
	must(t, move(leipzig, other, 2)) // the third one is in another team's box now, perhaps
	until(other, left.Add(12*time.Hour))
	must(t, move(other, leipzig, 2))
	b.now = left.Add(4 * time.Hour)
	must(t, move(leipzig, other, 2))
	until(other, left.Add(12*time.Hour))
	// All that came back is out again: what is loaded now is fresh, in a box of its own.
	third := TeamPlace("t3")
	must(t, move(leipzig, third, 1))
	until(third, b.now.Add(12*time.Hour))
	// A correction of the way back leaves them as old as they are.
	must(t, move(team, leipzig, 2))
	must(t, b.correct(b.last(team).ID))
	until(team, left.Add(12*time.Hour))
	// After twelve hours nothing of it goes out again, neither from the box nor by way of the store.
	b.now = left.Add(12*time.Hour + time.Minute)
	if err := move(team, leipzig, 1); !errors.Is(err, ErrCarriedTooLong) {
		t.Errorf("back to the centre: %v", err)
	}
	must(t, move(team, Central, 2))
	if err := move(Central, third, 1); !errors.Is(err, ErrCarriedTooLong) {
		t.Errorf("loaded again on the same day: %v", err)
	}
	b.reconciled()
	// The next day is another trip.
	b.now = left.AddDate(0, 0, 1)
	must(t, move(leipzig, TeamPlace("t4"), 1))
	until(TeamPlace("t4"), b.now.Add(12*time.Hour))
}
