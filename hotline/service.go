package hotline

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/booking"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/waitingroom"
)

// Errors that callers tell apart.
var (
	// ErrBusy says that the same form is being worked on in this moment.
	ErrBusy = errors.New("hotline: the same form is under way")
	// ErrNoAddress says that a letter has nowhere to go.
	ErrNoAddress = errors.New("hotline: no postal address is known")
	// ErrNoContact says that neither an e-mail address nor a mobile number is known.
	ErrNoContact = errors.New("hotline: no e-mail address or mobile number is known")
	// ErrLately says that login data was sent a short time ago.
	ErrLately = errors.New("hotline: login data was sent lately")
	// ErrChecking says that the registration has to be clarified before an agent
	// books for it.
	ErrChecking = errors.New("hotline: the registration is not clarified")
	// ErrNothingBooked says that there is nothing that a letter could be about.
	ErrNothingBooked = errors.New("hotline: nothing is booked")
)

// loginPause is how long a letter with login data keeps the next one away: it
// is on its way.
const loginPause = 7 * 24 * time.Hour

// Config is what the Service needs.
type Config struct {
	Pool     *pgxpool.Pool
	Now      clock.Clock
	Vault    *vault.Vault
	Citizens *citizen.Service
	Booking  *booking.Service
	Notify   *notify.Service
	Rooms    *waitingroom.Service // nil = there are no waiting rooms (tests)
	Phone    string               // the hotline's number as people read it
	BaseURL  string               // "https://...", no slash at the end
}

// Service is the desk.
type Service struct{ Config }

// New makes the service.
func New(c Config) *Service { return &Service{c} }

// By is who does something, for the audit.
type By struct{ Actor, Role string }

func by(c *web.Ctx) By { return By{Actor: c.Actor(), Role: string(web.RoleAgent)} }

func (s *Service) note(ctx context.Context, tx pgx.Tx, now time.Time, b By, action, subject string, after any) error {
	return audit.Write(ctx, tx, now, audit.Entry{Actor: b.Actor, Role: b.Role, Action: action, Subject: subject, After: after})
}

// record writes one audit entry alone.
func (s *Service) record(ctx context.Context, b By, action, subject string, after any) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.note(ctx, tx, s.Now(), b, action, subject, after) })
}

// Search finds callers and notes who looked for whom.
func (s *Service) Search(ctx context.Context, q citizen.SearchQuery, b By) ([]citizen.Person, error) {
	found, err := s.Citizens.Search(ctx, s.Pool, q)
	if err != nil {
		return nil, err
	}
	way := "name_postcode"
	switch {
	case q.CaseNumber != "":
		way = "case_number"
	case !q.Birth.IsZero():
		way = "name_birth"
	}
	ids := make([]string, len(found))
	for i, p := range found {
		ids[i] = p.ID
	}
	return found, s.record(ctx, b, "hotline.search", "search", map[string]any{"by": way, "persons": ids})
}

// Case is everything an agent sees of a caller.
type Case struct {
	Person    citizen.Person
	Series    *booking.Series // nil = nothing booked
	Letters   []Letter
	Notes     []Note
	Postal    bool   // a letter can be sent
	Reachable bool   // an e-mail or SMS can be sent
	Check     *Check // the registration may be a second one
}

// OpenCase returns a case and notes who opened it. It returns
// citizen.ErrNotFound.
func (s *Service) OpenCase(ctx context.Context, personID string, b By) (Case, error) {
	p, err := s.Citizens.Person(ctx, s.Pool, personID)
	if err != nil {
		return Case{}, err
	}
	if err := s.record(ctx, b, "hotline.case.open", citizen.Subject(p.ID), nil); err != nil {
		return Case{}, err
	}
	c := Case{Person: p}
	to := s.Citizens.Recipient(p)
	c.Postal, c.Reachable = to.Postal.Complete(), reachable(p)
	if c.Series, err = s.Booking.SeriesOf(ctx, s.Pool, p.ID); err != nil {
		return Case{}, err
	}
	if c.Letters, err = s.letters(ctx, p.ID); err != nil {
		return Case{}, err
	}
	if c.Notes, err = s.notes(ctx, p); err != nil {
		return Case{}, err
	}
	if p.State == citizen.StateCheck {
		c.Check, err = s.checkOf(ctx, p.ID)
	}
	return c, err
}

func reachable(p citizen.Person) bool { return p.Email != "" || notify.CanText(p.Phone) }

// formTime is longer than any request lasts: a form that is under way for
// longer was left by a process that died.
const formTime = time.Minute

// once makes do run once for a form: the second sending of the same key gets
// the person of the first, or ErrBusy while that one is under way. do may have
// run before, without anybody having seen the end of it.
func (s *Service) once(ctx context.Context, key string, b By, do func() (personID string, err error)) (personID string, again bool, err error) {
	if !id.Valid(key) {
		return "", false, booking.ErrInvalid
	}
	tag, err := s.Pool.Exec(ctx, `INSERT INTO hotline.form (key, actor, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, key, b.Actor, s.Now())
	if err != nil {
		return "", false, err
	}
	if tag.RowsAffected() == 0 {
		tag, err = s.Pool.Exec(ctx, `UPDATE hotline.form SET created_at = $3 WHERE key = $1 AND actor = $2 AND person_id IS NULL AND created_at < $4`,
			key, b.Actor, s.Now(), s.Now().Add(-formTime))
		if err != nil {
			return "", false, err
		}
	}
	if tag.RowsAffected() == 0 {
		var known *string
		if err := s.Pool.QueryRow(ctx, `SELECT person_id::text FROM hotline.form WHERE key = $1 AND actor = $2`, key, b.Actor).Scan(&known); err != nil && !pg.NoRows(err) {
			return "", false, err
		}
		if known == nil {
			return "", false, ErrBusy
		}
		return *known, true, nil
	}
	if personID, err = do(); err != nil || personID == "" {
		// Nothing was registered: the form may be sent again.
		_, delErr := s.Pool.Exec(context.WithoutCancel(ctx), `DELETE FROM hotline.form WHERE key = $1 AND person_id IS NULL`, key)
		return "", false, errors.Join(err, delErr)
	}
	return personID, false, nil
}

// registered keeps the secret for the letter and closes the form.
func (s *Service) registered(ctx context.Context, key string, r citizen.Registered, b By) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		k, err := s.Vault.Open(ctx, tx, r.Person.KeyID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO hotline.login_data (person_id, key_id, sealed, created_at) VALUES ($1, $2, $3, $4)`,
			r.Person.ID, k.ID, k.Seal(loginContext(r.Person.ID), []byte(r.Secret)), now)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE hotline.form SET person_id = $2 WHERE key = $1`, key, r.Person.ID); err != nil {
			return err
		}
		return s.note(ctx, tx, now, b, "hotline.registered", citizen.Subject(r.Person.ID), map[string]any{"duplicate": r.Duplicate})
	})
}

func loginContext(personID string) string { return "hotline.login_data " + personID }

// Book holds and confirms a series in one go from the hotline's quota and has
// the letter made. waive says why the first dose is booked alone ("" = all of a
// series, see booking.WaiveMedical). The same key books once. Errors are booking's,
// and ErrChecking.
func (s *Service) Book(ctx context.Context, personID string, slots []int64, waive, key string, b By) (booking.Series, error) {
	if _, err := s.bookable(ctx, personID); err != nil {
		return booking.Series{}, err
	}
	held, err := s.Booking.Hold(ctx, booking.HoldRequest{PersonID: personID, Channel: booking.Hotline, SlotIDs: slots, Key: key, Actor: b.Actor, Role: b.Role, Waive: waive})
	if err != nil {
		return booking.Series{}, err
	}
	var letterID string
	err = s.Pool.QueryRow(ctx, `
		INSERT INTO hotline.letter (id, person_id, series_id, kind, state, actor, created_at) VALUES ($1, $2, $3, 'papers', 'wanted', $4, $5)
		ON CONFLICT (series_id) WHERE kind = 'papers' DO UPDATE SET series_id = excluded.series_id RETURNING id::text`,
		id.New(), personID, held.ID, b.Actor, s.Now()).Scan(&letterID)
	if err != nil {
		return booking.Series{}, err
	}
	series, err := s.Booking.Confirm(ctx, held.ID, personID, key)
	if err != nil {
		return booking.Series{}, err
	}
	if held.State == booking.StateHeld { // and not booked before
		if err := s.record(ctx, b, "hotline.book", citizen.Subject(personID), map[string]string{"series": held.ID}); err != nil {
			return series, err
		}
	}
	// Booked it is: a letter that cannot be written now is written by the job.
	if err := s.makeLetter(ctx, letterID); err != nil {
		slog.ErrorContext(ctx, "hotline: letter left to the job", "letter", letterID, "err", err)
	}
	return series, nil
}

// NewLoginByContact has new login data sent to the known e-mail address or
// mobile number. How often that may be is citizen's rule.
func (s *Service) NewLoginByContact(ctx context.Context, personID string, b By) error {
	p, err := s.Citizens.Person(ctx, s.Pool, personID)
	if err != nil {
		return err
	}
	if !reachable(p) {
		return ErrNoContact
	}
	if err := s.Citizens.RequestLogin(ctx, citizen.LostRequest{CaseNumber: p.CaseNumber}); err != nil {
		return err
	}
	return s.record(ctx, b, "hotline.login.contact", citizen.Subject(p.ID), nil)
}

// NewLoginByPost sends new login data to the known address. The agent does not
// see it. ErrLately while a letter is on its way.
func (s *Service) NewLoginByPost(ctx context.Context, personID string, b By) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		p, err := s.Citizens.Person(ctx, tx, personID)
		if err != nil {
			return err
		}
		if !s.Citizens.Recipient(p).Postal.Complete() {
			return ErrNoAddress
		}
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('hotline.login:' || $1, 0))`, p.ID); err != nil {
			return err
		}
		var lately bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM hotline.letter WHERE person_id = $1 AND kind = 'login' AND created_at > $2)`, p.ID, now.Add(-loginPause)).Scan(&lately)
		if err != nil {
			return err
		}
		if lately {
			return ErrLately
		}
		secret, err := s.Citizens.NewLogin(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		if err := s.sendLetter(ctx, tx, p, nil, secret, now); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO hotline.letter (id, person_id, kind, state, actor, created_at, done_at) VALUES ($1, $2, 'login', 'made', $3, $4, $4)`,
			id.New(), p.ID, b.Actor, now)
		if err != nil {
			return err
		}
		return s.note(ctx, tx, now, b, "hotline.login.post", citizen.Subject(p.ID), nil)
	})
}
