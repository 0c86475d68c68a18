package hotline

import (
	"errors"
	"net/http"
	"time"

	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/notify"
)

func (s *Service) apiRoutes() []web.Route {
	op := func(method, path string, roles []web.Role, o *web.Op) web.Route {
		return web.Route{Method: method, Path: "/api/v1/hotline" + path, Roles: roles, API: o}
	}
	return []web.Route{
		op(http.MethodPost, "/search", agents, web.JSON("Find callers by case number, by name and birth date, or by family name and postcode", s.apiSearch)),
		op(http.MethodPost, "/persons", agents, web.JSON("Register a caller", s.apiRegister)),
		op(http.MethodGet, "/persons/:id", agents, web.JSON("Open a case", s.apiCase)),
		op(http.MethodGet, "/persons/:id/offers", agents, web.JSON("What can be booked over the hotline", s.apiOffers)),
		op(http.MethodPost, "/persons/:id/series", agents, web.JSON("Book all appointments of a series at once", s.apiBook)),
		op(http.MethodDelete, "/persons/:id/series/:series", agents, web.JSON("Cancel a series, or its later appointments", s.apiCancel)),
		op(http.MethodGet, "/persons/:id/series/:series/moves", agents, web.JSON("To which times appointments can move over the hotline", s.apiMoves)),
		op(http.MethodPost, "/persons/:id/series/:series/change", agents, web.JSON("Move appointments by a swap: the old places stay until the new ones are certain", s.apiChange)),
		op(http.MethodPost, "/persons/:id/offer/answer", agents, web.JSON("Note what a caller says to the offer that waits for them", s.apiAnswer)),
		op(http.MethodPost, "/persons/:id/proposals/:proposal/take", agents, web.JSON("Move a caller to the times that are kept for them because of a shortfall", s.apiTakeProposal)),
		op(http.MethodPost, "/persons/:id/login-data", agents, web.JSON("Send new login data to the known contact or address", s.apiLoginData)),
		op(http.MethodPost, "/persons/:id/letters", agents, web.JSON("Send the papers once more by post", s.apiAgain)),
		op(http.MethodPost, "/persons/:id/notes", agents, web.JSON("Write a call note", s.apiNote)),
		op(http.MethodPost, "/persons/:id/admission", agents, web.JSON("Make an admission code for a caller, for a waiting room that demands login", s.apiAdmitPerson)),
		op(http.MethodPost, "/admission", agents, web.JSON("Make an admission code for anybody, for a waiting room without login", s.apiAdmitNewcomer)),
		op(http.MethodGet, "/quota", agents, web.JSON("The hotline's quota by day", s.apiQuota)),
		op(http.MethodGet, "/checks", agents, web.JSON("Registrations to clarify, the nearest appointment first", s.apiChecks)),
		op(http.MethodPost, "/checks/:id", agents, web.JSON("Clarify a registration", s.apiClarify)),
		op(http.MethodGet, "/letters", printers, web.JSON("The print queue", s.apiLetters)),
		op(http.MethodPost, "/letters/batches", printers, web.JSON("Take the waiting letters as a batch", s.apiTake)),
		op(http.MethodPost, "/letters/batches/:id/printed", printers, web.JSON("Mark a batch as printed", s.apiPrinted)),
		op(http.MethodPost, "/letters/batches/:id/again", printers, web.JSON("Give a batch back to the queue", s.apiPrintAgain)),
	}
}

type idIn struct {
	ID string `json:"-" path:"id"`
}

type searchIn struct {
	CaseNumber string `json:"case_number,omitempty"`
	FamilyName string `json:"family_name,omitempty"`
	GivenName  string `json:"given_name,omitempty"`
	Birth      string `json:"birth,omitempty" doc:"YYYY, YYYY-MM or YYYY-MM-DD"`
	Postcode   string `json:"postcode,omitempty"`
}

type personOut struct {
	ID     string            `json:"id"`
	State  string            `json:"state" enum:"active,check"`
	Person citizen.APIPerson `json:"person"`
}

func person(p citizen.Person) personOut {
	return personOut{ID: p.ID, State: string(p.State), Person: citizen.PersonJSON(p)}
}

type searchOut struct {
	Persons []personOut `json:"persons"`
}

func (s *Service) apiSearch(c *web.Ctx, in searchIn) (out searchOut, err error) {
	q := citizen.SearchQuery{CaseNumber: in.CaseNumber, Family: in.FamilyName, Given: in.GivenName, Postcode: in.Postcode}
	if in.Birth != "" {
		if q.Birth, err = citizen.ParsePartialDate(in.Birth); err != nil {
			return out, web.Invalid(web.FieldError{Field: "birth", Key: "web.error.date"})
		}
	}
	found, err := s.Search(c.Std(), q, by(c))
	out.Persons = []personOut{}
	for _, p := range found {
		out.Persons = append(out.Persons, person(p))
	}
	return out, problem(err)
}

type registerIn struct {
	Key          string                  `json:"key" doc:"a UUID of the caller's making: the same key registers once"`
	Registration citizen.APIRegistration `json:"registration"`
}

type registerOut struct {
	PersonID   string `json:"person_id"`
	CaseNumber string `json:"case_number,omitempty"`
	Secret     string `json:"secret,omitempty" doc:"handed out here once; absent when the key was used before"`
	Duplicate  bool   `json:"duplicate" doc:"perhaps registered already: clarify"`
}

// HTTPStatus implements web.WithStatus.
func (registerOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiRegister(c *web.Ctx, in registerIn) (registerOut, error) {
	var done citizen.Registered
	personID, _, err := s.once(c.Std(), in.Key, by(c), func() (string, error) {
		r, err := s.Citizens.RegisterAPI(c, in.Registration, in.Key, c.Actor())
		if err != nil {
			return "", err
		}
		done = r
		return r.Person.ID, s.registered(c.Std(), in.Key, r, by(c))
	})
	return registerOut{PersonID: personID, CaseNumber: done.CaseNumber, Secret: done.Secret, Duplicate: done.Duplicate}, problem(err)
}

type seriesOut struct {
	ID           string                `json:"id"`
	State        string                `json:"state"`
	Channel      string                `json:"channel"`
	CentreID     string                `json:"centre_id"`
	ProductID    string                `json:"product_id"`
	Reference    string                `json:"reference"`
	Appointments []booking.Appointment `json:"appointments"`
}

func series(x *booking.Series) *seriesOut {
	if x == nil {
		return nil
	}
	return &seriesOut{
		ID: x.ID, State: x.State, Channel: string(x.Channel), CentreID: x.CentreID, ProductID: x.ProductID,
		Reference: booking.PrintReference(x.Reference), Appointments: x.Appointments,
	}
}

type caseOut struct {
	personOut
	Series        *seriesOut `json:"series"`
	Letters       []Letter   `json:"letters"`
	Notes         []Note     `json:"notes"`
	LetterCanGo   bool       `json:"letter_can_go"`
	ContactIsOpen bool       `json:"contact_is_open" doc:"an e-mail address or mobile number is known"`
	Check         *checkOut  `json:"check,omitempty" doc:"the registration may be a second one: clarify before booking"`
}

func (s *Service) apiCase(c *web.Ctx, in idIn) (caseOut, error) {
	x, err := s.OpenCase(c.Std(), in.ID, by(c))
	out := caseOut{personOut: person(x.Person), Series: series(x.Series), Letters: x.Letters, Notes: x.Notes, LetterCanGo: x.Postal, ContactIsOpen: x.Reachable}
	if x.Check != nil {
		check := check(*x.Check)
		out.Check = &check
	}
	if out.Letters == nil {
		out.Letters = []Letter{}
	}
	if out.Notes == nil {
		out.Notes = []Note{}
	}
	return out, problem(err)
}

type offersIn struct {
	ID     string `json:"-" path:"id"`
	Centre string `json:"-" query:"centre"`
	From   string `json:"-" query:"from"`
	To     string `json:"-" query:"to"`
	One    bool   `json:"-" query:"one"` // the first dose alone, where the rules allow it
}

type offersOut struct {
	Days []booking.OfferDay `json:"days"`
}

func (s *Service) apiOffers(c *web.Ctx, in offersIn) (out offersOut, err error) {
	p, err := s.bookable(c.Std(), in.ID)
	if err != nil {
		return out, problem(err)
	}
	from, to := c.Now, c.Now.AddDate(0, 0, bookHorizon)
	for _, x := range []struct {
		name, text string
		day        *time.Time
	}{{"from", in.From, &from}, {"to", in.To, &to}} {
		if x.text == "" {
			continue
		}
		if *x.day, err = time.Parse(time.DateOnly, x.text); err != nil {
			return out, web.Invalid(web.FieldError{Field: x.name, Key: "web.error.date"})
		}
	}
	out.Days, err = s.Booking.Offers(c.Std(), s.Pool, booking.OfferQuery{Person: p, CentreID: in.Centre, Channel: booking.Hotline, From: from, To: to, One: in.One})
	if out.Days == nil {
		out.Days = []booking.OfferDay{}
	}
	return out, problem(err)
}

type bookIn struct {
	ID      string  `json:"-" path:"id"`
	SlotIDs []int64 `json:"slot_ids" doc:"one slot per appointment, the first appointment first"`
	Waive   string  `json:"waive,omitempty" doc:"medical, elsewhere or own: the first dose alone, where the rules allow it"`
	Key     string  `json:"key" doc:"the same key books once"`
}

func (s *Service) apiBook(c *web.Ctx, in bookIn) (seriesOut, error) {
	x, err := s.Book(c.Std(), in.ID, in.SlotIDs, in.Waive, in.Key, by(c))
	if err != nil {
		return seriesOut{}, problem(err)
	}
	return *series(&x), nil
}

// HTTPStatus implements web.WithStatus.
func (seriesOut) HTTPStatus() int { return http.StatusCreated }

type cancelIn struct {
	ID     string `json:"-" path:"id"`
	Series string `json:"-" path:"series"`
	From   int    `json:"-" query:"from_dose"` // that one and the later ones; absent = all
}

func (s *Service) apiCancel(c *web.Ctx, in cancelIn) (struct{}, error) {
	return struct{}{}, problem(s.Cancel(c.Std(), in.ID, in.Series, max(1, in.From), by(c)))
}

type loginIn struct {
	ID  string `json:"-" path:"id"`
	Way string `json:"way" enum:"post,contact"`
}

func (s *Service) apiLoginData(c *web.Ctx, in loginIn) (struct{}, error) {
	switch in.Way {
	case "post":
		return struct{}{}, problem(s.NewLoginByPost(c.Std(), in.ID, by(c)))
	case "contact":
		return struct{}{}, problem(s.NewLoginByContact(c.Std(), in.ID, by(c)))
	}
	return struct{}{}, problem(booking.ErrInvalid)
}

func (s *Service) apiAgain(c *web.Ctx, in idIn) (struct{}, error) {
	return struct{}{}, problem(s.PapersAgain(c.Std(), in.ID, by(c)))
}

type noteIn struct {
	ID          string `json:"-" path:"id"`
	Disposition string `json:"disposition" enum:"booked,changed,registered,cancelled,waiting,login,advice,callback,other"`
	Text        string `json:"text" maxlen:"1000"`
}

func (s *Service) apiNote(c *web.Ctx, in noteIn) (struct{}, error) {
	if n := len([]rune(in.Text)); n > maxNote {
		return struct{}{}, web.Invalid(web.FieldError{Field: "text", Key: "web.error.too_long", Args: []any{"Max", maxNote}})
	}
	return struct{}{}, problem(s.AddNote(c.Std(), in.ID, in.Disposition, in.Text, by(c)))
}

type quotaOut struct {
	Days []booking.ChannelDay `json:"days"`
}

func (s *Service) apiQuota(c *web.Ctx, _ struct{}) (out quotaOut, err error) {
	out.Days, err = booking.ChannelDays(c.Std(), s.Pool, booking.Hotline, c.Now, c.Now.AddDate(0, 0, bookHorizon))
	if out.Days == nil {
		out.Days = []booking.ChannelDay{}
	}
	return out, err
}

type checkOut struct {
	New               personOut             `json:"new"`
	NewAppointments   []booking.Appointment `json:"new_appointments" doc:"open ones, under reserve"`
	Known             *personOut            `json:"known"`
	KnownAppointments []booking.Appointment `json:"known_appointments" doc:"open ones"`
}

func check(x Check) checkOut {
	out := checkOut{New: person(x.New), NewAppointments: appointments(x.NewVisits), KnownAppointments: appointments(x.KnownVisits)}
	if x.Known != nil {
		k := person(*x.Known)
		out.Known = &k
	}
	return out
}

func appointments(visits []Visit) []booking.Appointment {
	out := make([]booking.Appointment, len(visits))
	for i, v := range visits {
		out[i] = v.Appointment
	}
	return out
}

type checksOut struct {
	Checks []checkOut `json:"checks"`
}

func (s *Service) apiChecks(c *web.Ctx, _ struct{}) (out checksOut, err error) {
	list, err := s.Queue(c.Std(), queueLimit)
	if err != nil {
		return out, err
	}
	out.Checks = []checkOut{}
	ids := []string{}
	for _, x := range list {
		out.Checks, ids = append(out.Checks, check(x)), append(ids, x.New.ID)
	}
	return out, s.record(c.Std(), by(c), "hotline.checks.open", "checks", map[string]any{"persons": ids})
}

type clarifyIn struct {
	ID      string `json:"-" path:"id"`
	Finding string `json:"finding" enum:"other,same,replace"`
}

func (s *Service) apiClarify(c *web.Ctx, in clarifyIn) (struct{}, error) {
	return struct{}{}, s.clarifyAs(c, in.ID, in.Finding)
}

type batchOut struct {
	ID        string     `json:"id"`
	TakenAt   time.Time  `json:"taken_at"`
	PrintedAt *time.Time `json:"printed_at"`
	Letters   int        `json:"letters"`
	Guarded   bool       `json:"guarded" doc:"codes that give rights over others: for administrators alone; who took the batch downloads it, and must not decide about these issuers"`
}

func batch(b notify.Batch) batchOut {
	return batchOut{ID: b.ID, TakenAt: b.TakenAt, PrintedAt: b.PrintedAt, Letters: b.Letters, Guarded: b.Guarded}
}

type lettersOut struct {
	Waiting int        `json:"waiting"`
	Oldest  *time.Time `json:"oldest"`
	Batches []batchOut `json:"batches"`
}

func (s *Service) apiLetters(c *web.Ctx, _ struct{}) (lettersOut, error) {
	q, err := s.Notify.Letters(c.Std(), s.Pool, printer(c))
	out := lettersOut{Waiting: q.Waiting, Oldest: q.Oldest, Batches: []batchOut{}}
	for _, b := range q.Batches {
		out.Batches = append(out.Batches, batch(b))
	}
	return out, err
}

// HTTPStatus implements web.WithStatus.
func (batchOut) HTTPStatus() int { return http.StatusCreated }

func (s *Service) apiTake(c *web.Ctx, _ struct{}) (batchOut, error) {
	batchID, err := s.Notify.TakeBatch(c.Std(), printer(c))
	if errors.Is(err, notify.ErrEmpty) {
		return batchOut{}, web.Fail(http.StatusConflict, "hotline.letters.none_waiting")
	}
	if err != nil {
		return batchOut{}, err
	}
	b, err := s.Notify.BatchByID(c.Std(), s.Pool, batchID, printer(c))
	return batch(b), problem(err)
}

func (s *Service) apiPrinted(c *web.Ctx, in idIn) (struct{}, error) {
	if !id.Valid(in.ID) {
		return struct{}{}, web.NotFound()
	}
	return struct{}{}, problem(s.Notify.MarkPrinted(c.Std(), in.ID, printer(c)))
}

func (s *Service) apiPrintAgain(c *web.Ctx, in idIn) (struct{}, error) {
	if !id.Valid(in.ID) {
		return struct{}{}, web.NotFound()
	}
	return struct{}{}, problem(s.Notify.PrintAgain(c.Std(), in.ID, printer(c)))
}
