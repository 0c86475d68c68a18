package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
)

// Use is what a report says was given of a product on a day, by all who
// vaccinate from the central store.
type Use struct {
	Place     Place // where it was given
	ProductID string
	Doses     int
	Day       time.Time
	Ref       string // unique; what the report calls it
	Actor     string
}

// Used is what the ledger made of it: the vials that were opened, the doses
// given, what was left in the opened vials at the end of the day, and the doses
// that nothing in stock explains.
type Used struct {
	Vials, Given, Rest, Short int
}

// What the ledger says of a report, see ledgerWords.
const (
	reportBrought = "for the day's vaccinations"
	reportOpened  = "vials opened"
	reportGiven   = "doses given, as reported"
	reportRest    = "left in opened vials"
)

// UseReported books a day of a report: it brings as many vials as the doses
// need from the central store, opens them by the doses-per-vial rule of the day,
// gives the doses and throws away what is left of the opened vials; remainders
// are not pooled. The lot that expires first goes first; one whose expiry nobody
// has read (assumed) does not keep a dose that was given from having been given.
// Where the stock does not reach it goes as far as it does; Short tells the rest.
// It returns ErrNoRule, and ErrAlreadyGiven for a Ref that was booked before.
func (s *Service) UseReported(ctx context.Context, tx pgx.Tx, u Use) (Used, error) {
	if u.Doses < 0 || u.Ref == "" || u.Place == Central || !u.Place.Holds() {
		return Used{}, fmt.Errorf("%w: use", ErrInvalid)
	}
	each, err := DosesPerVial(ctx, tx, u.ProductID, u.Day)
	if err != nil {
		return Used{}, err
	}
	if each == 0 {
		return Used{}, fmt.Errorf("%w: %s", ErrNoRule, u.ProductID)
	}
	lots, err := lockForUse(ctx, tx, u.ProductID, u.Day)
	if err != nil {
		return Used{}, err
	}
	used := Used{Short: u.Doses}
	at := clock.At(u.Day, 12, 0)
	ref := u.Ref // of the first lot: it is what keeps a report from being booked twice
	for i, l := range lots {
		vials := min(l.Vials, (used.Short+each-1)/each)
		if vials == 0 {
			break
		}
		if i > 0 {
			ref = u.Ref + ":" + l.Number
		}
		given := min(vials*each, used.Short)
		rest := vials*each - given
		for _, m := range []movement{
			{kind: "transfer", why: reportBrought, entries: []entry{{Central, -vials, 0}, {u.Place, vials, 0}}},
			{kind: "open", why: reportOpened, entries: []entry{{u.Place, -vials, vials * each}, {conversion, vials, -vials * each}}},
			{kind: "give", why: reportGiven, ref: ref, entries: []entry{{u.Place, 0, -given}, {Person, 0, given}}},
			{kind: "waste", why: reportRest, entries: []entry{{u.Place, 0, -rest}, {OpenVial.place(), 0, rest}}},
		} {
			if m.kind == "waste" && rest == 0 {
				continue
			}
			m.lotID, m.at, m.actor = l.ID, at, u.Actor
			if _, err := s.post(ctx, tx, m); err != nil {
				return Used{}, err
			}
		}
		used.Vials, used.Given, used.Rest, used.Short = used.Vials+vials, used.Given+given, used.Rest+rest, used.Short-given
	}
	return used, s.changed(ctx, tx, u.ProductID, u.Place)
}

// lockForUse returns the lots of the central store that may have been used on a
// day, the one that expires first first, and keeps others from moving them.
func lockForUse(ctx context.Context, tx pgx.Tx, productID string, day time.Time) ([]Lot, error) {
	if err := lockCentralStock(ctx, tx, productID); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		SELECT l.id::text, l.number, l.product_id, l.expiry, l.assumed, b.vials - past.vials, b.doses, l.blocked_at, b.thawed, l.expiry
		FROM inventory.balance b JOIN inventory.lot l ON l.id = b.lot_id
		CROSS JOIN LATERAL (SELECT coalesce(sum(h.vials), 0)::int AS vials FROM inventory.held h
		                    WHERE h.place = b.place AND h.lot_id = b.lot_id AND h.thawed_on IS NOT NULL AND h.use_by < $2) past
		WHERE b.place = 'central' AND l.product_id = $1 AND (l.assumed OR l.expiry >= $2) AND l.blocked_at IS NULL AND b.vials > past.vials
		ORDER BY l.expiry, l.number`, productID, clock.Day(day))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Lot])
}

// ProductOfReport returns the product that reports call by that name; false =
// none, and nothing is guessed.
func ProductOfReport(name string) (productID string, ok bool) {
	productID, ok = reportNames[name]
	return productID, ok
}
