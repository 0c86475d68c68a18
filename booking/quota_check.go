package booking

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Conflict is a day on which a change would leave a channel less than it has
// taken.
type Conflict struct {
	CentreID  string
	Centre    string // its name
	ProductID string
	Day       time.Time
	Channel   Channel
	Taken     int // first appointments
	Places    int // that the change would leave
}

// BelowTakenError refuses a change that would leave a channel less than it has
// taken.
type BelowTakenError struct{ Conflicts []Conflict } // by centre and day; never empty

func (e *BelowTakenError) Error() string {
	c := e.Conflicts[0]
	return fmt.Sprintf("booking: %s at %s on %s has taken %d, the change leaves %d (%d conflicts)",
		c.Channel, c.CentreID, c.Day.Format(time.DateOnly), c.Taken, c.Places, len(e.Conflicts))
}

// refuseBelowTaken holds a change against what is taken, at a centre or ("")
// at all. change makes it in a book and says whether it concerns that centre.
func (s *Service) refuseBelowTaken(ctx context.Context, q pg.Querier, centreID string, channels []ChannelRule, change func(b *quotaBook) bool) error {
	list, err := s.conflicts(ctx, q, centreID, channels, change)
	if err != nil || len(list) == 0 {
		return err
	}
	return &BelowTakenError{list}
}

func (s *Service) conflicts(ctx context.Context, q pg.Querier, centreID string, channels []ChannelRule, change func(b *quotaBook) bool) ([]Conflict, error) {
	centres, err := centre.All(ctx, q)
	if err != nil {
		return nil, err
	}
	set, err := readSettings(ctx, q)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	known := false
	var out []Conflict
	for _, c := range centres {
		if centreID != "" && c.ID != centreID {
			continue
		}
		known = true
		before, err := s.quotaBook(ctx, q, c, channels, clock.Day(now))
		if err != nil {
			return nil, err
		}
		after := *before
		if !change(&after) {
			continue
		}
		days, err := takenDays(ctx, q, c.ID, before, now)
		if err != nil {
			return nil, err
		}
		for _, d := range days {
			d.Open = before.openings.percent(d.Day, now, set.HorizonDays)
			out = append(out, d.conflicts(before, &after, now)...)
		}
	}
	if !known && centreID != "" {
		return nil, centre.ErrNotFound
	}
	return out, nil
}

// takenDay is what a product's day has, by channel with its contingents.
type takenDay struct {
	Day       time.Time
	ProductID string
	Free      int
	Taken     []int
	Open      int // percent of the day's places that Free and Taken are of
}

// takenDays counts first appointments of the days from today on, by day and product.
func takenDays(ctx context.Context, q pg.Querier, centreID string, b *quotaBook, now time.Time) ([]takenDay, error) {
	rows, err := q.Query(ctx, `
		SELECT p.first_day, s.product_id, p.channel,
		       coalesce(sum(p.places - p.taken) FILTER (WHERE s.start_at > $3), 0)::int, sum(p.taken)::int
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE s.centre_id = $1 AND s.start_at >= $2 AND p.leg = 1
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, centreID, clock.At(b.today, 0, 0), now)
	if err != nil {
		return nil, err
	}
	var out []takenDay
	var (
		at          dayProduct
		ch          Channel
		free, taken int
	)
	_, err = pgx.ForEachRow(rows, []any{&at.day, &at.product, &ch, &free, &taken}, func() error {
		if n := len(out); n == 0 || !out[n-1].Day.Equal(at.day) || out[n-1].ProductID != at.product {
			out = append(out, takenDay{Day: at.day, ProductID: at.product, Taken: make([]int, len(b.channels))})
		}
		d := &out[len(out)-1]
		d.Free += free
		if i, ok := b.index[ch.base()]; ok {
			d.Taken[i] += taken
		}
		return nil
	})
	return out, err
}

// conflicts compares what the day's channels would have before and after a
// change. A channel that loses, and then has less than it has taken, is a
// conflict. Channels that cannot book the day any more do not count: what they
// have taken stays, and they get nothing new.
func (d takenDay) conflicts(before, after *quotaBook, now time.Time) []Conflict {
	was, is := d.goals(before, now), d.goals(after, now)
	var out []Conflict
	for i, p := range is {
		if p.Limit != 0 && p.Places < p.Taken && p.Places < was[i].Places {
			out = append(out, Conflict{
				CentreID: after.centre.ID, Centre: after.centre.Name, ProductID: d.ProductID, Day: d.Day,
				Channel: after.channels[i].ID, Taken: p.Taken, Places: p.Places,
			})
		}
	}
	return out
}

// dayUnknown stands for the places of a day that is not open: more than anybody
// has taken. Only what is fixed in places can be below that.
const dayUnknown = 1 << 20

// goals are what the channels of the day would have if nothing were taken, as
// Places of their pots.
func (d takenDay) goals(b *quotaBook, now time.Time) []pot {
	in := planInput{}
	for _, ch := range b.channels {
		in.Channels = append(in.Channels, planChannel{Lead: ch.LeadDays})
	}
	b.divide(&in, d.ProductID, d.Day, 1, now)
	pots := in.pots(0, d.Taken)
	for _, s := range in.Shifts {
		pots[in.receiver(0, s.From)].Places -= s.N
		pots[in.receiver(0, s.To)].Places += s.N
	}
	total := d.Free
	for i, ch := range b.channels {
		pots[i].Limit = -1
		if in.receiver(0, i) != i || daysBetween(b.today, d.Day) < ch.LeadDays {
			pots[i].Limit = 0
			continue
		}
		total += pots[i].Taken
	}
	switch {
	case d.Open == 0:
		total = dayUnknown
	case d.Open < 100:
		total = total * 100 / d.Open
	}
	for i, n := range goals(total, pots) {
		pots[i].Places = n
	}
	return pots
}
