package inventory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// assumedShelfDays is the shelf life of an imported lot until somebody reads
// the label: the shortest one at authorisation was six months.
const assumedShelfDays = 180

// importLock keeps two imports apart.
const importLock = 0x696d706f7274 // "import"

// ImportReport tells what an import found and did.
type ImportReport struct {
	ID           string          `json:"id"`
	Rows         int             `json:"rows"`
	New          int             `json:"new"`
	Changed      int             `json:"changed"`
	Unchanged    int             `json:"unchanged"`
	Waiting      int             `json:"waiting"` // rows of days to come: planned, not yet stock
	Received     []ProductVials  `json:"received"`
	Changes      []ImportChange  `json:"changes"`
	Unreconciled []ImportRest    `json:"unreconciled"`
	Unmapped     []ImportUnknown `json:"unmapped"`
}

// ProductVials is what an import moved into the central store (negative: out
// of it) of one product.
type ProductVials struct {
	ProductID string `json:"product_id"`
	Vials     int    `json:"vials"`
}

// ImportChange is a figure that was reported differently before.
type ImportChange struct {
	Line    int    `json:"line"`
	Day     string `json:"day"`
	Vaccine string `json:"vaccine"`
	Before  int    `json:"before"` // doses
	After   int    `json:"after"`
	Vials   int    `json:"vials"` // of the counter-movement
}

// ImportRest is a figure that is no whole number of vials.
type ImportRest struct {
	Line         int    `json:"line"`
	Day          string `json:"day"`
	Vaccine      string `json:"vaccine"`
	Doses        int    `json:"doses"`
	DosesPerVial int    `json:"doses_per_vial"`
	Vials        int    `json:"vials"`
	Rest         int    `json:"rest"` // doses on the account of unreconciled doses
}

// ImportUnknown is a vaccine that no product is known for; its rows were left
// out.
type ImportUnknown struct {
	Vaccine string `json:"vaccine"`
	Rows    int    `json:"rows"`
	Doses   int    `json:"doses"`
	Lines   []int  `json:"lines"`
}

// ImportDeliveries reads the ministry's delivery report (CSV: date, vaccine,
// doses) into the central store, all of it in one transaction or nothing. by
// is the actor ("staff:<id>", "system"); progress may be nil. The error is
// ImportErrors when lines are at fault.
func (s *Service) ImportDeliveries(ctx context.Context, r io.Reader, by string, progress *jobs.Progress) (ImportReport, error) {
	rows, err := parseReport(r)
	if err != nil {
		return ImportReport{}, err
	}
	return s.importRows(ctx, rows, by, progress)
}

func (s *Service) importRows(ctx context.Context, rows []reportRow, by string, progress *jobs.Progress) (ImportReport, error) {
	var rep ImportReport
	progress.Total(ctx, int64(len(rows)))
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		rep = ImportReport{ID: id.New(), Rows: len(rows), Received: []ProductVials{}, Changes: []ImportChange{}, Unreconciled: []ImportRest{}, Unmapped: []ImportUnknown{}}
		now := s.now()
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, importLock); err != nil {
			return fmt.Errorf("wait for another import: %w", err)
		}
		// In the order of the days, so that what is given back was there.
		slices.SortStableFunc(rows, func(a, b reportRow) int {
			return cmp.Or(a.day.Compare(b.day), cmp.Compare(b.doses, a.doses))
		})
		received := map[string]int{}
		arrived := map[string]map[string]int{} // by product, by lot
		for i, row := range rows {
			if err := s.importRow(ctx, tx, row, now, by, &rep, received, arrived); err != nil {
				return err
			}
			progress.Step(ctx, int64(i+1), row.day.Format(time.DateOnly)+" "+row.vaccine)
		}
		// Once all is booked, so that what the report gives back again is there.
		for _, p := range slices.Sorted(maps.Keys(arrived)) {
			if err := s.importArrived(ctx, tx, p, arrived[p], By{Actor: by, Role: "admin"}); err != nil {
				return err
			}
		}
		for p, v := range received {
			rep.Received = append(rep.Received, ProductVials{p, v})
		}
		slices.SortFunc(rep.Received, func(a, b ProductVials) int { return cmp.Compare(a.ProductID, b.ProductID) })
		slices.SortFunc(rep.Changes, func(a, b ImportChange) int { return cmp.Compare(a.Line, b.Line) })
		slices.SortFunc(rep.Unreconciled, func(a, b ImportRest) int { return cmp.Compare(a.Line, b.Line) })
		b, err := json.Marshal(rep)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO inventory.import_run (id, at, actor, report) VALUES ($1, $2, $3, $4)`, rep.ID, now, by, b); err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by, Role: "admin", Action: "inventory.import", Subject: "import:" + rep.ID,
			After: map[string]any{"rows": rep.Rows, "new": rep.New, "changed": rep.Changed, "received": rep.Received, "changes": rep.Changes},
		})
	})
	if err != nil {
		return ImportReport{}, err
	}
	return rep, nil
}

// importRow stores one row and books what is due.
func (s *Service) importRow(ctx context.Context, tx pgx.Tx, row reportRow, now time.Time, by string, rep *ImportReport, received map[string]int, arrived map[string]map[string]int) error {
	day := row.day.Format(time.DateOnly)
	productID, known := reportNames[row.vaccine]
	perVial := ReportedPerVial(productID, row.day, row.doses)
	if !known || perVial == 0 {
		rep.unmapped(row)
		return nil
	}
	target := imported{
		day: row.day, vaccine: row.vaccine, productID: productID, doses: row.doses, perVial: perVial,
		vials: row.doses / perVial, revision: 1,
	} // towards zero: a return of a part of a vial is none
	rest := row.doses - target.vials*perVial
	if rest != 0 {
		rep.Unreconciled = append(rep.Unreconciled, ImportRest{row.line, day, row.vaccine, row.doses, perVial, target.vials, rest})
	}
	old, err := loadImported(ctx, tx, row.day, row.vaccine)
	switch {
	case pg.NoRows(err):
		rep.New++
	case err != nil:
		return err
	case old.doses == row.doses:
		rep.Unchanged++
		target = old
	default:
		rep.Changed++
		rep.Changes = append(rep.Changes, ImportChange{row.line, day, row.vaccine, old.doses, row.doses, target.vials - old.vials})
		target.booked, target.deliveryID, target.lotID, target.revision = old.booked, old.deliveryID, old.lotID, old.revision+1
	}
	due := !row.day.After(clock.Day(now))
	if !due && target.vials != 0 {
		rep.Waiting++
	}
	before := target.booked
	if err := s.storeImported(ctx, tx, &target, due, now, by); err != nil {
		if errors.Is(err, ErrNotEnough) {
			return ImportErrors{{Line: row.line, Key: errLineReturn, Value: fmt.Sprintf("%s %s: %d", day, row.vaccine, row.doses)}}
		}
		return fmt.Errorf("line %d: %w", row.line, err)
	}
	if moved := target.booked - before; moved != 0 {
		received[productID] += moved
	}
	if target.revision != old.revision || target.booked != before { // something is new for the product
		if arrived[productID] == nil {
			arrived[productID] = map[string]int{}
		}
		for lotID, n := range target.arrived() {
			arrived[productID][lotID] += n
		}
	}
	return nil
}

func (r *ImportReport) unmapped(row reportRow) {
	i := slices.IndexFunc(r.Unmapped, func(u ImportUnknown) bool { return u.Vaccine == row.vaccine })
	if i < 0 {
		r.Unmapped = append(r.Unmapped, ImportUnknown{Vaccine: row.vaccine})
		i = len(r.Unmapped) - 1
	}
	u := &r.Unmapped[i]
	u.Rows, u.Doses, u.Lines = u.Rows+1, u.Doses+row.doses, append(u.Lines, row.line)
}

// ImportRun is a past import.
type ImportRun struct {
	ID     string
	At     time.Time
	Actor  string
	Report ImportReport
}

// ImportRuns returns the newest imports first.
func ImportRuns(ctx context.Context, q pg.Querier, limit int) ([]ImportRun, error) {
	rows, err := q.Query(ctx, `SELECT id::text, at, actor, report FROM inventory.import_run ORDER BY at DESC, id DESC LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ImportRun])
}

// Rest is a line of the account of unreconciled doses: what was reported beside
// whole vials.
type Rest struct {
	Day          time.Time `json:"day"`
	Vaccine      string    `json:"vaccine"`
	ProductID    string    `json:"product_id"`
	Doses        int       `json:"doses"`
	DosesPerVial int       `json:"doses_per_vial"`
	Vials        int       `json:"vials"`
	Rest         int       `json:"rest"`
}

// Unreconciled returns the account of unreconciled doses, oldest first.
func Unreconciled(ctx context.Context, q pg.Querier) ([]Rest, error) {
	rows, err := q.Query(ctx, `
		SELECT day, vaccine, product_id, doses, doses_per_vial, vials, unreconciled
		FROM inventory.import_row WHERE unreconciled <> 0 ORDER BY day, vaccine`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Rest])
}
