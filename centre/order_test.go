package centre

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestCentresStandInTheOrderOfTheirNames, as German is read, whatever their ids and
// towns are.
func TestCentresStandInTheOrderOfTheirNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tx(func(tx pgx.Tx) error {
		_, err := tx.Exec(b.ctx, `
			INSERT INTO centre.centre (id, name, street, postcode, city, lat, lon, stations, minutes_per_person, active) VALUES
			('z1', 'Impfzentrum Ölsnitz', '', '08606', 'Ölsnitz', 50.4, 12.1, 1, 10, true),
			('a1', 'Impfzentrum Oschatz', '', '04758', 'Oschatz', 51.3, 13.1, 1, 10, true),
			('b1', 'impfzentrum Bad Düben', '', '04849', 'Bad Düben', 51.6, 12.6, 1, 10, false)`)
		return err
	})
	names := func(list []Centre) (out []string) {
		for _, c := range list {
			out = append(out, c.Name)
		}
		return out
	}
	all, err := All(b.ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	got := names(all)
	for _, pair := range [][2]string{
		{"Impfzentrum Annaberg-Buchholz", "impfzentrum Bad Düben"},
		{"impfzentrum Bad Düben", "Impfzentrum Belgern"},
		{"Impfzentrum Dresden", "Impfzentrum Eich"},
		{"Impfzentrum Eich", "Impfzentrum Kamenz"}, // Eich belongs to Treuen
		{"Impfzentrum Leipzig", "Impfzentrum Löbau"},
		{"Impfzentrum Löbau", "Impfzentrum Mittweida"},
		{"Impfzentrum Mittweida", "Impfzentrum Ölsnitz"},
		{"Impfzentrum Ölsnitz", "Impfzentrum Oschatz"},
		{"Impfzentrum Oschatz", "Impfzentrum Pirna"},
	} {
		if i := slices.Index(got, pair[0]); i < 0 || i+1 >= len(got) || got[i+1] != pair[1] {
			t.Errorf("%s does not stand before %s: %q", pair[0], pair[1], got)
		}
	}
	active, err := List(b.ctx, b.pool)
	if err != nil || len(active) != len(all)-1 || slices.Contains(names(active), "impfzentrum Bad Düben") || !slices.IsSortedFunc(active, func(a, b Centre) int { return CompareNames(a.Name, b.Name) }) {
		t.Errorf("active: %q, %v", names(active), err)
	}
}
