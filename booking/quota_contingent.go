package booking

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// Contingent is what a priority group has of a channel's days for itself until a
// moment: Places a day or Percent of the channel's day. What is free of it then
// is everybody's.
type Contingent struct {
	ID          int64
	CentreID    string // "" = every centre
	ProductID   string // "" = every product; places are divided as those of quotas
	Channel     Channel
	ProgrammeID string
	Group       string
	FromDay     time.Time // days of the first appointment, both included
	ToDay       time.Time
	Percent     int // one of the two
	Places      int
	Until       time.Time
}

// pot is the channel of the contingent's places.
func (c Contingent) pot() Channel { return groupPot(c.Channel, c.Group) }

func groupPot(ch Channel, group string) Channel { return ch + ":" + Channel(group) }

// Contingents returns what concerns a centre's days from a day on, its own and
// those of every centre ("" only these), by first day.
func Contingents(ctx context.Context, q pg.Querier, centreID string, from time.Time) ([]Contingent, error) {
	rows, err := q.Query(ctx, `
		SELECT id, centre_id, product_id, channel, programme_id, group_code, from_day, to_day, percent, places, until_at FROM booking.contingent
		WHERE centre_id IN ('', $1) AND to_day >= $2 ORDER BY from_day, id`, centreID, from)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Contingent])
}

// keep adds the contingents to a plan's input: those in force, and those that
// still have something taken or free.
func (v *planView) keep(productID string, now time.Time) {
	groups := map[Channel]int{}
	add := func(pot Channel) {
		if _, ok := groups[pot]; !ok && pot != pot.base() {
			if ch, ok := v.book.index[pot.base()]; ok {
				groups[pot] = len(v.input.Groups)
				v.input.Groups = append(v.input.Groups, planGroup{Channel: ch, Code: pot})
			}
		}
	}
	for _, c := range v.book.kept {
		add(c.pot())
	}
	for _, r := range v.rows {
		add(r.Channel)
	}
	if len(groups) == 0 {
		return
	}
	for i := range v.slots {
		kept, day := make([]planKept, len(groups)), v.day(i)
		for _, c := range v.book.kept {
			if day.Before(c.FromDay) || day.After(c.ToDay) || !now.Before(c.Until) || c.ProductID != "" && c.ProductID != productID {
				continue
			}
			places := c.Places
			if places > 0 && c.ProductID == "" {
				places = portion(places, v.book.weights(day), v.book.busy, productID)
			}
			k := &kept[groups[c.pot()]]
			k.Places += places
			k.Percent = min(100, k.Percent+c.Percent)
		}
		v.input.Kept = append(v.input.Kept, kept)
		v.input.GroupTaken = append(v.input.GroupTaken, make([]int, len(groups)))
	}
	for _, r := range v.rows {
		if g, ok := groups[r.Channel]; ok && r.Leg == 1 && v.index(r.Day) < len(v.slots) {
			v.input.GroupTaken[v.index(r.Day)][g] += r.Taken
		}
	}
}

// pot names the places of a channel or (group not everybody) of a contingent.
func (v *planView) pot(channel, group int) Channel {
	if group == everybody {
		return v.channels[channel].ID
	}
	return v.input.Groups[group].Code
}

// pots are the places that somebody may take over a channel: those of their
// group come first. ents say the group; contingents are for whole series, so who
// moves an appointment or needs the last dose takes what is everybody's.
func pots(ch Channel, ents []Entitlement) []string {
	if len(ents) == 0 || ents[0].Group == "" {
		return []string{string(ch)}
	}
	return []string{string(groupPot(ch, ents[0].Group)), string(ch)}
}

// AddContingent sets places aside for a group and returns the contingent's id.
// They come from what is free, with the next plan. ErrInvalid for what makes no
// sense, programme.ErrNotFound for an unknown group.
func (s *Service) AddContingent(ctx context.Context, c Contingent, by By) (contingentID int64, err error) {
	now := s.Now()
	c.FromDay, c.ToDay = clock.Day(c.FromDay), clock.Day(c.ToDay)
	channels, err := Channels(ctx, s.Pool)
	if err != nil {
		return 0, err
	}
	if i := slices.IndexFunc(channels, func(x ChannelRule) bool { return x.ID == c.Channel }); i < 0 || !channels[i].Bookable {
		return 0, fmt.Errorf("%w: channel %q", ErrInvalid, c.Channel)
	}
	if !c.Until.After(now) || c.ToDay.Before(clock.Day(now)) || strings.Contains(c.Group, ":") {
		return 0, fmt.Errorf("%w: a contingent that is over", ErrInvalid)
	}
	if _, err := programme.GroupByCode(ctx, s.Pool, c.ProgrammeID, c.Group, now, "de"); err != nil {
		return 0, err
	}
	err = s.changeContingents(ctx, c.CentreID, by, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO booking.contingent (centre_id, product_id, channel, programme_id, group_code, from_day, to_day, percent, places, until_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id`,
			c.CentreID, c.ProductID, c.Channel, c.ProgrammeID, c.Group, c.FromDay, c.ToDay, c.Percent, c.Places, c.Until).Scan(&contingentID)
		for _, name := range []string{"contingent_days", "contingent_size", "contingent_percent", "contingent_places"} {
			if pg.Violates(err, name) {
				err = fmt.Errorf("%w: %s", ErrInvalid, name)
			}
		}
		return err
	})
	return contingentID, err
}

// EndContingent ends a contingent now: what is free of it is everybody's with
// the next plan. ErrNotFound when there is none.
func (s *Service) EndContingent(ctx context.Context, contingentID int64, by By) error {
	var centreID string
	err := s.Pool.QueryRow(ctx, `SELECT centre_id FROM booking.contingent WHERE id = $1`, contingentID).Scan(&centreID)
	if pg.NoRows(err) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	return s.changeContingents(ctx, centreID, by, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM booking.contingent WHERE id = $1`, contingentID)
		if err == nil && tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return err
	})
}

func (s *Service) changeContingents(ctx context.Context, centreID string, by By, change func(tx pgx.Tx) error) error {
	return s.changeRules(ctx, centreID, "booking.contingents", by, func(tx pgx.Tx) (any, error) {
		all, err := Contingents(ctx, tx, centreID, clock.Day(s.Now()))
		return slices.DeleteFunc(all, func(c Contingent) bool { return c.CentreID != centreID }), err
	}, change)
}
