package waitingroom

import (
	"fmt"
	"math"
	"strings"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// The charts of a room's page are drawn here as numbers; the template makes
// SVG of them. Every chart has one scale, a few lines that differ by their
// stroke and not by colour alone, and the table beneath has the same figures.

// The drawing's units: a width that is readable on a telephone as it is.
const (
	chartWidth, chartHeight = 360.0, 190.0
	plotLeft, plotRight     = 56.0, 352.0
	plotTop, plotBottom     = 12.0, 158.0
)

// chart is one drawing.
type chart struct {
	ID, Title, Text string // Text says the same in a sentence
	Lines           []chartLine
	YTicks, XTicks  []chartTick
}

// chartLine is one series. Style names its stroke: "main", "second", "third",
// "limit", "band".
type chartLine struct{ Style, Label, Path string }

// chartTick is a mark on an axis.
type chartTick struct {
	Pos   float64
	Label string
}

// Width and the others are for the template.
func (chart) Width() float64  { return chartWidth }
func (chart) Height() float64 { return chartHeight }
func (chart) Left() float64   { return plotLeft }
func (chart) Right() float64  { return plotRight }
func (chart) Top() float64    { return plotTop }
func (chart) Bottom() float64 { return plotBottom }

// series is a figure by minute.
type series struct {
	style, label string
	value        func(m Minute) (float64, bool)
	low          func(m Minute) float64 // of a band
}

// charts draws the minutes of the time before now; nothing when there are fewer
// than two.
func charts(c *web.Ctx, minutes []Minute, now time.Time, span time.Duration) []chart {
	if len(minutes) < 2 {
		return nil
	}
	whole := func(get func(m Minute) int64) func(Minute) (float64, bool) {
		return func(m Minute) (float64, bool) { return float64(get(m)), true }
	}
	// What happened in a minute is known when it is over.
	during := func(get func(m Minute) int64) func(Minute) (float64, bool) {
		return func(m Minute) (float64, bool) { return float64(get(m)), !m.At.Add(time.Minute).After(now) }
	}
	last := minutes[len(minutes)-1]
	num := func(n int64) string { return web.FormatNumber(c.Lang, n) }
	var joins, let, most int64
	for _, m := range minutes {
		joins, let, most = joins+m.Joins, let+m.Admissions, max(most, m.Waiting)
	}
	estimate := c.T("waitingroom.wait.unknown")
	switch {
	case last.WaitLow > 0 && last.WaitHigh == 0:
		estimate = c.T("waitingroom.wait.least", "Low", duration(c.T, last.WaitLow))
	case last.WaitLow > 0 && last.WaitLow == last.WaitHigh:
		estimate = c.T("waitingroom.wait.one", "Low", duration(c.T, last.WaitLow))
	case last.WaitLow > 0:
		estimate = c.T("waitingroom.wait.range", "Low", duration(c.T, last.WaitLow), "High", duration(c.T, last.WaitHigh))
	}
	return []chart{
		drawChart(c, "waiting", c.T("waitingroom.chart.waiting.text", "Last", num(last.Waiting), "Most", num(most)), minutes, now, span,
			series{style: "main", label: "waiting", value: whole(func(m Minute) int64 { return m.Waiting })}),
		drawChart(c, "flow", c.T("waitingroom.chart.flow.text", "Joins", num(joins), "Let", num(let)), minutes, now, span,
			series{style: "main", label: "admissions", value: during(func(m Minute) int64 { return m.Admissions })},
			series{style: "second", label: "joins", value: during(func(m Minute) int64 { return m.Joins })},
			series{style: "third", label: "no_shows", value: during(func(m Minute) int64 { return m.NoShows })}),
		drawChart(c, "inside", c.T("waitingroom.chart.inside.text", "Last", num(last.Inside), "Bound", num(int64(last.Bound))), minutes, now, span,
			series{style: "main", label: "inside", value: whole(func(m Minute) int64 { return m.Inside })},
			series{style: "limit", label: "bound", value: whole(func(m Minute) int64 { return int64(m.Bound) })}),
		drawChart(c, "estimate", c.T("waitingroom.chart.estimate.text", "Wait", estimate), minutes, now, span,
			series{
				style: "band", label: "range",
				value: func(m Minute) (float64, bool) { return float64(max(m.WaitHigh, m.WaitLow)), m.WaitLow > 0 },
				low:   func(m Minute) float64 { return float64(m.WaitLow) },
			}),
	}
}

func drawChart(c *web.Ctx, id, text string, minutes []Minute, now time.Time, span time.Duration, all ...series) chart {
	ch := chart{ID: id, Title: c.T("waitingroom.chart." + id), Text: text}
	top := 0.0
	for _, s := range all {
		for _, m := range minutes {
			if v, ok := s.value(m); ok {
				top = max(top, v)
			}
		}
	}
	top = niceTop(top)
	x := func(t time.Time) float64 {
		return round1(plotRight - (plotRight-plotLeft)*float64(now.Sub(t))/float64(span))
	}
	y := func(v float64) float64 { return round1(plotBottom - (plotBottom-plotTop)*v/top) }
	for i := range 3 {
		v := top * float64(i) / 2
		ch.YTicks = append(ch.YTicks, chartTick{y(v), web.FormatNumber(c.Lang, int64(v))})
	}
	every := 15 * time.Minute
	if span > 2*time.Hour {
		every = span / 6
	}
	for t := now.Truncate(every); now.Sub(t) < span; t = t.Add(-every) {
		if p := x(t); p > plotLeft+12 && p < plotRight-10 { // a label needs its room
			ch.XTicks = append(ch.XTicks, chartTick{p, t.In(clock.Berlin).Format("15:04")})
		}
	}
	for _, s := range all {
		ch.Lines = append(ch.Lines, chartLine{s.style, c.T("waitingroom.chart.line." + s.label), path(minutes, s, x, y, now)})
	}
	return ch
}

// path joins the points of a series; where minutes are missing it breaks off.
func path(minutes []Minute, s series, x func(time.Time) float64, y func(float64) float64, now time.Time) string {
	var b strings.Builder
	var run []Minute
	flush := func() {
		for i, m := range run {
			v, _ := s.value(m)
			fmt.Fprintf(&b, "%s%g %g", map[bool]string{true: "M", false: "L"}[i == 0], x(end(m, now)), y(v))
		}
		if s.low != nil && len(run) > 0 {
			for i := len(run) - 1; i >= 0; i-- {
				fmt.Fprintf(&b, "L%g %g", x(end(run[i], now)), y(s.low(run[i])))
			}
			b.WriteString("Z")
		}
		run = run[:0]
	}
	for _, m := range minutes {
		_, ok := s.value(m)
		if !ok || len(run) > 0 && m.At.Sub(run[len(run)-1].At) > 3*time.Minute {
			flush()
		}
		if ok {
			run = append(run, m)
		}
	}
	flush()
	return b.String()
}

// end is when a minute's figures were taken; the present one is not over.
func end(m Minute, now time.Time) time.Time {
	if t := m.At.Add(time.Minute); t.Before(now) {
		return t
	}
	return now
}

func round1(v float64) float64 { return math.Round(v*10) / 10 }

// niceTop is a scale's end that is easy to halve and not below v.
func niceTop(v float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{2, 4, 6, 8, 10} {
			if n*unit >= v {
				return n * unit
			}
		}
	}
}
