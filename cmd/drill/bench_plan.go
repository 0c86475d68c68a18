package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/inventory"
)

const (
	planStations = 20     // of every centre
	planVials    = 12_000 // of the one vaccine at every centre: about what the stations can give in sixty days
	planHolds    = 40     // pairs a second while everything is planned anew
)

// benchPlan measures how long the places of all centres take: thirteen centres
// with twenty stations, sixty days ahead, from nothing and after a change of the
// doses per vial, and how long a booking waits meanwhile.
func benchPlan(ctx context.Context, r *Report, _ time.Duration) (err error) {
	p, err := startPortal(ctx, portalOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	by := inventory.By{Actor: "system", Role: "system"}
	if _, err := p.env.Pool.Exec(ctx, `UPDATE centre.centre SET stations = $1`, planStations); err != nil {
		return err
	}
	rows, err := p.env.Pool.Query(ctx, `SELECT id FROM centre.centre WHERE active ORDER BY id`)
	if err != nil {
		return err
	}
	centres, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	now := p.env.Now()
	for _, c := range centres {
		err := pg.InTx(ctx, p.env.Pool, func(tx pgx.Tx) error {
			d, err := p.Inventory.PlanDelivery(ctx, tx, inventory.NewDelivery{ProductID: "comirnaty", Place: inventory.CentrePlace(c), Day: now, Vials: planVials}, by)
			if err != nil {
				return err
			}
			return p.Inventory.ReceiveDelivery(ctx, tx, d, []inventory.ReceivedLot{{Number: "BENCH-" + id.New()[24:], Expiry: clock.Day(now).AddDate(0, 0, 180), Vials: planVials}}, by)
		})
		if err != nil {
			return fmt.Errorf("stock of %s: %w", c, err)
		}
	}
	if _, err := p.env.Pool.Exec(ctx, `TRUNCATE booking.place, booking.slot, booking.plan`); err != nil {
		return err
	}
	began := time.Now()
	if err := p.Booking.ReplanAll(ctx, "system", nil); err != nil {
		return err
	}
	fromNothing := time.Since(began)
	var slots, places, days int
	if err := p.env.Pool.QueryRow(ctx, `SELECT count(DISTINCT s.id), coalesce(sum(p.places), 0), count(DISTINCT s.day)
		FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id`).Scan(&slots, &places, &days); err != nil {
		return err
	}
	r.note("%d centres, %d stations each: %d places at %d times on %d days", len(centres), planStations, places, slots, days)
	r.add(Figure{Name: "booking.generate_s", Value: fromNothing.Seconds(), Unit: "s, all places from nothing"})
	r.promise(fromNothing < 5*time.Second, "the places of all centres took %v", fromNothing)

	// Again, with one dose less in every vial, while people book.
	pairs, err := pairSlots(ctx, p)
	if err != nil {
		return err
	}
	b := &benchPairs{p: p}
	if b.heads, err = bookers(ctx, p, planHolds*12); err != nil {
		return err
	}
	// What a booking takes without a plan, to tell the machine's own pauses apart.
	quiet, over := context.WithTimeout(ctx, 3*time.Second)
	defer over()
	if err := b.pacedUntil(quiet, pairs, planHolds); err != nil {
		return err
	}
	calm := slices.Max(b.holds)
	b.holds = nil
	if err := pg.InTx(ctx, p.env.Pool, func(tx pgx.Tx) error {
		return p.Inventory.SetDosesPerVial(ctx, tx, "comirnaty", now, 4, by)
	}); err != nil {
		return err
	}
	booked := make(chan error, 1)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { booked <- b.pacedUntil(stop, pairs, planHolds) }()
	began = time.Now()
	if err := p.Booking.ReplanAll(ctx, "system", nil); err != nil {
		return err
	}
	again := time.Since(began)
	cancel()
	if err := <-booked; err != nil {
		return err
	}
	r.add(Figure{Name: "booking.regenerate_s", Value: again.Seconds(), Unit: "s, after a rule change, while people book"})
	r.promise(again < 5*time.Second, "all places took %v to regenerate", again)
	if len(b.holds) == 0 {
		return errors.New("nobody booked while everything was planned anew")
	}
	longest := slices.Max(b.holds)
	r.note("%d pairs were held meanwhile; the longest wait was %v, without a plan %v", len(b.holds), longest.Round(time.Millisecond), calm.Round(time.Millisecond))
	r.add(Figure{Name: "booking.replan_wait_ms", Value: millis(longest), Unit: "ms, the longest a hold took meanwhile"})
	return nil
}
