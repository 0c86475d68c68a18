package inventory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// DemoSource marks the demo's figures of people: rounded and not official. Pages
// say so in words.
const DemoSource = "demo"

// Figure is how many people live in the area of a centre, and who says so.
type Figure struct {
	People int
	Source string     // as it was typed; DemoSource; "" = not noted
	AsOf   *time.Time // day of the figure; nil = not noted
	SetAt  *time.Time // when it was entered; nil = not noted
}

// Figures returns how many people live in the areas of the centres, by centre.
func Figures(ctx context.Context, q pg.Querier) (map[string]Figure, error) {
	rows, err := q.Query(ctx, `SELECT centre_id, people, source, as_of, set_at FROM inventory.population`)
	if err != nil {
		return nil, err
	}
	out := map[string]Figure{}
	var (
		c string
		f Figure
	)
	_, err = pgx.ForEachRow(rows, []any{&c, &f.People, &f.Source, &f.AsOf, &f.SetAt}, func() error { out[c] = f; return nil })
	return out, err
}

// Population returns how many people live in the areas of the centres.
func Population(ctx context.Context, q pg.Querier) (map[string]int, error) {
	figures, err := Figures(ctx, q)
	out := make(map[string]int, len(figures))
	for c, f := range figures {
		out[c] = f.People
	}
	return out, err
}

// Census is figures of people by centre with their source and day.
type Census struct {
	People map[string]int
	Source string
	AsOf   time.Time // not after today
}

// SetPopulation sets how many people live in the areas of centres, and where the
// figures come from. ErrNotFound; ErrInvalid, also without a source or day.
func (s *Service) SetPopulation(ctx context.Context, tx pgx.Tx, c Census, by By) error {
	now := s.now()
	c.Source, c.AsOf = strings.TrimSpace(c.Source), clock.Day(c.AsOf)
	if c.Source == "" || len([]rune(c.Source)) > maxWhy || c.AsOf.Year() < 2000 || c.AsOf.After(clock.Day(now)) {
		return fmt.Errorf("%w: source of the population", ErrInvalid)
	}
	before, err := Figures(ctx, tx)
	if err != nil {
		return err
	}
	for id, n := range c.People {
		if n < 0 || n > maxPeople {
			return fmt.Errorf("%w: population", ErrInvalid)
		}
		if _, err := centre.Get(ctx, tx, id); err != nil {
			return missing("centre", err)
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO inventory.population (centre_id, people, source, as_of, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (centre_id) DO UPDATE SET people = excluded.people, source = excluded.source, as_of = excluded.as_of,
				set_by = excluded.set_by, set_at = excluded.set_at`, id, n, c.Source, c.AsOf, by.Actor, now); err != nil {
			return err
		}
	}
	rows, err := tx.Query(ctx, `SELECT product_id FROM inventory.allocation WHERE automatic AND method = 'population' ORDER BY 1`)
	if err != nil {
		return err
	}
	products, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, p := range products {
		if err := s.allCentres(ctx, tx, p); err != nil {
			return err
		}
	}
	return audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "inventory.population", Subject: "inventory", Before: before, After: c})
}

// maxPeople is more than live in any centre's area.
const maxPeople = 20_000_000
