package vaccination

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
)

// LotRecord is a vaccination with a lot: enough to find it again, and nothing of
// the person. Who it was stands in the sealed record, which its centre opens.
type LotRecord struct {
	RecordID   string    `json:"record_id"`
	GivenAt    time.Time `json:"given_at"`
	Place      string    `json:"place"`
	DoseNumber int       `json:"dose_number"`
}

// OfLot returns the vaccinations with a lot, the newest first, and how many there
// are; limit 0 = all.
func OfLot(ctx context.Context, q pg.Querier, lotID string, limit int) (list []LotRecord, n int, err error) {
	if err := q.QueryRow(ctx, `SELECT count(*) FROM vaccination.record WHERE lot_id = $1 AND voided_at IS NULL`, lotID).Scan(&n); err != nil {
		return nil, 0, err
	}
	rows, err := q.Query(ctx, `
		SELECT id::text, given_at, place, dose_number FROM vaccination.record WHERE lot_id = $1 AND voided_at IS NULL
		ORDER BY given_at DESC, id DESC LIMIT nullif($2, 0)`, lotID, limit)
	if err != nil {
		return nil, 0, err
	}
	list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[LotRecord])
	return list, n, err
}

// shownRecords is how many the card lists.
const shownRecords = 200

// LotCard tells on a lot's page whom the lot concerns.
func (s *Service) LotCard(lotID string) web.Card {
	return web.Card{Template: "vaccination/_lot", Data: func(c *web.Ctx) (any, error) {
		list, n, err := OfLot(c.Std(), s.pool, lotID, shownRecords)
		if err != nil || n == 0 {
			return nil, err
		}
		centres, err := centre.All(c.Std(), s.pool)
		if err != nil {
			return nil, err
		}
		for i, r := range list { // facilities stay as they are recorded
			if k := slices.IndexFunc(centres, func(ce centre.Centre) bool { return ce.ID == r.Place }); k >= 0 {
				list[i].Place = centres[k].Name
			}
		}
		return struct {
			Records []LotRecord
			N       int
			More    bool
		}{list, n, n > len(list)}, nil
	}}
}

type lotRecordsIn struct {
	ID string `path:"id" json:"-"`
}

type lotRecordsOut struct {
	Records []LotRecord `json:"records"`
}

func (s *Service) apiOfLot(c *web.Ctx, in lotRecordsIn) (lotRecordsOut, error) {
	if !id.Valid(in.ID) {
		return lotRecordsOut{}, web.NotFound()
	}
	list, _, err := OfLot(c.Std(), s.pool, in.ID, 0)
	return lotRecordsOut{list}, err
}

// lotRoutes are for those who act on a recall.
func (s *Service) lotRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/stock/lots/:id/records", Roles: []web.Role{web.RoleAdmin}, API: web.JSON("List the vaccinations with a lot, without names", s.apiOfLot)},
	}
}
