package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// Bounds of what people type.
const (
	maxVials     = 1_000_000
	maxLotNumber = 40
	maxWhy       = 200 // characters of a reason
	maxNote      = 500
)

// By is who changes something, for ledger and audit.
type By struct {
	Actor string // "staff:<id>", "system"
	Role  string
}

// Delivery is what was or will be delivered.
type Delivery struct {
	ID          string     `json:"id"`
	ProductID   string     `json:"product_id"`
	Place       Place      `json:"place"` // central or a centre
	Day         time.Time  `json:"day"`   // planned
	Vials       int        `json:"vials"` // planned; once received: what came
	EqualShares bool       `json:"equal_shares"`
	State       string     `json:"state"`  // planned, confirmed, received, short, cancelled
	Source      string     `json:"source"` // manual, import
	Note        string     `json:"note"`
	ReceivedAt  *time.Time `json:"received_at"`
	Ordered     int        `json:"ordered"`           // vials that were planned
	Rest        int        `json:"rest,omitempty"`    // of a short one: neither come, nor planned anew, nor written off
	Follows     string     `json:"follows,omitempty"` // the short delivery whose rest this is
}

// The states of a delivery.
const (
	StatePlanned   = "planned"
	StateConfirmed = "confirmed" // whoever sends it has said so
	StateReceived  = "received"
	StateShort     = "short" // received, and less than was planned
	StateCancelled = "cancelled"
)

// Coming reports whether the delivery is still to come.
func (d Delivery) Coming() bool { return d.State == StatePlanned || d.State == StateConfirmed }

// Manual reports whether people receive or cancel it (an imported one follows
// the report).
func (d Delivery) Manual() bool { return d.Source == "manual" }

// NewDelivery is a delivery to plan.
type NewDelivery struct {
	ProductID   string
	Place       Place // Central or a centre
	Day         time.Time
	Vials       int
	EqualShares bool // only for Central: given out to all active centres on arrival
	Confirmed   bool // whoever sends it has said so
	Note        string

	follows string // the short delivery whose rest this is
}

// ReceivedLot is one lot of a delivery as it was unloaded.
type ReceivedLot struct {
	Number string
	Expiry time.Time // last day on which it may be given
	Vials  int
}

const deliveryColumns = `id::text, product_id, place, planned_on, vials, equal_shares, state, source, note, received_at, coalesce(ordered, vials), rest, coalesce(follows::text, '')`

// Deliveries returns the deliveries, latest day first; state "" = all.
func Deliveries(ctx context.Context, q pg.Querier, state string, limit int) ([]Delivery, error) {
	rows, err := q.Query(ctx, `
		SELECT `+deliveryColumns+` FROM inventory.delivery WHERE $1 = '' OR state = $1
		ORDER BY planned_on DESC, id DESC LIMIT $2`, state, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Delivery])
}

// DeliveryByID returns one delivery, or ErrNotFound.
func DeliveryByID(ctx context.Context, q pg.Querier, deliveryID string) (Delivery, error) {
	if !id.Valid(deliveryID) {
		return Delivery{}, fmt.Errorf("%w: delivery", ErrNotFound)
	}
	rows, err := q.Query(ctx, `SELECT `+deliveryColumns+` FROM inventory.delivery WHERE id = $1`, deliveryID)
	if err != nil {
		return Delivery{}, err
	}
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Delivery])
	if pg.NoRows(err) {
		return d, fmt.Errorf("%w: delivery", ErrNotFound)
	}
	return d, err
}
