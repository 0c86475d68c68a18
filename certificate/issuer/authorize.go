package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/brake"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// The ways in, and what a record is about.
const (
	PathWeb  = "web"
	PathMTLS = "mtls"
	PathCard = "card"

	BasisGiven = "given" // a dose that the issuer gave
	BasisSeen  = "seen"  // a dose given elsewhere, seen in a document
)

// Why an attempt is refused. Compare with errors.Is.
var (
	// ErrPaused says that an alarm has paused this issuer.
	ErrPaused = errors.New("issuer: paused by an alarm")
	// ErrSuspended says that the registry does not carry this issuer (any more).
	ErrSuspended = errors.New("issuer: suspended")
	// ErrInactive says that the issuer is not active yet, or has ended.
	ErrInactive = errors.New("issuer: not active")
	// ErrLimit says that a bucket is empty; the error is a *LimitError.
	ErrLimit = errors.New("issuer: limit reached")
	// ErrLot says that the issuer has declared no receipt of the lot, or of no
	// dose that is left where no lot is named.
	ErrLot = errors.New("issuer: lot is not declared")
	// ErrTripped says that this attempt tripped an alarm: the issuer is paused.
	// It is an ErrPaused too.
	ErrTripped = fmt.Errorf("%w just now", ErrPaused)
)

// LimitError says which bucket is empty and until when.
type LimitError struct {
	Which string // "issuer", "operator" or "seen"
	After time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: %s, again in %s", ErrLimit, e.Which, e.After)
}

// Is makes a LimitError an ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// Attempt is a record that an issuer wants to write.
type Attempt struct {
	IssuerID  string
	Operator  string // opaque: account id, or fingerprint of the card or certificate
	Path      string // PathWeb, PathMTLS, PathCard
	Basis     string // BasisGiven, BasisSeen
	ProductID string
	LotNumber string    // "" = the software named none
	Day       time.Time // of the dose, UTC midnight
	Person    []byte    // blind index of the person
	At        time.Time
}

// Authorize lets an attempt through or returns why not. It runs in the transaction
// that writes the record, and before it: the issuer's row is locked until that
// transaction ends, so that whoever pauses, suspends or lowers limits waits for
// what is under way, and what comes later sees it. Attempts of one issuer therefore
// come one after another; issuers do not wait for each other.
//
// What it takes (a token, a dose of the lot) belongs to the transaction: when the
// record is not written, everything is given back. After an error the transaction
// has nothing of it, and may go on with something else.
//
// An alarm that trips here is stored at once by a connection of its own, so that it
// stays although the attempt is rolled back.
func (s *Service) Authorize(ctx context.Context, tx pgx.Tx, a Attempt) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		tripped, err := s.authorize(ctx, tx, a)
		if err != nil || tripped == nil {
			return err
		}
		// Before the row is let go, so that nobody slips through in between.
		return errors.Join(ErrTripped, s.trip(ctx, a.IssuerID, *tripped, a.At))
	})
}

// alarm is an alarm that tripped.
type alarm struct {
	name     string
	measured brake.Measure
}

func (s *Service) authorize(ctx context.Context, tx pgx.Tx, a Attempt) (*alarm, error) {
	// NO KEY UPDATE: rows that refer to the issuer (the alarm above) need not wait.
	i, err := one(ctx, tx, `WHERE i.id = $1 FOR NO KEY UPDATE OF i`, a.IssuerID)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrInactive
	}
	if err != nil {
		return nil, err
	}
	// A statement of its own: it sees what was committed while we waited for the row.
	var open bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM certificate.issuer_alarm WHERE issuer_id = $1 AND cleared_at IS NULL)`, a.IssuerID).Scan(&open); err != nil {
		return nil, err
	}
	if err := allowed(i, open, today(a.At)); err != nil {
		return nil, err
	}
	if err := s.buckets(ctx, tx, a); err != nil {
		return nil, err
	}
	if a.Basis == BasisGiven {
		if over, err := s.takeDose(ctx, tx, a); err != nil || over != nil {
			return over, err
		}
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer_issue (id, issuer_id, operator, path, basis, product_id, lot_number, day, person, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		id.New(), a.IssuerID, a.Operator, a.Path, a.Basis, a.ProductID, a.LotNumber, a.Day, a.Person, a.At); err != nil {
		return nil, fmt.Errorf("note attempt: %w", err)
	}
	return s.sharp(ctx, tx, i, a)
}

// allowed decides by state alone.
func allowed(i Issuer, alarmed bool, day time.Time) error {
	switch {
	case i.State == Suspended, i.State == Active && !i.CarriedOn(day):
		return ErrSuspended
	case i.State == Paused, i.State == Active && alarmed:
		return ErrPaused
	case i.State != Active:
		return ErrInactive
	}
	return nil
}

// Limits are an issuer's buckets and the doses that it may declare in a week.
type Limits struct {
	Hourly         int `json:"hourly"`
	Burst          int `json:"burst"`
	OperatorHourly int `json:"operator_hourly"`
	OperatorBurst  int `json:"operator_burst"`
	SeenHourly     int `json:"seen_hourly"`
	SeenBurst      int `json:"seen_burst"`
	WeeklyDoses    int `json:"weekly_doses"`
}

// LimitsOf returns what holds for an issuer at a moment; own tells whether it has
// limits of its own.
func LimitsOf(ctx context.Context, q pg.Querier, issuerID string, at time.Time) (l Limits, own bool, err error) {
	err = q.QueryRow(ctx, `
		SELECT hourly, burst, operator_hourly, operator_burst, seen_hourly, seen_burst, weekly_doses, own FROM certificate.issuer_limits($1, $2)`, issuerID, at).
		Scan(&l.Hourly, &l.Burst, &l.OperatorHourly, &l.OperatorBurst, &l.SeenHourly, &l.SeenBurst, &l.WeeklyDoses, &own)
	if err != nil {
		err = fmt.Errorf("limits: %w", err)
	}
	return l, own, err
}

// buckets takes one token of each bucket that the attempt concerns.
func (s *Service) buckets(ctx context.Context, tx pgx.Tx, a Attempt) error {
	l, _, err := LimitsOf(ctx, tx, a.IssuerID, a.At)
	if err != nil {
		return err
	}
	take := []struct {
		which, who string
		b          brake.Bucket
	}{{"issuer", "", brake.Bucket{Burst: l.Burst, Hourly: l.Hourly}}, {"operator", "operator:" + a.Operator, brake.Bucket{Burst: l.OperatorBurst, Hourly: l.OperatorHourly}}}
	if a.Basis == BasisSeen {
		take = append(take, struct {
			which, who string
			b          brake.Bucket
		}{"seen", "seen", brake.Bucket{Burst: l.SeenBurst, Hourly: l.SeenHourly}})
	}
	for _, t := range take {
		if err := takeToken(ctx, tx, a.IssuerID, t.which, t.who, t.b, a.At); err != nil {
			return err
		}
	}
	return nil
}

// takeToken is one guarded statement: it fills up and takes, or changes nothing.
// A clock that runs behind another replica's fills nothing up.
func takeToken(ctx context.Context, tx pgx.Tx, issuerID, which, who string, b brake.Bucket, at time.Time) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer_bucket AS b (issuer_id, who, tokens, at) VALUES ($1, $2, $3::double precision - 1, $5)
		ON CONFLICT (issuer_id, who) DO UPDATE SET
			tokens = least($3, b.tokens + $4 * greatest(extract(epoch FROM excluded.at - b.at), 0)::double precision / 3600) - 1, at = greatest(b.at, excluded.at)
		WHERE least($3, b.tokens + $4 * greatest(extract(epoch FROM excluded.at - b.at), 0)::double precision / 3600) >= 1`,
		issuerID, who, float64(b.Burst), float64(b.Hourly), at)
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	var (
		tokens float64
		since  time.Time
	)
	if err := tx.QueryRow(ctx, `SELECT tokens, at FROM certificate.issuer_bucket WHERE issuer_id = $1 AND who = $2`, issuerID, who).Scan(&tokens, &since); err != nil {
		return err
	}
	return &LimitError{Which: which, After: b.Wait(b.Left(tokens, at.Sub(since)))}
}

// anyLeft is the condition that doses of the product are left at all, those given
// without a lot included: $1 is the issuer, $2 the product.
const anyLeft = `(SELECT sum(given) < sum(declared) FROM certificate.issuer_lot WHERE issuer_id = $1 AND product_id = $2)`

// takeDose counts a dose against what the issuer received. A lot that is declared
// and has none left is an alarm; a lot that nobody declared is not, nor one whose
// doses were certified without it.
func (s *Service) takeDose(ctx context.Context, tx pgx.Tx, a Attempt) (*alarm, error) {
	if a.LotNumber == "" {
		return nil, s.takeUnnamed(ctx, tx, a)
	}
	tag, err := tx.Exec(ctx, `
		UPDATE certificate.issuer_lot SET given = given + 1 WHERE issuer_id = $1 AND product_id = $2 AND lot_number = $3 AND given < declared AND `+anyLeft,
		a.IssuerID, a.ProductID, a.LotNumber)
	if err != nil || tag.RowsAffected() == 1 {
		return nil, err
	}
	var declared, given int
	err = tx.QueryRow(ctx, `SELECT declared, given FROM certificate.issuer_lot WHERE issuer_id = $1 AND product_id = $2 AND lot_number = $3`,
		a.IssuerID, a.ProductID, a.LotNumber).Scan(&declared, &given)
	if pg.NoRows(err) || err == nil && given < declared {
		return nil, ErrLot
	}
	if err != nil {
		return nil, err
	}
	m := brake.Of(given+1, declared)
	m.Lot = a.LotNumber
	return &alarm{brake.LotOver, m}, nil
}

// takeUnnamed counts a dose without a lot against all doses of the product.
func (s *Service) takeUnnamed(ctx context.Context, tx pgx.Tx, a Attempt) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO certificate.issuer_lot AS l (issuer_id, product_id, lot_number, given)
		SELECT $1, $2, '', 1 FROM certificate.issuer_lot WHERE issuer_id = $1 AND product_id = $2 HAVING sum(given) < sum(declared)
		ON CONFLICT (issuer_id, product_id, lot_number) DO UPDATE SET given = l.given + 1`, a.IssuerID, a.ProductID)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLot
	}
	return err
}
