package booking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/programme"
)

// SeedDemo gives most stations of each centre to the first product of the
// COVID-19 programme and one each to the second and to influenza. It needs the
// demo's centres and products and does nothing when there is a lane already.
// The places follow with the first plan (ReplanAll).
func SeedDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	var filled bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM booking.lane)`).Scan(&filled); err != nil || filled {
		return err
	}
	covid, err := programme.Products(ctx, tx, programme.CovidID)
	if err != nil {
		return err
	}
	flu, err := programme.Products(ctx, tx, programme.InfluenzaID)
	if err != nil {
		return err
	}
	if len(covid) < 2 || len(flu) == 0 {
		return nil
	}
	centres, err := centre.All(ctx, tx)
	if err != nil {
		return err
	}
	for _, c := range centres {
		if c.Stations < 3 {
			continue // shared out evenly
		}
		for product, stations := range map[string]int{covid[0].ID: c.Stations - 2, covid[1].ID: 1, flu[0].ID: 1} {
			if _, err := tx.Exec(ctx, `INSERT INTO booking.lane (centre_id, product_id, from_day, stations) VALUES ($1, $2, $3, $4)`,
				c.ID, product, clock.Day(now).AddDate(0, 0, -30), stations); err != nil {
				return err
			}
		}
	}
	return nil
}
