package booking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/booking/listdraw"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/notify"
	"impfportal/programme"
)

// OfferRules say how long people have to answer an offer, and how many are asked
// in turn before a place is free for everybody.
type OfferRules struct {
	Hours, Rounds int
}

func readOfferRules(ctx context.Context, q pg.Querier) (r OfferRules, err error) {
	err = q.QueryRow(ctx, `SELECT offer_hours, offer_rounds FROM booking.setting`).Scan(&r.Hours, &r.Rounds)
	return r, err
}

// SetOfferRules changes them. ErrInvalid when one is out of its limits (hours 1
// to 72, rounds 1 to 20).
func (s *Service) SetOfferRules(ctx context.Context, r OfferRules, by By) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		before, err := readOfferRules(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE booking.setting SET offer_hours = $1, offer_rounds = $2`, r.Hours, r.Rounds)
		if pg.Violates(err, "setting_offer_hours") || pg.Violates(err, "setting_offer_rounds") {
			return fmt.Errorf("%w: %+v", ErrInvalid, r)
		}
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, s.Now(), audit.Entry{Actor: by.Actor, Role: by.Role, Action: "booking.offer-rules", Subject: "booking", Before: before, After: r})
	})
}

// head is a whole series of returning places.
type head struct {
	ID        string
	Origin    string // the same for all who are asked for these places
	Round     int    // how many have been asked
	CentreID  string
	ProductID string
	Programme string
	Channel   Channel
	Starts    []time.Time // by leg
	Since     time.Time
	Due       time.Time
}

// wholeHeads reads what returns and is a whole series of one channel and first
// day, and may still be offered to somebody, oldest first.
func wholeHeads(ctx context.Context, q pg.Querier, now time.Time, rounds int) ([]head, error) {
	rows, err := q.Query(ctx, `
		SELECT r.id::text, coalesce(o.origin, r.id)::text, coalesce(o.round, 0), h.centre_id, h.product_id, m.programme_id, h.channel, h.starts, r.since, r.due_at
		FROM booking.returning r
		JOIN LATERAL (
			SELECT min(s.centre_id) AS centre_id, min(s.product_id) AS product_id, min(p.channel) AS channel, array_agg(s.start_at ORDER BY p.leg) AS starts
			FROM booking.returning_place p JOIN booking.slot s ON s.id = p.slot_id WHERE p.returning_id = r.id
			HAVING min(p.leg) = 1 AND max(p.leg) = count(*) AND count(DISTINCT p.leg) = count(*) AND count(DISTINCT (p.channel, p.first_day, s.centre_id, s.product_id)) = 1
			   AND min(p.first_day) = min(s.day) AND min(s.start_at) > $1) h ON true
		JOIN programme.product m ON m.id = h.product_id
		LEFT JOIN booking.waiting_offer o ON o.series_id = r.series_id AND o.answer IS DISTINCT FROM 'accepted'
		WHERE NOT r.kept AND r.due_at > $1 AND coalesce(o.round, 0) < $2
		ORDER BY r.since, r.id LIMIT 500`, now, rounds)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[head])
}

// waitingList are those who can be asked for places of these centres, by
// programme and channel.
func waitingList(ctx context.Context, q pg.Querier, centres []string) (map[listKey][]Waiting, error) {
	list, err := waitingWhere(ctx, q, `state = 'waiting' AND centres && $1
		AND NOT EXISTS (SELECT FROM booking.series s WHERE s.person_id = waiting.person_id AND s.programme_id = waiting.programme_id AND s.state IN ('held', 'confirmed'))
		AND `+oneLot, centres)
	out := map[listKey][]Waiting{}
	for _, w := range list {
		k := listKey{w.ProgrammeID, w.Channel}
		out[k] = append(out[k], w)
	}
	return out, err
}

type listKey struct {
	programme string
	channel   Channel
}

// OfferPlaces offers what returns to the people on the waiting list: each whole
// series of places to the first in order whose wishes it meets. It returns how
// many offers were made. At night nobody is asked: what somebody would like
// waits until the morning.
func (s *Service) OfferPlaces(ctx context.Context) (made int, err error) {
	now := s.Now()
	rules, err := readOfferRules(ctx, s.Pool)
	if err != nil {
		return 0, err
	}
	heads, err := wholeHeads(ctx, s.Pool, now, rules.Rounds)
	if err != nil || len(heads) == 0 {
		return 0, err
	}
	var centres []string
	for _, h := range heads {
		centres = append(centres, h.CentreID)
	}
	lists, err := waitingList(ctx, s.Pool, sorted(centres))
	if err != nil || len(lists) == 0 {
		return 0, err
	}
	key, err := s.drawKey(ctx, now)
	if err != nil {
		return 0, err
	}
	asked := map[string]bool{}
	for _, h := range heads {
		list := lists[listKey{h.Programme, h.Channel.base()}]
		if len(list) == 0 {
			continue
		}
		ranks, err := s.openRanks(ctx, h.Programme, now)
		if err != nil {
			return made, err
		}
		var fit []Waiting
		for _, w := range list {
			if !asked[w.ID] && w.mayTake(h.Channel) && w.Match(h.CentreID, h.Starts[0], now) {
				fit = append(fit, w)
			}
		}
		fit, people := candidates(fit, ranks, key)
		if len(fit) == 0 {
			continue
		}
		if !asking(now) {
			if err := s.keepUntilMorning(ctx, h, nextAsking(now), rules.Hours); err != nil {
				return made, err
			}
			continue
		}
		who, err := s.offerTo(ctx, h, fit, people, rules, now)
		if err != nil {
			return made, err
		}
		if who != "" {
			asked[who] = true
			made++
		}
	}
	return made, nil
}

// openRanks are the ranks of the groups of a programme whose turn it is today.
func (s *Service) openRanks(ctx context.Context, programmeID string, now time.Time) (map[string]int, error) {
	groups, err := programme.GroupsOn(ctx, s.Pool, programmeID, now, "de")
	if err != nil {
		return nil, err
	}
	ranks := map[string]int{}
	for _, g := range groups {
		if g.Open {
			ranks[g.Code] = g.Rank
		}
	}
	return ranks, nil
}

// keepUntilMorning moves the time at which places are free for everybody to the
// same while after people may be asked again, when there is time to answer then.
func (s *Service) keepUntilMorning(ctx context.Context, h head, next time.Time, hours int) error {
	if _, ok := answerUntil(next, h.Starts[0], hours, MeansMessage); !ok {
		return nil
	}
	_, err := s.Pool.Exec(ctx, `UPDATE booking.returning SET due_at = $2 WHERE id = $1 AND due_at < $3`, h.ID, next.Add(h.Due.Sub(h.Since)), next)
	return err
}

// turn is whose turn it is for some places.
type turn struct {
	head
	people []listdraw.Person // who could be asked
	before []listdraw.Passed // who stood in front and was not
}

// store writes down who could be asked, for those who recompute the draw.
func (t turn) store(ctx context.Context, tx pgx.Tx, offerID, origin string, round int, at time.Time, asked string) error {
	ids, ranks := make([]string, len(t.people)), make([]int, len(t.people))
	for i, x := range t.people {
		ids[i], ranks[i] = x.ID, x.Rank
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO booking.waiting_asked (offer_id, day, origin, round, made_at, person_id, people, ranks, passed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		offerID, clock.Day(at), origin, round, at, asked, ids, ranks, t.before)
	return err
}

// offerTo offers places to the first of the list who may have them, and returns
// whose entry it was; "" when nobody's.
func (s *Service) offerTo(ctx context.Context, h head, list []Waiting, people []listdraw.Person, rules OfferRules, now time.Time) (string, error) {
	at := turn{head: h, people: people, before: []listdraw.Passed{}}
	for _, w := range list {
		why, err := s.tryOffer(ctx, at, w, rules, now)
		switch {
		case err != nil:
			return "", fmt.Errorf("offer %s: %w", h.ID, err)
		case why == "":
			return w.ID, nil
		case why == "gone":
			return "", nil
		}
		at.before = append(at.before, listdraw.Passed{ID: w.PersonID, Why: why})
	}
	return "", nil
}

// tryOffer makes the offer, or says why not.
func (s *Service) tryOffer(ctx context.Context, h turn, w Waiting, rules OfferRules, now time.Time) (why string, err error) {
	person, err := s.Citizens.Person(ctx, s.Pool, w.PersonID)
	if errors.Is(err, citizen.ErrNotFound) {
		return "registration ended", nil
	}
	if err != nil {
		return "", err
	}
	if person.GroupCode != w.GroupCode { // changed since: the next round counts with it
		_, err := s.Pool.Exec(ctx, `UPDATE booking.waiting SET group_code = $2 WHERE id = $1`, w.ID, person.GroupCode)
		return "group changed", err
	}
	ents, err := s.entitlements(ctx, s.Pool, person)
	if errors.Is(err, ErrNotEligible) {
		return "not eligible", nil
	}
	if err != nil {
		return "", err
	}
	ent := h.entitled(ents)
	if ent == nil {
		return "not eligible", nil
	}
	to := s.Citizens.Recipient(person)
	means := meansOf(person, to)
	until, ok := answerUntil(now, h.Starts[0], rules.Hours, means)
	if means == "" || !ok {
		return "no time to answer", nil
	}
	o := waitingOffer{
		ID: id.New(), WaitingID: w.ID, PersonID: w.PersonID, SeriesID: id.New(), Origin: h.Origin, Round: h.Round + 1, Means: means, MadeAt: now, Until: until,
	}
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		why = "" // may run again
		return s.makeOffer(ctx, tx, h, o, *ent, person, to, &why)
	})
	switch err = citizen.LockError(err); {
	case errors.Is(err, citizen.ErrNotFound):
		return "registration ended", nil
	case errors.Is(engineError(err), ErrAlreadyBooked), pg.Violates(err, "waiting_offer_open"):
		return "has appointments", nil
	}
	return why, err
}

// entitled returns which of the entitlements the places are a series for.
func (h head) entitled(ents []Entitlement) *Entitlement {
	for i, e := range ents {
		if e.ProductID != h.ProductID || e.Legs != len(h.Starts) || clock.Day(h.Starts[0]).Before(e.NotBefore) {
			continue
		}
		for n := 1; n < len(h.Starts); n++ {
			if d := daysBetween(clock.Day(h.Starts[n-1]), clock.Day(h.Starts[n])); d < e.MinDays || d > e.MaxDays {
				return nil
			}
		}
		return &ents[i]
	}
	return nil
}

// makeOffer takes the places for the person and tells them, all in one
// transaction. why is set when it cannot be.
func (s *Service) makeOffer(ctx context.Context, tx pgx.Tx, h turn, o waitingOffer, ent Entitlement, p citizen.Person, to notify.Recipient, why *string) error {
	batch := &pgx.Batch{}
	// Series, registration, entry: whoever answers another offer locks in that order too.
	batch.Queue(`SELECT FROM booking.series WHERE person_id = $1 AND programme_id = $2 AND state IN ('held', 'confirmed') FOR UPDATE`, p.ID, p.ProgrammeID)
	citizen.LockForBooking(batch, p.ID)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	// The entry may have changed since it was read, and nobody is asked twice for
	// the same places.
	list, err := waitingWhere(ctx, tx, `id = $1 AND state = 'waiting'
		AND NOT EXISTS (SELECT FROM booking.waiting_offer o WHERE o.origin = $2 AND o.person_id = waiting.person_id) FOR UPDATE`, o.WaitingID, h.Origin)
	if err != nil {
		return err
	}
	if len(list) == 0 || !list[0].Match(h.CentreID, h.Starts[0], o.MadeAt) {
		*why = "asked before, or changed"
		return nil
	}
	appointments := make([]string, len(h.Starts))
	for i := range appointments {
		appointments[i] = id.New()
	}
	var mine bool
	if err := tx.QueryRow(ctx, `SELECT booking.hold_returning($1, $2, $3, $4, $5, $6, 'system', 'system', $7, $8, $9)`,
		o.MadeAt, h.ID, o.SeriesID, p.ID, p.ProgrammeID, newReference(), o.Until, ent.FirstDose, appointments).Scan(&mine); err != nil {
		return err
	}
	if !mine {
		*why = "gone"
		return nil
	}
	token, hash := newOfferToken()
	if _, err := tx.Exec(ctx, `
		INSERT INTO booking.waiting_offer (id, waiting_id, person_id, series_id, origin, round, token, phone, means, made_at, until)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		o.ID, o.WaitingID, o.PersonID, o.SeriesID, o.Origin, o.Round, hash, s.phoneOf(p), o.Means, o.MadeAt, o.Until); err != nil {
		return err
	}
	if err := s.tellOffer(ctx, tx, o, p, to, token); err != nil {
		return err
	}
	if err := h.store(ctx, tx, o.ID, o.Origin, o.Round, o.MadeAt, o.PersonID); err != nil {
		return err
	}
	return audit.Write(ctx, tx, o.MadeAt, audit.Entry{
		Actor: "system", Role: "system", Action: "booking.offer", Subject: "waiting:" + o.WaitingID,
		After: map[string]any{
			"series": o.SeriesID, "origin": o.Origin, "round": o.Round, "until": o.Until, "means": o.Means,
			"draw": clock.Day(o.MadeAt).Format(time.DateOnly), "order": len(h.before) + 1, "of": len(h.people),
		},
	})
}
