package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// entry is one side of a movement: what a place gets, or gives away (negative).
type entry struct {
	place        Place
	vials, doses int
}

// line is an entry as it is written: of one portion.
type line struct {
	place        Place
	thawed       *time.Time // day; nil = frozen, or not noted
	vials, doses int
}

// movement is what post writes.
type movement struct {
	kind     string
	lotID    string
	at       time.Time
	actor    string
	why      string
	ref      string
	corrects string
	vial     string  // of gain and waste: the opening of the vial
	pick     Portion // which vials leave a place; "" = those that run out first
	openedAt *time.Time
	loadedAt *time.Time // since when the vials that come into a box were in one
	entries  []entry
	lines    []line // instead of entries: every portion is known
}

// post writes a movement with its entries and the balances that follow from
// them in one statement. ErrNotEnough when a place that holds stock, or a portion
// of it, would fall below zero.
func (s *Service) post(ctx context.Context, tx pgx.Tx, m movement) (movementID string, err error) {
	if err := s.complete(ctx, tx, &m); err != nil {
		return "", err
	}
	var (
		places       []string
		thawed       []*time.Time
		vials, doses []int
	)
	for _, l := range m.lines {
		if l.vials == 0 && l.doses == 0 {
			continue
		}
		places, thawed = append(places, string(l.place)), append(thawed, l.thawed)
		vials, doses = append(vials, l.vials), append(doses, l.doses)
	}
	movementID = id.New()
	var missing int
	// A row that falls is updated, because CHECK looks at the proposed row of
	// an upsert before the conflict; one that only rises may be new. A row that
	// should fall and is not there counts as missing.
	err = tx.QueryRow(ctx, `
		WITH m AS (
			INSERT INTO inventory.movement (id, lot_id, kind, at, recorded_at, actor, why, ref, corrects, vial, carried_since)
			SELECT $1, $2, $3, $4, $5, $6, $7, nullif($8, ''), nullif($9, '')::uuid, nullif($10, '')::uuid,
			       CASE WHEN EXISTS (SELECT FROM unnest($11::text[], $13::int[]) AS u (place, vials) WHERE u.place LIKE 'team:%' AND u.vials <> 0) THEN $16::timestamptz END
		), e AS (
			INSERT INTO inventory.entry (movement_id, lot_id, place, thawed_on, vials, doses)
			SELECT $1, $2, u.place, u.thawed_on, u.vials, u.doses
			FROM unnest($11::text[], $12::date[], $13::int[], $14::int[]) AS u (place, thawed_on, vials, doses)
			RETURNING place, thawed_on, vials, doses
		), d AS (
			SELECT place, sum(vials)::int AS vials, sum(doses)::int AS doses, coalesce(sum(vials) FILTER (WHERE thawed_on IS NOT NULL), 0)::int AS thawed
			FROM e WHERE inventory.is_stock(place) GROUP BY place
		), down AS (
			SELECT *, vials < 0 OR doses < 0 OR thawed < 0 OR vials < thawed AS falls FROM d
		), fall AS (
			UPDATE inventory.balance b SET vials = b.vials + d.vials, doses = b.doses + d.doses, thawed = b.thawed + d.thawed,
				opened_at = CASE WHEN b.doses + d.doses = 0 THEN NULL WHEN d.doses > 0 THEN least(b.opened_at, $15) ELSE b.opened_at END,
				carried_since = CASE WHEN b.vials + d.vials <= 0 THEN NULL WHEN d.vials > 0 AND d.place LIKE 'team:%' THEN least(b.carried_since, $16) ELSE b.carried_since END
			FROM down d WHERE b.place = d.place AND b.lot_id = $2 AND d.falls
			RETURNING 1
		), rise AS (
			INSERT INTO inventory.balance AS b (place, lot_id, vials, doses, thawed, opened_at, carried_since)
			SELECT place, $2, vials, doses, thawed, CASE WHEN doses > 0 THEN $15::timestamptz END,
			       CASE WHEN vials > 0 AND place LIKE 'team:%' THEN $16::timestamptz END FROM down WHERE NOT falls
			ON CONFLICT (place, lot_id) DO UPDATE SET vials = b.vials + excluded.vials, doses = b.doses + excluded.doses,
				thawed = b.thawed + excluded.thawed, opened_at = least(b.opened_at, excluded.opened_at),
				carried_since = least(b.carried_since, excluded.carried_since)
		), p AS (
			SELECT place, thawed_on, vials FROM e WHERE thawed_on IS NOT NULL AND vials <> 0 AND inventory.is_stock(place)
		), pfall AS (
			UPDATE inventory.portion b SET vials = b.vials + p.vials
			FROM p WHERE b.place = p.place AND b.lot_id = $2 AND b.thawed_on = p.thawed_on AND p.vials < 0
			RETURNING 1
		), prise AS (
			INSERT INTO inventory.portion AS b (place, lot_id, thawed_on, vials)
			SELECT place, $2, thawed_on, vials FROM p WHERE vials > 0
			ON CONFLICT (place, lot_id, thawed_on) DO UPDATE SET vials = b.vials + excluded.vials
		)
		SELECT (SELECT count(*) FROM down WHERE falls) - (SELECT count(*) FROM fall)
		     + (SELECT count(*) FROM p WHERE vials < 0) - (SELECT count(*) FROM pfall)`,
		movementID, m.lotID, m.kind, m.at.UTC(), s.now(), m.actor, m.why, m.ref, m.corrects, m.vial, places, thawed, vials, doses, m.openedAt, m.loadedAt).Scan(&missing)
	switch {
	case pg.Violates(err, "balance_not_negative"), pg.Violates(err, "balance_thawed"), pg.Violates(err, "portion_not_negative"), pg.Violates(err, "portion_balance"):
		return "", ErrNotEnough
	case pg.Violates(err, "thawed_in_time"):
		return "", ErrThawedTooLong
	case pg.Violates(err, "movement_given_once"):
		return "", ErrAlreadyGiven
	case pg.Violates(err, "movement_corrected_once"):
		return "", ErrAlreadyCorrected
	case pg.Violates(err, "entry_place"):
		return "", fmt.Errorf("%w: place", ErrInvalid)
	case err != nil:
		return "", fmt.Errorf("post %s: %w", m.kind, err)
	case missing != 0:
		return "", ErrNotEnough
	}
	return movementID, nil
}

// complete makes the lines of a movement from its entries: vials that leave a
// place are those of the portions that run out first, and arrive as what they
// are. Balances that more than one row of is touched are locked, in their order:
// two transfers in opposite directions would wait for each other.
func (s *Service) complete(ctx context.Context, tx pgx.Tx, m *movement) error {
	var (
		held []string
		from Place // where vials or open doses leave
		box  Place // of a team, into which vials come
		n    int   // vials that leave
		lock bool
	)
	for _, l := range m.lines {
		m.entries = append(m.entries, entry{l.place, l.vials, l.doses})
		lock = lock || l.thawed != nil
	}
	for _, e := range m.entries {
		if !e.place.Holds() {
			continue
		}
		held = append(held, string(e.place))
		if e.vials > 0 && e.place.TeamID() != "" {
			box = e.place
		}
		if e.vials < 0 {
			from, n, lock = e.place, -e.vials, true
		} else if e.doses < 0 {
			from = e.place
		}
	}
	thawed := 0
	if lock || len(held) > 1 {
		opened := m.openedAt
		rows, err := tx.Query(ctx, `
			SELECT b.place, b.thawed, b.opened_at, b.carried_since, coalesce(inventory.carried_until(l.product_id, b.carried_since) < $3, false)
			FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
			WHERE b.lot_id = $1 AND b.place = ANY($2) ORDER BY b.place FOR UPDATE OF b`, m.lotID, held, m.at)
		if err != nil {
			return fmt.Errorf("lock balances: %w", err)
		}
		var (
			place Place
			t     int
			at    *time.Time
			since *time.Time
			late  bool
		)
		if _, err := pgx.ForEachRow(rows, []any{&place, &t, &at, &since, &late}, func() error {
			if place == box && late && m.sendsOn() {
				return ErrCarriedTooLong // what comes would be as old as what is there
			}
			if place == from {
				thawed = t
				if late && n > 0 && m.sendsOn() {
					return ErrCarriedTooLong
				}
				if m.loadedAt == nil {
					m.loadedAt = since // from one box to another the time goes on
				}
				if opened == nil {
					opened = at // open doses keep the age of their vial
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("lock balances: %w", err)
		}
		m.openedAt = opened
		if box != "" && m.loadedAt == nil {
			if m.loadedAt, err = outToday(ctx, tx, from, m.lotID, n, m.at); err != nil {
				return err
			}
		}
	}
	if m.kind == "open" {
		m.openedAt = &m.at
	}
	if m.loadedAt == nil {
		m.loadedAt = &m.at
	}
	if m.lines != nil {
		return nil
	}
	if n == 0 || (thawed == 0 && (m.pick == "" || m.pick == Frozen)) {
		for _, e := range m.entries {
			m.lines = append(m.lines, line{e.place, nil, e.vials, e.doses})
		}
		return nil
	}
	parts, err := s.choose(ctx, tx, m, from, n)
	if err != nil {
		return err
	}
	for _, e := range m.entries {
		m.lines = append(m.lines, spread(e, parts, n)...)
	}
	return nil
}

// sendsOn reports whether the vials of the movement are opened or go on to where
// somebody is vaccinated: then they must still be good.
func (m *movement) sendsOn() bool {
	if m.kind != "open" && m.kind != "transfer" {
		return false
	}
	for _, e := range m.entries {
		if e.place == Central && e.vials > 0 {
			return false
		}
	}
	return true
}

// part is how many vials of a portion move.
type part struct {
	thawed *time.Time
	vials  int
}

// choose takes n vials from the portions of a lot at a place, whose balance is
// locked. What is opened or sent on must still be good on the day of the
// movement; what goes back or is thrown away begins with what is past.
func (s *Service) choose(ctx context.Context, tx pgx.Tx, m *movement, from Place, n int) ([]part, error) {
	good := m.sendsOn()
	rows, err := tx.Query(ctx, `
		SELECT thawed_on, vials, use_by < $3 FROM inventory.held WHERE place = $1 AND lot_id = $2 ORDER BY use_by, thawed_on NULLS LAST`,
		from, m.lotID, clock.Day(m.at))
	if err != nil {
		return nil, err
	}
	var (
		out  []part
		t    *time.Time
		has  int
		past bool
		over int // vials that would have done but are past their day
		left = n
	)
	_, err = pgx.ForEachRow(rows, []any{&t, &has, &past}, func() error {
		if left == 0 || !m.pick.is(t) {
			return nil
		}
		if past && good && t != nil {
			over += has
			return nil
		}
		k := min(left, has)
		left -= k
		out = append(out, part{t, k})
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case left > 0 && left <= over:
		return nil, ErrThawedTooLong
	case left > 0:
		return nil, ErrNotEnough
	}
	return out, nil
}

// spread divides an entry among the portions that move. Its doses, which have no
// portion, stand in the first.
func spread(e entry, parts []part, n int) []line {
	if e.vials != n && e.vials != -n {
		return []line{{e.place, nil, e.vials, e.doses}}
	}
	sign := 1
	if e.vials < 0 {
		sign = -1
	}
	out := make([]line, 0, len(parts))
	for i, p := range parts {
		l := line{e.place, p.thawed, sign * p.vials, 0}
		if i == 0 {
			l.doses = e.doses
		}
		out = append(out, l)
	}
	return out
}
