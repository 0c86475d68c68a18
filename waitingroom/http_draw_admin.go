package waitingroom

import (
	"net/http"
	"time"

	"impfportal/internal/web"
	"impfportal/waitingroom/draw"
)

// drawNotice is what administrators must know of a draw; nil when there is
// nothing to know.
type drawNotice struct {
	Room    string
	Kind    string        // see below
	Late    time.Duration // of the value
	LateFor string        // in words
	Beacon  Beacon
	Name    string
	Due     time.Time
	Link    string
}

// The kinds of a notice.
const (
	noticeWaits  = "waits"  // the value is not due yet
	noticeEnter  = "enter"  // two administrators must enter the lottery's numbers
	noticeLate   = "late"   // overdue
	noticeFailed = "failed" // so long overdue that it may be declared failed
)

// drawNotice tells how the draw of a room in phase drawing stands. No I/O.
func (s *Service) drawNotice(c *web.Ctx, v *view) *drawNotice {
	r := v.known.Load()
	l := v.drawing(r.Epoch)
	if r.Phase != Drawing || l == nil || !l.now().closed() || l.now().value != nil {
		return nil
	}
	d, now := l.now(), s.realNow()
	n := &drawNotice{Room: r.ID, Kind: noticeWaits, Late: d.late(now), Beacon: d.beacon, Name: d.name, Due: s.toRoom(d.due), Link: "/admin/rooms/" + r.ID + "/draw"}
	if d.chain != nil {
		n.Name = s.attemptView(d, draw.Attempt{}).roundName(c)
	}
	switch {
	case !now.Before(d.due.Add(draw.DeclareAfter)):
		n.Kind = noticeFailed
	case n.Late > 0:
		n.Kind = noticeLate
	case d.beacon == LotteryBeacon && !now.Before(d.due):
		n.Kind = noticeEnter
	}
	n.LateFor = duration(c.T, max(1, int(now.Sub(d.due).Minutes())))
	return n
}

func (a attemptView) roundName(c *web.Ctx) string {
	return c.T("waitingroom.draw.round", "Round", web.FormatNumber(c.Lang, a.Round))
}

// adminDrawPage is a room's draw for administrators.
type adminDrawPage struct {
	Room     Room
	Name     string
	Notice   *drawNotice
	There    bool
	State    draw.State
	Attempts []attemptView
	Holds    attemptView
	Words    []wordView
	MayEnter bool // the lottery's numbers may be entered
	MayFail  bool // the beacon may be declared failed
	MayDue   bool // it can still be said when the lottery draws
	May      bool // the viewer is an administrator
	Next     []web.Option
	Conflict bool // another one has said something else than the viewer
}

// wordView is what one administrator said.
type wordView struct {
	Mine    bool
	Value   string // "" = hidden: whoever has to enter it independently cannot copy it
	Failure bool
	Next    string
	At      time.Time
}

func (s *Service) adminDrawPage(c *web.Ctx, v *view) (adminDrawPage, error) {
	r := *v.known.Load()
	p := adminDrawPage{Room: r, Name: r.Name.In(c.Lang), Notice: s.drawNotice(c, v), May: c.User.Has(web.RoleAdmin)}
	l := v.drawing(r.Epoch)
	if next := v.drawing(r.Epoch + 1); next != nil && (l == nil || l.now().revealedAt != nil) {
		l = next // the coming one
	}
	if l == nil {
		return p, nil
	}
	p.There, p.State = true, l.published.State
	for i := range l.attempts {
		p.Attempts = append(p.Attempts, s.attemptView(&l.attempts[i], l.published.Attempts[i]))
	}
	p.Holds = p.Attempts[len(p.Attempts)-1]
	d, now := l.now(), s.realNow()
	p.MayDue = p.May && d.beacon == LotteryBeacon && !d.closed() && r.Plan.OpensAt != nil
	waits := r.Phase == Drawing && d.closed() && d.value == nil
	p.MayEnter = p.May && waits && d.beacon == LotteryBeacon && !now.Before(d.due)
	p.MayFail = p.May && waits && !now.Before(d.due.Add(draw.DeclareAfter))
	if p.MayFail && len(s.draws.drand.URLs) > 0 {
		p.Next = append(p.Next, web.Option{Value: string(DrandBeacon), Label: c.T("waitingroom.draw.next.drand")})
	}
	p.Next = append(p.Next, web.Option{Value: string(LotteryBeacon), Label: c.T("waitingroom.draw.next.lottery")})
	if !d.closed() {
		return p, nil
	}
	said, err := words(c.Std(), s.pool, d.Subject)
	if err != nil {
		return p, err
	}
	var own *beaconWord
	for i := range said {
		if said[i].by == c.Actor() {
			own = &said[i]
		}
	}
	for _, w := range said {
		view := wordView{Mine: w.by == c.Actor(), Failure: w.failure(), At: s.toRoom(w.at)}
		if view.Mine || d.value != nil {
			view.Value = w.value
		}
		if w.next.beacon != "" {
			view.Next = c.T("waitingroom.draw.next." + string(w.next.beacon))
			if w.next.name != "" {
				view.Next += ": " + w.next.name + ", " + web.FormatDateTime(c.Lang, s.toRoom(w.next.due))
			}
		}
		p.Words = append(p.Words, view)
		p.Conflict = p.Conflict || waits && own != nil && w.by != own.by && !w.agrees(*own)
	}
	return p, nil
}

func (s *Service) showAdminDraw(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	p, err := s.adminDrawPage(c, v)
	if err != nil {
		return err
	}
	return c.PageForm("waitingroom/room_draw", web.NewForm("due", s.dueText(p)), p)
}

// dueText is the due time of a coming lottery for its field.
func (s *Service) dueText(p adminDrawPage) string {
	if !p.MayDue {
		return ""
	}
	return berlinText(&p.Holds.Due)
}

// postAdminDraw takes a word of an administrator.
func (s *Service) postAdminDraw(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	var (
		f      = c.Form()
		flash  = "waitingroom.draw.said.first"
		result said
		due    time.Time
	)
	if f.Get("due") != "" {
		var wrong string
		if due, wrong = berlinTime(f.Get("due")); wrong != "" {
			f.Fail("due", wrong)
		}
	}
	if f.OK() {
		switch f.Get("action") {
		case "value":
			result, err = s.sayValue(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, f.Get("value"))
		case "failed":
			result, err = s.sayFailed(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, Beacon(f.Get("next")), f.Get("name"), due)
		case "due":
			err, flash = s.setDue(c.Std(), c.Actor(), string(web.RoleAdmin), v.id, due), "waitingroom.draw.said.due"
		default:
			err = web.Fail(http.StatusBadRequest, "waitingroom.draw.error.next")
		}
		if bad, ok := problemFields(err); ok {
			f.Errors = append(f.Errors, bad...)
		} else if err != nil {
			return problem(err)
		}
	}
	if !f.OK() {
		p, err := s.adminDrawPage(c, v)
		if err != nil {
			return err
		}
		return c.PageForm("waitingroom/room_draw", f, p)
	}
	switch result {
	case saidDiffers:
		flash = "waitingroom.draw.said.differs"
	case saidDone:
		flash = "waitingroom.draw.said.done"
	}
	c.Flash(flash)
	return c.See("/admin/rooms/" + v.id + "/draw")
}
