package citizen

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/programme"
)

// Bookings tells which of the persons have an appointment that stands (held,
// confirmed, or here today). cmd hands it over: booking lies to the right.
type Bookings func(ctx context.Context, q pg.Querier, personIDs []string) (map[string]bool, error)

// CancelBookings gives back whatever appointments of a person stand, in the
// transaction that ends the registration; its row is locked FOR UPDATE then. It
// returns ErrHere while the person is at the centre. It waits for nobody who
// may be waiting for that row: then it returns an error that pg.IsLockTimeout
// knows, and the caller begins anew. cmd hands it over.
type CancelBookings func(ctx context.Context, tx pgx.Tx, now time.Time, personID, actor, role string) error

// NextStep is what a person should do next, in the reader's language.
type NextStep struct {
	Text  string // one sentence
	Href  string // "" = nothing to press
	Label string // of the button
}

// Config is what the Service needs.
type Config struct {
	Pool   *pgxpool.Pool
	Redis  redis.UniversalClient // rate limits only
	Vault  *vault.Vault
	Notify *notify.Service
	Now    clock.Clock
	// nil = nobody has an appointment (tests)
	Bookings       Bookings
	CancelBookings CancelBookings
	// Pass names the waiting room's pass of a request, "" = none. One pass is
	// good for a family, not for a list; nil sets no bound.
	Pass func(c *web.Ctx) string
	// Forget deletes what other slices keep of persons under their ids alone, in
	// the transaction that ends the registrations; nil = nothing.
	Forget func(ctx context.Context, tx pgx.Tx, personIDs []string) error
	// Changed hears of a new contact, in the transaction that stores it; nil = nobody
	// needs to.
	Changed func(ctx context.Context, tx pgx.Tx, p Person) error
	// Leave gives back what passes of waiting rooms a request has: somebody logs
	// out. nil = there are none.
	Leave func(c *web.Ctx)

	Sender  []string // letterhead: name first, then street and city
	Hotline string   // telephone number as people read it
	BaseURL string   // "https://...", for messages; no slash at the end

	StartCards []web.Card // line, free places, notices: on the start page, in this order
	CaseCards  []web.Card // appointments, certificate: on 'my case'
	DataCards  []web.Card // what other slices keep about the person: on 'my data'
	// NextSteps are asked in turn on 'my case'; the first answer that is not
	// nil is shown. Without any, the person is told to book.
	NextSteps []func(c *web.Ctx) (*NextStep, error)
}

// Service registers people and knows who they are.
type Service struct {
	Config
	limiter *redis_rate.Limiter
	drafts  *drafts
}

// New makes the service.
func New(c Config) *Service {
	if c.Bookings == nil {
		c.Bookings = func(context.Context, pg.Querier, []string) (map[string]bool, error) { return nil, nil }
	}
	if c.CancelBookings == nil {
		c.CancelBookings = func(context.Context, pgx.Tx, time.Time, string, string, string) error { return nil }
	}
	return &Service{Config: c, limiter: redis_rate.NewLimiter(c.Redis), drafts: newDrafts(c.Vault)}
}

// personContext and contactless names of what is sealed under a person's key.
const personContext = "citizen.person"

// record is the JSON form of what is sealed of a person.
type record struct {
	Family         string         `json:"family"`
	Given          string         `json:"given,omitempty"`
	PassportFamily string         `json:"passport_family,omitempty"`
	PassportGiven  string         `json:"passport_given,omitempty"`
	Birth          PartialDate    `json:"birth"`
	Sex            string         `json:"sex"`
	Address        notify.Address `json:"address"`
	Phone          string         `json:"phone,omitempty"`
	Email          string         `json:"email,omitempty"`
	Lang           string         `json:"lang"`
	Prior          *Prior         `json:"prior,omitempty"`
	OnBehalf       bool           `json:"on_behalf,omitempty"`
	ContactChanged time.Time      `json:"contact_changed,omitzero"`
}

func recordOf(p Person) record {
	return record{
		p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven, p.Birth, p.Sex, p.Address,
		p.Phone, p.Email, p.Lang, p.Prior, p.OnBehalf, p.ContactChangedAt,
	}
}

func (r record) into(p *Person) {
	p.FamilyName, p.GivenName, p.PassportFamily, p.PassportGiven = r.Family, r.Given, r.PassportFamily, r.PassportGiven
	p.Birth, p.Sex, p.Address, p.Phone, p.Email = r.Birth, r.Sex, r.Address, r.Phone, r.Email
	p.Lang, p.Prior, p.OnBehalf, p.ContactChangedAt = r.Lang, r.Prior, r.OnBehalf, r.ContactChanged
}

// identity are the blind indexes of somebody's names and birth date.
type identity struct{ year, month, day []byte }

const (
	yearLen = 16 // collisions must not happen among millions
	tagLen  = 8  // only tells apart rows that have the same names and year
)

func (s *Service) identity(family, given string, b PartialDate) identity {
	name := matchName(family) + "\x00" + matchName(given)
	index := func(part PartialDate, n int) []byte {
		return s.Vault.BlindIndex("citizen.identity", name+"\x00"+part.String())[:n]
	}
	i := identity{year: index(PartialDate{Year: b.Year}, yearLen)}
	if b.Month != 0 {
		i.month = index(PartialDate{Year: b.Year, Month: b.Month}, tagLen)
	}
	if b.Day != 0 {
		i.day = index(b, tagLen)
	}
	return i
}

// lockKey serialises registrations of the same names and year.
func (i identity) lockKey() int64 {
	return int64(binary.BigEndian.Uint64(i.year)) //nolint:gosec // any 64 bits will do
}

func (s *Service) postcodeIndex(family, postcode string) []byte {
	if postcode == "" {
		return nil
	}
	return s.Vault.BlindIndex("citizen.postcode", matchName(family)+"\x00"+strings.ReplaceAll(postcode, " ", ""))[:yearLen]
}

func (s *Service) secretMAC(caseNumber, secret string) []byte {
	m := hmac.New(sha256.New, s.drafts.secretKey)
	m.Write([]byte(caseNumber + "\x00" + secret))
	return m.Sum(nil)
}

// checkRules holds a cleaned registration against the programme's rules of the day.
func (s *Service) checkRules(ctx context.Context, in Registration, now time.Time) (e Invalid, err error) {
	group, err := programme.GroupByCode(ctx, s.Pool, in.ProgrammeID, in.GroupCode, now, in.Lang)
	switch {
	case errors.Is(err, programme.ErrNotFound):
		e.add("group", "group_required")
		return e, nil
	case err != nil:
		return nil, err
	case !group.Open:
		e.add("group", "group_closed", "Group", group.Name)
	case !in.Birth.IsZero() && !group.FitsAge(in.Birth.Latest(), now):
		e.add("birth", "group_age", "Group", group.Name, "Age", group.MinAge)
	}
	if !in.Birth.IsZero() && !e.has("birth") {
		allowed, err := programme.AllowedProducts(ctx, s.Pool, in.ProgrammeID, in.Birth.Latest(), now)
		if err != nil {
			return nil, err
		}
		if len(allowed) == 0 {
			e.add("birth", "too_young")
		}
	}
	if in.Prior != nil && in.Prior.ProductID != "" {
		p, err := programme.ProductByID(ctx, s.Pool, in.Prior.ProductID)
		if errors.Is(err, programme.ErrNotFound) || err == nil && p.ProgrammeID != in.ProgrammeID {
			e.add("prior_product", "prior_product_required")
		} else if err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Register stores a registration and makes its login data. by is "citizen" or
// "staff:<id>" for the audit. It returns Invalid when something typed cannot
// be; nothing is stored then.
//
// A person who seems to be registered already is stored as StateCheck, by the
// same statements and with the same answer; see doc.go.
func (s *Service) Register(ctx context.Context, in Registration, by string) (Registered, error) {
	now := s.Now()
	if e := in.clean(clock.Day(now)); len(e) > 0 {
		return Registered{}, e
	}
	if e, err := s.checkRules(ctx, in, now); err != nil {
		return Registered{}, err
	} else if len(e) > 0 {
		return Registered{}, e
	}
	if in.id == "" {
		in.id = id.New()
	}
	if in.caseNumber == "" {
		in.caseNumber, in.secret = newCaseNumber(), newSecret()
	}
	for try := 0; ; try++ {
		r, err := s.insert(ctx, in, by, now)
		if !pg.Violates(err, "person_pkey") && !pg.Violates(err, "login_person") && !pg.Violates(err, "login_pkey") {
			return r, err
		}
		// Pressed twice, or (never, as good as) a case number drawn twice.
		r, err = s.again(ctx, in)
		if !errors.Is(err, ErrNotFound) || try == 3 {
			return r, err
		}
		in.caseNumber = newCaseNumber()
	}
}

func (in Registration) person(now time.Time) Person {
	return Person{
		ID: in.id, CaseNumber: in.caseNumber, ProgrammeID: in.ProgrammeID, GroupCode: in.GroupCode, Lang: in.Lang,
		FamilyName: in.FamilyName, GivenName: in.GivenName, PassportFamily: in.PassportFamily, PassportGiven: in.PassportGiven,
		Birth: in.Birth, Sex: in.Sex, Address: in.Address, Phone: in.Phone, Email: in.Email, Prior: in.Prior,
		OnBehalf: in.OnBehalf, State: StateActive, RegisteredAt: now,
	}
}

// insert writes key, person and login in one statement: three tables, one round
// trip. The statement before it takes a lock on (names, birth year), so that
// of two at once the second sees the first.
func (s *Service) insert(ctx context.Context, in Registration, by string, now time.Time) (Registered, error) {
	p := in.person(now)
	key, wrapped, err := s.Vault.Generate()
	if err != nil {
		return Registered{}, err
	}
	p.KeyID = key.ID
	sealed, err := key.SealJSON(personContext, recordOf(p))
	if err != nil {
		return Registered{}, err
	}
	ident := s.identity(p.FamilyName, p.GivenName, p.Birth)
	var duplicate bool
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`SELECT pg_advisory_xact_lock($1)`, ident.lockKey())
		b.Queue(`
			WITH known AS (
				SELECT id FROM citizen.person
				WHERE identity_year = $8 AND programme_id = $5 AND state = 'active'
				  AND (identity_month IS NULL OR $9::bytea IS NULL OR identity_month = $9)
				  AND (identity_day IS NULL OR $10::bytea IS NULL OR identity_day = $10)
				ORDER BY registered_at, id LIMIT 1
			), key AS (
				INSERT INTO vault.key (id, wrapped, master, created_at) VALUES ($1, $2, $3, $13)
			), person AS (
				INSERT INTO citizen.person (id, key_id, programme_id, group_code, state, duplicate_of, identity_year, identity_month,
					identity_day, postcode_index, sealed, registered_at, keep_from)
				SELECT $4, $1, $5, $6, CASE WHEN EXISTS (SELECT FROM known) THEN 'check' ELSE 'active' END,
					(SELECT id FROM known), $8, $9, $10, $11, $7, $13, $13
			)
			INSERT INTO citizen.login (case_number, person_id, secret_mac, created_at)
			VALUES ($12, $4, $14, $13)
			RETURNING EXISTS (SELECT FROM known)`,
			key.ID, wrapped, s.Vault.MasterID(), p.ID, p.ProgrammeID, p.GroupCode, sealed,
			ident.year, ident.month, ident.day, s.postcodeIndex(p.FamilyName, p.Address.Postcode),
			in.caseNumber, now, s.secretMAC(in.caseNumber, in.secret)).
			QueryRow(func(row pgx.Row) error { return row.Scan(&duplicate) })
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if err := registered.Enqueue(ctx, tx, registeredPayload{PersonID: p.ID, ByStaff: strings.HasPrefix(by, "staff:")}); err != nil {
			return err
		}
		role := "" // of staff: stands in their own entry about the call
		if by == SessionKind {
			role = string(web.RoleCitizen)
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: by, Role: role, Action: "citizen.registered", Subject: Subject(p.ID),
			After: map[string]string{"programme": p.ProgrammeID, "group": p.GroupCode},
		})
	})
	if err != nil {
		return Registered{}, err
	}
	if duplicate {
		p.State = StateCheck
	}
	return Registered{Person: p, CaseNumber: PrintCode(in.caseNumber), Secret: PrintCode(in.secret), Duplicate: duplicate}, nil
}

// again answers the second pressing of the button like the first.
func (s *Service) again(ctx context.Context, in Registration) (Registered, error) {
	p, err := s.Person(ctx, s.Pool, in.id)
	if err != nil {
		return Registered{}, err
	}
	var mac []byte
	err = s.Pool.QueryRow(ctx, `SELECT secret_mac FROM citizen.login WHERE person_id = $1`, in.id).Scan(&mac)
	if err != nil {
		return Registered{}, err
	}
	if !hmac.Equal(mac, s.secretMAC(p.CaseNumber, in.secret)) {
		return Registered{}, ErrRegistered
	}
	return Registered{Person: p, CaseNumber: PrintCode(p.CaseNumber), Secret: PrintCode(in.secret), Duplicate: p.State == StateCheck}, nil
}

// Subject names a person in the audit.
func Subject(personID string) string { return "person:" + personID }

// wrap gives an error of this package its place.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("citizen: %s: %w", what, err)
}
