package hotline

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"impfportal/booking"
	"impfportal/centre"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/programme"
)

type caseView struct {
	Case
	CaseNumber string
	Group      string
	Centre     centre.Centre
	Product    string
	Reference  string
	Confirmed  bool
	Side       side
	Results    []web.Option
	Rooms      []admissionRoom // for whose line the person may get a code
	standing
}

func casePath(c *web.Ctx) string { return "/hotline/persons/" + c.Params("id") }

func (s *Service) showCase(c *web.Ctx) error { return s.casePage(c, &web.Form{}) }

func (s *Service) casePage(c *web.Ctx, f *web.Form) error {
	open, err := s.OpenCase(c.Std(), c.Params("id"), by(c))
	if err != nil {
		return problem(err)
	}
	v := caseView{Case: open, CaseNumber: citizen.PrintCode(open.Person.CaseNumber)}
	group, err := programme.GroupByCode(c.Std(), s.Pool, open.Person.ProgrammeID, open.Person.GroupCode, c.Now, c.Lang)
	if err != nil && !errors.Is(err, programme.ErrNotFound) {
		return err
	}
	v.Group = group.Name
	if open.Series != nil {
		if v.Centre, err = centre.Get(c.Std(), s.Pool, open.Series.CentreID); err != nil {
			return err
		}
		p, err := programme.ProductByID(c.Std(), s.Pool, open.Series.ProductID)
		if err != nil {
			return err
		}
		v.Product, v.Reference, v.Confirmed = p.Name, booking.PrintReference(open.Series.Reference), open.Series.State == booking.StateConfirmed
	}
	v.Results = []web.Option{{Value: "", Label: c.T("hotline.note.choose")}}
	for _, d := range Dispositions {
		v.Results = append(v.Results, web.Option{Value: d, Label: c.T("hotline.disposition." + d)})
	}
	v.Rooms = s.admissionRooms(c, true)
	if v.standing, err = s.standing(c.Std(), open.Person.ID, open.Series); err != nil {
		return err
	}
	if f.OK() { // what was sent stays
		done, err := s.doneInCall(c.Std(), open.Person, v.Waiting, by(c))
		if err != nil {
			return err
		}
		f.Set("disposition", done)
	}
	if v.Side, err = s.side(c); err != nil {
		return err
	}
	return c.PageForm("hotline/case", f, v)
}

// offer is one series as an agent reads it out.
type offer struct {
	Value string // slot ids
	booking.Choice
	Product string
	Key     string // that chooses it: "1" to "9", "" for those after them
}

// choosing is what the pages have in common on which an agent chooses times.
type choosing struct {
	Days   []web.Option // by day, with what is free
	Day    time.Time
	Offers []offer
	Key    string // the button's own: pressing twice does it once
	Taken  bool   // what was chosen is gone; Offers are the nearest
}

// chosen does what is to be done with the times that were chosen, and says so. again
// shows the page with what was wrong, and with what is free instead of what is gone.
func (s *Service) chosen(c *web.Ctx, f *web.Form, said string, again func(*web.Ctx, *web.Form, []booking.Choice) error, do func(slots []int64) error) error {
	slots := slotsOf(f.Get("offer"))
	if len(slots) == 0 {
		f.Fail("offer", "hotline.error.choose")
	}
	if !f.OK() {
		return again(c, f, nil)
	}
	err := do(slots)
	var taken *booking.TakenError
	if errors.As(err, &taken) {
		f.Fail("offer", "hotline.error.taken")
		return again(c, f, taken.Alternatives)
	}
	if err != nil {
		return problem(err)
	}
	c.Flash(said)
	return c.See(casePath(c))
}

// instead shows what is free instead of what is gone; nil = nothing is gone.
func (s *Service) instead(c *web.Ctx, v *choosing, near []booking.Choice) error {
	if near == nil {
		return nil
	}
	names, err := s.productNames(c.Std())
	if err != nil {
		return err
	}
	v.Taken, v.Offers = true, nil
	for _, ch := range near {
		v.Offers = append(v.Offers, offerOf(ch, names))
	}
	v.Offers = withKeys(v.Offers)
	return nil
}

type bookView struct {
	Person   citizen.Person
	Centres  []web.Option
	CentreID string
	Centre   string
	Earliest time.Time
	Side     side
	choosing
	MayOne bool // the first dose can be booked alone
	One    bool // it is chosen
	Why    []web.Option
}

// bookHorizon is how far ahead an agent looks.
const bookHorizon = 60

func (s *Service) showBook(c *web.Ctx) error {
	v, err := s.bookView(c, c.Query("centre"), c.Query("day"), c.Query("one") != "")
	if err != nil {
		return problem(err)
	}
	v.Key = id.New()
	return c.PageForm("hotline/book", web.NewForm("centre", v.CentreID, "day", isoDay(v.Day)), v)
}

// bookView gathers what could be booked for a person at a centre on a day; the
// first day with something free when none is named.
func (s *Service) bookView(c *web.Ctx, centreID, day string, one bool) (bookView, error) {
	p, err := s.bookable(c.Std(), c.Params("id"))
	if err != nil {
		return bookView{}, err
	}
	v := bookView{Person: p, One: one, Why: booking.WaiveOptions(c)}
	if v.MayOne, err = s.Booking.MayWaive(c.Std(), s.Pool, p); err != nil {
		return v, err
	}
	if v.Side, err = s.side(c); err != nil {
		return v, err
	}
	if v.Centres, v.CentreID, err = s.centres(c, p, centreID); err != nil || v.CentreID == "" {
		return v, err
	}
	v.Centre = v.Centres[slices.IndexFunc(v.Centres, func(o web.Option) bool { return o.Value == v.CentreID })].Label
	days, err := s.Booking.Offers(c.Std(), s.Pool, booking.OfferQuery{Person: p, CentreID: v.CentreID, Channel: booking.Hotline, From: c.Now, To: c.Now.AddDate(0, 0, bookHorizon), One: one})
	if err != nil {
		return v, err
	}
	v.Day, v.Days, v.Offers, err = s.daysOf(c, days, day)
	return v, err
}

// daysOf makes the choice of days and the times of one of them: of the wanted, or
// of the first with something free.
func (s *Service) daysOf(c *web.Ctx, days []booking.OfferDay, day string) (wanted time.Time, options []web.Option, list []offer, err error) {
	wanted, _ = time.Parse(time.DateOnly, day)
	if !slices.ContainsFunc(days, func(d booking.OfferDay) bool { return d.Day.Equal(wanted) }) && len(days) > 0 {
		wanted = days[0].Day
	}
	names, err := s.productNames(c.Std())
	if err != nil {
		return wanted, nil, nil, err
	}
	free := map[time.Time]int{}
	for _, d := range days {
		free[d.Day] += d.Free()
	}
	seen := map[int64]bool{} // a time of the group's contingent and of everybody's is one
	for _, d := range days {
		if n, ok := free[d.Day]; ok {
			label := c.T("hotline.book.day_free", "Day", web.FormatDate(c.Lang, d.Day), "Count", n)
			options = append(options, web.Option{Value: isoDay(d.Day), Label: label})
			delete(free, d.Day)
		}
		if !d.Day.Equal(wanted) {
			continue
		}
		for _, t := range d.First {
			if choice, ok := d.Choice(t.SlotID); ok && !seen[t.SlotID] {
				seen[t.SlotID] = true
				list = append(list, offerOf(choice, names))
			}
		}
	}
	return wanted, options, withKeys(list), nil
}

func isoDay(day time.Time) string { return day.Format(time.DateOnly) }

// withKeys gives the first nine a key of their own.
func withKeys(list []offer) []offer {
	for i := range min(9, len(list)) {
		list[i].Key = strconv.Itoa(i + 1)
	}
	return list
}

func offerOf(ch booking.Choice, names map[string]string) offer {
	ids := make([]string, len(ch.Times))
	for i, slot := range ch.SlotIDs() {
		ids[i] = strconv.FormatInt(slot, 10)
	}
	return offer{Value: strings.Join(ids, ","), Choice: ch, Product: names[ch.ProductID]}
}

func (s *Service) productNames(ctx context.Context) (map[string]string, error) {
	list, err := programme.Products(ctx, s.Pool, "")
	names := map[string]string{}
	for _, p := range list {
		names[p.ID] = p.Name
	}
	return names, err
}

// centres lists the centres with what is free over the hotline, and chooses
// one: the wanted, else the nearest with something free. The nearest stand first.
func (s *Service) centres(c *web.Ctx, p citizen.Person, wanted string) (out []web.Option, chosen string, err error) {
	list, err := centre.List(c.Std(), s.Pool)
	if err != nil {
		return nil, "", err
	}
	free, err := s.Booking.FreeOver(c.Std(), s.Pool, booking.Hotline)
	if err != nil {
		return nil, "", err
	}
	allowed, err := programme.AllowedProducts(c.Std(), s.Pool, p.ProgrammeID, p.Birth.Latest(), clock.Day(c.Now))
	if err != nil {
		return nil, "", err
	}
	count := map[string]int{}
	for _, f := range free {
		if !slices.ContainsFunc(allowed, func(a programme.Product) bool { return a.ID == f.ProductID }) {
			continue
		}
		count[f.CentreID] += f.Free
	}
	for _, x := range booking.Nearest(list, p.Address.Postcode) {
		if chosen == "" && count[x.ID] > 0 {
			chosen = x.ID
		}
		out = append(out, web.Option{Value: x.ID, Label: c.T("hotline.book.centre_free", "Name", x.Name, "Count", count[x.ID])})
		if x.ID == wanted {
			chosen = wanted
		}
	}
	if chosen == "" && len(out) > 0 {
		chosen = out[0].Value
	}
	return out, chosen, nil
}

func (s *Service) book(c *web.Ctx) error {
	f, waive := c.Form(), ""
	if f.Get("one") != "" {
		if waive = f.Get("waive"); waive == "" {
			f.Fail("waive", "booking.error.waive")
		}
	}
	return s.chosen(c, f, "hotline.booked", s.bookAgain, func(slots []int64) error {
		_, err := s.Book(c.Std(), c.Params("id"), slots, waive, f.Get("key"), by(c))
		return err
	})
}

// bookAgain shows the page with what was wrong; near are the nearest series
// when the chosen one is gone.
func (s *Service) bookAgain(c *web.Ctx, f *web.Form, near []booking.Choice) error {
	v, err := s.bookView(c, f.Get("centre"), f.Get("day"), f.Get("one") != "")
	if err != nil {
		return problem(err)
	}
	v.Key = id.New() // the taken one is spent
	if err := s.instead(c, &v.choosing, near); err != nil {
		return err
	}
	return c.PageForm("hotline/book", f, v)
}

func (s *Service) loginData(c *web.Ctx) error {
	var err error
	switch c.Form().Get("way") {
	case "post":
		err = s.NewLoginByPost(c.Std(), c.Params("id"), by(c))
	case "contact":
		err = s.NewLoginByContact(c.Std(), c.Params("id"), by(c))
	default:
		err = booking.ErrInvalid
	}
	if err != nil {
		return problem(err)
	}
	c.Flash("hotline.login.sent")
	return c.See(casePath(c))
}

func (s *Service) again(c *web.Ctx) error {
	if err := s.PapersAgain(c.Std(), c.Params("id"), by(c)); err != nil {
		return problem(err)
	}
	c.Flash("hotline.letter.again_done")
	return c.See(casePath(c))
}

func (s *Service) preview(c *web.Ctx) error {
	b, err := s.Preview(c.Std(), c.Params("id"), by(c))
	if err != nil {
		return problem(err)
	}
	return c.Download("application/pdf", c.T("hotline.letter.file")+".pdf", b)
}

func (s *Service) addNote(c *web.Ctx) error {
	f := c.Form()
	if f.Get("disposition") == "" {
		f.Fail("disposition", "hotline.error.disposition")
	}
	if n := len([]rune(f.Get("text"))); n > maxNote {
		f.Fail("text", "web.error.too_long", "Max", maxNote)
	}
	if !f.OK() {
		return s.casePage(c, f)
	}
	if err := s.AddNote(c.Std(), c.Params("id"), f.Get("disposition"), f.Get("text"), by(c)); err != nil {
		return problem(err)
	}
	c.Flash("hotline.note.saved")
	return c.See(casePath(c))
}

// letterStep is a button on a batch of the print queue.
func (s *Service) letterStep(step func(ctx context.Context, batchID string, by notify.Printer) error, done string) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		if !id.Valid(c.Params("id")) {
			return web.NotFound()
		}
		if err := step(c.Std(), c.Params("id"), printer(c)); err != nil {
			return problem(err)
		}
		c.Flash(done)
		return c.See("/hotline/letters")
	}
}
