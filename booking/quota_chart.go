package booking

import (
	"context"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// liveView is the part of the week's page that is renewed by itself: chart and
// table.
type liveView struct {
	Week
	Chart    quotaChart
	Today    time.Time
	MoreThan bool // something of these days has places
}

// quotaChart is the week as bars: one a day and channel, the used part solid, the
// free part hatched. Its units are those of the SVG's viewBox, which is as wide as
// a telephone.
type quotaChart struct {
	Height int
	Days   []chartDay
}

type chartDay struct {
	Y    int // base line of the day's name
	Day  time.Time
	Bars []chartBar
}

type chartBar struct {
	Y           int // upper edge
	Text        int // base line
	Channel     Channel
	Used, Width int // of the solid part; of both
	Taken       int
	Places      int
}

const (
	chartWidth = 360
	chartLeft  = 92
	chartRight = 296
	chartRow   = 18
)

// newLiveView draws the channels that have places, by day.
func newLiveView(c *web.Ctx, w Week) liveView {
	v := liveView{Week: w, Today: clock.Day(c.Now)}
	most := 0
	for _, d := range w.Days {
		for _, cell := range d.Cells {
			most = max(most, cell.Places)
		}
	}
	if v.MoreThan = most > 0; !v.MoreThan {
		return v
	}
	y := 0
	for _, d := range w.Days {
		y += 20
		day := chartDay{Y: y, Day: d.Day}
		y += 5
		for _, cell := range d.Cells {
			if cell.Places == 0 {
				continue
			}
			day.Bars = append(day.Bars, chartBar{
				Y: y, Text: y + 11, Channel: cell.Channel, Taken: cell.Taken, Places: cell.Places,
				Used: cell.Taken * (chartRight - chartLeft) / most, Width: cell.Places * (chartRight - chartLeft) / most,
			})
			y += chartRow
		}
		v.Chart.Days = append(v.Chart.Days, day)
	}
	v.Chart.Height = y + 4
	return v
}

// Free is the width of the outlined part.
func (b chartBar) Free() int { return b.Width - b.Used }

// FreeX is where it begins.
func (b chartBar) FreeX() int { return chartLeft + b.Used }

// Left is where bars begin.
func (chartBar) Left() int { return chartLeft }

// Right is where the figures stand.
func (chartBar) Right() int { return chartRight + 6 }

// Width is that of the viewBox.
func (quotaChart) Width() int { return chartWidth }

// liveFor is how long one reading of a week serves everybody who looks at it.
const liveFor = time.Second

type weekKey struct {
	centre string
	from   time.Time
}

type keptWeek struct {
	week Week
	at   time.Time
}

// liveWeek returns a week that was read within the last second: however many
// administrators look at it, the database is asked once a second at most.
func (s *Service) liveWeek(ctx context.Context, centreID string, from time.Time) (Week, error) {
	s.weeksLock.Lock()
	defer s.weeksLock.Unlock()
	key := weekKey{centreID, from}
	if k, ok := s.weeks[key]; ok && time.Since(k.at) < liveFor {
		return k.week, nil
	}
	week, err := s.Week(ctx, s.Pool, centreID, from)
	if err != nil {
		return week, err
	}
	if s.weeks == nil || len(s.weeks) > 100 {
		s.weeks = map[weekKey]keptWeek{}
	}
	s.weeks[key] = keptWeek{week, time.Now()}
	return week, nil
}
