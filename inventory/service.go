package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/programme"
)

var (
	// ErrNotFound: no such lot, delivery, movement or place.
	ErrNotFound = errors.New("inventory: not found")
	// ErrLotEmpty: nothing of the lot is left at the place.
	ErrLotEmpty = errors.New("inventory: nothing of the lot is left here")
	// ErrLotBlocked: nothing of the lot may be given or sent out.
	ErrLotBlocked = errors.New("inventory: the lot is blocked")
	// ErrLotExpired: the lot's last day has passed.
	ErrLotExpired = errors.New("inventory: the lot has expired")
	// ErrThawedTooLong: what is there was thawed longer ago than it lasts. It is
	// an ErrLotExpired.
	ErrThawedTooLong = fmt.Errorf("%w: thawed for too long", ErrLotExpired)
	// ErrCarriedTooLong: the vials were in the box of a team for longer than they may
	// be; or others of the lot are to come into a box that holds such. It is an
	// ErrLotExpired.
	ErrCarriedTooLong = fmt.Errorf("%w: carried for too long", ErrLotExpired)
	// ErrOpenedTooLong: the vial was opened longer ago than it lasts. It is an
	// ErrLotExpired.
	ErrOpenedTooLong = fmt.Errorf("%w: opened for too long", ErrLotExpired)
	// ErrPooled: doses of an opened vial would be divided, or come to where another
	// vial of the lot is open. Remainders are not pooled.
	ErrPooled = errors.New("inventory: remainders of opened vials are not pooled")
	// ErrNotEnough: the place holds less than should leave it.
	ErrNotEnough = errors.New("inventory: the place holds less than that")
	// ErrNoRule: no doses-per-vial rule is in force on that day.
	ErrNoRule = errors.New("inventory: no doses-per-vial rule in force")
	// ErrAlreadyGiven: a dose was already booked for this record.
	ErrAlreadyGiven = errors.New("inventory: a dose is already booked for this record")
	// ErrAlreadyCorrected: the movement already has its counter-movement.
	ErrAlreadyCorrected = errors.New("inventory: already corrected")
	// ErrNotCorrectable: the movement cannot be undone by itself.
	ErrNotCorrectable = errors.New("inventory: this movement cannot be corrected by itself")
	// ErrState: the delivery is no longer planned.
	ErrState = errors.New("inventory: the delivery is not planned any more")
	// ErrInvalid: amounts, places or dates that make no sense.
	ErrInvalid = errors.New("inventory: invalid")
)

// StockChangedPayload names what changed where. Place is always a centre.
type StockChangedPayload struct {
	Place     Place  `json:"place"`
	ProductID string `json:"product_id"`
}

// StockChanged: the usable or planned stock of a centre, or the doses that its
// vials give, are no longer what they were.
var StockChanged = jobs.Define[StockChangedPayload]("inventory.stock-changed")

// Service is the ledger.
type Service struct {
	// TeamNames says what mobile teams are called, by their id; nil = pages show
	// the end of the id. Set before the first request.
	TeamNames func(ctx context.Context, q pg.Querier) (map[string]string, error)
	// Demand tells what appointments need in the next weeks; nil = nothing. Set
	// before the first request.
	Demand DemandOf
	// Needs tells what appointments need day by day; nil = nothing. Set before the first
	// request.
	Needs NeedsOf
	// LotCards show on a lot's page what other slices know of it.
	LotCards []LotCard

	pool       *pgxpool.Pool
	now        clock.Clock
	log        *slog.Logger
	background sync.WaitGroup // imports that run after their request was answered
}

// New returns the ledger on pool.
func New(pool *pgxpool.Pool, now clock.Clock, log *slog.Logger) *Service {
	return &Service{pool: pool, now: now, log: log}
}

// Wait blocks until imports that were started by an upload have ended.
func (s *Service) Wait() { s.background.Wait() }

// Give is one dose that goes into an arm.
type Give struct {
	Place Place  // a centre or a team
	LotID string // from Lots
	Ref   string // id of the treatment record: one dose per record, ever
	Actor string
	At    time.Time
	// Booked: the dose was reserved by an appointment, so that stock and demand
	// fall together and nothing has to be planned anew.
	Booked bool
}

// Transfer moves stock of one lot between two places that hold stock.
type Transfer struct {
	From, To Place
	LotID    string
	Vials    int // closed vials
	Doses    int // open doses: all of the place, what is left of a vial goes whole
	Portion  Portion
	Actor    string
	Why      string
	At       time.Time
}

// Waste throws stock of one lot away.
type Waste struct {
	Place   Place
	LotID   string
	Vials   int // closed vials
	Doses   int // open doses
	Portion Portion
	// OpenedAt says of which opened vial the doses are, as somebody saw it; nil =
	// whichever is open.
	OpenedAt *time.Time
	Reason   Reason
	Actor    string
	Why      string
	At       time.Time
}

// missing says that a product or place that was named is not there. Other
// troubles of looking it up stay what they are.
func missing(what string, err error) error {
	if errors.Is(err, programme.ErrNotFound) || errors.Is(err, centre.ErrNotFound) {
		return fmt.Errorf("%w: %s", ErrNotFound, what)
	}
	return fmt.Errorf("look up %s: %w", what, err)
}
