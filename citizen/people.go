package citizen

import (
	"context"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// People returns the registrations of these persons by id; those that are gone
// are left out. One query for the list of a day.
func (s *Service) People(ctx context.Context, q pg.Querier, personIDs []string) (map[string]Person, error) {
	rows, err := q.Query(ctx, `SELECT`+personColumns+` WHERE p.id = ANY ($1::uuid[]) AND p.state <> 'closed'`, personIDs)
	if err != nil {
		return nil, wrap("people", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Person, error) { return s.scanPerson(row) })
	if err != nil {
		return nil, wrap("people", err)
	}
	out := make(map[string]Person, len(list))
	for _, p := range list {
		out[p.ID] = p
	}
	return out, nil
}
