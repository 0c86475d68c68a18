package booking

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/pg"
)

// Quota is what a channel may have of a centre's day: so many places, and so
// many percent of what the places of all channels leave.
type Quota struct {
	Percent int `json:"percent"`
	Places  int `json:"places"`
}

// Quotas are the quotas of a day by channel. The percentages add up to 100, so
// that every place is somebody's.
type Quotas map[Channel]Quota

// Shares are percent by channel; they add up to 100.
type Shares map[Channel]int

// Quotas are the same without fixed places.
func (sh Shares) Quotas() Quotas {
	if sh == nil {
		return nil
	}
	out := Quotas{}
	for ch, percent := range sh {
		out[ch] = Quota{Percent: percent}
	}
	return out
}

// maxPlaces bounds what can be set for one channel of a day.
const maxPlaces = 9999

func checkQuotas(channels []ChannelRule, quotas Quotas) error {
	total, known := 0, map[Channel]bool{}
	for _, c := range channels {
		known[c.ID] = true
	}
	for ch, q := range quotas {
		if !known[ch] || q.Percent < 0 || q.Percent > 100 || q.Places < 0 || q.Places > maxPlaces {
			return fmt.Errorf("%w: quota of channel %q", ErrInvalid, ch)
		}
		total += q.Percent
	}
	if total != 100 {
		return fmt.Errorf("%w: shares add up to %d percent", ErrInvalid, total)
	}
	return nil
}

// DayQuota is the exception of a day, for one product or (ProductID "") for
// every product; Quotas nil = there is none.
type DayQuota struct {
	Day       time.Time
	ProductID string
	Quotas    Quotas
}

// dayProduct names an exception.
type dayProduct struct {
	day     time.Time
	product string
}

// standingQuotas returns what a centre's days have where no exception is set:
// its own quotas, or (own false) the default of all centres, as centreID "" has it.
func standingQuotas(ctx context.Context, q pg.Querier, centreID string, channels []ChannelRule) (quotas Quotas, own bool, err error) {
	rows, err := q.Query(ctx, `SELECT channel, percent, places FROM booking.share WHERE centre_id = $1`, centreID)
	if err != nil {
		return nil, false, err
	}
	quotas = Quotas{}
	var (
		ch Channel
		x  Quota
	)
	if _, err := pgx.ForEachRow(rows, []any{&ch, &x.Percent, &x.Places}, func() error { quotas[ch] = x; return nil }); err != nil {
		return nil, false, err
	}
	if len(quotas) > 0 {
		return quotas, true, nil
	}
	for _, c := range channels {
		quotas[c.ID] = Quota{c.DefaultPercent, c.DefaultPlaces}
	}
	return quotas, false, nil
}

// exceptions returns the exceptions of a centre from a day on.
func exceptions(ctx context.Context, q pg.Querier, centreID string, from time.Time) (map[dayProduct]Quotas, error) {
	rows, err := q.Query(ctx, `SELECT day, product_id, channel, percent, places FROM booking.share_day WHERE centre_id = $1 AND day >= $2`, centreID, from)
	if err != nil {
		return nil, err
	}
	out := map[dayProduct]Quotas{}
	var (
		key dayProduct
		ch  Channel
		x   Quota
	)
	_, err = pgx.ForEachRow(rows, []any{&key.day, &key.product, &ch, &x.Percent, &x.Places}, func() error {
		if out[key] == nil {
			out[key] = Quotas{}
		}
		out[key][ch] = x
		return nil
	})
	return out, err
}

// quotaBook is all that the division of a centre's days follows from, as it was
// at one moment.
type quotaBook struct {
	centre     centre.Centre
	today      time.Time
	channels   []ChannelRule
	index      map[Channel]int // of channels
	standing   Quotas
	own        bool // standing is the centre's own, not the default
	exceptions map[dayProduct]Quotas
	releases   []ReleaseRule
	shifts     []Shift
	kept       []Contingent
	openings   openings
	lanes      []Lane
	busy       []string
}

// quotaBook reads the book of a centre for the days from today on.
func (s *Service) quotaBook(ctx context.Context, q pg.Querier, c centre.Centre, channels []ChannelRule, today time.Time) (*quotaBook, error) {
	b := &quotaBook{centre: c, today: today, channels: channels, index: map[Channel]int{}}
	for i, ch := range channels {
		b.index[ch.ID] = i
	}
	var err error
	if b.standing, b.own, err = standingQuotas(ctx, q, c.ID, channels); err != nil {
		return nil, err
	}
	if b.exceptions, err = exceptions(ctx, q, c.ID, today); err != nil {
		return nil, err
	}
	if b.releases, err = Releases(ctx, q, c.ID); err != nil {
		return nil, err
	}
	if b.shifts, err = Shifts(ctx, q, c.ID, today); err != nil {
		return nil, err
	}
	if b.kept, err = Contingents(ctx, q, c.ID, today); err != nil {
		return nil, err
	}
	if b.openings, err = Openings(ctx, q); err != nil {
		return nil, err
	}
	if b.lanes, err = Lanes(ctx, q, c.ID); err != nil {
		return nil, err
	}
	b.busy, err = s.busyProducts(ctx, q, c.ID, today)
	return b, err
}

// stations says how many stations work for a product on a day.
func (b *quotaBook) stations(day time.Time, productID string) int {
	return stationsFor(b.lanes, day, productID, b.busy, b.centre.Stations)
}

// quotas returns what holds on a day for a product: the exception for the
// product, the one for every product, or the standing quotas. Fixed places that
// are meant for every product are divided over them by their stations.
func (b *quotaBook) quotas(day time.Time, productID string) Quotas {
	if e := b.exceptions[dayProduct{day, productID}]; e != nil && productID != "" {
		return e
	}
	all := b.exceptions[dayProduct{day, ""}]
	if all == nil {
		all = b.standing
	}
	if productID == "" {
		return all
	}
	out := Quotas{}
	var weights []int
	for ch, x := range all {
		if x.Places > 0 {
			if weights == nil {
				weights = b.weights(day)
			}
			x.Places = portion(x.Places, weights, b.busy, productID)
		}
		out[ch] = x
	}
	return out
}

// weights are the stations of the busy products on a day.
func (b *quotaBook) weights(day time.Time) []int {
	weights := make([]int, len(b.busy))
	for i, p := range b.busy {
		weights[i] = b.stations(day, p)
	}
	return weights
}

// portion is the part of n that falls to one of the products.
func portion(n int, weights []int, products []string, productID string) int {
	for i, p := range products {
		if p == productID {
			return apportion(n, weights)[i]
		}
	}
	return 0
}

// divide adds the quotas of a product's days to a plan's input.
func (b *quotaBook) divide(in *planInput, productID string, from time.Time, days int, now time.Time) {
	for i := range days {
		day := from.AddDate(0, 0, i)
		quotas := b.quotas(day, productID)
		percent, places := make([]int, len(b.channels)), make([]int, len(b.channels))
		for n, ch := range b.channels {
			percent[n], places[n] = quotas[ch.ID].Percent, quotas[ch.ID].Places
		}
		for _, sh := range b.shifts {
			if sh.Day.Equal(day) && sh.ProductID == productID {
				in.Shifts = append(in.Shifts, planShift{i, b.index[sh.From], b.index[sh.To], sh.Places})
			}
		}
		in.Shares = append(in.Shares, percent)
		in.Places = append(in.Places, places)
		in.Flows = append(in.Flows, b.flows(day, now))
	}
}

// base is the channel of a place: contingents are places of their channel.
func (ch Channel) base() Channel {
	name, _, _ := strings.Cut(string(ch), ":")
	return Channel(name)
}
