package booking

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWhoIsAffected(t *testing.T) {
	t.Parallel()
	d := func(n int) time.Time { return day(2021, 1, 10+n) }
	at := func(n int) time.Time { return monday.Add(time.Duration(n) * time.Minute) }
	pairOf := func(id string, first, booked int) []shortVisit {
		return []shortVisit{
			{SeriesID: id, Dose: 1, Day: d(first), First: true, BookedAt: at(booked)},
			{SeriesID: id, Dose: 2, Day: d(first + 21), BookedAt: at(booked)},
		}
	}
	second := func(id string, on, booked int) []shortVisit {
		return []shortVisit{{SeriesID: id, Dose: 2, Day: d(on), First: true, Begun: true, BookedAt: at(booked)}}
	}
	all := func(lists ...[]shortVisit) (out []shortVisit) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	for _, c := range []struct {
		name   string
		short  []Shortfall
		visits []shortVisit
		want   string
	}{
		{"whoever booked last", []Shortfall{{Day: d(1), Cause: CauseStations, Missing: 1}}, all(pairOf("a", 1, 1), pairOf("b", 1, 3), pairOf("c", 1, 2)), "[b[1]]"},
		{"a begun series is protected", []Shortfall{{Day: d(1), Cause: CauseStations, Missing: 1}}, all(second("a", 1, 9), pairOf("b", 1, 3)), "[b[1]]"},
		{"then it is not", []Shortfall{{Day: d(1), Cause: CauseStations, Missing: 2}}, all(second("a", 1, 9), pairOf("b", 1, 3)), "[b[1] a[2]]"},
		{"not more than needed", []Shortfall{{Day: d(1), Cause: CauseStations, Missing: 5}}, all(pairOf("a", 1, 1)), "[a[1]]"},
		{"a later one of a pair goes after the first ones", []Shortfall{{Day: d(22), Cause: CauseStations, Missing: 1}}, all(pairOf("a", 1, 9), pairOf("b", 22, 1)), "[b[1]]"},
		{"a day that is closed", []Shortfall{{Day: d(22), Cause: CauseStations, Missing: 1}}, all(pairOf("a", 1, 9), pairOf("b", 1, 1)), "[a[2]]"},
		{"without vaccine the whole series moves", []Shortfall{{Day: d(1), Cause: CauseDoses, Missing: 1}}, all(pairOf("a", 1, 1), pairOf("b", 1, 2)), "[b[1 2]]"},
		{"people without a dose give way to second doses later", []Shortfall{{Day: d(5), Cause: CauseDoses, Missing: 1}}, all(second("a", 5, 9), pairOf("b", 2, 1)), "[b[1 2]]"},
		{"a freed second dose counts on its day", []Shortfall{{Day: d(1), Cause: CauseDoses, Missing: 1}, {Day: d(22), Cause: CauseDoses, Missing: 1}}, all(pairOf("a", 1, 1), pairOf("b", 1, 2)), "[b[1 2]]"},
		{"nobody later than the day", []Shortfall{{Day: d(1), Cause: CauseDoses, Missing: 1}}, all(pairOf("a", 2, 9), second("b", 1, 1)), "[b[2]]"},
	} {
		got := ""
		for i, x := range affected(c.short, c.visits) {
			if i > 0 {
				got += " "
			}
			got += fmt.Sprint(x.SeriesID, x.Doses)
		}
		if "["+got+"]" != c.want {
			t.Errorf("%s: [%s], want %s", c.name, got, c.want)
		}
	}
}

// Everything missing is covered when there are people enough; the order in which
// the appointments are listed does not matter.
func TestAffectedCoversWhatIsMissing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var visits []shortVisit
		for i := range rapid.IntRange(0, 12).Draw(rt, "people") {
			begun := rapid.Bool().Draw(rt, "begun")
			on := day(2021, 1, 11+rapid.IntRange(0, 4).Draw(rt, "day"))
			booked := monday.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "booked")) * time.Minute)
			id := fmt.Sprintf("s%02d", i)
			if begun {
				visits = append(visits, shortVisit{id, 2, on, true, true, booked})
			} else {
				visits = append(visits, shortVisit{id, 1, on, true, false, booked}, shortVisit{id, 2, on.AddDate(0, 0, 3), false, false, booked})
			}
		}
		short := []Shortfall{{Day: day(2021, 1, 11+rapid.IntRange(0, 6).Draw(rt, "short")), Cause: rapid.SampledFrom([]string{CauseDoses, CauseStations}).Draw(rt, "cause"), Missing: rapid.IntRange(1, 8).Draw(rt, "missing")}}
		list := affected(short, visits)
		chosen := map[string]bool{}
		for _, c := range list {
			for _, n := range c.Doses {
				chosen[fmt.Sprint(c.SeriesID, n)] = true
			}
		}
		covered, could, begunChosen, freshLeft := 0, 0, 0, 0
		for _, v := range visits {
			onDay := v.Day.Equal(short[0].Day)
			counts := onDay || short[0].Cause == CauseDoses && v.Day.Before(short[0].Day)
			in := chosen[fmt.Sprint(v.SeriesID, v.Dose)]
			if counts && in {
				covered++
			}
			if onDay || counts && !v.Begun {
				could++
				if v.Begun && in {
					begunChosen++
				}
				if !v.Begun && !in {
					freshLeft++
				}
			}
		}
		if covered < min(short[0].Missing, could) {
			rt.Errorf("%d covered of %d missing, %d could", covered, short[0].Missing, could)
		}
		if begunChosen > 0 && freshLeft > 0 {
			rt.Errorf("%d who have begun are chosen while %d others are left", begunChosen, freshLeft)
		}
		shuffled := rapid.Permutation(visits).Draw(rt, "order")
		if again := affected(short, shuffled); !reflect.DeepEqual(again, list) {
			rt.Errorf("%v, in another order %v", list, again)
		}
	})
}
