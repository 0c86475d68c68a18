package statement

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Errors of this package.
var (
	// ErrRoot says that the leaves that were read are not those under the signed
	// checkpoint: somebody must look at the log before there are statements.
	ErrRoot = errors.New("statement: the leaves do not give the root that was signed")
	// ErrChanged says that the stored lines are not those that the statement names.
	ErrChanged = errors.New("statement: the stored lines were changed")
	// ErrNotFound says that there is no such statement.
	ErrNotFound = errors.New("statement: no such statement")
	// ErrSettled says that a tariff was to be changed for days that are settled.
	ErrSettled = errors.New("statement: there are statements by this tariff")
)

// Party is an issuer as it stands on its statement.
type Party struct {
	Ref     string // as records name it, "issuer:<id>", "centre:<id>"
	Kind    string
	Name    string
	Address []string // below the name
	Lang    string
}

// Config is what a Service needs.
type Config struct {
	Pool   *pgxpool.Pool
	Now    clock.Clock
	Logger *slog.Logger
	Log    *translog.Log
	// Parties lists all that may have issued, whether or not they still may.
	Parties func(ctx context.Context, q pg.Querier) ([]Party, error)
	// Sender is the letterhead.
	Sender []string
	// Mark stands across every page; "" in production.
	Mark string
	// BaseURL is where the log can be verified, "https://...".
	BaseURL string
}

// Service makes statements and hands them out.
type Service struct {
	Config
	known struct {
		sync.Mutex
		month   time.Time
		parties map[string]Party
	}
}

// New makes the service.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Service{Config: cfg}
}

// Rates returns the whole tariff, newest first.
func Rates(ctx context.Context, q pg.Querier) (Tariff, error) {
	rows, err := q.Query(ctx, `SELECT issuer_kind, item, from_day, cents, source, set_by FROM certificate.statement_tariff ORDER BY from_day DESC, item, issuer_kind`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Rate])
}

// monthOf is the first day of a day's month, as midnight UTC.
func monthOf(day time.Time) time.Time {
	return time.Date(day.Year(), day.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// end is the moment at which a month is over.
func end(month time.Time) time.Time { return clock.At(month.AddDate(0, 1, 0), 0, 0) }
