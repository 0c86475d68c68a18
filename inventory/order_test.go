package inventory

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// TestPlacesStandInTheOrderOfTheirNames on every page that lists them: the central
// store, centres, teams.
func TestPlacesStandInTheOrderOfTheirNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.pool.Exec(b.ctx, `UPDATE centre.centre SET name = 'Impfzentrum Öderan' WHERE id = 'annaberg-buchholz'`); err != nil {
		t.Fatal(err)
	}
	teams := map[string]string{id.New(): "Team Süd", id.New(): "Team Öst", id.New(): "Team Nord"}
	b.s.TeamNames = func(context.Context, pg.Querier) (map[string]string, error) { return teams, nil }
	want := []string{"Impfzentrum Eich", "Impfzentrum Mittweida", "Impfzentrum Öderan", "Impfzentrum Pirna", "Team Nord", "Team Öst", "Team Süd"}
	lot := b.receive(Central, "comirnaty", "AB1", day(2021, 5, 31), 10)
	for _, c := range []string{"pirna", "annaberg-buchholz", "mittweida", "eich"} {
		b.send(CentrePlace(c), lot, 1)
	}
	for team := range teams {
		b.send(TeamPlace(team), lot, 1)
	}
	a := b.app()
	name := regexp.MustCompile(strings.Join(want, "|"))
	for path, from := range map[string]string{
		"/admin/stock": "Verwendbare Dosen nach Ort", "/admin/stock/lots/" + lot: "Wo die Charge liegt", "/admin/allocation": "<form", "/admin/allocation/plan": "<form",
		"/admin/outlook?product=comirnaty": "<h1",
	} {
		r := a.Get(path)
		_, body, ok := strings.Cut(r.Body, from)
		if r.Status != http.StatusOK || !ok {
			t.Errorf("%s: %d, %q is not there", path, r.Status, from)
			continue
		}
		body, _, _ = strings.Cut(body, `id="movements"`)
		var got []string
		for _, n := range name.FindAllString(body, -1) {
			if !slices.Contains(got, n) {
				got = append(got, n)
			}
		}
		if only := want[:4]; strings.Contains(path, "outlook") {
			if !slices.Equal(got, only) {
				t.Errorf("%s: %q", path, got)
			}
		} else if !slices.Equal(got, want) {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// send brings vials of a lot from the central store to a place.
func (b *bundle) send(to Place, lotID string, vials int) {
	b.t.Helper()
	b.tx(func(tx pgx.Tx) error {
		return b.s.Transfer(b.ctx, tx, Transfer{From: Central, To: to, LotID: lotID, Vials: vials, Actor: "x", Why: "x", At: b.now})
	})
}
