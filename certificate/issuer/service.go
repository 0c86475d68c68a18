package issuer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/staff"
	"impfportal/staff/dualcontrol"
	"impfportal/staff/passkey"
)

// The states of an issuer; see the package comment.
const (
	Claimed   = "claimed"
	Sent      = "sent"
	Proven    = "proven"
	Active    = "active"
	Paused    = "paused"
	Suspended = "suspended"
	Ended     = "ended"
)

// States lists the states in the order of a life.
var States = []string{Claimed, Sent, Proven, Active, Paused, Suspended, Ended}

// Errors of this package.
var (
	// ErrUnknown says that the registry does not carry an id.
	ErrUnknown = errors.New("issuer: the registry has no such entry")
	// ErrNoLicence says that the entry's licence is not valid today.
	ErrNoLicence = errors.New("issuer: no valid licence")
	// ErrRegistry says that there is no registry, or that it has been out of date
	// for too long: nothing new begins.
	ErrRegistry = errors.New("issuer: the registry is out of date")
	// ErrTooMany says that there were too many tries from this network.
	ErrTooMany = errors.New("issuer: too many attempts")
	// ErrCode is the one answer to every activation code that does not hold.
	ErrCode = errors.New("issuer: the code does not hold")
	// ErrNotFound says that there is no such issuer.
	ErrNotFound = errors.New("issuer: no such issuer")
	// ErrState says that the issuer is in no state for that.
	ErrState = errors.New("issuer: not in this state")
	// ErrProposed says that such a change is before two administrators already.
	ErrProposed = errors.New("issuer: proposed already")
	// ErrNoKey says that nobody of the issuer has a security key, and the registry
	// names no certificate of it.
	ErrNoKey = errors.New("issuer: nobody has a key")
	// ErrOperators says that enough people of the issuer have access.
	ErrOperators = errors.New("issuer: too many operators")
	// ErrUsed says that doses of a receipt were certified already.
	ErrUsed = errors.New("issuer: the receipt is needed")
	// ErrOwn says that an approver works for the issuer.
	ErrOwn = errors.New("issuer: an approver belongs to the issuer")
)

// Config is what a Service needs.
type Config struct {
	Pool    *pgxpool.Pool
	Vault   *vault.Vault
	Now     clock.Clock
	Log     *slog.Logger
	Notify  *notify.Service
	Limiter *redis_rate.Limiter // of the public pages
	BaseURL string              // "https://...", without a slash at the end
	Hotline string              // telephone number for letters

	// Fetch gets the registry's newest list; nil = there is none, so no issuers
	// but the portal's own sites.
	Fetch Fetch
	// Authority are the keys with which the authority signs.
	Authority []crypto.PublicKey
	// Grace is how long after its next update a list still carries new
	// activations.
	Grace time.Duration

	// Leaf writes to the public log, in tx; nil = there is none.
	Leaf func(ctx context.Context, tx pgx.Tx, ref string, l Leaf) error
	// Staff, Keys and Dual make the operators' accounts and put changes before two
	// administrators.
	Staff *staff.Service
	Keys  *passkey.Service
	Dual  *dualcontrol.Service
	// Hold tells what keeps certificates of an issuer from being made though it may
	// issue: a stop; nil = nothing.
	Hold func(c *web.Ctx, i Issuer) (*Hold, error)
	// Alarmed is told each alarm that pauses an issuer, in tx: the error budget of
	// a return after a stop; may be nil.
	Alarmed func(ctx context.Context, tx pgx.Tx, ref, alarm string) error
	// Cards stand on the issuer's page: the form to issue, its statements.
	Cards []web.Card
}

// Leaf is what the public log says about an issuer: nothing personal.
type Leaf struct {
	Kind   string // activation, suspension, resume, limit
	Issuer string // "issuer:<id>", as records name it; "" = a rule for all
	Day    time.Time
	Detail map[string]string
}

// Service keeps issuers.
type Service struct {
	Config

	usual usual
}

// New makes a service, and registers with Dual what it applies.
func New(cfg Config) *Service {
	s := &Service{Config: cfg}
	for _, kind := range proposalKinds {
		cfg.Dual.Handle(kind, s.handler(kind))
	}
	for _, kind := range []string{KindAllowance, KindThreshold} {
		cfg.Dual.Handle(kind, s.ruleHandler(kind))
	}
	return s
}

// Issuer is an issuer with its entry in the registry.
type Issuer struct {
	ID, EntryID, Kind, Region string
	State                     string
	Since                     time.Time
	Why                       string
	Reverify                  bool
	Name                      string // of the place, by the registry
	Street, Postcode, City    string
	EntryState, Licence       string
	ValidFrom                 time.Time
	ValidTo                   *time.Time
	Keys                      []string
	CreatedAt                 time.Time
	ActivatedAt               *time.Time

	keyID, lang string
	contact     []byte
}

// Ref is the issuer as records and certificates name it.
func (i Issuer) Ref() string { return "issuer:" + i.ID }

// Site is the entry's id in the letters that a certificate's id may have (A-Z and 0-9,
// at most 20): URN:UVCI:01DE/<site>/... says which place it was.
func (i Issuer) Site() string {
	out := notSite.ReplaceAllString(strings.ToUpper(i.EntryID), "")
	return out[:min(len(out), 20)]
}

var notSite = regexp.MustCompile(`[^A-Z0-9]`)

// CarriedOn tells whether the registry carries the issuer on a day.
func (i Issuer) CarriedOn(day time.Time) bool {
	return i.EntryState != entryGone && i.Licence == "valid" && !day.Before(i.ValidFrom) && (i.ValidTo == nil || !day.After(*i.ValidTo))
}

const selectIssuer = `
	SELECT i.id::text, i.entry_id, i.kind, i.region, i.state, i.since, i.why, i.reverify, e.name, e.street, e.postcode, e.city, e.state, e.licence,
	       e.valid_from, e.valid_to, e.keys, i.created_at, i.activated_at, i.key_id::text, i.lang, i.contact
	  FROM certificate.issuer i JOIN certificate.registry_entry e ON e.id = i.entry_id `

func scanIssuer(row pgx.CollectableRow) (i Issuer, err error) {
	err = row.Scan(&i.ID, &i.EntryID, &i.Kind, &i.Region, &i.State, &i.Since, &i.Why, &i.Reverify, &i.Name, &i.Street, &i.Postcode, &i.City, &i.EntryState, &i.Licence,
		&i.ValidFrom, &i.ValidTo, &i.Keys, &i.CreatedAt, &i.ActivatedAt, &i.keyID, &i.lang, &i.contact)
	return i, err
}

func collect(ctx context.Context, q pg.Querier, where string, args ...any) ([]Issuer, error) {
	rows, err := q.Query(ctx, selectIssuer+where, args...)
	if err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	return pgx.CollectRows(rows, scanIssuer)
}

func one(ctx context.Context, q pg.Querier, where string, args ...any) (Issuer, error) {
	list, err := collect(ctx, q, where, args...)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Issuer{}, err
	}
	return list[0], nil
}

// Get returns an issuer, or ErrNotFound.
func (s *Service) Get(ctx context.Context, q pg.Querier, issuerID string) (Issuer, error) {
	return one(ctx, q, `WHERE i.id = $1`, issuerID)
}

// ByKey returns the issuer whose entry carries a client or card certificate, by
// the SHA-256 of its DER form in small hex. It returns ErrNotFound for a
// certificate that no entry with an issuer carries.
func (s *Service) ByKey(ctx context.Context, q pg.Querier, fingerprint string) (Issuer, error) {
	return one(ctx, q, `WHERE e.keys @> ARRAY[$1] AND e.state <> 'gone' AND i.state <> 'ended'`, fingerprint)
}
