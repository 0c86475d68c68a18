package hotline

import (
	"embed"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pdf"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/waitingroom"
)

//go:embed all:templates i18n
var files embed.FS

// Assets are the pages and texts of this slice.
var Assets = web.Bundle{Name: "hotline", FS: files}

var (
	agents   = []web.Role{web.RoleAgent}
	printers = []web.Role{web.RoleAdmin, web.RoleAgent}
)

// Routes are the desk's pages and operations.
func (s *Service) Routes() []web.Route {
	return append([]web.Route{
		{Method: http.MethodGet, Path: "/hotline", Roles: agents, Nav: "hotline.nav.desk", Handle: s.showDesk},
		{Method: http.MethodPost, Path: "/hotline/search", Roles: agents, Handle: s.search},

		{Method: http.MethodGet, Path: "/hotline/register", Roles: agents, Nav: "hotline.nav.register", Handle: s.showRegister},
		{Method: http.MethodPost, Path: "/hotline/register", Roles: agents, Handle: s.register},

		{Method: http.MethodGet, Path: "/hotline/persons/:id", Roles: agents, Handle: s.showCase},
		{Method: http.MethodGet, Path: "/hotline/persons/:id/book", Roles: agents, Handle: s.showBook},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/book", Roles: agents, Handle: s.book},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/cancel", Roles: agents, Handle: s.cancel},
		{Method: http.MethodGet, Path: "/hotline/persons/:id/change", Roles: agents, Handle: s.showChange},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/change", Roles: agents, Handle: s.change},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/offer", Roles: agents, Handle: s.answer},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/proposal", Roles: agents, Handle: s.takeProposal},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/login-data", Roles: agents, Handle: s.loginData},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/letter", Roles: agents, Handle: s.again},
		{Method: http.MethodGet, Path: "/hotline/persons/:id/letter.pdf", Roles: agents, Handle: s.preview},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/notes", Roles: agents, Handle: s.addNote},
		{Method: http.MethodPost, Path: "/hotline/persons/:id/admission", Roles: agents, Handle: s.admitPerson},
		{Method: http.MethodPost, Path: "/hotline/admission", Roles: agents, Handle: s.admitNewcomer},

		{Method: http.MethodGet, Path: "/hotline/checks", Roles: agents, Nav: "hotline.nav.checks", Handle: s.showChecks},
		{Method: http.MethodPost, Path: "/hotline/checks/:id", Roles: agents, Handle: s.clarify},

		{Method: http.MethodGet, Path: "/hotline/letters", Roles: printers, Nav: "hotline.nav.letters", NavGroup: "web.nav.today", Handle: s.showLetters},
		{Method: http.MethodPost, Path: "/hotline/letters/take", Roles: printers, Handle: s.takeLetters},
		{Method: http.MethodGet, Path: "/hotline/letters/:id/letters.zip", Roles: printers, Handle: s.letterZIP},
		{Method: http.MethodPost, Path: "/hotline/letters/:id/printed", Roles: printers, Handle: s.letterStep(s.Notify.MarkPrinted, "hotline.letters.printed_done")},
		{Method: http.MethodPost, Path: "/hotline/letters/:id/again", Roles: printers, Handle: s.letterStep(s.Notify.PrintAgain, "hotline.letters.again_done")},
	}, s.apiRoutes()...)
}

// problem turns errors into what an agent is told.
func problem(err error) error {
	var taken *booking.TakenError
	var not *booking.IneligibleError
	conflict := func(key string) error { return web.Fail(http.StatusConflict, key) }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &taken):
		return &web.Problem{Status: http.StatusConflict, Key: "hotline.error.taken", Extra: taken.Alternatives}
	case errors.As(err, &not):
		return conflict("hotline.ineligible." + not.Reason)
	case errors.Is(err, ErrChecking):
		return conflict("hotline.ineligible.checking")
	case errors.Is(err, booking.ErrAlreadyBooked):
		return conflict("hotline.error.already")
	case errors.Is(err, booking.ErrHoldExpired), errors.Is(err, booking.ErrState):
		return conflict("hotline.error.state")
	case errors.Is(err, booking.ErrKeyReused):
		return conflict("hotline.error.key")
	case errors.Is(err, booking.ErrInvalid):
		return web.Fail(http.StatusUnprocessableEntity, "hotline.error.invalid")
	case errors.Is(err, booking.ErrNotFound), errors.Is(err, notify.ErrNotFound):
		return web.NotFound()
	case errors.Is(err, ErrBusy):
		return conflict("hotline.error.busy")
	case errors.Is(err, ErrNoAddress):
		return conflict("hotline.error.no_address")
	case errors.Is(err, pdf.ErrAddress):
		return conflict("hotline.error.address_long")
	case errors.Is(err, ErrNoContact):
		return conflict("hotline.error.no_contact")
	case errors.Is(err, ErrLately):
		return conflict("hotline.error.lately")
	case errors.Is(err, ErrNothingBooked):
		return conflict("hotline.error.nothing_booked")
	case errors.Is(err, waitingroom.ErrNoInvites), errors.Is(err, waitingroom.ErrInvitePerson):
		return conflict("hotline.error.no_invites")
	case errors.Is(err, waitingroom.ErrInviteLimit):
		return conflict("hotline.error.invite_limit")
	case errors.Is(err, waitingroom.ErrNoRoom):
		return web.NotFound()
	case errors.Is(err, citizen.ErrTypo):
		return web.Invalid(web.FieldError{Field: "case_number", Key: "hotline.error.case_number", Args: []any{"Example", citizen.CodeExample}})
	}
	return citizen.Problem(err)
}

// side is what stands at the right of every page of the desk.
type side struct {
	Quota   []booking.ChannelDay
	Calls   int // people to call about an offer of the waiting list
	Checks  int
	Letters int
}

// quotaDays is how many days of the quota the desk shows.
const quotaDays = 14

func (s *Service) side(c *web.Ctx) (v side, err error) {
	if v.Quota, err = booking.ChannelDays(c.Std(), s.Pool, booking.Hotline, c.Now, c.Now.AddDate(0, 0, quotaDays)); err != nil {
		return v, err
	}
	if v.Calls, err = booking.CallCount(c.Std(), s.Pool, c.Now); err != nil {
		return v, err
	}
	if v.Checks, err = s.Citizens.CheckCount(c.Std(), s.Pool); err != nil {
		return v, err
	}
	queue, err := s.Notify.Letters(c.Std(), s.Pool, printer(c))
	v.Letters = queue.Waiting
	return v, err
}

type deskView struct {
	Side     side
	Rooms    []admissionRoom // for whose line a caller without a case may get a code
	Searched bool
	Found    []citizen.Person
}

// Key opens what stands at that place of the list, from 0: "1" to "9", "" for those
// after them.
func (deskView) Key(i int) string {
	if i > 8 {
		return ""
	}
	return strconv.Itoa(i + 1)
}

func (s *Service) showDesk(c *web.Ctx) error {
	v, err := s.side(c)
	if err != nil {
		return err
	}
	return c.PageForm("hotline/desk", &web.Form{}, deskView{Side: v, Rooms: s.admissionRooms(c, false)})
}

// search is a POST: what is typed must not stand in an address.
func (s *Service) search(c *web.Ctx) error {
	f := c.Form()
	q := citizen.SearchQuery{CaseNumber: f.Get("case_number"), Family: f.Get("family_name"), Given: f.Get("given_name"), Postcode: f.Get("postcode")}
	birth, key := citizen.TypedDate(f.Get("birth_day"), f.Get("birth_month"), f.Get("birth_year"))
	if key != "" {
		f.Fail("birth", key)
	}
	q.Birth = birth
	if q.CaseNumber == "" && (q.Family == "" || q.Birth.IsZero() && q.Postcode == "") && f.OK() {
		f.Fail("case_number", "hotline.error.search")
	}
	v := deskView{Rooms: s.admissionRooms(c, false)}
	var err error
	if f.OK() {
		v.Found, err = s.Search(c.Std(), q, by(c))
		var p *web.Problem
		if errors.As(problem(err), &p) && len(p.Fields) > 0 {
			f.Take(p)
			err = nil
		}
		if err != nil {
			return problem(err)
		}
		v.Searched = f.OK()
	}
	if v.Side, err = s.side(c); err != nil {
		return err
	}
	return c.PageForm("hotline/desk", f, v)
}

type registerView struct {
	citizen.DeskForm
	Key  string
	Side side
}

func (s *Service) showRegister(c *web.Ctx) error { return s.registerPage(c, &web.Form{}, id.New()) }

func (s *Service) registerPage(c *web.Ctx, f *web.Form, key string) error {
	d, err := s.Citizens.DeskForm(c, f)
	if err != nil {
		return err
	}
	v, err := s.side(c)
	if err != nil {
		return err
	}
	return c.PageForm("hotline/register", f, registerView{d, key, v})
}

type registeredView struct {
	Person     citizen.Person
	CaseNumber string
	Secret     string
	Duplicate  bool
	Postal     bool
}

// register answers with the login data itself: it is shown once, and there is
// no address under which it could be called up again.
func (s *Service) register(c *web.Ctx) error {
	f := c.Form()
	key := f.Get("key")
	var done citizen.Registered
	wrong := false
	personID, again, err := s.once(c.Std(), key, by(c), func() (string, error) {
		r, ok, err := s.Citizens.RegisterDesk(c, f, key, c.Actor())
		if err != nil || !ok {
			wrong = !ok && err == nil
			return "", err
		}
		done = r
		return r.Person.ID, s.registered(c.Std(), key, r, by(c))
	})
	switch {
	case err != nil:
		return problem(err)
	case wrong:
		return s.registerPage(c, f, key)
	case again:
		return c.See("/hotline/persons/" + personID)
	}
	c.Set("Cache-Control", "no-store")
	return c.Page("hotline/registered", registeredView{
		Person: done.Person, CaseNumber: done.CaseNumber, Secret: done.Secret, Duplicate: done.Duplicate,
		Postal: s.Citizens.Recipient(done.Person).Postal.Complete(),
	})
}

// queueLimit is how many registrations to clarify are shown at once.
const queueLimit = 100

type checksView struct {
	List []Check
	Side side
}

func (s *Service) showChecks(c *web.Ctx) error {
	list, err := s.Queue(c.Std(), queueLimit)
	if err != nil {
		return err
	}
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = x.New.ID
	}
	if err := s.record(c.Std(), by(c), "hotline.checks.open", "checks", map[string]any{"persons": ids}); err != nil {
		return err
	}
	v, err := s.side(c)
	if err != nil {
		return err
	}
	return c.Page("hotline/checks", checksView{list, v})
}

func (s *Service) clarify(c *web.Ctx) error {
	if err := s.clarifyAs(c, c.Params("id"), c.Form().Get("finding")); err != nil {
		return err
	}
	c.Flash("hotline.checks.done")
	return c.See("/hotline/checks")
}

func (s *Service) clarifyAs(c *web.Ctx, personID, finding string) error {
	if !id.Valid(personID) {
		return web.NotFound()
	}
	b := by(c)
	switch finding {
	case "other":
		return problem(s.Citizens.ClarifyOther(c.Std(), personID, b.Actor, b.Role))
	case "same":
		return problem(s.Citizens.ClarifySame(c.Std(), personID, b.Actor, b.Role))
	case "replace":
		return problem(s.Citizens.ClarifyReplace(c.Std(), personID, b.Actor, b.Role))
	}
	return problem(booking.ErrInvalid)
}

// lettersView is the print queue.
type lettersView struct {
	notify.PrintQueue
	Me string
}

func (s *Service) showLetters(c *web.Ctx) error {
	q, err := s.Notify.Letters(c.Std(), s.Pool, printer(c))
	if err != nil {
		return err
	}
	return c.Page("hotline/letters", lettersView{q, c.Actor()})
}

func (s *Service) takeLetters(c *web.Ctx) error {
	_, err := s.Notify.TakeBatch(c.Std(), printer(c))
	if errors.Is(err, notify.ErrEmpty) {
		c.Flash("hotline.letters.none_waiting")
		return c.See("/hotline/letters")
	}
	if err != nil {
		return err
	}
	c.Flash("hotline.letters.taken")
	return c.See("/hotline/letters")
}

// printer is who works on the print queue.
func printer(c *web.Ctx) notify.Printer {
	role := c.Role(printers...)
	return notify.Printer{Actor: c.Actor(), Role: role, Guarded: role == string(web.RoleAdmin)}
}

func (s *Service) letterZIP(c *web.Ctx) error {
	if !id.Valid(c.Params("id")) {
		return web.NotFound()
	}
	b, err := s.Notify.BatchByID(c.Std(), s.Pool, c.Params("id"), printer(c))
	if err != nil {
		return problem(err)
	}
	zip, err := s.Notify.BatchZIP(c.Std(), b.ID, printer(c))
	if err != nil {
		return problem(err)
	}
	name := strings.ReplaceAll(b.TakenAt.In(clock.Berlin).Format(time.DateTime), ":", "-")
	return c.Download("application/zip", c.T("hotline.letters.file")+" "+name+".zip", zip)
}
