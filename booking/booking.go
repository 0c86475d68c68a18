package booking

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/internal/web"
	"impfportal/inventory"
	"impfportal/notify"
	"impfportal/programme"
)

// Errors that callers tell apart.
var (
	// ErrSlotTaken: somebody else was faster. It comes as *TakenError.
	ErrSlotTaken = errors.New("booking: the place is taken")
	// ErrAlreadyBooked: the person has a series that is held or confirmed.
	ErrAlreadyBooked = errors.New("booking: the person has appointments already")
	// ErrHoldExpired: the time to confirm is over; the places were given back.
	ErrHoldExpired = errors.New("booking: the hold has ended")
	// ErrNotEligible: this person may not have this series. It comes as *IneligibleError.
	ErrNotEligible = errors.New("booking: not eligible")
	// ErrNotFound: there is no such series, or it is somebody else's.
	ErrNotFound = errors.New("booking: not found")
	// ErrInvalid: a request that no page makes.
	ErrInvalid = errors.New("booking: invalid")
	// ErrKeyReused: the key has been used for other slots.
	ErrKeyReused = errors.New("booking: the key was used for other slots")
	// ErrTooOften: the person has held, cancelled or changed over the web eight times
	// within an hour: each of these keeps places from others for a while.
	ErrTooOften = errors.New("booking: held too often")
	// ErrState: the appointment is not in a state that allows this.
	ErrState = errors.New("booking: not possible in this state")
)

// TakenError says that a place is gone and offers the nearest that are free.
type TakenError struct {
	Alternatives []Choice // up to three, nearest in time first
}

func (e *TakenError) Error() string { return ErrSlotTaken.Error() }

// Is makes errors.Is(err, ErrSlotTaken) true.
func (e *TakenError) Is(target error) bool { return target == ErrSlotTaken }

// Reasons of an IneligibleError.
const (
	ReasonGroup    = "group"    // the priority group is not open
	ReasonAge      = "age"      // no product is allowed at that age
	ReasonComplete = "complete" // all doses were given
	ReasonPrior    = "prior"    // nothing may follow the earlier dose
	ReasonSeries   = "series"   // these slots do not make a series for this person
	ReasonChannel  = "channel"  // nobody books over this channel
)

// IneligibleError says why.
type IneligibleError struct{ Reason string }

func (e *IneligibleError) Error() string { return ErrNotEligible.Error() + ": " + e.Reason }

// Is makes errors.Is(err, ErrNotEligible) true.
func (e *IneligibleError) Is(target error) bool { return target == ErrNotEligible }

// Channel is a way to book. The channels are rows of booking.channel.
type Channel string

// The channels that the program itself books over.
const (
	Web     Channel = "web"
	Hotline Channel = "hotline"
	Mobile  Channel = "mobile"
	Reserve Channel = "reserve" // nobody books over it; held back until an administrator shifts it
)

// The states of an appointment; see the diagram in doc.go. A series has the
// first four and StateEnded.
const (
	StateHeld      = "held"
	StateConfirmed = "confirmed"
	StateCancelled = "cancelled"
	StateExpired   = "expired"
	StateHere      = "here"
	StateDone      = "done"
	StateMissed    = "missed"
	StateEnded     = "ended" // series: no appointment is open any more, at least one took place or was missed
)

// Appointment is one visit.
type Appointment struct {
	ID         string    `json:"id"`
	SeriesID   string    `json:"series_id"`
	PersonID   string    `json:"person_id"`
	CentreID   string    `json:"centre_id"`
	ProductID  string    `json:"product_id"`
	Channel    string    `json:"channel"`
	Reference  string    `json:"reference"` // of its series
	DoseNumber int       `json:"dose_number"`
	Start      time.Time `json:"start"` // UTC
	State      string    `json:"state"`
	SlotID     int64     `json:"slot_id"`
}

// Open reports whether the appointment is still to come or under way.
func (a Appointment) Open() bool {
	return a.State == StateHeld || a.State == StateConfirmed || a.State == StateHere
}

// Series is what was booked together.
type Series struct {
	ID           string
	PersonID     string
	ProgrammeID  string
	ProductID    string
	CentreID     string
	Channel      Channel
	Reference    string // stored form; Print sets it for people
	State        string
	BookedBy     string // actor
	Role         string
	HoldUntil    time.Time
	CreatedAt    time.Time
	ConfirmedAt  *time.Time
	Revision     int           // how often it was changed since it was booked
	Waived       string        // why the doses after the first were waived when it was booked; "" = they were not
	CoupleID     string        // the same for two who booked together; "" = alone
	Appointments []Appointment // by time; also those that were given back
}

// Visits returns the appointments that count: all but those that were given
// back, or all when nothing else is left.
func (s *Series) Visits() []Appointment {
	var list []Appointment
	for _, a := range s.Appointments {
		if a.State != StateCancelled && a.State != StateExpired {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return s.Appointments
	}
	return list
}

// Next returns the first open appointment, or nil.
func (s *Series) Next() *Appointment {
	for i := range s.Appointments {
		if s.Appointments[i].Open() {
			return &s.Appointments[i]
		}
	}
	return nil
}

// Deps is what the Service needs.
type Deps struct {
	Pool      *pgxpool.Pool
	Now       clock.Clock
	Log       *slog.Logger
	Citizens  *citizen.Service
	Inventory *inventory.Service
	Notify    *notify.Service
	BaseURL   string // "https://...", for messages and calendar files; no slash at the end
	Hotline   string // telephone number as people read it
	// Release gives the pass of the waiting room back after a confirmation, so
	// that the next one may enter; nil = there is no waiting room.
	Release func(c *web.Ctx)
	// Extend keeps that pass until a hold has ended; nil = there is no waiting room.
	Extend func(c *web.Ctx, until time.Time)
	// Limiter bounds how often one network opens links of offers; nil = no bound.
	Limiter *redis_rate.Limiter
	// RulesKept is how long an answer of the programme's rules is used again.
	RulesKept time.Duration
}

// Service books.
type Service struct {
	Deps
	rules      programme.Recent
	available  atomic.Pointer[Availability]
	published  atomic.Pointer[feed] // the same picture as files
	background sync.WaitGroup
	weeksLock  sync.Mutex
	weeks      map[weekKey]keptWeek // that administrators look at
	freeing    shared[struct{}]     // looks again before anybody is told that a place is gone
	nearby     shared[[]Choice]     // what is free instead
}

// Wait returns when what pages have set off in the background is done.
func (s *Service) Wait() { s.background.Wait() }

// New makes the service.
func New(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Deps: d, rules: programme.Recent{Keep: d.RulesKept}}
}

// engineError turns what the SQL functions raise into the errors of this package.
func engineError(err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	switch {
	case pe.Code == "BK001":
		return ErrSlotTaken
	case pe.Code == "BK002":
		return ErrHoldExpired
	case pe.Code == "BK003":
		return &IneligibleError{ReasonSeries}
	case pe.Code == "BK004", pe.Code == "22P02": // 22P02: what came is no uuid
		return ErrNotFound
	case pe.Code == "BK005":
		return &IneligibleError{ReasonChannel}
	case pe.Code == "BK006":
		return ErrState
	case pe.Code == "BK007":
		return ErrTooOften
	case pe.ConstraintName == "series_one_active", pe.ConstraintName == "appointment_one_active":
		return ErrAlreadyBooked
	}
	return err
}

// settings are the row of booking.setting.
type settings struct {
	HorizonDays, HoldMinutes, SlotMinutes, DeliveryMarginDays int
}
