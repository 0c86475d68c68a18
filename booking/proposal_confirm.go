package booking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
)

// A series was moved because of a shortfall: its person is told and may choose
// otherwise.
var moved = jobs.Define[seriesPayload]("booking.moved")

func (s *Service) tellMoved(ctx context.Context, seriesID string) error {
	return s.tellRevision(ctx, seriesID, "booking.moved", "message.moved")
}

// ConfirmProposals moves everybody for whom a proposal of a centre and product
// is open and places are kept, one transaction each: it can be stopped and begun
// again, and twice does nothing. Who changed or cancelled meanwhile is left alone;
// where the places are gone nothing happens to the person. It returns how many
// were moved. p may be nil.
func (s *Service) ConfirmProposals(ctx context.Context, centreID, productID string, by By, p *jobs.Progress) (n int, err error) {
	defer func() { p.Finish(ctx, err) }()
	list, err := proposalsWhere(ctx, s.Pool, `p.centre_id = $1 AND p.product_id = $2 AND p.state = 'open' AND cardinality(p.slots) > 0 ORDER BY p.place, p.id`, centreID, productID)
	if err != nil {
		return 0, err
	}
	p.Total(ctx, int64(len(list)))
	for i, x := range list {
		done, err := s.confirmProposal(ctx, x.ID, by)
		if err != nil {
			return n, fmt.Errorf("proposal %s: %w", x.ID, err)
		}
		if done {
			n++
		}
		p.Step(ctx, int64(i+1), "")
	}
	return n, nil
}

// errOver says why a proposal cannot be confirmed; it is the state it gets.
type errOver string

func (e errOver) Error() string { return string(e) }

// confirmProposal moves one person. It reports whether it was this call.
func (s *Service) confirmProposal(ctx context.Context, proposalID string, by By) (bool, error) {
	done := false
	attempt := func() error {
		return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			done = false
			return s.swapProposal(ctx, tx, proposalID, by, &done)
		})
	}
	err := attempt()
	if pg.IsLockTimeout(err) { // they move it themselves at this moment
		err = attempt()
	}
	err = engineError(citizen.LockError(err))
	var over errOver
	switch {
	case err == nil:
		return done, nil
	case errors.As(err, &over):
	case errors.Is(err, ErrSlotTaken), errors.Is(err, ErrNotEligible):
		over = ProposalLost
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrState), errors.Is(err, citizen.ErrNotFound):
		over = ProposalChanged
	default:
		return false, err
	}
	return false, s.endProposal(ctx, proposalID, string(over), by)
}

// swapProposal takes the kept places for the series and gives the old ones back.
// It locks the series first, as everybody does.
func (s *Service) swapProposal(ctx context.Context, tx pgx.Tx, proposalID string, by By, done *bool) error {
	if _, err := tx.Exec(ctx, `SELECT FROM booking.series WHERE id = (SELECT series_id FROM booking.proposal WHERE id = $1) FOR UPDATE`, proposalID); err != nil {
		return err
	}
	list, err := proposalsWhere(ctx, tx, `p.id = $1 AND p.state = 'open' FOR UPDATE`, proposalID)
	if err != nil || len(list) == 0 || len(list[0].Slots) == 0 {
		return err
	}
	x := list[0]
	series, err := seriesByID(ctx, tx, x.SeriesID)
	if err != nil {
		return err
	}
	for i, dose := range x.Doses {
		if !slices.ContainsFunc(series.Appointments, func(a Appointment) bool {
			return a.DoseNumber == dose && a.State == StateConfirmed && a.SlotID == x.OldSlots[i]
		}) {
			return errOver(ProposalChanged)
		}
	}
	b, err := s.boundTo(ctx, tx, *series, series.ProductID)
	if err != nil {
		return err
	}
	person, err := s.Citizens.Person(ctx, tx, x.PersonID)
	if err != nil {
		return err
	}
	batch, kept := &pgx.Batch{}, false // what has lapsed is like any other place
	citizen.LockForBooking(batch, x.PersonID)
	if x.Head != nil {
		batch.Queue(`SELECT booking.claim($1)`, *x.Head).QueryRow(func(row pgx.Row) error { return row.Scan(&kept) })
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	notBefore := b.NotBefore
	if !kept {
		from, err := s.toldInTime(ctx, tx, person)
		if err != nil {
			return err
		}
		notBefore = latest(notBefore, from)
	}
	now, ids := s.Now(), make([]string, len(x.Doses))
	for i := range ids {
		ids[i] = id.New()
	}
	if err := tx.QueryRow(ctx, `SELECT booking.swap($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		now, x.PersonID, x.SeriesID, x.Channel, "proposal "+x.ID, by.Actor, by.Role, moved.Name(),
		x.Doses, x.Slots, ids, b.ProductID, b.MinDays, b.MaxDays, nullDay(notBefore), kept).Scan(done); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE booking.proposal SET state = 'confirmed', ended_at = $2 WHERE id = $1`, x.ID, now); err != nil {
		return err
	}
	return audit.Write(ctx, tx, now, audit.Entry{Actor: by.Actor, Role: by.Role, Action: "booking.proposal-confirmed", Subject: "series:" + x.SeriesID, After: map[string]string{"proposal": x.ID}})
}

// ProposalFor returns what was last proposed to a person because of a shortfall, or
// nil: an open proposal whose places are kept, or one that was confirmed and that
// the appointments still follow.
func ProposalFor(ctx context.Context, q pg.Querier, personID string, now time.Time) (*Proposal, error) {
	list, err := proposalsWhere(ctx, q, `p.person_id = $1 AND cardinality(p.slots) > 0
		AND (p.state = 'open' AND p.until > $2 OR p.state = 'confirmed' AND NOT EXISTS (
			SELECT FROM unnest(p.doses, p.slots) AS u (dose, slot) WHERE NOT EXISTS (
				SELECT FROM booking.appointment a WHERE a.series_id = p.series_id AND a.dose_number = u.dose AND a.slot_id = u.slot AND a.state = 'confirmed')))
		ORDER BY p.made_at DESC, p.id DESC LIMIT 1`, personID, now)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// TakeProposal moves the person an open proposal was made for, whoever asks for
// it: the administrator need not have confirmed it. ErrNotFound when it is
// somebody else's; ErrState when it holds no more.
func (s *Service) TakeProposal(ctx context.Context, proposalID, personID string, by By) error {
	if !id.Valid(proposalID) || !id.Valid(personID) {
		return ErrNotFound
	}
	list, err := proposalsWhere(ctx, s.Pool, `p.id = $1 AND p.person_id = $2`, proposalID, personID)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return ErrNotFound
	}
	done, err := s.confirmProposal(ctx, proposalID, by)
	if err != nil {
		return err
	}
	if done { // it was read out to them
		return s.moveSeen(ctx, proposalID, personID, by)
	}
	if list, err = proposalsWhere(ctx, s.Pool, `p.id = $1 AND p.state = 'confirmed'`, proposalID); err == nil && len(list) == 0 {
		err = ErrState
	}
	return err
}

// WithdrawProposals discards the open proposals of a centre and product; nobody
// has been told of them.
func (s *Service) WithdrawProposals(ctx context.Context, centreID, productID string, by By) error {
	list, err := proposalsWhere(ctx, s.Pool, `p.centre_id = $1 AND p.product_id = $2 AND p.state = 'open'`, centreID, productID)
	if err != nil {
		return err
	}
	for _, x := range list {
		if err := s.endProposal(ctx, x.ID, ProposalWithdrawn, by); err != nil {
			return err
		}
	}
	return nil
}
