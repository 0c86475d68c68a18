package mobileteams

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/inventory"
)

// Ids of the demo teams; the demo account of a team has the id as its scope.
const (
	DemoTeam1 = "0176f000-0000-7000-8000-000000000001"
	DemoTeam2 = "0176f000-0000-7000-8000-000000000002"
)

// SeedDemo makes two teams, three facilities and one visit of today for the
// first team, with doses from the centre of Leipzig. It does nothing when there
// is a team. Centres, products and stock must be there.
func (s *Service) SeedDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mobileteams.team)`).Scan(&there); err != nil || there {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO mobileteams.team (id, name) VALUES ($1, 'Team 1'), ($2, 'Team 2')`, DemoTeam1, DemoTeam2)
	if err != nil {
		return fmt.Errorf("demo teams: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO mobileteams.facility (id, name, street, postcode, city, phone) VALUES
			('0176f000-0000-7000-8000-000000000011', 'Pflegeheim Am Auwald (Muster)', 'Musterweg 1', '04179', 'Leipzig', '0341 0000011'),
			('0176f000-0000-7000-8000-000000000012', 'Seniorenresidenz Lindenhof (Muster)', 'Beispielstraße 12', '04808', 'Wurzen', '03425 0000012'),
			('0176f000-0000-7000-8000-000000000013', 'Wohnstätte Sonnenblick (Muster)', 'Beispielallee 7', '04509', 'Delitzsch', '034202 0000013')`)
	if err != nil {
		return fmt.Errorf("demo facilities: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO mobileteams.visit (id, facility_id, team_id, centre_id, product_id, starts_at, day, people, state, created_at, changed_at)
		VALUES ('0176f000-0000-7000-8000-000000000021', '0176f000-0000-7000-8000-000000000011', $1, 'leipzig', 'comirnaty', $2, $3, 24, 'assigned', $4, $4)`,
		DemoTeam1, clock.At(clock.Day(now), 10, 0), clock.Day(now), now)
	if err != nil {
		return fmt.Errorf("demo visit: %w", err)
	}
	return s.loadDemo(ctx, tx, now)
}

// loadDemo puts up to five vials into the first team's box, as far as the
// centre has them.
func (s *Service) loadDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	lots, err := s.Source(ctx, tx, "leipzig", "comirnaty", now)
	if err != nil || len(lots) == 0 || lots[0].Vials == 0 {
		return err
	}
	return s.stock.Transfer(ctx, tx, inventory.Transfer{
		From: inventory.CentrePlace("leipzig"), To: inventory.TeamPlace(DemoTeam1), LotID: lots[0].LotID,
		Vials: min(5, lots[0].Vials), Actor: "system", Why: "demo", At: now,
	})
}
