package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/internal/checkout"
	"impfportal/internal/clock"
	"impfportal/internal/local"
	"impfportal/internal/pg"
	"impfportal/internal/shareddata"
	"impfportal/inventory"
	"impfportal/programme"
)

// replayCmd feeds the deliveries and vaccinations that a state has reported
// through ledger, rules and plan, day by day, on a database of its own.
type replayCmd struct {
	Deliveries   string `help:"Deliveries: date, vaccine, doses." type:"existingfile" placeholder:"CSV"`
	Vaccinations string `help:"Vaccinations: date, vaccine, dose, count." type:"existingfile" placeholder:"CSV"`
	Until        string `help:"Last day, YYYY-MM-DD." placeholder:"DAY"`
	Daily        bool   `help:"A line for every day instead of every month."`
}

func (c replayCmd) Run(ctx context.Context) (err error) {
	dir := os.Getenv("SHARED_DATA")
	if dir == "" {
		root, err := checkout.Root()
		if err != nil {
			root = "."
		}
		dir = shareddata.Default(root)
	}
	history, err := readHistory(cmp.Or(c.Deliveries, filepath.Join(dir, "saxony-deliveries.csv")), cmp.Or(c.Vaccinations, filepath.Join(dir, "saxony-vaccinations.csv")))
	if err != nil {
		return err
	}
	if c.Until != "" {
		until, err := time.Parse(time.DateOnly, c.Until)
		if err != nil {
			return fmt.Errorf("--until: %w", err)
		}
		if until.Before(history.first) {
			return fmt.Errorf("--until: the reports begin on %s", history.first.Format(time.DateOnly))
		}
		if until.Before(history.last) {
			history.last = until
		}
	}
	servers, err := local.Start(ctx, local.Options{Postgres: true, Ephemeral: true, Fast: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	pool, err := pg.Open(ctx, servers.DatabaseURL, 4)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pg.Migrate(ctx, pool); err != nil {
		return err
	}
	r, err := newReplay(ctx, pool, history)
	if err != nil {
		return err
	}
	r.daily = c.Daily
	if err := r.run(ctx); err != nil {
		return err
	}
	return r.print(ctx, os.Stdout)
}

// history is what was reported.
type history struct {
	first, last time.Time
	delivered   map[time.Time][][]string // rows of the report of deliveries
	given       map[time.Time]map[string]givenDoses
}

// givenDoses are the vaccinations with one vaccine on one day.
type givenDoses struct{ all, first, second int }

func readHistory(deliveries, vaccinations string) (history, error) {
	h := history{delivered: map[time.Time][][]string{}, given: map[time.Time]map[string]givenDoses{}}
	err := readDays(deliveries, 3, &h, func(day time.Time, row []string) error {
		h.delivered[day] = append(h.delivered[day], row)
		return nil
	})
	if err != nil {
		return h, err
	}
	err = readDays(vaccinations, 4, &h, func(day time.Time, row []string) error {
		dose, err := strconv.Atoi(row[2])
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(row[3])
		if err != nil {
			return err
		}
		if n < 0 {
			return fmt.Errorf("%d vaccinations", n)
		}
		if h.given[day] == nil {
			h.given[day] = map[string]givenDoses{}
		}
		g := h.given[day][row[1]]
		g.all += n
		switch dose {
		case 1:
			g.first += n
		case 2:
			g.second += n
		}
		h.given[day][row[1]] = g
		return nil
	})
	return h, err
}

// readDays reads a table whose first column is a day.
func readDays(name string, fields int, h *history, row func(day time.Time, row []string) error) error {
	f, err := os.Open(name) //nolint:gosec // named by whoever runs the drill
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	r.FieldsPerRecord = fields
	if _, err := r.Read(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		day, err := time.Parse(time.DateOnly, rec[0])
		if err == nil {
			err = row(day, rec)
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", name, line, err)
		}
		if h.first.IsZero() || day.Before(h.first) {
			h.first = day
		}
		if day.After(h.last) {
			h.last = day
		}
	}
}

// replayRules are the changes of doses per vial in the time of the reports; the
// others are the defaults of the ledger.
var replayRules = []struct {
	product string
	from    time.Time
	doses   int
}{
	// The European Medicines Agency allowed the sixth dose of Comirnaty on
	// 2021-01-08; Saxony's centres drew it from the 15th on.
	{"comirnaty", time.Date(2021, time.January, 15, 0, 0, 0, 0, time.UTC), 6},
}

// replay is a run through the history.
type replay struct {
	history
	pool  *pgxpool.Pool
	stock *inventory.Service
	now   time.Time
	place inventory.Place // all who vaccinate in the state
	daily bool

	rows    []*replayRow
	current map[string]*replayRow
	sums    map[string]*replayRow     // by product, over all days
	promise map[string][]promised     // by product: first doses whose second is not yet given
	jumps   []replayJump              // what rule changes did
	unknown map[string]*unknownDoses  // vaccines without deliveries
	lacking map[string]map[string]int // product -> day -> doses
}

// promised are first doses of a day.
type promised struct {
	day time.Time
	n   int
}

type unknownDoses struct {
	first, last time.Time
	n           int
}

// replayRow is a line of the table: a product in a span of days.
type replayRow struct {
	Span, Product                    string
	VialsIn, VialsOut                int // received, given back
	Given, Opened, Rest, Unexplained int
	Vials                            int // closed, at the end of the span
	Doses, Promised, Series          int // usable by the plan, then
}

// replayJump is what a new number of doses per vial did to the stock.
type replayJump struct {
	Product       string
	Day           time.Time
	Vials         int // closed
	Before, After int // doses
	Opened, Given int // until then
}

func newReplay(ctx context.Context, pool *pgxpool.Pool, h history) (*replay, error) {
	r := &replay{
		history: h, pool: pool, place: inventory.CentrePlace("all"), now: clock.At(h.first, 5, 0),
		current: map[string]*replayRow{}, sums: map[string]*replayRow{}, promise: map[string][]promised{},
		unknown: map[string]*unknownDoses{}, lacking: map[string]map[string]int{},
	}
	r.stock = inventory.New(pool, func() time.Time { return r.now }, slog.New(slog.DiscardHandler))
	return r, pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		return centre.Create(ctx, tx, r.now, centre.Centre{
			ID: "all", Name: "Alle Impfenden", Street: "-", Postcode: "01067", City: "Dresden", Lat: 51.05, Lon: 13.74, Stations: 1, MinutesPerPerson: 6, Active: true,
		}, centre.By{Actor: "system", Role: "system"})
	})
}

func (r *replay) run(ctx context.Context) error {
	for day := r.first; !day.After(r.last); day = day.AddDate(0, 0, 1) {
		if err := r.day(ctx, day); err != nil {
			return fmt.Errorf("%s: %w", day.Format(time.DateOnly), err)
		}
	}
	return nil
}

// day is one day: rules that come into force, deliveries, vaccinations, plan.
func (r *replay) day(ctx context.Context, day time.Time) error {
	r.now = clock.At(day, 6, 0)
	for _, rule := range replayRules {
		if rule.from.Equal(day) {
			if err := r.change(ctx, rule.product, day, rule.doses); err != nil {
				return err
			}
		}
	}
	if rows := r.delivered[day]; len(rows) > 0 {
		r.now = clock.At(day, 8, 0)
		var b strings.Builder
		w := csv.NewWriter(&b)
		_ = w.WriteAll(append([][]string{{"date", "vaccine", "doses"}}, rows...)) // a Builder takes everything
		rep, err := r.stock.ImportDeliveries(ctx, strings.NewReader(b.String()), "system", nil)
		if err != nil {
			return err
		}
		for _, p := range rep.Received {
			for _, row := range r.of(day, p.ProductID) {
				row.VialsIn += max(0, p.Vials)
				row.VialsOut += max(0, -p.Vials)
			}
		}
	}
	r.now = clock.At(day, 20, 0)
	for _, vaccine := range slices.Sorted(maps.Keys(r.given[day])) {
		if err := r.use(ctx, day, vaccine, r.given[day][vaccine]); err != nil {
			return fmt.Errorf("%s: %w", vaccine, err)
		}
	}
	if !day.Equal(r.last) && !r.daily && day.AddDate(0, 0, 1).Day() != 1 {
		return nil
	}
	for product := range r.sums {
		if err := r.look(ctx, day, product); err != nil {
			return err
		}
	}
	return nil
}

// of returns the rows that count for a product on a day: its span and the sum.
func (r *replay) of(day time.Time, product string) []*replayRow {
	span := day.Format("2006-01")
	if r.daily {
		span = day.Format(time.DateOnly)
	}
	row := r.current[product]
	if row == nil || row.Span != span {
		row = &replayRow{Span: span, Product: product}
		r.current[product] = row
		r.rows = append(r.rows, row)
	}
	if r.sums[product] == nil {
		r.sums[product] = &replayRow{Span: "all", Product: product}
	}
	return []*replayRow{row, r.sums[product]}
}

// change lets another number of doses per vial come into force.
func (r *replay) change(ctx context.Context, product string, day time.Time, doses int) error {
	j := replayJump{Product: product, Day: day}
	before, err := r.stock.Doses(ctx, r.pool, inventory.Central, product, day)
	if err != nil {
		return err
	}
	err = pg.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		return r.stock.SetDosesPerVial(ctx, tx, product, day, doses, inventory.By{Actor: "system", Role: "system"})
	})
	if err != nil {
		return err
	}
	after, err := r.stock.Doses(ctx, r.pool, inventory.Central, product, day)
	if err != nil {
		return err
	}
	j.Vials, j.Before, j.After = before.Vials, before.Doses, after.Doses
	if sum := r.sums[product]; sum != nil {
		j.Opened, j.Given = sum.Opened, sum.Given
	}
	r.jumps = append(r.jumps, j)
	return nil
}

// use books the vaccinations of a day.
func (r *replay) use(ctx context.Context, day time.Time, vaccine string, g givenDoses) error {
	product, ok := inventory.ProductOfReport(vaccine)
	if !ok {
		u := r.unknown[vaccine]
		if u == nil {
			u = &unknownDoses{first: day}
			r.unknown[vaccine] = u
		}
		u.n, u.last = u.n+g.all, day
		return nil
	}
	var used inventory.Used
	err := pg.InTx(ctx, r.pool, func(tx pgx.Tx) (err error) {
		used, err = r.stock.UseReported(ctx, tx, inventory.Use{
			Place: r.place, ProductID: product, Doses: g.all, Day: day, Ref: "reported:" + day.Format(time.DateOnly) + ":" + vaccine, Actor: "system",
		})
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range r.of(day, product) {
		row.Given, row.Opened, row.Rest, row.Unexplained = row.Given+used.Given, row.Opened+used.Vials, row.Rest+used.Rest, row.Unexplained+used.Short
	}
	if used.Short > 0 {
		if r.lacking[product] == nil {
			r.lacking[product] = map[string]int{}
		}
		r.lacking[product][day.Format(time.DateOnly)] += used.Short
	}
	r.promise[product] = append(r.promise[product], promised{day, g.first})
	for n := g.second; n > 0 && len(r.promise[product]) > 0; {
		oldest := &r.promise[product][0]
		take := min(n, oldest.n)
		n, oldest.n = n-take, oldest.n-take
		if oldest.n == 0 {
			r.promise[product] = r.promise[product][1:]
		}
	}
	return nil
}

// look writes down how a product stands at the end of a day.
func (r *replay) look(ctx context.Context, day time.Time, product string) error {
	st, err := r.stock.Doses(ctx, r.pool, inventory.Central, product, day)
	if err != nil {
		return err
	}
	rule, err := programme.SeriesFor(ctx, r.pool, product, day)
	if err != nil {
		return err
	}
	due, sum := r.due(product, day, rule), 0
	for _, n := range due {
		sum += n
	}
	series, _ := booking.Carried(st.Doses, due, rule.Doses, rule.PlanDays)
	var closed int
	err = r.pool.QueryRow(ctx, `
		SELECT coalesce(sum(b.vials), 0) FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id WHERE l.product_id = $1`, product).Scan(&closed)
	if err != nil {
		return err
	}
	for _, row := range r.of(day, product) {
		row.Vials, row.Doses, row.Promised, row.Series = closed, st.Doses, sum, series
	}
	return nil
}

// due returns the second doses that first doses have been promised, by day from
// day on. Whose interval is over has taken another way.
func (r *replay) due(product string, day time.Time, rule programme.Series) []int {
	if rule.Doses < 2 {
		return nil
	}
	out := make([]int, rule.PlanDays+1)
	for _, p := range r.promise[product] {
		since := int(day.Sub(p.day).Hours() / 24)
		if since <= rule.MaxDays {
			out[max(0, rule.PlanDays-since)] += p.n
		}
	}
	return out
}
