package centre

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
)

// The demo's centres stand in the towns of Saxony's thirteen vaccination
// centres; streets are made up.
var demo = []Centre{
	{"annaberg-buchholz", "Impfzentrum Annaberg-Buchholz", "Bergweg 12", "09456", "Annaberg-Buchholz", 50.5797, 13.0027, 4, 10, true},
	{"belgern", "Impfzentrum Belgern", "Elbstraße 5", "04874", "Belgern", 51.4833, 13.1236, 4, 10, true},
	{"borna", "Impfzentrum Borna", "Sachsenplatz 3", "04552", "Borna", 51.1239, 12.4964, 4, 10, true},
	{"chemnitz", "Impfzentrum Chemnitz", "Hallenring 1", "09116", "Chemnitz", 50.8278, 12.9214, 8, 10, true},
	{"dresden", "Impfzentrum Dresden", "Messegelände 6", "01067", "Dresden", 51.0627, 13.7166, 10, 10, true},
	{"eich", "Impfzentrum Eich", "Autobahnstraße 2", "08233", "Treuen, Ortsteil Eich", 50.5556, 12.3322, 4, 10, true},
	{"kamenz", "Impfzentrum Kamenz", "Am Flugfeld 9", "01917", "Kamenz", 51.2671, 14.0938, 4, 10, true},
	{"leipzig", "Impfzentrum Leipzig", "Messe-Allee 40", "04356", "Leipzig", 51.3967, 12.4028, 10, 10, true},
	{"loebau", "Impfzentrum Löbau", "Parkstraße 7", "02708", "Löbau", 51.0986, 14.6664, 4, 10, true},
	{"mittweida", "Impfzentrum Mittweida", "Hainichener Straße 21", "09648", "Mittweida", 50.9856, 12.9811, 4, 10, true},
	{"pirna", "Impfzentrum Pirna", "Sonnensteiner Weg 4", "01796", "Pirna", 50.9622, 13.9403, 4, 10, true},
	{"riesa", "Impfzentrum Riesa", "Arenaplatz 1", "01591", "Riesa", 51.3081, 13.2936, 4, 10, true},
	{"zwickau", "Impfzentrum Zwickau", "Stadthallenweg 8", "08056", "Zwickau", 50.7189, 12.4922, 6, 10, true},
}

// SeedDemo fills an empty list with the demo's thirteen centres, open Monday to
// Saturday from 8 to 18 o'clock. It does nothing when there is a centre already.
func SeedDemo(ctx context.Context, tx pgx.Tx, now time.Time) error {
	var filled bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM centre.centre)`).Scan(&filled); err != nil || filled {
		return err
	}
	from := time.Date(2020, 12, 1, 0, 0, 0, 0, time.UTC)
	if today := clock.Day(now); today.Before(from) {
		from = today
	}
	for _, c := range demo {
		if _, err := tx.Exec(ctx, `
			INSERT INTO centre.centre (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			c.ID, c.Name, c.Street, c.Postcode, c.City, c.Lat, c.Lon, c.Stations, c.MinutesPerPerson, c.Active); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO centre.hours (centre_id, weekday, valid_from, opens, closes)
		SELECT c.id, d, $1, CASE WHEN d < 7 THEN 480 END, CASE WHEN d < 7 THEN 1080 END
		FROM centre.centre c, generate_series(1, 7) AS d`, from)
	return err
}
