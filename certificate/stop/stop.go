package stop

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/staff/dualcontrol"
)

// Errors of this package.
var (
	// ErrStopped says that a stop applies: the certificate has to wait.
	ErrStopped = errors.New("stop: issuing is stopped")
	// ErrNotFound says that there is no such stop.
	ErrNotFound = errors.New("stop: no such stop")
	// ErrState says that the stop has gone on meanwhile.
	ErrState = errors.New("stop: not in this state")
	// ErrUnderWay says that the stop counts, and that something which began to sign
	// before it has not ended.
	ErrUnderWay = errors.New("stop: a signature is still under way")
	// ErrInvalid says that an order is incomplete.
	ErrInvalid = errors.New("stop: incomplete")
)

// States of a stop; see the package's comment.
const (
	Stopped   = "stopped"
	Returning = "returning"
	Halted    = "halted"
	Lifted    = "lifted"
)

// Kinds of proposals that two people approve.
const (
	KindReturn = "stop.return"
	KindLift   = "stop.lift"
)

// Scope is what a stop applies to; an empty field means any.
type Scope struct {
	Kind   string `json:"kind,omitempty"`   // centre, mobile, practice, pharmacy
	Path   string `json:"path,omitempty"`   // site, web, mtls, card
	Region string `json:"region,omitempty"` // two digits
	KID    string `json:"kid,omitempty"`    // hex, 8 bytes
}

// Everything reports whether a scope leaves nobody out.
func (s Scope) Everything() bool { return s == Scope{} }

// Subject is a certificate that somebody wants to make.
type Subject struct {
	IssuerRef, IssuerKind, Path, Region string
	KID                                 []byte // of who would sign; nil: not chosen yet
}

// Stop is one order.
type Stop struct {
	ID string
	Scope
	State              string
	ReasonDE, ReasonEN string // public
	Internal           string
	Expected           *time.Time // day
	Since              time.Time
	OrderedBy          string // actor
	Budget             int    // percent
	LiftedAt           *time.Time
	ChangedAt          time.Time
}

// Reason is the public reason in a language.
func (s Stop) Reason(lang string) string {
	if strings.HasPrefix(lang, "de") {
		return s.ReasonDE
	}
	return s.ReasonEN
}

// Order is what an administrator asks for.
type Order struct {
	Scope
	ReasonDE, ReasonEN, Internal string
	Expected                     *time.Time
	Actor, Role                  string
}

// Issuer is somebody whom a stop can concern.
type Issuer struct{ Ref, Kind, Region string }

// Log is where the leaves go; *translog.Log.
type Log interface {
	Append(ctx context.Context, tx pgx.Tx, ref string, leaf translog.Leaf) error
	Pseudonym(domain, id string) string
}

// Config is what the service needs.
type Config struct {
	Pool  *pgxpool.Pool
	Now   clock.Clock
	Log   Log
	Slog  *slog.Logger
	Dual  *dualcontrol.Service
	Admin func(ctx context.Context, accountID string) string // name of an account, for the pages
	// Signers lists the document signers for the form.
	Signers func(c *web.Ctx) []web.Option
	// Issuers lists who issues, of all kinds.
	Issuers func(ctx context.Context, q pg.Querier) ([]Issuer, error)
	// Verify looks at issuers anew and returns what is wrong, by reference; who is
	// good is not in it.
	Verify func(ctx context.Context, q pg.Querier, refs []string) (map[string]string, error)
	// Lifted tells the issuers that it works again, in the transaction of the end
	// or of the admission of a cohort; may be nil.
	Lifted func(ctx context.Context, tx pgx.Tx, refs []string) error
}

// Service is the switch.
type Service struct {
	Config
	notices noticeCache
}

// New makes the service and registers its proposals.
func New(cfg Config) *Service {
	if cfg.Slog == nil {
		cfg.Slog = slog.Default()
	}
	s := &Service{Config: cfg}
	s.Dual.Handle(KindReturn, dualcontrol.Handler{Title: s.titleReturn, Changes: s.changesReturn, Apply: s.applyReturn})
	s.Dual.Handle(KindLift, dualcontrol.Handler{Title: s.titleLift, Apply: s.applyLift})
	return s
}

// lockKey is the advisory lock that every signature shares and an order takes
// alone, after it has been committed.
const lockKey = 0x73746f70 // "stop"

// Check is asked in the transaction that signs: ErrStopped when an order
// applies. A nil answer holds until that transaction ends: an order that does not
// wait for it has told so (ErrUnderWay).
func (s *Service) Check(ctx context.Context, tx pgx.Tx, c Subject) error {
	// Two statements in one round trip: the second sees what was committed while
	// the first waited.
	var stopID *string
	var b pgx.Batch
	b.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, lockKey)
	b.Queue(`SELECT certificate.stopped_by($1, $2, $3, $4, $5)::text`, c.IssuerRef, c.IssuerKind, c.Path, c.Region, c.KID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&stopID) })
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if stopID != nil {
		return fmt.Errorf("%w: %s", ErrStopped, *stopID)
	}
	return nil
}

// Applies returns the stop that applies, without holding orders back: for pages
// and for who would ask in vain. ok is false when nothing is stopped.
func (s *Service) Applies(ctx context.Context, q pg.Querier, c Subject) (st Stop, ok bool, err error) {
	var stopID *string
	if err := q.QueryRow(ctx, `SELECT certificate.stopped_by($1, $2, $3, $4, $5)::text`, c.IssuerRef, c.IssuerKind, c.Path, c.Region, c.KID).Scan(&stopID); err != nil {
		return st, false, fmt.Errorf("stop: %w", err)
	}
	if stopID == nil {
		return st, false, nil
	}
	st, err = Get(ctx, q, *stopID)
	return st, err == nil, err
}

// Order stops. When it returns, no certificate of the scope will be signed any
// more, by whatever process. The order itself waits for nobody: it counts from its
// commit on, also where a signer hangs in the middle of a signature; then it is
// ErrUnderWay that tells of it.
func (s *Service) Order(ctx context.Context, o Order) (stopID string, err error) {
	o.ReasonDE, o.ReasonEN, o.Internal = strings.TrimSpace(o.ReasonDE), strings.TrimSpace(o.ReasonEN), strings.TrimSpace(o.Internal)
	kid, hexErr := hex.DecodeString(o.KID)
	if o.ReasonDE == "" || o.ReasonEN == "" || o.Internal == "" || hexErr != nil || o.KID != "" && len(kid) != 8 {
		return "", ErrInvalid
	}
	if o.KID == "" {
		kid = nil
	}
	stopID = id.New()
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		now := s.Now()
		if _, err := tx.Exec(ctx, `
			INSERT INTO certificate.stop (id, kind, path, region, kid, state, reason_de, reason_en, internal, expected, since, ordered_by, changed_at)
			VALUES ($1, nullif($2, ''), nullif($3, ''), nullif($4, ''), $5, 'stopped', $6, $7, $8, $9, $10, $11, $10)`,
			stopID, o.Kind, o.Path, o.Region, kid, o.ReasonDE, o.ReasonEN, o.Internal, o.Expected, now, o.Actor); err != nil {
			for _, c := range []string{"stop_kind", "stop_path", "stop_region", "stop_kid"} {
				if pg.Violates(err, c) {
					return ErrInvalid
				}
			}
			return err
		}
		return s.note(ctx, tx, stopID, translog.KindStop, "stopped", o.Actor, o.Role, now, o.Scope)
	})
	if err != nil {
		return "", fmt.Errorf("stop issuing: %w", err)
	}
	s.notices.forget()
	err = s.Settle(ctx)
	if pg.IsLockTimeout(err) || pg.IsTimeout(err) {
		s.Slog.ErrorContext(ctx, "issuing is stopped, and a signature that began before does not end", "stop", stopID, "err", err)
		return stopID, ErrUnderWay
	}
	if err != nil {
		return stopID, fmt.Errorf("stop issuing: %w", err)
	}
	return stopID, nil
}

// Settle returns when every signature that had begun is committed or undone: what
// was signed before this moment can be seen. It waits as long as a lock may be
// waited for.
func (s *Service) Settle(ctx context.Context) error {
	// Who was asked holds the lock until its transaction ends.
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, lockKey)
		return err
	})
}

// note writes audit entry and leaf of a step.
func (s *Service) note(ctx context.Context, tx pgx.Tx, stopID, kind, what, actor, role string, now time.Time, after any) error {
	err := audit.Write(ctx, tx, now, audit.Entry{Actor: actor, Role: role, Action: "certificate.stop." + what, Subject: "stop:" + stopID, After: after})
	if err != nil {
		return err
	}
	detail := map[string]string{"what": what}
	if sc, ok := after.(Scope); ok {
		text, err := json.Marshal(sc)
		if err != nil {
			return err
		}
		detail["scope"] = string(text)
	}
	return s.Log.Append(ctx, tx, "stop:"+id.New(), translog.Leaf{
		Kind: kind, Subject: "stop:" + stopID, Operator: s.Log.Pseudonym("operator", actor), Day: clock.Day(now), Detail: detail,
	})
}

const columns = `id::text, coalesce(kind, ''), coalesce(path, ''), coalesce(region, ''), coalesce(encode(kid, 'hex'), ''), state, reason_de, reason_en, internal,
	expected, since, ordered_by, budget, lifted_at, changed_at`

func scan(row pgx.CollectableRow) (s Stop, err error) {
	return s, row.Scan(&s.ID, &s.Kind, &s.Path, &s.Region, &s.KID, &s.State, &s.ReasonDE, &s.ReasonEN, &s.Internal,
		&s.Expected, &s.Since, &s.OrderedBy, &s.Budget, &s.LiftedAt, &s.ChangedAt)
}

// Get returns a stop, or ErrNotFound.
func Get(ctx context.Context, q pg.Querier, stopID string) (Stop, error) {
	if !id.Valid(stopID) {
		return Stop{}, ErrNotFound
	}
	list, err := read(ctx, q, `id = $1`, stopID)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Stop{}, err
	}
	return list[0], nil
}

// Open returns the stops that are not over, the latest first.
func Open(ctx context.Context, q pg.Querier) ([]Stop, error) {
	return read(ctx, q, `state <> 'lifted'`)
}

// List returns the latest stops.
func List(ctx context.Context, q pg.Querier) ([]Stop, error) { return read(ctx, q, `true`) }

// read takes a condition that is a constant of this package, never input.
func read(ctx context.Context, q pg.Querier, where string, args ...any) ([]Stop, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM certificate.stop WHERE `+where+` ORDER BY since DESC LIMIT 100`, args...)
	if err != nil {
		return nil, fmt.Errorf("stops: %w", err)
	}
	return pgx.CollectRows(rows, scan)
}
