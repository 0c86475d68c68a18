package programme

import (
	"context"
	"sync"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Recent gives the answers of GroupOpen, AllowedProducts and SeriesOf again for
// a moment, because on an opening day thousands ask the same within a second. A
// change of a rule is in force after that moment at the latest. The zero value
// asks every time. Safe for concurrent use.
type Recent struct {
	Keep time.Duration

	mu      sync.Mutex
	answers map[recentKey]recentAnswer
}

// recentKey is a question. The age is all that a birth date is needed for.
type recentKey struct {
	programme, group string
	day              time.Time
	age              int
}

type recentAnswer struct {
	until    time.Time
	open     bool
	products []Product
	series   map[string]Series
}

// recentMost bounds how many answers are kept: programmes, groups and ages are
// few, so it is never reached but by mistake.
const recentMost = 10_000

// GroupOpen is the function of that name.
func (r *Recent) GroupOpen(ctx context.Context, q pg.Querier, programmeID, code string, on time.Time) (bool, error) {
	a, err := r.ask(recentKey{programme: programmeID, group: code, day: clock.Day(on), age: -2}, func() (a recentAnswer, err error) {
		a.open, err = GroupOpen(ctx, q, programmeID, code, on)
		return a, err
	})
	return a.open, err
}

// Allowed returns what AllowedProducts does, with the series rules of these
// products. The caller does not change what it gets.
func (r *Recent) Allowed(ctx context.Context, q pg.Querier, programmeID string, birth, on time.Time) ([]Product, map[string]Series, error) {
	a, err := r.ask(recentKey{programme: programmeID, day: clock.Day(on), age: Age(birth, on)}, func() (a recentAnswer, err error) {
		if a.products, err = AllowedProducts(ctx, q, programmeID, birth, on); err != nil {
			return a, err
		}
		ids := make([]string, len(a.products))
		for i, p := range a.products {
			ids[i] = p.ID
		}
		a.series, err = SeriesOf(ctx, q, ids, on)
		return a, err
	})
	return a.products, a.series, err
}

func (r *Recent) ask(k recentKey, ask func() (recentAnswer, error)) (recentAnswer, error) {
	if r.Keep <= 0 {
		return ask()
	}
	now := time.Now()
	r.mu.Lock()
	a, ok := r.answers[k]
	r.mu.Unlock()
	if ok && now.Before(a.until) {
		return a, nil
	}
	a, err := ask()
	if err != nil {
		return a, err
	}
	a.until = now.Add(r.Keep)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == nil || len(r.answers) >= recentMost {
		r.answers = map[recentKey]recentAnswer{}
	}
	r.answers[k] = a
	return a, nil
}
