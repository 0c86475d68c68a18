package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// ErrRestChanged: what is open is no longer what was shown. It is an ErrStale.
var ErrRestChanged = fmt.Errorf("%w: what is open", ErrStale)

// OpenRest is what somebody saw left in the opened vials of a lot at a place.
type OpenRest struct {
	Doses    int
	OpenedAt *time.Time // of the oldest opened vial; nil = not known, only the doses are compared
}

// Discard throws away what is left in the opened vials of a lot at a place, when it
// still is what was seen: somebody may have given of it, or opened the next vial,
// since the page was loaded. ErrNotEnough when nothing is open, ErrRestChanged.
func (s *Service) Discard(ctx context.Context, tx pgx.Tx, place Place, lotID string, seen OpenRest, why string, by By) error {
	if !id.Valid(lotID) {
		return fmt.Errorf("%w: lot", ErrNotFound)
	}
	var (
		open   int
		opened *time.Time
	)
	err := tx.QueryRow(ctx, `SELECT doses, opened_at FROM inventory.balance WHERE place = $1 AND lot_id = $2 FOR UPDATE`, place, lotID).Scan(&open, &opened)
	switch {
	case pg.NoRows(err), err == nil && open == 0:
		return ErrNotEnough
	case err != nil:
		return err
	case open != seen.Doses, seen.OpenedAt != nil && (opened == nil || !opened.Equal(*seen.OpenedAt)):
		return ErrRestChanged
	}
	now := s.now()
	if err := s.Waste(ctx, tx, Waste{Place: place, LotID: lotID, Doses: open, Reason: OpenVial, Actor: by.Actor, Why: why, At: now}); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "inventory.waste", Subject: "lot:" + lotID,
		After: map[string]any{"place": place, "vials": 0, "doses": open, "reason": OpenVial, "why": why},
	})
}
