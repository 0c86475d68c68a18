package booking

import (
	"cmp"
	"slices"
	"time"
)

// This file decides whom a shortfall concerns; proposal.go finds other times for
// them. The rule, in the order in which people are chosen until what is missing
// is covered, soonest day first:
//
//  1. those who have had no dose yet go before those who have: a begun series is
//     finished first. Of a pair, the first appointment goes before the later one;
//  2. whoever booked last goes first.
//
// Where doses are missing, people without a dose whose appointment lies before
// the day count as well (their dose would be there on the day), after those of
// the day itself. Whoever is at the centre already is never concerned.

// shortVisit is a confirmed appointment to come of a centre and product.
type shortVisit struct {
	SeriesID string
	Dose     int
	Day      time.Time
	First    bool // the first appointment of its series that is to come
	Begun    bool // the person has had a dose
	BookedAt time.Time
}

// concerned is a series that has to move appointments.
type concerned struct {
	SeriesID string
	Doses    []int // ascending
	Day      time.Time
	Cause    string
}

// affected chooses whose appointments go until every shortfall is covered, or
// nobody is left. short is sorted by day.
func affected(short []Shortfall, visits []shortVisit) []concerned {
	var out []concerned
	index := map[string]int{}
	has := func(v shortVisit) bool {
		i, ok := index[v.SeriesID]
		return ok && slices.Contains(out[i].Doses, v.Dose)
	}
	choose := func(v shortVisit, f Shortfall) {
		i, ok := index[v.SeriesID]
		if !ok {
			i = len(out)
			index[v.SeriesID] = i
			out = append(out, concerned{SeriesID: v.SeriesID, Day: f.Day, Cause: f.Cause})
		}
		if !slices.Contains(out[i].Doses, v.Dose) {
			out[i].Doses = append(out[i].Doses, v.Dose)
			slices.Sort(out[i].Doses)
		}
	}
	doses := 0 // missing on all days so far
	for _, f := range short {
		var list []shortVisit
		class := func(v shortVisit) int {
			switch {
			case v.Begun:
				return 3
			case f.Cause == CauseDoses && !v.Day.Equal(f.Day):
				return 2
			case !v.First:
				return 1
			}
			return 0
		}
		for _, v := range visits {
			onDay := v.Day.Equal(f.Day)
			if onDay || f.Cause == CauseDoses && v.Day.Before(f.Day) && !v.Begun {
				list = append(list, v)
			}
		}
		slices.SortStableFunc(list, func(a, b shortVisit) int {
			return cmp.Or(class(a)-class(b), b.BookedAt.Compare(a.BookedAt), cmp.Compare(b.SeriesID, a.SeriesID), a.Dose-b.Dose)
		})
		covered := func() int {
			n := 0
			for _, v := range visits {
				if has(v) && (v.Day.Equal(f.Day) || f.Cause == CauseDoses && v.Day.Before(f.Day)) {
					n++
				}
			}
			return n
		}
		missing := f.Missing
		if f.Cause == CauseDoses {
			doses += f.Missing
			missing = doses
		}
		for _, v := range list {
			if covered() >= missing {
				break
			}
			if has(v) {
				continue
			}
			choose(v, f)
			if f.Cause == CauseDoses && !v.Begun { // without the first dose there is no second: the whole series moves
				for _, w := range visits {
					if w.SeriesID == v.SeriesID {
						choose(w, f)
					}
				}
			}
		}
	}
	return out
}
