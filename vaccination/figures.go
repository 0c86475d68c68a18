package vaccination

import (
	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// given is how many doses of a product were recorded.
type given struct {
	Product           string
	First, Later, All int // First and Later are today's
}

// AdminCard shows the doses given on the administration's overview.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "vaccination/_today", Data: func(c *web.Ctx) (any, error) {
		rows, err := s.pool.Query(c.Std(), `
			SELECT p.name, count(*) FILTER (WHERE r.day = $1 AND r.dose_number = 1), count(*) FILTER (WHERE r.day = $1 AND r.dose_number > 1), count(*)
			FROM vaccination.record r JOIN programme.product p ON p.id = r.product_id
			WHERE r.path = 'site' AND r.voided_at IS NULL
			GROUP BY p.id, p.name, p.programme_id, p.position ORDER BY p.programme_id, p.position`, clock.Day(c.Now))
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		out := []given{}
		for rows.Next() {
			var g given
			if err := rows.Scan(&g.Product, &g.First, &g.Later, &g.All); err != nil {
				return nil, err
			}
			out = append(out, g)
		}
		return out, rows.Err()
	}}
}
