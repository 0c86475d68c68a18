package waitingroom

import (
	"fmt"
	"html/template"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// linePage is the waiting page. Everything that a phase of the room can bring
// stands in it, hidden where it does not hold; the script shows and hides as the
// snapshot says, so nobody has to load the page again when the phase changes.
type linePage struct {
	Room    Room
	State   State
	Name    string // of the room
	To      string
	Here    string // this page, without the door's answer
	Reload  string // this page, with it while it holds
	View    string // see viewOf
	Live    bool   // has a place: the script follows the line
	Answer  string // what the door said last
	Message string
	Spoken  string // the language that the message is in
	Title   string // of the browser's tab

	Ticket   Ticket
	Turn     turn
	Wait     waitText
	Rises    bool // the estimate was lower when the browser without JavaScript asked last
	Late     bool // was invited longer ago than the grace lasts
	Called   bool // was in turn before the line stood still
	Places   string
	People   int64  // who are here, as far as known
	Opens    string // when the room opens, in words; "" = not planned
	Count    string // countdown to that
	Due      string // when the public number is expected, or that it is late
	DueLate  bool
	Since    string // since when the draw waits
	Ends     lineEnds
	Reminder reminderForm

	Pass    Pass
	PassFor string // how long a pass lasts
	Grace   string
	Window  opening // when to come before an opening

	Refresh int  // seconds until a browser without JavaScript asks again; 0 = not
	Quiet   bool // such a browser wants to be left alone
	Flip    int64
	Now     int64             // milliseconds since 1970, by the room's clock
	Snap    string            // the snapshot that this page was made from
	Texts   template.HTMLAttr // of the script: data-texts
	Prove   bool              // newcomers must prove work
	Login   string            // where to log in, which comes before a place here; "" = nowhere
	Again   bool              // had a place on this device, and has to log in again
	Code    bool              // the hotline gives out codes for this room
}

// lineEnds is what will end a place, in words; "" = nothing of that kind.
type lineEnds struct {
	Line   string // a new line begins
	Closes string // the room closes
	Short  bool   // by the estimate one's turn may come after that
	Life   string // the ticket runs out
	Soon   bool   // within a day
}

// opening is when one can come to an opening.
type opening struct {
	From, OpensClock string
	Early, Late      string // two moments in it that are worth the same; "" = it is too short for that
}

// The views of the waiting page.
const (
	viewInside    = "inside"    // has a pass
	viewTurn      = "turn"      // may come in
	viewWaiting   = "waiting"   // has a place and knows it
	viewPreQueue  = "pre-queue" // the room opens later
	viewDrawing   = "drawing"   // the draw is not over
	viewShut      = "shut"      // has a place in a room that is closed
	viewFree      = "free"      // no place yet, nobody waits
	viewJoin      = "join"      // no place yet, others wait
	viewScheduled = "scheduled"
	viewPaused    = "paused" // no place yet
	viewClosed    = "closed"
)

// viewOf decides what the waiting page shows to somebody without a pass. The
// page's script decides the same for those who have a place.
func viewOf(st State, t turn, have bool, now time.Time) string {
	if have {
		switch {
		case t.Now:
			return viewTurn
		case st.Phase == Closed || st.Phase == Scheduled:
			return viewShut
		case st.Phase == PreQueue && st.Draw != nil && st.OpensAt != nil && !now.Before(*st.OpensAt):
			return viewDrawing // each replica learns of it within a second
		case st.Phase == PreQueue:
			return viewPreQueue
		case !t.Known:
			return viewDrawing
		}
		return viewWaiting
	}
	switch st.Phase {
	case Scheduled:
		return viewScheduled
	case PreQueue:
		return viewPreQueue
	case Drawing:
		return viewDrawing
	case Paused:
		return viewPaused
	case Closed:
		return viewClosed
	}
	if st.NoLine() {
		return viewFree
	}
	return viewJoin
}

// showLine is the waiting page. It reads cookies and the snapshot; only a
// browser with a pass costs a Redis command.
func (s *Service) showLine(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	return s.renderLine(c, v, nil)
}

// renderLine shows the waiting page, with the reminder's form as it was sent.
func (s *Service) renderLine(c *web.Ctx, v *view, sent *web.Form) error {
	snap := v.snap.Load()
	if snap == nil {
		return problem(ErrUnavailable)
	}
	if typed := c.Query(codeField); typed != "" && sent == nil { // a link of the hotline
		sent = web.NewForm(codeField, typed)
	}
	st, r, now, say := snap.state, v.known.Load(), s.roomNow(), tongueOf(c)
	// What this page shows is for this browser and this moment alone.
	c.Set("Cache-Control", "no-store")
	ensureKey(c)
	p := linePage{
		Room: *r, State: st, To: target(c), Answer: knownAnswer(c.Query("answer")), Name: r.Name.In(c.Lang),
		PassFor: duration(c.T, int(r.PassLength.Minutes())), Grace: duration(c.T, int(math.Ceil(r.Grace.Minutes()))),
		Now: now.UnixMilli(), Quiet: c.Query("quiet") == "1", Snap: string(snap.Body()),
	}
	p.Message, p.Spoken = notice(st.Message, c.Lang)
	p.Here = linePath(v.id, p.To)
	ticket, have := s.placeOf(c, v)
	switch {
	case have == voidTicket && p.Answer == "":
		p.Answer = "void"
	case p.Answer == "cookies" && c.GetCookie(keyCookie) != "":
		p.Answer = ""
	}
	if pass, ok := s.passOf(c, v); ok {
		in, err := s.Inside(c.Std(), pass)
		if err != nil {
			return problem(err)
		}
		if in {
			p.Pass, p.View = pass, viewInside
			return c.Page("waitingroom/line", &p)
		}
	}
	texts, err := s.pageTexts(say)
	if err != nil {
		return err
	}
	p.Texts = texts
	if have == goodTicket {
		p.Live, p.Ticket, p.Turn = true, ticket, s.turnOf(v, st, ticket.Place)
	}
	p.View = viewOf(st, p.Turn, p.Live, now)
	s.tellOpening(&p, v, say, now)
	if p.Live {
		tellPlace(&p, say, now, c.Query("was"))
		p.Reminder = s.reminderOf(c, p, sent)
	} else {
		p.Wait = waitFor(c.T, st.Waiting, st.Pace)
		if r.Login && citizenOf(c) == "" {
			// While nobody waits, the way leads past this page.
			if p.Login = loginPath(p.Here); st.NoLine() {
				p.Login = loginPath(p.To)
			}
			p.Again = c.GetCookie(ticketCookie+v.id) != ""
		}
		p.Prove = p.View != viewScheduled && p.View != viewClosed && s.mustProve(c, v)
	}
	p.Code = r.Hotline > 0 && st.Phase.TakesPlaces() && p.Login == "" && !(p.Live && ticket.Cohort == CohortInvited)
	p.Ends = endsOf(p, say, now)
	p.Title = p.tab(say)
	p.Reload = p.Here
	if p.View == viewTurn && (p.Answer == "full" || p.Answer == "busy") {
		p.Reload = withQuery(p.Here, "answer="+p.Answer)
	}
	p.Refresh = p.refresh(now)
	if sent != nil {
		p.Refresh = 0
		return c.PageForm("waitingroom/line", sent, &p)
	}
	return c.Page("waitingroom/line", &p)
}

// tellOpening says when the room opens, or what its draw waits for.
func (s *Service) tellOpening(p *linePage, v *view, say tongue, now time.Time) {
	st := p.State
	if at := st.OpensAt; at != nil {
		p.Opens, p.Count = say.when(*at, now), say.countdown(at.Sub(now))
	}
	from := st.PreQueueFrom
	switch {
	case from != nil && st.OpensAt != nil:
		p.Window = opening{From: web.FormatDateTime(say.lang, *from), OpensClock: say.clock(*st.OpensAt)}
		same := clock.Day(*from).Equal(clock.Day(*st.OpensAt))
		if same {
			p.Window.From = say.clock(*from)
		}
		if same && st.OpensAt.Sub(*from) >= 5*time.Minute {
			p.Window.Early, p.Window.Late = say.clock(from.Add(time.Minute)), say.clock(st.OpensAt.Add(-time.Minute))
		}
		p.Flip = from.UnixMilli()
	case from != nil:
		p.Flip = from.UnixMilli()
	case st.OpensAt != nil && st.Phase == Scheduled:
		p.Flip = st.OpensAt.UnixMilli()
	}
	if st.Draw == nil {
		return
	}
	if due := st.Draw.BeaconDue; due != nil {
		if p.DueLate = now.Sub(*due) > lateAfter; p.DueLate {
			p.Due = say.t("waitingroom.drawing.late", "When", say.when(*due, now))
		} else {
			p.Due = say.t("waitingroom.drawing.due", "When", say.when(*due, now))
		}
	}
	if l := v.drawing(st.Epoch); l != nil && l.now().closedAt != nil {
		p.Since = say.t("waitingroom.drawing.since", "When", say.when(s.toRoom(*l.now().closedAt), now))
	}
}

// lateAfter is how long after its time a public number counts as late.
const lateAfter = time.Minute

// tellPlace says how the place stands.
func tellPlace(p *linePage, say tongue, now time.Time, was string) {
	st := p.State
	e := EstimateFor(p.Turn.Ahead, st.Pace)
	if st.Trouble || st.Phase != Open || !p.Turn.Known {
		e = Estimate{} // nobody can say how long
	}
	p.Wait = waitOf(say.t, e)
	if n, err := strconv.Atoi(was); err == nil && e.High > n && n > 0 {
		p.Rises = true
	}
	if e.High > 0 {
		p.Here = withQuery(p.Here, "was="+strconv.Itoa(e.High))
	}
	p.Late = p.Turn.Now && p.Ticket.Cohort <= CohortDrawn && isLate(st, p.Turn.Position, p.Room.Grace)
	p.Called = called(st, p.Turn, p.Ticket.Place)
	p.People = st.Issued
	if p.Ticket.Cohort <= CohortDrawn {
		p.People = max(p.People, p.Ticket.Index) // the snapshot is up to a second old
	}
	p.Places = say.places(st, p.View, p.Turn.Ahead, p.People)
}

// isLate reports whether a place was invited longer ago than grace, at least by
// the fastest pace.
func isLate(st State, pos int64, grace time.Duration) bool {
	return st.Pace.Fast > stuckPace && float64(st.Serving-pos)/st.Pace.Fast > grace.Minutes()
}

// called reports whether a place was in turn already in a line that stands still.
func called(st State, t turn, p Place) bool {
	if !t.Known || t.Now || p.Cohort == CohortInvited {
		return false
	}
	if p.Cohort == CohortBehind {
		return p.Index <= st.BehindServing
	}
	return t.Position <= st.Serving
}

// notice is the administration's message, in lang where it was written in that,
// and the language that it is in.
func notice(m Text, lang string) (text, in string) {
	for _, l := range []string{lang, "de", "en"} {
		if m[l] != "" {
			return m[l], l
		}
	}
	return "", lang
}

func withQuery(path, query string) string {
	if strings.Contains(path, "?") {
		return path + "&" + query
	}
	return path + "?" + query
}

// endsOf says what will end the line, or this place in it.
func endsOf(p linePage, say tongue, now time.Time) (e lineEnds) {
	st := p.State
	var end time.Time
	if at := st.PreQueueFrom; at != nil && st.Phase != Scheduled || at != nil && p.Live {
		e.Line, end = say.t("waitingroom.ends.line", "When", say.when(*at, now)), *at
	}
	if at := st.ClosesAt; at != nil && (st.Phase == Open || st.Phase == Paused) {
		e.Closes = say.t("waitingroom.ends.closes", "When", say.when(*at, now))
		if end.IsZero() || at.Before(end) {
			end = *at
		}
	}
	if !p.Live {
		return e
	}
	if !end.IsZero() && p.View == viewWaiting && st.Phase == Open {
		high := EstimateFor(p.Turn.Ahead, st.Pace).High
		e.Short = p.Turn.Ahead > 0 && (high == 0 || time.Duration(high)*time.Minute > end.Sub(now))
	}
	over := p.Ticket.Issued.Add(TicketLife)
	e.Life, e.Soon = web.FormatDateTime(say.lang, over), over.Sub(now) < 24*time.Hour
	return e
}

// Hide is the attribute of what does not belong to the present view.
func (p *linePage) Hide(views string) template.HTMLAttr {
	if slices.Contains(strings.Fields(views), p.View) {
		return ""
	}
	return "hidden"
}

// HideUnless is the attribute of what does not hold at present.
func (p *linePage) HideUnless(holds bool) template.HTMLAttr {
	if holds {
		return ""
	}
	return "hidden"
}

// Has reports whether the place belongs to a cohort.
func (p *linePage) Has(cohort int64) bool { return p.Live && p.Ticket.Cohort == cohort }

// Drawn reports whether the order of this room's pre-queue is drawn.
func (p *linePage) Drawn() bool { return p.Room.Draw && p.State.Draw != nil || p.Has(CohortDrawn) }

// Example is how an admission code looks.
func (p *linePage) Example() string { return CodeExample }

// Books reports whether booking alone is behind this room, not registering.
func (p *linePage) Books() bool {
	return slices.Contains(p.Room.Groups, groupHold) && !slices.Contains(p.Room.Groups, groupRegister)
}

// DrawPath is the page that checks the draw of this ticket.
func (p *linePage) DrawPath() string {
	return fmt.Sprintf("/rooms/%s/draw?epoch=%d&index=%d", p.Room.ID, p.Ticket.Epoch, p.Ticket.Index)
}

// DrawKind is the beacon of the draw.
func (p *linePage) DrawKind() string { return string(p.Room.Beacon) }

// QuietPath is this page for a browser without JavaScript that does not want to
// be loaded again.
func (p *linePage) QuietPath() string {
	return withQuery(p.Reload, "quiet=1")
}

// Moves reports whether the line goes on at present.
func (p *linePage) Moves() bool { return p.State.Phase == Open && !p.State.Trouble }

// tab is the title of the browser's tab.
func (p *linePage) tab(say tongue) string {
	switch {
	case !p.Live && p.Answer == "void" && p.State.Phase.TakesPlaces():
		return say.t("waitingroom.tab.void")
	case !p.Live:
		return say.t("waitingroom.title")
	case p.View == viewWaiting && p.State.Phase == Paused:
		return say.t("waitingroom.tab.paused")
	case p.View == viewWaiting && p.Turn.Ahead > 0:
		return say.t("waitingroom.tab.waiting", "N", web.FormatNumber(say.lang, p.Turn.Ahead))
	case p.View == viewWaiting && p.Moves():
		return say.t("waitingroom.tab.next")
	case p.View == viewWaiting && p.State.Trouble:
		return say.t("waitingroom.tab.trouble")
	case p.View == viewWaiting:
		return say.t("waitingroom.tab.drawing")
	}
	return say.t("waitingroom.tab." + p.View)
}

// refresh is after how many seconds a browser without JavaScript loads the page
// again: as the script would look, but not so often that reading aloud is cut off.
func (p *linePage) refresh(now time.Time) int {
	switch {
	case p.Quiet:
		return 0
	case p.Live:
		return max(15, seconds(p.State.PollIn(p.Turn.Known, p.Turn.Ahead, now, rand.Float64()))) //nolint:gosec // no secret
	case p.View == viewScheduled && p.Flip > 0:
		// At the moment itself, spread a little; far from it now and then, since it
		// may be moved.
		until := time.UnixMilli(p.Flip).Sub(now)
		return min(300, max(5, seconds(until)+rand.N(20))) //nolint:gosec // no secret
	case p.View == viewPaused || p.View == viewScheduled || p.View == viewClosed:
		return 60 + rand.N(30) //nolint:gosec // no secret
	}
	return 0
}

// seconds rounds up.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

func knownAnswer(a string) string {
	switch a {
	case "wait", "full", "busy", "shut", "used", "void", "cookies", "proof":
		return a
	}
	return ""
}
