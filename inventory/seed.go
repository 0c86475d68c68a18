package inventory

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/programme"
)

// demoPeople is how many people lived in the districts of the demo's centres at
// the end of 2019, about, in thousands: the three cities and ten rural districts
// of Saxony. They were written down without a table at hand, so they are stored as
// DemoSource; only their sum is checked (4,071,971 by the Statistisches Landesamt).
// Real figures are entered on /admin/allocation/population, with their source.
var demoPeople = map[string]int{
	"annaberg-buchholz": 335, // Erzgebirgskreis
	"belgern":           198, // Nordsachsen
	"borna":             258, // Landkreis Leipzig
	"chemnitz":          246,
	"dresden":           557,
	"eich":              226, // Vogtlandkreis
	"kamenz":            300, // Bautzen
	"leipzig":           593,
	"loebau":            253, // Görlitz
	"mittweida":         304, // Mittelsachsen
	"pirna":             246, // Sächsische Schweiz-Osterzgebirge
	"riesa":             242, // Meißen
	"zwickau":           315,
}

// SeedDemo fills an empty ledger for the demo: each centre has vaccine for
// some weeks, more is planned. It needs the demo's programmes and centres and
// does nothing when there is a delivery already.
func (s *Service) SeedDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	var filled bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM inventory.delivery)`).Scan(&filled); err != nil || filled {
		return err
	}
	by := By{Actor: "system", Role: "system"}
	// A flu shot is a prefilled syringe: one dose.
	_, err := tx.Exec(ctx, `
		INSERT INTO inventory.doses_per_vial (product_id, valid_from, doses, set_by, set_at)
		SELECT id, '2020-09-01', 1, 'default', $2 FROM programme.product WHERE programme_id = $1
		ON CONFLICT DO NOTHING`, programme.InfluenzaID, now)
	if err != nil {
		return err
	}
	for id, thousands := range demoPeople {
		if _, err := tx.Exec(ctx, `
			INSERT INTO inventory.population (centre_id, people, source, as_of, set_at)
			SELECT id, $2, $3, '2019-12-31', $4 FROM centre.centre WHERE id = $1 ON CONFLICT DO NOTHING`,
			id, thousands*1000, DemoSource, now); err != nil {
			return err
		}
	}
	today := clock.Day(now)
	received := []struct {
		product string
		lots    []ReceivedLot
	}{
		{"comirnaty", []ReceivedLot{
			{Number: "EX1001", Expiry: today.AddDate(0, 0, 100), Vials: 13 * 2 * trayVials},
			{Number: "EX1002", Expiry: today.AddDate(0, 0, 140), Vials: 13 * 1 * trayVials},
		}},
		{"spikevax", []ReceivedLot{{Number: "MX2001", Expiry: today.AddDate(0, 0, 160), Vials: 13 * 60}}},
		{"influvac", []ReceivedLot{{Number: "FX3001", Expiry: today.AddDate(0, 0, 200), Vials: 13 * 200}}},
	}
	for _, r := range received {
		vials := 0
		for _, l := range r.lots {
			vials += l.Vials
		}
		did, err := s.PlanDelivery(ctx, tx, NewDelivery{ProductID: r.product, Place: Central, Day: today, Vials: vials, EqualShares: true}, by)
		if err != nil {
			return err
		}
		if err := s.ReceiveDelivery(ctx, tx, did, r.lots, by); err != nil {
			return err
		}
	}
	planned := []struct {
		product string
		days    int
		vials   int
	}{
		{"comirnaty", 7, 13 * trayVials},
		{"spikevax", 10, 13 * 40},
		{"comirnaty", 14, 13 * trayVials},
	}
	for _, p := range planned {
		if _, err := s.PlanDelivery(ctx, tx, NewDelivery{ProductID: p.product, Place: Central, Day: today.AddDate(0, 0, p.days), Vials: p.vials, EqualShares: true}, by); err != nil {
			return err
		}
	}
	return nil
}
