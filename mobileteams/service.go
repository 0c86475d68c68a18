package mobileteams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/centre"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/inventory"
	"impfportal/programme"
	"impfportal/vaccination"
)

// Service is the dispatch of teams and their work at a facility.
type Service struct {
	pool        *pgxpool.Pool
	stock       *inventory.Service
	vaccination *vaccination.Service
}

// New makes the service.
func New(pool *pgxpool.Pool, stock *inventory.Service, v *vaccination.Service) *Service {
	return &Service{pool: pool, stock: stock, vaccination: v}
}

// checkSource refuses a visit with an unknown centre or product.
func checkSource(ctx context.Context, q pg.Querier, centreID, productID string) error {
	if _, err := centre.Get(ctx, q, centreID); err != nil {
		return ErrInvalid
	}
	if _, err := programme.ProductByID(ctx, q, productID); err != nil {
		return ErrInvalid
	}
	return nil
}

// BoxLot is what of one lot lies in a team's box.
type BoxLot struct {
	LotID     string    `json:"lot_id"`
	Number    string    `json:"number"`
	ProductID string    `json:"product_id"`
	Product   string    `json:"product"`
	Expiry    time.Time `json:"expiry"`
	Vials     int       `json:"vials"`
	OpenDoses int       `json:"open_doses"`
	Doses     int       `json:"doses"` // open doses and those of the closed vials
	Due       int       `json:"due"`   // doses of a vial that was opened too long ago: to be thrown away

	OpenedAt *time.Time `json:"opened_at,omitempty"`   // of the oldest opened vial
	Until    *time.Time `json:"carry_until,omitempty"` // until then the closed vials may be in the box; nil = no limit
	Late     int        `json:"late"`                  // closed vials that may not be used any more, see LateWhy
	LateWhy  string     `json:"late_why,omitempty"`    // blocked, expired, carried (too long in the box) or thawed (too long ago)
}

// Opened is how a form names the time at which the oldest opened vial was opened.
func (l BoxLot) Opened() string { return inventory.FormatOpened(l.OpenedAt) }

// Box returns what a team carries, earliest expiry first, and what of it may not be
// used any more.
func (s *Service) Box(ctx context.Context, q pg.Querier, teamID string, now time.Time) ([]BoxLot, error) {
	place := inventory.TeamPlace(teamID)
	box, err := s.lotsAt(ctx, q, place, "", now)
	if err != nil {
		return nil, err
	}
	held, err := s.stock.Holdings(ctx, q, place, "", now)
	if err != nil {
		return nil, fmt.Errorf("holdings at %s: %w", place, err)
	}
	for _, h := range held {
		i := slices.IndexFunc(box, func(l BoxLot) bool { return l.LotID == h.LotID })
		if i < 0 {
			p, err := programme.ProductByID(ctx, q, h.ProductID)
			if err != nil {
				return nil, fmt.Errorf("product in the box: %w", err)
			}
			i = len(box)
			box = append(box, BoxLot{LotID: h.LotID, Number: h.Number, ProductID: p.ID, Product: p.Name, Expiry: h.Expiry})
		}
		l := &box[i]
		l.OpenedAt, l.Until = h.OpenedAt, h.Carried
		l.Due = h.OpenDoses - l.OpenDoses
		if l.Late = h.Vials - l.Vials; l.Late == 0 {
			continue
		}
		switch {
		case h.Blocked:
			l.LateWhy = "blocked"
		case h.Expiry.Before(clock.Day(now)):
			l.LateWhy = "expired"
		case h.CarryDue:
			l.LateWhy = "carried"
		default:
			l.LateWhy = "thawed"
		}
	}
	return box, nil
}

// Source returns what of a product a centre has to give.
func (s *Service) Source(ctx context.Context, q pg.Querier, centreID, productID string, now time.Time) ([]BoxLot, error) {
	return s.lotsAt(ctx, q, inventory.CentrePlace(centreID), productID, now)
}

// lotsAt lists the lots of a place; an empty productID means all products.
func (s *Service) lotsAt(ctx context.Context, q pg.Querier, place inventory.Place, productID string, now time.Time) ([]BoxLot, error) {
	products, err := programme.Products(ctx, q, "")
	if err != nil {
		return nil, err
	}
	var out []BoxLot
	day := clock.Day(now)
	for _, p := range products {
		if productID != "" && p.ID != productID {
			continue
		}
		lots, err := s.stock.Lots(ctx, q, place, p.ID, day)
		if err != nil {
			return nil, fmt.Errorf("lots at %s: %w", place, err)
		}
		if len(lots) == 0 {
			continue
		}
		stock, err := s.stock.Doses(ctx, q, place, p.ID, day)
		if err != nil {
			return nil, fmt.Errorf("doses at %s: %w", place, err)
		}
		for _, l := range lots {
			out = append(out, BoxLot{
				LotID: l.ID, Number: l.Number, ProductID: p.ID, Product: p.Name, Expiry: l.Expiry,
				Vials: l.Vials, OpenDoses: l.OpenDoses, Doses: l.OpenDoses + l.Vials*stock.DosesPerVial,
			})
		}
	}
	return out, nil
}

// Load moves closed vials from the visit's centre into the team's box, once for the
// key of the request.
func (s *Service) Load(ctx context.Context, now time.Time, visitID, lotID string, vials int, actor string, r inventory.Request) error {
	return s.carry(ctx, now, visitID, lotID, vials, actor, r, false)
}

// BringBack moves closed vials from the team's box to the visit's centre, once for
// the key of the request.
func (s *Service) BringBack(ctx context.Context, now time.Time, visitID, lotID string, vials int, actor string, r inventory.Request) error {
	return s.carry(ctx, now, visitID, lotID, vials, actor, r, true)
}

// once runs do in a transaction, or does nothing when it was done for the request.
func (s *Service) once(ctx context.Context, r inventory.Request, do func(tx pgx.Tx) error) error {
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.stock.First(ctx, tx, r); err != nil {
			return err
		}
		return do(tx)
	})
	if errors.Is(err, inventory.ErrRepeated) {
		return nil
	}
	return err
}

func (s *Service) carry(ctx context.Context, now time.Time, visitID, lotID string, vials int, actor string, r inventory.Request, back bool) error {
	if vials < 1 || lotID == "" {
		return ErrInvalid
	}
	return s.once(ctx, r, func(tx pgx.Tx) error {
		v, err := s.lockVisit(ctx, tx, visitID)
		if err != nil {
			return err
		}
		if v.TeamID == "" || (!back && v.State != Assigned && v.State != UnderWay) {
			return ErrState
		}
		from, to, why := inventory.CentrePlace(v.CentreID), inventory.TeamPlace(v.TeamID), "load for visit "+v.ID
		if back {
			from, to, why = to, from, "left over from visit "+v.ID
		}
		lots, err := s.lotsAt(ctx, tx, from, "", now)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(lots, func(l BoxLot) bool { return l.LotID == lotID })
		if i < 0 || lots[i].Vials < vials {
			return ErrNotEnough
		}
		err = s.stock.Transfer(ctx, tx, inventory.Transfer{From: from, To: to, LotID: lotID, Vials: vials, Actor: actor, Why: why, At: now})
		switch {
		case errors.Is(err, inventory.ErrNotEnough):
			return ErrNotEnough
		case !back && errors.Is(err, inventory.ErrCarriedTooLong):
			return ErrClearFirst
		case errors.Is(err, inventory.ErrLotExpired), errors.Is(err, inventory.ErrLotBlocked):
			return fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		return err
	})
}

// Discard writes off what is left in an opened vial of the team's box, when it still
// is what was seen; inventory.ErrRestChanged otherwise: the team gives doses meanwhile.
func (s *Service) Discard(ctx context.Context, now time.Time, visitID, lotID string, seen inventory.OpenRest, actor string, r inventory.Request) error {
	return s.once(ctx, r, func(tx pgx.Tx) error {
		v, err := s.lockVisit(ctx, tx, visitID)
		if err != nil {
			return err
		}
		if v.TeamID == "" {
			return ErrState
		}
		err = s.stock.Discard(ctx, tx, inventory.TeamPlace(v.TeamID), lotID, seen, "visit "+v.ID, inventory.By{Actor: actor, Role: "dispatcher"})
		if errors.Is(err, inventory.ErrNotEnough) || errors.Is(err, inventory.ErrNotFound) {
			return ErrNotEnough
		}
		return err
	})
}

// DiscardLate writes off the closed vials of a lot in the team's box that may not be
// used any more, when they still are as many as were seen. What is blocked is kept for
// whoever blocked it: ErrState. ErrNotEnough when there are none,
// inventory.ErrRestChanged.
func (s *Service) DiscardLate(ctx context.Context, now time.Time, visitID, lotID string, seen int, actor string, r inventory.Request) error {
	return s.once(ctx, r, func(tx pgx.Tx) error {
		v, err := s.lockVisit(ctx, tx, visitID)
		if err != nil {
			return err
		}
		if v.TeamID == "" {
			return ErrState
		}
		box, err := s.Box(ctx, tx, v.TeamID, now)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(box, func(l BoxLot) bool { return l.LotID == lotID && l.Late > 0 })
		switch {
		case i < 0:
			return ErrNotEnough
		case box[i].LateWhy == "blocked":
			return ErrState
		case box[i].Late != seen:
			return inventory.ErrRestChanged
		}
		reason := inventory.Expired
		if box[i].LateWhy == "carried" {
			reason = inventory.ColdChain
		}
		return s.stock.Waste(ctx, tx, inventory.Waste{
			Place: inventory.TeamPlace(v.TeamID), LotID: lotID, Vials: seen, Reason: reason, Actor: actor, Why: "visit " + v.ID, At: now,
		})
	})
}

// lockVisit reads a visit and keeps its state until the end of tx.
func (s *Service) lockVisit(ctx context.Context, tx pgx.Tx, visitID string) (Visit, error) {
	if _, err := s.Visit(ctx, tx, visitID); err != nil {
		return Visit{}, err
	}
	if _, err := tx.Exec(ctx, `SELECT 1 FROM mobileteams.visit WHERE id = $1 FOR SHARE`, visitID); err != nil {
		return Visit{}, fmt.Errorf("lock visit: %w", err)
	}
	return s.Visit(ctx, tx, visitID)
}

// Dose is what the team types for one person at a facility.
type Dose struct {
	Key        string
	VisitID    string
	TeamID     string // the caller's team
	Patient    vaccination.Patient
	DoseNumber int
	Prior      *vaccination.PriorDose
	Recovered  bool
	LotID      string
	Consent    bool
	Forms      time.Time
	Override   *vaccination.Override
	Actor      string
	Role       string
}

// Give records a dose at a visit that is under way, by the same path as at a
// centre, and notes to which visit it belongs. Errors are vaccination's, and
// ErrState, ErrNotToday, ErrOthersTeam.
func (s *Service) Give(ctx context.Context, now time.Time, in Dose) (recordID string, err error) {
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		v, err := s.lockVisit(ctx, tx, in.VisitID)
		switch {
		case err != nil:
			return err
		case v.TeamID != in.TeamID:
			return ErrOthersTeam
		case v.State != UnderWay:
			return ErrState
		case !v.Day.Equal(clock.Day(now)):
			return ErrNotToday
		}
		recordID, err = s.vaccination.RecordTx(ctx, tx, vaccination.RecordDose{
			Key: in.Key, Now: now, Channel: vaccination.Mobile, Patient: in.Patient, ProductID: v.ProductID,
			DoseNumber: in.DoseNumber, Prior: in.Prior, Recovered: in.Recovered, Place: v.Facility.ID, Region: vaccination.Region(v.Facility.Postcode), StockPlace: inventory.TeamPlace(v.TeamID),
			LotID: in.LotID, Consent: in.Consent, Forms: in.Forms, Override: in.Override, Actor: in.Actor, Role: in.Role,
		})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO mobileteams.dose (visit_id, record_id) VALUES ($1, $2) ON CONFLICT (record_id) DO NOTHING`, v.ID, recordID)
		if err != nil {
			return fmt.Errorf("note dose of visit: %w", err)
		}
		return nil
	})
	return recordID, err
}

// People returns who was vaccinated at a visit, oldest first.
func (s *Service) People(ctx context.Context, q pg.Querier, v Visit) ([]vaccination.Record, error) {
	rows, err := q.Query(ctx, `SELECT record_id FROM mobileteams.dose WHERE visit_id = $1`, v.ID)
	if err != nil {
		return nil, fmt.Errorf("doses of visit: %w", err)
	}
	mine, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("doses of visit: %w", err)
	}
	all, err := s.vaccination.At(ctx, q, v.Facility.ID, v.Day)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(r vaccination.Record) bool { return !slices.Contains(mine, r.ID) }), nil
}
