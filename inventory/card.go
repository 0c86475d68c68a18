package inventory

import (
	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// figures are what is left of a product.
type figures struct {
	Product                   string
	Central, Centres, TeamBox int // doses, by the rule of today, of lots that may be given
}

// AdminCard shows the doses left on the administration's overview.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "inventory/_left", Data: func(c *web.Ctx) (any, error) {
		today := clock.Day(c.Now)
		rows, err := s.pool.Query(c.Std(), `
			WITH rule AS (
				SELECT DISTINCT ON (product_id) product_id, doses FROM inventory.doses_per_vial
				WHERE valid_from <= $1 ORDER BY product_id, valid_from DESC
			), held AS (
				SELECT h.product_id, h.place, h.vials * coalesce(r.doses, 0) AS doses
				FROM inventory.held h LEFT JOIN rule r ON r.product_id = h.product_id
				WHERE h.use_by >= $1 AND h.blocked_at IS NULL AND (h.carried_until IS NULL OR h.carried_until >= $2)
				UNION ALL
				SELECT l.product_id, b.place, b.doses FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
				WHERE b.doses > 0 AND l.expiry >= $1 AND l.blocked_at IS NULL AND coalesce(inventory.opened_until(l.product_id, b.opened_at) >= $2, true)
			)
			SELECT p.name, coalesce(sum(h.doses) FILTER (WHERE h.place = 'central'), 0)::int,
			       coalesce(sum(h.doses) FILTER (WHERE h.place LIKE 'centre:%'), 0)::int,
			       coalesce(sum(h.doses) FILTER (WHERE h.place LIKE 'team:%'), 0)::int
			FROM held h JOIN programme.product p ON p.id = h.product_id
			GROUP BY p.id, p.name, p.programme_id, p.position HAVING sum(h.doses) > 0 ORDER BY p.programme_id, p.position`, today, c.Now)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		out := []figures{}
		for rows.Next() {
			var f figures
			if err := rows.Scan(&f.Product, &f.Central, &f.Centres, &f.TeamBox); err != nil {
				return nil, err
			}
			out = append(out, f)
		}
		return out, rows.Err()
	}}
}
