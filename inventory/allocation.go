package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/programme"
)

// Method says by what vials are shared out.
type Method string

// The methods of an allocation plan.
const (
	ByShares     Method = "fixed"      // fixed weights of centres and teams
	ByPopulation Method = "population" // people in the areas of the active centres
	ByHand       Method = "hand"       // somebody types each number
)

// ErrStale: what was shown is no longer so.
var ErrStale = errors.New("inventory: the stock has changed since it was shown")

// Share is the weight of a place in a plan.
type Share struct {
	Place  Place `json:"place"`
	Weight int   `json:"weight"`
}

// AllocationPlan says how the central store's vials of a product are shared out
// (Verteilplan).
type AllocationPlan struct {
	ProductID string  `json:"product_id"`
	Method    Method  `json:"method"`
	Automatic bool    `json:"automatic"` // as soon as a delivery has come; not by hand
	Shares    []Share `json:"shares"`    // those that get something; they count for ByShares and stay for it under another method
}

// Plan returns the allocation plan of a product; by hand when none is set.
func Plan(ctx context.Context, q pg.Querier, productID string) (AllocationPlan, error) {
	p := AllocationPlan{ProductID: productID, Method: ByHand}
	err := q.QueryRow(ctx, `SELECT method, automatic FROM inventory.allocation WHERE product_id = $1`, productID).Scan(&p.Method, &p.Automatic)
	if pg.NoRows(err) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	rows, err := q.Query(ctx, `SELECT place, weight FROM inventory.allocation_share WHERE product_id = $1 ORDER BY place`, productID)
	if err != nil {
		return p, err
	}
	p.Shares, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Share])
	return p, err
}

// SetPlan sets the allocation plan of a product. Under another method than fixed shares
// those that are stored stay, when p has none (nil). Planned deliveries count for the
// centres by an automatic plan from now on, so all are told. ErrInvalid,
// ErrNotFound for a place that is not there.
func (s *Service) SetPlan(ctx context.Context, tx pgx.Tx, p AllocationPlan, by By) error {
	if _, err := programme.ProductByID(ctx, tx, p.ProductID); err != nil {
		return missing("product", err)
	}
	if !slices.Contains([]Method{ByShares, ByPopulation, ByHand}, p.Method) || (p.Automatic && p.Method == ByHand) || (p.Method == ByShares && len(p.Shares) == 0) {
		return fmt.Errorf("%w: allocation plan", ErrInvalid)
	}
	before, err := Plan(ctx, tx, p.ProductID)
	if err != nil {
		return err
	}
	if p.Shares == nil {
		p.Shares = before.Shares
	} else if err := s.knownPlaces(ctx, tx, p.Shares); err != nil {
		return err
	}
	now := s.now()
	if _, err := tx.Exec(ctx, `
		INSERT INTO inventory.allocation (product_id, method, automatic, set_by, set_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (product_id) DO UPDATE SET method = excluded.method, automatic = excluded.automatic, set_by = excluded.set_by, set_at = excluded.set_at`,
		p.ProductID, p.Method, p.Automatic, by.Actor, now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM inventory.allocation_share WHERE product_id = $1`, p.ProductID); err != nil {
		return err
	}
	for _, sh := range p.Shares {
		_, err := tx.Exec(ctx, `INSERT INTO inventory.allocation_share (product_id, place, weight) VALUES ($1, $2, $3)`, p.ProductID, sh.Place, sh.Weight)
		if pg.IsUnique(err) || pg.Violates(err, "allocation_weight") || pg.Violates(err, "allocation_place") {
			return fmt.Errorf("%w: share of %s", ErrInvalid, sh.Place)
		}
		if err != nil {
			return err
		}
	}
	if before.Automatic || p.Automatic {
		if err := s.allCentres(ctx, tx, p.ProductID); err != nil {
			return err
		}
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.allocation-plan", Subject: "product:" + p.ProductID, Before: before, After: p,
	})
}

// knownPlaces refuses shares of places that are not there.
func (s *Service) knownPlaces(ctx context.Context, q pg.Querier, shares []Share) error {
	var teams map[string]string
	for _, sh := range shares {
		switch {
		case sh.Place.CentreID() != "":
			if _, err := centre.Get(ctx, q, sh.Place.CentreID()); err != nil {
				return missing("centre", err)
			}
		case sh.Place.TeamID() != "":
			if teams == nil && s.TeamNames != nil {
				var err error
				if teams, err = s.TeamNames(ctx, q); err != nil {
					return err
				}
			}
			if _, ok := teams[sh.Place.TeamID()]; !ok && s.TeamNames != nil {
				return fmt.Errorf("%w: team", ErrNotFound)
			}
		default:
			return fmt.Errorf("%w: place", ErrInvalid)
		}
	}
	return nil
}

// allCentres tells every active centre that its plan may have changed.
func (s *Service) allCentres(ctx context.Context, tx pgx.Tx, productID string) error {
	centres, err := centre.List(ctx, tx)
	if err != nil {
		return err
	}
	for _, c := range centres {
		if err := s.changed(ctx, tx, productID, CentrePlace(c.ID)); err != nil {
			return err
		}
	}
	return nil
}

// weights are the shares by which a plan divides now: of active centres and teams.
func weights(ctx context.Context, q pg.Querier, p AllocationPlan) ([]Share, error) {
	if p.Method == ByHand {
		return nil, nil
	}
	centres, err := centre.List(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []Share
	if p.Method == ByPopulation {
		people, err := Population(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, c := range centres {
			out = append(out, Share{CentrePlace(c.ID), people[c.ID]})
		}
		return out, nil
	}
	for _, sh := range p.Shares {
		if id := sh.Place.CentreID(); id == "" || slices.ContainsFunc(centres, func(c centre.Centre) bool { return c.ID == id }) {
			out = append(out, sh)
		}
	}
	return out, nil
}

// apportion divides n vials by weights with the largest remainder (Hare-Niemeyer):
// whole vials, their sum is n unless nobody has a weight. Of equal remainders the
// first gets it.
func apportion(n int, weights []int) []int {
	parts := make([]int, len(weights))
	total := 0
	for _, w := range weights {
		total += w
	}
	if n <= 0 || total <= 0 {
		return parts
	}
	order := make([]int, len(weights))
	left := n
	for i, w := range weights {
		order[i] = i
		parts[i] = n * w / total
		left -= parts[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return n*weights[b]%total - n*weights[a]%total })
	for _, i := range order[:left] {
		parts[i]++
	}
	return parts
}

// fill gives each place its vials out of the lots: every place gets of every lot
// as evenly as it goes. The result is [place][lot]; the lots hold at least the sum.
func fill(lots, want []int) [][]int {
	need := append([]int(nil), want...)
	parts := make([][]int, len(want))
	for p := range parts {
		parts[p] = make([]int, len(lots))
	}
	for i, v := range lots {
		sum := 0
		for _, n := range need {
			sum += n
		}
		for p, n := range apportion(min(v, sum), need) {
			parts[p][i] = n
			need[p] -= n
		}
	}
	return parts
}

// Amount is how many vials a place gets.
type Amount struct {
	Place Place `json:"place"`
	Vials int   `json:"vials"`
}

// Preview is what an allocation would do.
type Preview struct {
	ProductID string   `json:"product_id"`
	Central   int      `json:"central"` // vials in the central store that may be sent out
	Amounts   []Amount `json:"amounts"`
	Left      int      `json:"left"` // that stay in the central store
}

// PreviewAllocation divides the central store's vials of a product by its plan;
// keep stay. By hand nobody gets anything yet.
func (s *Service) PreviewAllocation(ctx context.Context, q pg.Querier, p AllocationPlan, keep int) (Preview, error) {
	pv := Preview{ProductID: p.ProductID}
	err := q.QueryRow(ctx, `
		SELECT coalesce(sum(vials), 0) FROM inventory.held
		WHERE place = 'central' AND product_id = $1 AND use_by >= $2 AND blocked_at IS NULL`, p.ProductID, clock.Day(s.now())).Scan(&pv.Central)
	if err != nil {
		return pv, err
	}
	shares, err := weights(ctx, q, p)
	if err != nil {
		return pv, err
	}
	pv.Left = pv.Central
	for i, n := range apportion(pv.Central-max(0, keep), weightsOf(shares)) {
		pv.Amounts = append(pv.Amounts, Amount{shares[i].Place, n})
		pv.Left -= n
	}
	return pv, nil
}

func weightsOf(shares []Share) []int {
	out := make([]int, len(shares))
	for i, sh := range shares {
		out[i] = sh.Weight
	}
	return out
}

// Allocate sends vials from the central store to centres and teams, as it was
// previewed and confirmed. seen is how many vials the central store held then: when
// that has changed nothing is sent (ErrStale). ErrNotEnough, ErrInvalid,
// ErrNotFound.
func (s *Service) Allocate(ctx context.Context, tx pgx.Tx, productID string, amounts []Amount, seen int, why string, by By) error {
	if _, err := programme.ProductByID(ctx, tx, productID); err != nil {
		return missing("product", err)
	}
	if why == "" || len([]rune(why)) > maxWhy {
		return fmt.Errorf("%w: a reason", ErrInvalid)
	}
	if err := s.knownPlaces(ctx, tx, sharesOf(amounts)); err != nil {
		return err
	}
	lots, err := s.lockCentral(ctx, tx, productID, s.now())
	if err != nil {
		return err
	}
	total := 0
	for _, l := range lots {
		total += l.Vials
	}
	if total != seen {
		return ErrStale
	}
	return s.send(ctx, tx, productID, lots, amounts, why, by)
}

func sharesOf(amounts []Amount) []Share {
	out := make([]Share, len(amounts))
	for i, a := range amounts {
		out[i] = Share{a.Place, a.Vials}
	}
	return out
}

// send moves vials of locked lots of the central store to places.
func (s *Service) send(ctx context.Context, tx pgx.Tx, productID string, lots []Lot, amounts []Amount, why string, by By) error {
	have, sum := vialsOf(lots)
	want, places, need := make([]int, len(amounts)), make([]Place, len(amounts)), 0
	for i, a := range amounts {
		if a.Vials < 0 || a.Vials > maxVials {
			return fmt.Errorf("%w: vials", ErrInvalid)
		}
		want[i], places[i] = a.Vials, a.Place
		need += a.Vials
	}
	switch {
	case need == 0:
		return fmt.Errorf("%w: nothing to send", ErrInvalid)
	case need > sum:
		return ErrNotEnough
	}
	if err := s.distribute(ctx, tx, productID, lots, places, fill(have, want), why, by); err != nil {
		return err
	}
	return audit.Write(ctx, tx, s.now(), audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.allocate", Subject: "product:" + productID,
		Before: map[string]int{"central": sum}, After: map[string]any{"amounts": amounts, "left": sum - need, "why": why},
	})
}

// allocateReceived shares out what has just come to the central store, by lot, when
// the product's plan says so; what lay there before stays.
func (s *Service) allocateReceived(ctx context.Context, tx pgx.Tx, productID, why string, received map[string]int, by By) error {
	p, err := Plan(ctx, tx, productID)
	if err != nil || !p.Automatic {
		return err
	}
	shares, err := weights(ctx, tx, p)
	if err != nil {
		return err
	}
	lots, err := s.lockCentral(ctx, tx, productID, s.now())
	if err != nil {
		return err
	}
	onlyReceived(lots, received)
	if shares, err = s.mayBeLoaded(ctx, tx, shares, received); err != nil {
		return err
	}
	_, total := vialsOf(lots)
	var amounts []Amount
	sum := 0
	for i, n := range apportion(total, weightsOf(shares)) {
		amounts = append(amounts, Amount{shares[i].Place, n})
		sum += n
	}
	if sum == 0 { // nobody has a weight, or the lots are blocked: it stays
		return nil
	}
	return s.send(ctx, tx, productID, lots, amounts, why, by)
}

// mayBeLoaded leaves out the teams in whose box something of these lots has been for
// too long: what comes to it would count as just as old.
func (s *Service) mayBeLoaded(ctx context.Context, q pg.Querier, shares []Share, lots map[string]int) ([]Share, error) {
	rows, err := q.Query(ctx, `
		SELECT DISTINCT place FROM inventory.held WHERE place LIKE 'team:%' AND lot_id = ANY($1::uuid[]) AND carried_until < $2`,
		slices.Collect(maps.Keys(lots)), s.now())
	if err != nil {
		return nil, err
	}
	late, err := pgx.CollectRows(rows, pgx.RowTo[Place])
	return slices.DeleteFunc(shares, func(sh Share) bool { return slices.Contains(late, sh.Place) }), err
}
