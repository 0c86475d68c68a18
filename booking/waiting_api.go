package booking

import (
	"strconv"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/programme"
)

// WishesIn are wishes as JSON.
type WishesIn struct {
	Centres    []string `json:"centres"`
	Weekdays   []int    `json:"weekdays" doc:"1 = Monday to 7 = Sunday"`
	Parts      []string `json:"parts" doc:"morning (until 11), noon (11 to 15), afternoon (from 15)"`
	Earliest   string   `json:"earliest,omitempty" doc:"YYYY-MM-DD, first day of the first appointment; empty = any"`
	Latest     string   `json:"latest,omitempty" doc:"YYYY-MM-DD; empty = any"`
	NoticeDays int      `json:"notice_days" doc:"least days between the offer and the first appointment"`
}

// WaitForIn are the wishes of a caller.
type WaitForIn struct {
	ID     string   `json:"-" path:"id"`
	Wishes WishesIn `json:"wishes"`
}

// WaitingOut is an entry; state "" = not on the list.
type WaitingOut struct {
	State      string     `json:"state" doc:"waiting, paused, or empty: not on the list"`
	Since      *time.Time `json:"since,omitempty"`
	Unanswered int        `json:"unanswered" doc:"offers in a row; two pause the entry, and each further one"`
	Declined   int        `json:"declined" doc:"five pause the entry, and each further one"`
	Wishes     *WishesIn  `json:"wishes,omitempty"`
	Offer      *SeriesOut `json:"offer,omitempty" doc:"held: confirm or cancel it like any series"`
}

func waitingOut(w *Waiting) WaitingOut {
	if w == nil {
		return WaitingOut{}
	}
	in := WishesIn{Centres: w.Centres, Weekdays: w.Weekdays, Parts: w.Parts, NoticeDays: w.NoticeDays}
	if w.Earliest != nil {
		in.Earliest = w.Earliest.Format(time.DateOnly)
	}
	if w.Latest != nil {
		in.Latest = w.Latest.Format(time.DateOnly)
	}
	return WaitingOut{State: w.State, Since: &w.Since, Unanswered: w.Unanswered, Declined: w.Declined, Wishes: &in}
}

func (in WishesIn) wishes() (Wishes, error) {
	w := Wishes{Centres: in.Centres, Weekdays: in.Weekdays, Parts: in.Parts, NoticeDays: in.NoticeDays}
	for _, x := range []struct {
		name, text string
		day        **time.Time
	}{{"earliest", in.Earliest, &w.Earliest}, {"latest", in.Latest, &w.Latest}} {
		if x.text == "" {
			continue
		}
		d, err := time.Parse(time.DateOnly, x.text)
		if err != nil {
			return w, web.Invalid(web.FieldError{Field: x.name, Key: "booking.error.day"})
		}
		*x.day = &d
	}
	return w, nil
}

func (s *Service) apiWaiting(c *web.Ctx, _ struct{}) (WaitingOut, error) {
	entry, err := WaitingOf(c.Std(), s.Pool, c.User.ID)
	if err != nil {
		return WaitingOut{}, err
	}
	out := waitingOut(entry)
	series, err := s.SeriesOf(c.Std(), s.Pool, c.User.ID)
	if err == nil && entry != nil && series != nil && series.State == StateHeld {
		held := seriesOut(*series)
		out.Offer = &held
	}
	return out, err
}

func (s *Service) putWishes(c *web.Ctx, in WishesIn) (WaitingOut, error) {
	personID, _, _, ch, by := waitingFor(c)
	w, err := in.wishes()
	if err != nil {
		return WaitingOut{}, err
	}
	entry, err := s.PutOnList(c.Std(), personID, w, ch, by)
	if err != nil {
		return WaitingOut{}, problem(err)
	}
	return waitingOut(&entry), nil
}

func (s *Service) apiWait(c *web.Ctx, in WishesIn) (WaitingOut, error) { return s.putWishes(c, in) }

func (s *Service) apiWaitFor(c *web.Ctx, in WaitForIn) (WaitingOut, error) {
	return s.putWishes(c, in.Wishes)
}

func (s *Service) leaveList(c *web.Ctx) (WaitingOut, error) {
	personID, _, via, _, by := waitingFor(c)
	if _, err := s.Citizens.Person(c.Std(), s.Pool, personID); err != nil {
		return WaitingOut{}, problem(err)
	}
	return WaitingOut{}, problem(s.Withdraw(c.Std(), personID, via, by))
}

func (s *Service) apiWithdraw(c *web.Ctx, _ struct{}) (WaitingOut, error) { return s.leaveList(c) }

type personIn struct {
	ID string `json:"-" path:"id"`
}

func (s *Service) apiWithdrawFor(c *web.Ctx, _ personIn) (WaitingOut, error) { return s.leaveList(c) }

// CallsOut are the offers that wait for an answer.
type CallsOut struct {
	Offers []CallOut `json:"offers"`
}

// CallOut is one of them, with whom to call.
type CallOut struct {
	ID         string      `json:"id"`
	PersonID   string      `json:"person_id"`
	CaseNumber string      `json:"case_number"`
	Name       string      `json:"name"`
	Phone      string      `json:"phone,omitempty" doc:"E.164"`
	Means      string      `json:"means" doc:"call: only a telephone is known, the hotline calls; message or letter: was told"`
	Centre     string      `json:"centre"`
	Product    string      `json:"product"`
	Starts     []time.Time `json:"starts"`
	Until      time.Time   `json:"until"`
}

func (s *Service) apiCalls(c *web.Ctx, _ struct{}) (CallsOut, error) {
	list, err := s.calls(c)
	out := CallsOut{Offers: []CallOut{}}
	for _, v := range list {
		o := CallOut{ID: v.ID, PersonID: v.PersonID, CaseNumber: v.CaseNumber, Name: v.Person.FullName(), Phone: v.Person.Phone, Means: v.Means, Centre: v.Centre, Product: v.Product, Until: v.Until}
		for _, a := range v.Visits {
			o.Starts = append(o.Starts, a.Start)
		}
		out.Offers = append(out.Offers, o)
	}
	return out, err
}

type callIn struct {
	Offer  string `json:"-" path:"offer"`
	Answer string `json:"answer" doc:"accept, decline (stays on the list) or remove (leaves it)"`
}

// CallDone says what holds now: the same answer again, or one that comes too
// late, changes nothing.
type CallDone struct {
	Answer string `json:"answer" doc:"accepted, declined, removed or unanswered (too late)"`
}

func (s *Service) apiCall(c *web.Ctx, in callIn) (CallDone, error) {
	after, err := s.answerOffer(c.Std(), in.Offer, in.Answer, viaCall, By{c.Actor(), string(web.RoleAgent)})
	if err != nil {
		return CallDone{}, problem(err)
	}
	return CallDone{after.Answer}, nil
}

// WaitingRules are the settings of returning places and offers.
type WaitingRules struct {
	DelayMinutes  int `json:"delay_minutes" doc:"how long after it was given back a place is free for everybody, 0 to 1440"`
	SpreadMinutes int `json:"spread_minutes" doc:"up to so much longer, by chance, 0 to 1440"`
	OfferHours    int `json:"offer_hours" doc:"to answer an offer, 1 to 72"`
	OfferRounds   int `json:"offer_rounds" doc:"how many are asked in turn for one place, 1 to 20"`
}

// WaitingFigures are the list in figures.
type WaitingFigures struct {
	Rules     WaitingRules   `json:"rules"`
	Entries   map[string]int `json:"entries" doc:"by state"`
	Groups    []GroupFigure  `json:"groups" doc:"those who wait, by priority group"`
	Returning int            `json:"returning" doc:"places that are on their way back"`
	Open      int            `json:"open" doc:"offers that wait for an answer"`
	Answers   map[string]int `json:"answers" doc:"of the last seven days"`
}

// GroupFigure is how many of a group wait.
type GroupFigure struct {
	Group   string `json:"group"`
	Waiting int    `json:"waiting"`
}

func (s *Service) waitingFigures(c *web.Ctx) (WaitingFigures, error) {
	ctx := c.Std()
	out := WaitingFigures{Entries: map[string]int{}, Answers: map[string]int{}, Groups: []GroupFigure{}}
	returns, err := readReturns(ctx, s.Pool)
	if err != nil {
		return out, err
	}
	rules, err := readOfferRules(ctx, s.Pool)
	if err != nil {
		return out, err
	}
	out.Rules = WaitingRules{int(returns.Delay.Minutes()), int(returns.Spread.Minutes()), rules.Hours, rules.Rounds}
	rows, err := s.Pool.Query(ctx, `
		SELECT 'entry', state, count(*)::int FROM booking.waiting GROUP BY 2
		UNION ALL SELECT 'group', group_code, count(*)::int FROM booking.waiting WHERE state = 'waiting' GROUP BY 2
		UNION ALL SELECT 'answer', answer, count(*)::int FROM booking.waiting_offer WHERE answered_at > $1 GROUP BY 2
		UNION ALL SELECT 'open', '', count(*)::int FROM booking.waiting_offer WHERE answer IS NULL
		UNION ALL SELECT 'returning', '', count(*)::int FROM booking.returning_place
		ORDER BY 1, 2`, c.Now.AddDate(0, 0, -7))
	if err != nil {
		return out, err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, key string
		var n int
		if err := rows.Scan(&kind, &key, &n); err != nil {
			return out, err
		}
		switch kind {
		case "entry":
			out.Entries[key] = n
		case "group":
			out.Groups = append(out.Groups, GroupFigure{key, n})
		case "answer":
			out.Answers[key] = n
		case "open":
			out.Open = n
		case "returning":
			out.Returning = n
		}
	}
	return out, rows.Err()
}

func (s *Service) apiWaitingAdmin(c *web.Ctx, _ struct{}) (WaitingFigures, error) {
	return s.waitingFigures(c)
}

func (s *Service) setWaitingRules(c *web.Ctx, in WaitingRules) error {
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	if err := s.SetOfferRules(c.Std(), OfferRules{in.OfferHours, in.OfferRounds}, byUser(c)); err != nil {
		return err
	}
	return s.SetReturns(c.Std(), ReturnSettings{minutes(in.DelayMinutes), minutes(in.SpreadMinutes)}, byUser(c))
}

func (s *Service) apiWaitingRules(c *web.Ctx, in WaitingRules) (WaitingFigures, error) {
	if err := s.setWaitingRules(c, in); err != nil {
		return WaitingFigures{}, problem(err)
	}
	return s.waitingFigures(c)
}

// waitingAdminView is the administrator's page of the list.
type waitingAdminView struct {
	WaitingFigures
	GroupNames map[string]string
	Draw       string // hash of today's key; "" = nothing was drawn yet
}

func (s *Service) showWaitingAdmin(c *web.Ctx) error { return s.pageWaitingAdmin(c, web.NewForm()) }

func (s *Service) pageWaitingAdmin(c *web.Ctx, f *web.Form) error {
	figures, err := s.waitingFigures(c)
	if err != nil {
		return err
	}
	v := waitingAdminView{WaitingFigures: figures, GroupNames: map[string]string{}}
	programmes, err := programme.Programmes(c.Std(), s.Pool, c.Lang)
	if err != nil {
		return err
	}
	for _, p := range programmes {
		groups, err := programme.GroupsOn(c.Std(), s.Pool, p.ID, c.Now, c.Lang)
		if err != nil {
			return err
		}
		for _, g := range groups {
			v.GroupNames[g.Code] = g.Name
		}
	}
	if f.OK() {
		for name, n := range map[string]int{"delay": v.Rules.DelayMinutes, "spread": v.Rules.SpreadMinutes, "hours": v.Rules.OfferHours, "rounds": v.Rules.OfferRounds} {
			f.Set(name, strconv.Itoa(n))
		}
	}
	err = s.Pool.QueryRow(c.Std(), `SELECT coalesce((SELECT encode(commitment, 'hex') FROM booking.waiting_draw WHERE day = $1), '')`, clock.Day(c.Now)).Scan(&v.Draw)
	if err != nil {
		return err
	}
	return c.PageForm("booking/waiting_admin", f, v)
}

func (s *Service) postWaitingAdmin(c *web.Ctx) error {
	f := c.Form()
	const key = "booking.error.number"
	in := WaitingRules{f.Int("delay", 0, 1440, key), f.Int("spread", 0, 1440, key), f.Int("hours", 1, 72, key), f.Int("rounds", 1, 20, key)}
	if !f.OK() {
		return s.pageWaitingAdmin(c, f)
	}
	if err := s.setWaitingRules(c, in); err != nil {
		return problem(err)
	}
	c.Flash("booking.flash.rules")
	return c.See("/admin/waiting")
}
