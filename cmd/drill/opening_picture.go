package main

import "fmt"

// picture is the day in panels over time.
func (o *opening) picture(day []second, faults []recovery) []byte {
	level := func(v float64) []float64 {
		out := make([]float64, len(day))
		for i := range out {
			out[i] = v
		}
		return out
	}
	title := "An opening day"
	if o.faults != nil {
		title += " on which things go wrong"
	}
	c := chart{
		title: title,
		subtitle: fmt.Sprintf("%s people, 40 %% of whom never come in; %d replicas; at most %s a minute and %s at once; a stay of 1 to 6 minutes takes %.0f to %.0f seconds",
			thousands(float64(o.n)), len(o.portal.upstreams), thousands(float64(o.rate)), thousands(float64(o.bound)), o.stay[0].Seconds(), o.stay[1].Seconds()),
		seconds: len(day), bands: phases(day, o.preQueue),
		panels: []panel{
			{"People who take a place, per second", []curve{
				{"places", colourPeople, area, column(day, func(s second) float64 { return s.joins })},
			}},
			{"People waiting", []curve{
				{"not yet invited", colourPeople, area, column(day, func(s second) float64 { return s.waiting })},
			}},
			{"People inside", []curve{
				{"inside", colourInside, area, column(day, func(s second) float64 { return s.inside })},
				{"active bound", colourLimit, dashed, level(float64(o.bound))},
			}},
			{"Admissions per second", []curve{
				{"admissions", colourIn, steps, column(day, func(s second) float64 { return s.admissions })},
				{"rate, on average", colourLimit, dashed, level(float64(o.rate) / 60)},
			}},
			{"Polls per second at the portal", []curve{
				{"polls", colourPolls, area, column(day, func(s second) float64 { return s.polls })},
				{"at most, by the advice in force", colourLimit, dashed, column(day, func(s second) float64 { return s.allowed })},
			}},
		},
	}
	for i, f := range faults {
		c.marks = append(c.marks, band{f.name, f.from.Seconds(), f.to.Seconds()})
		c.notes = append(c.notes, fmt.Sprintf("%d  %s; well again %.1f s after its end (%s)", i+1, f.name, f.took().Seconds(), f.happening))
	}
	return c.svg()
}
