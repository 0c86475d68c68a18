package issuer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/certificate/dcc"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Errors of declarations.
var (
	// ErrTooManyDoses says that more doses were declared than the issuer may in a week.
	ErrTooManyDoses = errors.New("issuer: more doses than may be declared in a week")
	// ErrReceipt says that a receipt is malformed: product, lot, doses or day.
	ErrReceipt = errors.New("issuer: no such receipt")
)

// Receipt is vaccine that an issuer says it received.
type Receipt struct {
	ProductID, LotNumber string
	Doses                int
	Day                  time.Time // UTC midnight
}

// Lot is what an issuer declared and gave of a lot; LotNumber "" = given without
// one.
type Lot struct {
	ProductID string `json:"product_id"`
	LotNumber string `json:"lot_number"`
	Declared  int    `json:"declared"`
	Given     int    `json:"given"`
}

// Left is how many doses can still be certified.
func (l Lot) Left() int { return max(l.Declared-l.Given, 0) }

var lotPattern = regexp.MustCompile(`^[A-Z0-9][A-Z0-9 ./-]{1,29}$`)

// CleanLot brings a lot number into the one form in which it is compared.
func CleanLot(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), " ")) }

// appointmentsMost is how many appointments one day can have.
const appointmentsMost = 100_000

// receivable tells whether vaccine can be declared as received on a day.
func receivable(day, now time.Time) bool {
	return !day.After(today(now)) && !day.Before(today(now).AddDate(-1, 0, 0))
}

// declarable tells whether the appointments of a day can still be declared.
func declarable(day, now time.Time) bool {
	return !day.After(today(now)) && !day.Before(today(now).AddDate(0, 0, -31))
}

// Declare adds a receipt. It returns ErrReceipt, ErrTooManyDoses, or why the
// issuer may not: only an active one declares.
func (s *Service) Declare(ctx context.Context, issuerID string, r Receipt, actor string) error {
	now := s.Now()
	r.LotNumber = CleanLot(r.LotNumber)
	if !lotPattern.MatchString(r.LotNumber) || r.Doses < 1 || r.Doses > 1_000_000 || !receivable(r.Day, now) {
		return ErrReceipt
	}
	if _, ok := dcc.CodesFor(r.ProductID, now); !ok {
		return ErrReceipt // no certificate comes of it
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		i, err := one(ctx, tx, `WHERE i.id = $1 FOR NO KEY UPDATE OF i`, issuerID)
		if err != nil {
			return err
		}
		if err := allowed(i, false, today(now)); err != nil {
			return err
		}
		l, _, err := LimitsOf(ctx, tx, issuerID, now)
		if err != nil {
			return err
		}
		var week int
		if err := tx.QueryRow(ctx, `SELECT coalesce(sum(doses), 0) FROM certificate.issuer_receipt WHERE issuer_id = $1 AND declared_at > $2`, issuerID, now.AddDate(0, 0, -7)).Scan(&week); err != nil {
			return err
		}
		if week+r.Doses > l.WeeklyDoses {
			return ErrTooManyDoses
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO certificate.issuer_receipt (id, issuer_id, product_id, lot_number, doses, received_on, declared_at, declared_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			id.New(), issuerID, r.ProductID, r.LotNumber, r.Doses, r.Day, now, actor); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO certificate.issuer_lot AS l (issuer_id, product_id, lot_number, declared) VALUES ($1, $2, $3, $4)
			ON CONFLICT (issuer_id, product_id, lot_number) DO UPDATE SET declared = l.declared + excluded.declared`,
			issuerID, r.ProductID, r.LotNumber, r.Doses); err != nil {
			return fmt.Errorf("lot: %w", err)
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: "issuer", Action: "issuer.receipt", Subject: i.Ref(), After: map[string]any{
			"product": r.ProductID, "lot": r.LotNumber, "doses": r.Doses,
		}})
	})
}

// DeclareDay notes how many appointments an issuer had on a day; a second
// statement replaces the first.
func (s *Service) DeclareDay(ctx context.Context, issuerID string, day time.Time, appointments int, actor string) error {
	now := s.Now()
	if appointments < 0 || appointments > appointmentsMost || !declarable(day, now) {
		return ErrReceipt
	}
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO certificate.issuer_day (issuer_id, day, appointments, declared_by) VALUES ($1, $2, $3, $4)
			ON CONFLICT (issuer_id, day) DO UPDATE SET appointments = excluded.appointments, declared_by = excluded.declared_by`, issuerID, day, appointments, actor); err != nil {
			return fmt.Errorf("day: %w", err)
		}
		return audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: "issuer", Action: "issuer.day", Subject: "issuer:" + issuerID, After: map[string]any{
			"day": day.Format(time.DateOnly), "appointments": appointments,
		}})
	})
}

// Lots lists what an issuer declared and gave.
func Lots(ctx context.Context, q pg.Querier, issuerID string) ([]Lot, error) {
	rows, err := q.Query(ctx, `SELECT product_id, lot_number, declared, given FROM certificate.issuer_lot WHERE issuer_id = $1 ORDER BY product_id, lot_number`, issuerID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Lot])
}
