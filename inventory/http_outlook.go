package inventory

import (
	"net/http"
	"strconv"
	"time"

	"impfportal/internal/web"
)

// outlookWeeks is how far the picture reaches: a second dose given six weeks
// after a first one that is booked four weeks ahead.
const outlookWeeks = 10

// outlookRoutes are the picture of the next weeks.
func (s *Service) outlookRoutes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/admin/outlook", Roles: admin, Nav: "inventory.nav.outlook", NavGroup: "web.nav.vaccine", Handle: s.outlookPage},
		{Method: http.MethodGet, Path: "/api/v1/outlook", Roles: admin, API: web.JSON("Show stock, deliveries, reserved and free doses of the next weeks by centre and vaccine", s.apiOutlook)},
	}
}

// reach is how long a product lasts at a centre when everything that is offered is
// booked too.
type reach struct {
	CentreID string
	Empty    bool      // nothing is there today
	Until    time.Time // last day of the week after which nothing is left; zero = none of those shown
	Short    time.Time // first day of the first week in which something booked is missing; zero = none
}

func reachOf(o Outlook) reach {
	r := reach{CentreID: o.CentreID, Empty: len(o.Weeks) > 0 && o.Weeks[0].Stock == 0}
	if i := o.Dry(); i >= 0 {
		r.Until = o.Weeks[i].To
	}
	for _, w := range o.Weeks {
		if w.Short > 0 {
			r.Short = w.From
			break
		}
	}
	return r
}

// Warns reports whether somebody should do something.
func (r reach) Warns() bool { return !r.Short.IsZero() || !r.Until.IsZero() }

// before orders by urgency: what is missing first, then what runs dry first.
func (r reach) before(x reach) bool {
	day := func(r reach) time.Time {
		switch {
		case !r.Short.IsZero():
			return r.Short.AddDate(-1, 0, 0)
		case !r.Until.IsZero():
			return r.Until
		}
		return Forever
	}
	return day(r).Before(day(x))
}

// words tell it in few words, of a cell ("bis So., 31.01.2021") or as a sentence
// with the prefix "inventory.reach.that.".
func (r reach) words(c *web.Ctx, prefix string) string {
	switch {
	case !r.Short.IsZero():
		return c.T(prefix+"short", "Day", web.FormatDayShort(c.Lang, r.Short))
	case r.Empty && !r.Until.IsZero():
		return c.T(prefix + "empty")
	case !r.Until.IsZero():
		return c.T(prefix+"until", "Day", web.FormatDayShort(c.Lang, r.Until))
	}
	return c.T(prefix+"longer", "Count", outlookWeeks)
}

// reachCell is how a table says how long something lasts.
const reachCell = "inventory.reach."

// outlookRow is a centre's product in the overview.
type outlookRow struct {
	Outlook
	Sums  OutlookWeek
	Dry   *OutlookWeek // the first week at whose end nothing is left
	Reach reach
	Lasts string // Reach in words
}

func rowOf(c *web.Ctx, o Outlook) outlookRow {
	r := outlookRow{Outlook: o, Sums: o.Sum(), Reach: reachOf(o)}
	if i := o.Dry(); i >= 0 {
		r.Dry = &o.Weeks[i]
	}
	r.Lasts = r.Reach.words(c, reachCell)
	return r
}

// productRow is a product at all centres together.
type productRow struct {
	outlookRow
	Central int    // doses in the central store
	Where   string // the centres where it is missing or runs dry, in words; "" = nowhere
	Warned  int    // so many are they
	Centres int
}

type outlookPage struct {
	Names    *names
	Centres  []web.Option // with "all"
	Product  string
	Centre   string
	Products []productRow
	Shown    outlookRow
	Central  int // doses in the central store
	Rows     []outlookRow
	Lasts    bool   // in all of the weeks, in each of the centres
	Verdict  string // says so, or when it runs dry
	Chart    weekChart
	Weeks    int
}

func (s *Service) outlookPage(c *web.Ctx) error {
	n, err := s.names(c)
	if err != nil {
		return err
	}
	d := outlookPage{
		Names: n, Product: c.Query("product"), Centre: c.Query("centre"), Weeks: outlookWeeks,
		Centres: []web.Option{{Label: c.T("inventory.outlook.all")}},
	}
	for _, o := range n.Places {
		if id := Place(o.Value).CentreID(); id != "" {
			d.Centres = append(d.Centres, web.Option{Value: id, Label: o.Label})
		}
	}
	all, err := s.Outlooks(c.Std(), s.pool, c.Now, outlookWeeks)
	if err != nil {
		return err
	}
	held, err := s.Holdings(c.Std(), s.pool, Central, "", c.Now)
	if err != nil {
		return err
	}
	for _, p := range n.Products {
		if row, ok := d.product(c, p.Value, all, held); ok {
			d.Products = append(d.Products, row)
		}
	}
	if d.Product == "" && len(d.Products) > 0 {
		d.Product = d.Products[0].ProductID
	}
	var mine []Outlook
	for _, o := range all {
		if o.ProductID != d.Product {
			continue
		}
		d.Rows = append(d.Rows, rowOf(c, o))
		if d.Centre == "" || d.Centre == o.CentreID {
			mine = append(mine, o)
		}
	}
	if len(mine) > 0 {
		d.Shown = rowOf(c, together(mine))
		d.Lasts, d.Verdict = verdict(c, n, mine, d.Shown)
		d.Chart = chartOf(c, d.Shown)
		d.Chart.Text = d.Verdict
	}
	for _, p := range d.Products {
		if p.ProductID == d.Product {
			d.Central = p.Central
		}
	}
	return c.PageForm("inventory/outlook", web.NewForm("product", d.Product, "centre", d.Centre), d)
}

// product adds a product up over all centres and the central store.
func (d outlookPage) product(c *web.Ctx, productID string, all []Outlook, central []Holding) (productRow, bool) {
	row := productRow{}
	for _, h := range central {
		if h.ProductID == productID {
			row.Central += h.Doses
		}
	}
	var mine []Outlook
	worst, alike := reach{}, 0 // and so many centres are as badly off
	for _, o := range all {
		if o.ProductID != productID {
			continue
		}
		mine = append(mine, o)
		if r := reachOf(o); r.Warns() {
			row.Warned++
			switch {
			case row.Warned == 1 || r.before(worst):
				worst, alike = r, 1
			case !worst.before(r):
				alike++
			}
		}
	}
	if row.Centres = len(mine); row.Centres == 0 {
		row.ProductID = productID
		return row, row.Central > 0
	}
	row.outlookRow = rowOf(c, together(mine))
	if row.Warned > 0 {
		row.Reach, row.Lasts = worst, worst.words(c, reachCell)
		row.Where = whereWords(c, d.Names.Centre(worst.CentreID), alike, row.Warned, row.Centres)
	}
	return row, true
}

// whereWords says at which of so many centres something runs dry: by name when it is
// one, or one is the first of them.
func whereWords(c *web.Ctx, first string, alike, warned, centres int) string {
	args := []any{"Centre", first, "Count", warned, "Of", centres}
	switch {
	case warned == 1:
		return first
	case alike > 1 && warned == centres:
		return c.T("inventory.outlook.where.all", args...)
	case alike > 1:
		return c.T("inventory.outlook.where.some", args...)
	case warned == centres:
		return c.T("inventory.outlook.where.first_all", args...)
	}
	return c.T("inventory.outlook.where.first_some", args...)
}

// verdict says whether the vaccine lasts. What one centre has too much of helps no
// other, so it lasts only when it does in each of them.
func verdict(c *web.Ctx, n *names, mine []Outlook, shown outlookRow) (lasts bool, text string) {
	if shown.Dry != nil {
		return false, c.T("inventory.outlook.dry_line", "Day", web.FormatDayShort(c.Lang, shown.Dry.To))
	}
	var (
		dry   int
		first outlookRow
	)
	for _, o := range mine {
		if r := rowOf(c, o); r.Dry != nil {
			if dry == 0 || r.Dry.To.Before(first.Dry.To) {
				first = r
			}
			dry++
		}
	}
	if dry == 0 {
		return true, c.T("inventory.outlook.never")
	}
	return false, c.T("inventory.outlook.some", "Count", dry, "Centre", n.Centre(first.CentreID), "Day", web.FormatDayShort(c.Lang, first.Dry.To))
}

// Measures of the chart; one unit is about a pixel on a telephone.
const (
	chartWidth, chartHeight = 480.0, 280.0
	chartLeft, chartTop     = 64.0, 26.0
	chartBottom             = chartHeight - 40
)

// weekChart is the weeks as stacked bars.
type weekChart struct {
	Title, Text   string
	Width, Height float64
	Left, Right   float64
	Bottom        float64
	Ticks         []chartTick
	Bars          []chartBar
	Dry           *chartMark
}

// chartTick is a line of the scale.
type chartTick struct {
	Y     float64
	Value int
}

// chartBar is a part of a week.
type chartBar struct {
	X, Y, Width, Height float64
	Kind                string // later, first, free, rest
	Label               string // of the week, at its lowest part
	Middle              float64
}

// chartMark is where it runs dry.
type chartMark struct {
	X    float64
	Text string
	End  bool // so far right that the words stand left of it
}

// Number is the number of the calendar week, as people name it.
func (w OutlookWeek) Number() int {
	_, n := w.From.ISOWeek()
	return n
}

// chartOf draws the weeks: what is reserved for later doses, first doses, what is
// offered, and what nobody is promised yet.
func chartOf(c *web.Ctx, r outlookRow) weekChart {
	ch := weekChart{
		Title: c.T("inventory.outlook.chart"),
		Width: chartWidth, Height: chartHeight, Left: chartLeft, Right: chartWidth - 6, Bottom: chartBottom,
	}
	top := 1
	for _, w := range r.Weeks {
		top = max(top, w.First+w.Later+w.Free+w.Left)
	}
	step := niceStep(top)
	top = (top + step - 1) / step * step
	for v := 0; v <= top; v += step {
		ch.Ticks = append(ch.Ticks, chartTick{chartBottom - (chartBottom-chartTop)*float64(v)/float64(top), v})
	}
	each := (ch.Right - chartLeft) / float64(len(r.Weeks))
	for i, w := range r.Weeks {
		x, y := chartLeft+each*(float64(i)+.14), chartBottom
		label := strconv.Itoa(w.Number())
		for _, part := range []struct {
			kind string
			n    int
		}{{"later", w.Later}, {"first", w.First}, {"free", w.Free}, {"rest", w.Left}} {
			h := (chartBottom - chartTop) * float64(part.n) / float64(top)
			y -= h
			ch.Bars = append(ch.Bars, chartBar{X: round(x), Y: round(y), Width: round(each * .72), Height: round(h), Kind: part.kind, Label: label, Middle: round(x + each*.36)})
			label = ""
		}
	}
	if i := r.Outlook.Dry(); i >= 0 {
		x := chartLeft + each*float64(i+1)
		ch.Dry = &chartMark{X: round(x), Text: c.T("inventory.outlook.dry"), End: i >= len(r.Weeks)/2}
	}
	return ch
}

func round(x float64) float64 { return float64(int(x*10+.5)) / 10 }

// niceStep is a round distance for about four lines of a scale up to top.
func niceStep(top int) int {
	for step := 1; ; step *= 10 {
		for _, k := range []int{1, 2, 5} {
			if step*k*4 >= top {
				return step * k
			}
		}
	}
}

type outlookIn struct {
	Product string `query:"product" json:"-" doc:"all without it"`
	Centre  string `query:"centre" json:"-" doc:"all without it"`
	Weeks   int    `query:"weeks" json:"-" doc:"1 to 26; 10 without it"`
}

type outlookOut struct {
	Outlooks []outlookCentre `json:"outlooks"`
}

type outlookCentre struct {
	CentreID  string           `json:"centre_id"`
	ProductID string           `json:"product_id"`
	DryFrom   string           `json:"dry_from,omitempty" format:"date" doc:"the day after the first week at whose end nothing is left"`
	Weeks     []outlookWeekOut `json:"weeks"`
}

type outlookWeekOut struct {
	From  string `json:"from" format:"date"`
	To    string `json:"to" format:"date"`
	Stock int    `json:"stock" doc:"doses at its beginning"`
	Comes int    `json:"comes" doc:"planned and confirmed deliveries, with their margin"`
	First int    `json:"first" doc:"booked first doses"`
	Later int    `json:"later" doc:"reserved for second and further doses"`
	Free  int    `json:"free" doc:"offered, and taken by nobody yet"`
	Lost  int    `json:"lost" doc:"run out before anybody needs them"`
	Short int    `json:"short" doc:"booked, and not there"`
	Left  int    `json:"left" doc:"at its end, when everything that is offered is booked too"`
}

func (s *Service) apiOutlook(c *web.Ctx, in outlookIn) (outlookOut, error) {
	if in.Weeks == 0 {
		in.Weeks = outlookWeeks
	}
	if in.Weeks < 1 || in.Weeks > 26 {
		return outlookOut{}, web.Invalid(web.FieldError{Field: "weeks", Key: "inventory.error.number", Args: []any{"Low", 1, "High", 26}})
	}
	all, err := s.Outlooks(c.Std(), s.pool, c.Now, in.Weeks)
	if err != nil {
		return outlookOut{}, err
	}
	out := outlookOut{Outlooks: []outlookCentre{}}
	for _, o := range all {
		if (in.Product != "" && in.Product != o.ProductID) || (in.Centre != "" && in.Centre != o.CentreID) {
			continue
		}
		x := outlookCentre{CentreID: o.CentreID, ProductID: o.ProductID}
		if i := o.Dry(); i >= 0 {
			x.DryFrom = isoDay(o.Weeks[i].To.AddDate(0, 0, 1))
		}
		for _, w := range o.Weeks {
			x.Weeks = append(x.Weeks, outlookWeekOut{isoDay(w.From), isoDay(w.To), w.Stock, w.Comes, w.First, w.Later, w.Free, w.Lost, w.Short, w.Left})
		}
		out.Outlooks = append(out.Outlooks, x)
	}
	return out, nil
}
