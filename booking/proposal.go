package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// The states of a proposal.
const (
	ProposalOpen      = "open"
	ProposalConfirmed = "confirmed"
	ProposalChanged   = "changed"   // the person has changed or cancelled meanwhile
	ProposalLost      = "lost"      // it was not confirmed in time, and the places are gone
	ProposalWithdrawn = "withdrawn" // by the administrator, or because nobody is concerned any more
)

// proposalTime is how long places are kept for a proposal.
const proposalTime = 24 * time.Hour

// Proposal is what somebody would get whom a shortfall concerns.
type Proposal struct {
	ID, CentreID, ProductID string // where something is missing
	Day                     time.Time
	Cause                   string
	SeriesID, PersonID      string
	Doses                   []int
	OldSlots, Slots         []int64 // no Slots: nothing was found, the appointments stay
	Channel                 Channel
	Head                    *string
	Until                   *time.Time
	Place                   int
	State                   string
	OldStarts, Starts       []time.Time
	NewCentre               string // id; "" = none
	MadeAt                  time.Time
	SeenAt                  *time.Time // the person has seen that they were moved
}

const proposalColumns = `
	p.id::text, p.centre_id, p.product_id, p.day, p.cause, p.series_id::text, p.person_id::text, p.doses, p.old_slots, p.slots, p.channel, p.head::text, p.until, p.place, p.state,
	ARRAY(SELECT s.start_at FROM unnest(p.old_slots) WITH ORDINALITY AS u (id, n) JOIN booking.slot s ON s.id = u.id ORDER BY u.n),
	ARRAY(SELECT s.start_at FROM unnest(p.slots) WITH ORDINALITY AS u (id, n) JOIN booking.slot s ON s.id = u.id ORDER BY u.n),
	coalesce((SELECT s.centre_id FROM booking.slot s WHERE s.id = p.slots[1]), ''), p.made_at, p.seen_at
	FROM booking.proposal p WHERE `

func proposalsWhere(ctx context.Context, q pg.Querier, where string, args ...any) ([]Proposal, error) {
	rows, err := q.Query(ctx, `SELECT`+proposalColumns+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Proposal])
}

// Proposals returns the open proposals of a centre and product and those that
// ended within the last day, in the order of who is affected.
func (s *Service) Proposals(ctx context.Context, centreID, productID string) ([]Proposal, error) {
	return proposalsWhere(ctx, s.Pool, `p.centre_id = $1 AND p.product_id = $2 AND (p.state = 'open' OR p.state <> 'withdrawn' AND p.ended_at > $3) ORDER BY p.state <> 'open', p.place, p.id`,
		centreID, productID, s.Now().Add(-proposalTime))
}

// shortVisits reads the confirmed appointments to come of a centre and product,
// of people who are not there at this moment.
func shortVisits(ctx context.Context, q pg.Querier, centreID, productID string, now time.Time) ([]shortVisit, error) {
	rows, err := q.Query(ctx, `
		SELECT a.series_id::text, a.dose_number, a.day,
		       NOT EXISTS (SELECT FROM booking.appointment b WHERE b.series_id = a.series_id AND b.state = 'confirmed' AND b.start_at > $3 AND b.dose_number < a.dose_number),
		       EXISTS (SELECT FROM booking.appointment b WHERE b.person_id = a.person_id AND b.programme_id = a.programme_id AND b.state = 'done')
		       OR (SELECT min(b.dose_number) FROM booking.appointment b WHERE b.series_id = a.series_id) > 1,
		       s.confirmed_at
		FROM booking.appointment a JOIN booking.series s ON s.id = a.series_id
		WHERE a.centre_id = $1 AND a.product_id = $2 AND a.day >= $4 AND a.state = 'confirmed' AND a.start_at > $3 AND s.state = 'confirmed'
		  AND NOT EXISTS (SELECT FROM booking.appointment b WHERE b.series_id = a.series_id AND b.state = 'here')
		ORDER BY a.start_at, a.id`, centreID, productID, now, clock.Day(now))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[shortVisit])
}

// Propose finds out whom the open shortfalls of a centre and product concern and
// keeps other places for each of them, for a day. Open proposals that still hold
// are left as they are; those of people who are not concerned any more are
// withdrawn. p may be nil.
func (s *Service) Propose(ctx context.Context, centreID, productID string, by By, p *jobs.Progress) (err error) {
	defer func() { p.Finish(ctx, err) }()
	now := s.Now()
	all, err := Shortfalls(ctx, s.Pool)
	if err != nil {
		return err
	}
	short := slices.DeleteFunc(all, func(f Shortfall) bool { return f.CentreID != centreID || f.ProductID != productID })
	visits, err := shortVisits(ctx, s.Pool, centreID, productID, now)
	if err != nil {
		return err
	}
	list := affected(short, visits)
	p.Total(ctx, int64(len(list)))
	before, err := proposalsWhere(ctx, s.Pool, `p.centre_id = $1 AND p.product_id = $2 AND p.state = 'open'`, centreID, productID)
	if err != nil {
		return err
	}
	standing := map[string]bool{}
	for _, old := range before {
		i := slices.IndexFunc(list, func(c concerned) bool {
			return c.SeriesID == old.SeriesID && !slices.ContainsFunc(c.Doses, func(d int) bool { return !slices.Contains(old.Doses, d) })
		})
		if i >= 0 && len(old.Slots) > 0 && old.Until.After(now) {
			standing[old.SeriesID] = true
			continue
		}
		if err := s.endProposal(ctx, old.ID, ProposalWithdrawn, by); err != nil {
			return err
		}
	}
	for i, c := range list {
		if !standing[c.SeriesID] {
			if err := s.propose(ctx, centreID, productID, c, i+1, by); err != nil {
				return fmt.Errorf("proposal for series %s: %w", c.SeriesID, err)
			}
		}
		p.Step(ctx, int64(i+1), "")
	}
	return nil
}

// propose keeps places for one series, or notes that there are none.
func (s *Service) propose(ctx context.Context, centreID, productID string, c concerned, place int, by By) error {
	series, err := seriesByID(ctx, s.Pool, c.SeriesID)
	if err != nil {
		return err
	}
	options, err := s.moveOptions(ctx, *series, c.Doses)
	if err != nil {
		return err
	}
	options = append(options, moveOption{doses: c.Doses}) // nothing was found
	for _, o := range options {
		err := s.keep(ctx, *series, centreID, productID, c, place, o, by)
		if errors.Is(engineError(err), ErrSlotTaken) {
			continue
		}
		return err
	}
	return nil
}

// moveOption is a way to move doses of a series.
type moveOption struct {
	doses    []int
	slots    []int64
	legs     []int
	firstDay []time.Time
	channel  Channel
}

// mostOptions bounds how many places are tried for one person.
const mostOptions = 8

// moveOptions lists other times for doses of a series, best first: the own
// centre, then the nearest; the same product and the right distance always; next
// to the time that is lost. Who hears of it by post only gets none that the letter
// would not make.
func (s *Service) moveOptions(ctx context.Context, series Series, doses []int) ([]moveOption, error) {
	person, err := s.Citizens.Person(ctx, s.Pool, series.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	from, err := s.toldInTime(ctx, s.Pool, person)
	if err != nil {
		return nil, err
	}
	centres, err := centre.List(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	near := byDistance(centres, person.Address.Postcode)
	sort.SliceStable(near, func(a, b int) bool { return near[a].ID == series.CentreID && near[b].ID != series.CentreID })
	var open []Appointment
	for _, a := range series.Visits() {
		if a.State == StateConfirmed && a.Start.After(s.Now()) {
			open = append(open, a)
		}
	}
	whole := len(open) == len(series.Visits())
	for _, at := range near {
		var out []moveOption
		if len(doses) == 1 {
			if out, err = s.moveOne(ctx, series, doses[0], at.ID, from); err != nil {
				return nil, err
			}
		}
		if len(out) == 0 && whole && len(open) > 1 {
			if out, err = s.moveAll(ctx, series, open, at.ID, from); err != nil {
				return nil, err
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}

// toldInTime returns the first day to which a person can be moved who has not asked
// for it: today, or what the post takes (the lead of the hotline, whose papers go the
// same way) for whom neither e-mail nor SMS reaches.
func (s *Service) toldInTime(ctx context.Context, q pg.Querier, person citizen.Person) (time.Time, error) {
	today := clock.Day(s.Now())
	if !byPostOnly(s.Citizens.Recipient(person)) {
		return today, nil
	}
	var lead int
	err := q.QueryRow(ctx, `SELECT lead_days FROM booking.channel WHERE id = $1`, Hotline).Scan(&lead)
	return today.AddDate(0, 0, lead), err
}

// moveOne lists other times for one dose, from a day on.
func (s *Service) moveOne(ctx context.Context, series Series, dose int, centreID string, from time.Time) ([]moveOption, error) {
	i := slices.IndexFunc(series.Appointments, func(a Appointment) bool { return a.DoseNumber == dose && a.State == StateConfirmed })
	if i < 0 {
		return nil, nil
	}
	old := series.Appointments[i]
	times, err := s.MoveOffers(ctx, s.Pool, series, dose, centreID, series.Channel, from)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(times, func(a, b int) bool { return times[a].Start.Sub(old.Start).Abs() < times[b].Start.Sub(old.Start).Abs() })
	var out []moveOption
	for _, t := range times[:min(mostOptions, len(times))] {
		out = append(out, moveOption{doses: []int{dose}, slots: []int64{t.SlotID}, legs: []int{1}, firstDay: []time.Time{clock.Day(t.Start)}, channel: series.Channel})
	}
	return out, nil
}

// moveAll lists other times for all doses of a series of which none was given, from a
// day on.
func (s *Service) moveAll(ctx context.Context, series Series, open []Appointment, centreID string, from time.Time) ([]moveOption, error) {
	own, err := s.boundTo(ctx, s.Pool, series, series.ProductID)
	if err != nil {
		return nil, err
	}
	set, err := readSettings(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	days, err := s.offers(ctx, s.Pool, centreID, series.Channel, from, clock.Day(s.Now()).AddDate(0, 0, set.HorizonDays), []Entitlement{own})
	if err != nil {
		return nil, err
	}
	var choices []Choice
	for _, d := range days {
		for _, t := range d.First {
			if c, ok := d.Choice(t.SlotID); ok && len(c.Times) == len(open) {
				choices = append(choices, c)
			}
		}
	}
	start := open[0].Start
	sort.SliceStable(choices, func(a, b int) bool {
		return choices[a].Times[0].Start.Sub(start).Abs() < choices[b].Times[0].Start.Sub(start).Abs()
	})
	var out []moveOption
	for _, c := range choices[:min(mostOptions, len(choices))] {
		o := moveOption{slots: c.SlotIDs(), channel: series.Channel}
		for i, a := range open {
			o.doses, o.legs, o.firstDay = append(o.doses, a.DoseNumber), append(o.legs, i+1), append(o.firstDay, clock.Day(c.Times[0].Start))
		}
		out = append(out, o)
	}
	return out, nil
}

// keep stores a proposal with its places, or none of both. Somebody for whom one
// is open keeps that.
func (s *Service) keep(ctx context.Context, series Series, centreID, productID string, c concerned, place int, o moveOption, by By) error {
	now := s.Now()
	old := make([]int64, len(o.doses))
	for i, dose := range o.doses {
		for _, a := range series.Appointments {
			if a.DoseNumber == dose && a.State == StateConfirmed {
				old[i] = a.SlotID
			}
		}
	}
	proposalID := id.New()
	var head *string
	var until *time.Time
	if len(o.slots) > 0 {
		h, u := id.New(), now.Add(proposalTime)
		if start := series.Visits()[0].Start; u.After(start) && start.After(now) {
			u = start
		}
		head, until = &h, &u
	}
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		slots := o.slots
		if slots == nil {
			slots = []int64{}
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO booking.proposal (id, centre_id, product_id, day, cause, series_id, person_id, doses, old_slots, slots, channel, head, until, place, state, made_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'open', $15)`,
			proposalID, centreID, productID, c.Day, c.Cause, series.ID, series.PersonID, o.doses, old, slots, series.Channel, head, until, place, now); err != nil {
			return err
		}
		if head != nil {
			if _, err := tx.Exec(ctx, `SELECT booking.keep_places($1, $2, $3, $4, $5, $6, $7)`, now, *head, *until, o.slots, o.channel, o.legs, o.firstDay); err != nil {
				return err
			}
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by.Actor, Role: by.Role, Action: "booking.proposal", Subject: "series:" + series.ID,
			After: map[string]any{"proposal": proposalID, "cause": c.Cause, "day": c.Day.Format(time.DateOnly), "doses": o.doses, "slots": slots},
		})
	})
	if pg.Violates(err, "proposal_open") {
		return nil
	}
	return err
}

// endProposal ends an open proposal; its places are free at once. Ending twice is
// no error.
func (s *Service) endProposal(ctx context.Context, proposalID, state string, by By) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var head *string
		err := tx.QueryRow(ctx, `UPDATE booking.proposal SET state = $2, ended_at = $3 WHERE id = $1 AND state = 'open' RETURNING head::text`, proposalID, state, now).Scan(&head)
		if pg.NoRows(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "booking.proposal-ended", Subject: "proposal:" + proposalID, After: map[string]string{"state": state}}); err != nil {
			return err
		}
		if head == nil {
			return nil
		}
		_, err = tx.Exec(ctx, `SELECT booking.give_back(ARRAY[id], '{}') FROM (SELECT id FROM booking.returning WHERE id = $1 FOR UPDATE) h`, *head)
		return err
	})
}
