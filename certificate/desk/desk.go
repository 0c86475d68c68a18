package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate"
	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer"
	"impfportal/certificate/revocation"
	"impfportal/certificate/stop"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/staff/passkey"
	"impfportal/vaccination"
)

// Config is what the desk needs.
type Config struct {
	Pool         *pgxpool.Pool
	Now          clock.Clock
	Issuers      *issuer.Service
	Records      *vaccination.Service
	Certificates *certificate.Service
	Revocations  *revocation.Service
	Stop         *stop.Service
	Keys         *passkey.Service
	Limiter      *redis_rate.Limiter
}

// Service is the desk.
type Service struct{ Config }

// New makes the desk.
func New(cfg Config) *Service { return &Service{cfg} }

// action is the deed for which a session is made fresh by a touch.
const action = "issuing"

// correctionsMost is how often an issuer corrects one record by itself; after that the
// administration looks.
const correctionsMost = 3

// Errors of the desk; those of the packages below come through as they are.
var (
	// ErrNotFound says that the issuer has no such record: also when another one has it.
	ErrNotFound = errors.New("desk: no such record")
	// ErrOften says that a record was corrected too often already.
	ErrOften = errors.New("desk: corrected too often")
	// ErrLooks says that one person looked at too many records.
	ErrLooks = errors.New("desk: too many looks")
)

// Who is the operator who acts.
type Who struct {
	Issuer    issuer.Issuer
	AccountID string
	Actor     string // as in audit
}

func (w Who) desk(now time.Time) vaccination.Desk {
	return vaccination.Desk{IssuerRef: w.Issuer.Ref(), Actor: w.Actor, Role: "issuer", Now: now}
}

func (w Who) attempt(now time.Time) issuer.Attempt {
	return issuer.Attempt{IssuerID: w.Issuer.ID, Operator: w.AccountID, Path: issuer.PathWeb, At: now}
}

// subject is what a stop may apply to.
func (w Who) subject() stop.Subject {
	return stop.Subject{IssuerRef: w.Issuer.Ref(), IssuerKind: w.Issuer.Kind, Path: issuer.PathWeb, Region: vaccination.Region(w.Issuer.Postcode)}
}

// Order is one dose to be certified.
type Order struct {
	Key       string // of the form; makes it repeatable
	Basis     vaccination.Basis
	Patient   vaccination.Patient
	ProductID string
	LotNumber string // declared, for given ones; else as far as it is one
	Dose      string // value of a Choice
	Day       time.Time
	Document  *vaccination.Document // for seen ones
}

// Choice is a plain way to say which dose it was, and what it means in a certificate.
type Choice struct {
	Value        string
	Number, Of   int
	SingleSeries bool // only for vaccines of which one dose is a series
}

// Choices lists what the form offers; the texts are desk.dose.<value>.
var Choices = []Choice{
	{Value: "first", Number: 1, Of: 2},
	{Value: "second", Number: 2, Of: 2},
	{Value: "recovered", Number: 1, Of: 1},
	{Value: "booster", Number: 3, Of: 3},
	{Value: "booster2", Number: 4, Of: 4},
	{Value: "single", Number: 1, Of: 1, SingleSeries: true},
	{Value: "after_single", Number: 2, Of: 1},
	{Value: "booster_single", Number: 3, Of: 1},
	{Value: "booster_recovered", Number: 2, Of: 1},
}

// choice finds one; ok is false for what is none.
func choice(value string) (Choice, bool) {
	for _, c := range Choices {
		if c.Value == value {
			return c, true
		}
	}
	return Choice{}, false
}

// record is the order as the treatment record takes it.
func (o Order) record(w Who, now time.Time) vaccination.IssuedDose {
	c, _ := choice(o.Dose)
	return vaccination.IssuedDose{
		Key: w.Issuer.Ref() + ":" + o.Key, Now: now, IssuerRef: w.Issuer.Ref(), IssuerKind: w.Issuer.Kind, Operator: w.AccountID, Path: vaccination.PathWeb,
		Region: vaccination.Region(w.Issuer.Postcode), Location: w.Issuer.Site(), Basis: o.Basis, Document: o.Document, Patient: o.Patient, ProductID: o.ProductID, LotNumber: o.LotNumber,
		DoseNumber: c.Number, DosesTotal: c.Of, Day: o.Day, Actor: w.Actor, Role: "issuer",
	}
}

// Try tells what the certificate would say, without making anything: dcc.ErrName,
// dcc.ErrDoseRule or dcc.ErrDates when none can be made. It is how names look in the
// machine-readable zone that the person at the desk compares.
func Try(o Order, now time.Time) (dcc.Name, error) {
	c, _ := choice(o.Dose)
	codes, ok := dcc.CodesFor(o.ProductID, now)
	if !ok || c.SingleSeries && codes.Doses != 1 {
		return dcc.Name{}, dcc.ErrDoseRule
	}
	return try(vaccination.Content{
		FamilyName: o.Patient.FamilyName, GivenName: o.Patient.GivenName, PassportFamily: o.Patient.PassportFamily, PassportGiven: o.Patient.PassportGiven,
		Birth: o.Patient.Birth, Day: o.Day, DoseNumber: c.Number, DosesTotal: c.Of, ProductID: o.ProductID,
	}, now)
}

func try(x vaccination.Content, now time.Time) (dcc.Name, error) {
	built, err := dcc.Build(dcc.Vaccination{
		ProductID: x.ProductID, Place: "desk", Day: x.Day, DoseNumber: x.DoseNumber, DosesTotal: x.DosesTotal, Stated: true,
		FamilyName: x.FamilyName, GivenName: x.GivenName, PassportFamily: x.PassportFamily, PassportGiven: x.PassportGiven, Birth: x.Birth.String(),
	}, dcc.Muster, dcc.NewUVCI("desk"), now, now.AddDate(1, 0, 0))
	if err != nil {
		return dcc.Name{}, err
	}
	return built.Claims().HCert.DCC.Name, nil
}

// errRepeated ends the transaction of what takes nothing from any limit: an order that
// was carried out before, a correction that is only tried.
var errRepeated = errors.New("desk: nothing is taken")

// Issue writes the record of a dose, by which its certificate will be made. An order
// that was carried out before gives the same record. Errors as of issuer.Authorize and
// vaccination.RecordIssued.
func (s *Service) Issue(ctx context.Context, w Who, o Order) (recordID string, err error) {
	now := s.Now()
	in := o.record(w, now)
	a := w.attempt(now)
	a.Basis, a.ProductID, a.LotNumber, a.Day, a.Person = string(o.Basis), o.ProductID, o.LotNumber, o.Day, s.Records.PersonIndex(in.Patient)
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// A second click waits here, and then finds what the first has done.
		if _, err := s.Issuers.Lock(ctx, tx, w.Issuer.ID); err != nil {
			return err
		}
		if recordID, err = s.Records.Told(ctx, tx, in); err != nil {
			return err
		}
		if recordID != "" {
			return errRepeated
		}
		if err := s.Issuers.Authorize(ctx, tx, a); err != nil {
			return err
		}
		recordID, err = s.Records.RecordIssued(ctx, tx, in)
		return err
	})
	if errors.Is(err, errRepeated) {
		err = nil
	}
	return recordID, s.charged(ctx, a, err)
}

// charged lets a refusal that told of somebody else's dose cost what a record costs.
func (s *Service) charged(ctx context.Context, a issuer.Attempt, err error) error {
	var given *vaccination.AlreadyGivenError
	if errors.As(err, &given) && !given.Own {
		return errors.Join(err, s.Issuers.Charge(ctx, a))
	}
	return err
}

// Correct corrects a record of the issuer. The certificate follows. Errors as of
// vaccination's desk and issuer.AuthorizeChange; ErrOften, issuer.ErrLot.
func (s *Service) Correct(ctx context.Context, w Who, in vaccination.Correction) error {
	now := s.Now()
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := s.Issuers.AuthorizeChange(ctx, tx, w.attempt(now)); err != nil {
			return err
		}
		was, to, err := s.Records.CorrectAtTx(ctx, tx, w.desk(now), in)
		if err != nil {
			return err
		}
		if was.Version > correctionsMost {
			return ErrOften
		}
		if was.Basis == vaccination.Given && (was.ProductID != to.ProductID || was.LotNumber != to.LotNumber) {
			return s.Issuers.MoveDose(ctx, tx, w.Issuer.ID,
				issuer.Lot{ProductID: was.ProductID, LotNumber: was.LotNumber}, issuer.Lot{ProductID: to.ProductID, LotNumber: to.LotNumber})
		}
		return nil
	})
	return s.charged(ctx, w.attempt(now), err)
}

// TryCorrection tells why a correction would be refused, without changing anything.
// Errors as of Correct, and it is as often refused by the brakes: whether somebody else
// gave a dose is not to be had by trying names.
func (s *Service) TryCorrection(ctx context.Context, w Who, in vaccination.Correction) error {
	now := s.Now()
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := s.Issuers.AuthorizeChange(ctx, tx, w.attempt(now)); err != nil {
			return err
		}
		return errRepeated // nothing is taken yet
	})
	if errors.Is(err, errRepeated) {
		_, _, err = s.Records.TryCorrection(ctx, w.desk(now), in)
	}
	return s.charged(ctx, w.attempt(now), err)
}

// Reasons are those for which an issuer revokes.
var Reasons = []revocation.Reason{revocation.ByHolder, revocation.BadLot, revocation.Fraud}

// Revoke takes the standing certificate of a record of the issuer back, for good.
// ErrNotFound, revocation.ErrNotRevocable and ErrUnsigned, issuer.AuthorizeChange's errors, and the
// database's brake (constraint revocation_single).
func (s *Service) Revoke(ctx context.Context, w Who, recordID string, why revocation.Reason) error {
	now := s.Now()
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := s.Issuers.AuthorizeChange(ctx, tx, w.attempt(now)); err != nil {
			return err
		}
		r, err := s.issued(ctx, tx, w, recordID)
		if err != nil {
			return err
		}
		list, err := s.Certificates.OfRecord(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		for _, x := range list {
			if x.RevokedAt.IsZero() { // the one that stands, wherever it is on its way
				return s.Revocations.Revoke(ctx, tx, revocation.Revocation{CertificateID: x.ID, Reason: why, Actor: w.Actor, Role: "issuer", At: now})
			}
		}
		return revocation.ErrNotRevocable
	})
}

// issued is a record of the issuer, without what is personal.
func (s *Service) issued(ctx context.Context, q pg.Querier, w Who, recordID string) (vaccination.Issued, error) {
	r, err := vaccination.OneIssued(ctx, q, w.Issuer.Ref(), recordID)
	if errors.Is(err, vaccination.ErrNotFound) {
		err = ErrNotFound
	}
	return r, err
}

// The most that one person looks at in an hour.
var (
	searchesMost = redis_rate.PerHour(60)
	looksMost    = redis_rate.PerHour(600)
)

// look counts a look of an operator.
func (s *Service) look(ctx context.Context, w Who, what string, most redis_rate.Limit) error {
	res, err := s.Limiter.Allow(ctx, "desk:"+what+":"+w.AccountID, most)
	if err != nil {
		return fmt.Errorf("limit of looks: %w", err)
	}
	if res.Allowed == 0 {
		return ErrLooks
	}
	return nil
}
