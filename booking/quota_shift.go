package booking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Shift is what an administrator moved by hand: Places of a product's day, from
// what From has to To.
type Shift struct {
	ID        int64
	CentreID  string
	ProductID string
	Day       time.Time
	From, To  Channel
	Places    int
	At        time.Time
	Actor     string
}

// Shifts returns the shifts of a centre for the days from a day on.
func Shifts(ctx context.Context, q pg.Querier, centreID string, from time.Time) ([]Shift, error) {
	rows, err := q.Query(ctx, `
		SELECT id, centre_id, product_id, day, from_channel, to_channel, places, at, actor FROM booking.shift
		WHERE centre_id = $1 AND day >= $2 ORDER BY day, id`, centreID, from)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Shift])
}

// NotFreeError refuses a shift of more places than are free.
type NotFreeError struct {
	Channel Channel
	Day     time.Time
	Free    int
}

func (e *NotFreeError) Error() string {
	return fmt.Sprintf("booking: %d places of %s are free on %s", e.Free, e.Channel, e.Day.Format(time.DateOnly))
}

// ErrReceiver: the channel cannot use places of that day any more, because of
// its lead or because it has released the day.
var ErrReceiver = errors.New("booking: the channel cannot use places of that day")

// MoveFree moves free places of a day from a channel to another. What is taken
// stays. ProductID "" divides them over the products by what is free. The places
// move before it returns, or with the next plan. *NotFreeError when fewer are
// free; ErrReceiver; ErrInvalid.
func (s *Service) MoveFree(ctx context.Context, sh Shift, by By) error {
	now := s.Now()
	sh.Day = clock.Day(sh.Day)
	var moved []Shift
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := lockQuotas(ctx, tx); err != nil {
			return err
		}
		channels, err := Channels(ctx, tx)
		if err != nil {
			return err
		}
		c, err := centre.Get(ctx, tx, sh.CentreID)
		if err != nil {
			return err
		}
		book, err := s.quotaBook(ctx, tx, c, channels, clock.Day(now))
		if err != nil {
			return err
		}
		_, fromOK := book.index[sh.From]
		to, toOK := book.index[sh.To]
		if !fromOK || !toOK || sh.From == sh.To || sh.Places < 1 || sh.Places > maxPlaces || sh.Day.Before(book.today) {
			return fmt.Errorf("%w: shift of %d places from %q to %q", ErrInvalid, sh.Places, sh.From, sh.To)
		}
		if flows := book.flows(sh.Day, now); flows != nil && flows[to] != to || daysBetween(book.today, sh.Day) < channels[to].LeadDays {
			return ErrReceiver
		}
		if moved, err = s.shift(ctx, tx, sh, now, by); err != nil {
			return err
		}
		return s.noteChange(ctx, tx, sh.CentreID, changeShift, "booking.shift", []Shift{}, moved, by, true)
	})
	if err != nil {
		return err
	}
	s.replanShifted(ctx, moved)
	return nil
}

// shift writes a shift, one row a product.
func (s *Service) shift(ctx context.Context, tx pgx.Tx, sh Shift, now time.Time, by By) ([]Shift, error) {
	products, free, err := freeOf(ctx, tx, sh, now)
	if err != nil {
		return nil, err
	}
	if sum(free) < sh.Places {
		return nil, &NotFreeError{sh.From, sh.Day, sum(free)}
	}
	var out []Shift
	for i, n := range apportion(sh.Places, free) {
		if n == 0 {
			continue
		}
		one := sh
		one.ProductID, one.Places, one.At, one.Actor = products[i], n, now, by.Actor
		err := tx.QueryRow(ctx, `
			INSERT INTO booking.shift (centre_id, product_id, day, from_channel, to_channel, places, at, actor)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
			one.CentreID, one.ProductID, one.Day, one.From, one.To, one.Places, now, by.Actor).Scan(&one.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// freeOf returns what From has free of the day, by product.
func freeOf(ctx context.Context, tx pgx.Tx, sh Shift, now time.Time) (products []string, free []int, err error) {
	rows, err := tx.Query(ctx, `
		SELECT s.product_id, sum(p.places - p.taken)::int FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
		WHERE s.centre_id = $1 AND s.day = $2 AND p.leg = 1 AND split_part(p.channel, ':', 1) = $3 AND ($4 = '' OR s.product_id = $4) AND s.start_at > $5
		GROUP BY 1 ORDER BY 1`, sh.CentreID, sh.Day, sh.From, sh.ProductID, now)
	if err != nil {
		return nil, nil, err
	}
	var product string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&product, &n}, func() error {
		products, free = append(products, product), append(free, n)
		return nil
	})
	return products, free, err
}

// unshift takes shifts back, as far as their receivers have them free.
func (s *Service) unshift(ctx context.Context, tx pgx.Tx, list []Shift, by By) error {
	now := s.Now()
	for _, sh := range list {
		if sh.Day.Before(clock.Day(now)) {
			continue
		}
		_, free, err := freeOf(ctx, tx, Shift{CentreID: sh.CentreID, ProductID: sh.ProductID, Day: sh.Day, From: sh.To}, now)
		if err != nil {
			return err
		}
		if sum(free) < sh.Places {
			return &NotFreeError{sh.To, sh.Day, sum(free)}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM booking.shift WHERE id = $1`, sh.ID); err != nil {
			return err
		}
	}
	return s.noteChange(ctx, tx, list[0].CentreID, changeShift, "booking.quota-undo", list, []Shift{}, by, false)
}

// replanShifted makes the plans of shifts at once; what fails is the worker's.
func (s *Service) replanShifted(ctx context.Context, list []Shift) {
	for _, sh := range list {
		if err := s.Replan(ctx, sh.CentreID, sh.ProductID); err != nil {
			s.Log.Error("plan after a shift", "centre", sh.CentreID, "product", sh.ProductID, "err", err)
		}
	}
}
