package issuer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// Lock holds an issuer's row for the rest of the transaction, so that what it does comes
// one after the other. It returns ErrNotFound.
func (s *Service) Lock(ctx context.Context, tx pgx.Tx, issuerID string) (Issuer, error) {
	return one(ctx, tx, `WHERE i.id = $1 FOR NO KEY UPDATE OF i`, issuerID)
}

// AuthorizeChange lets an operator change or revoke what the issuer has issued, or
// returns why not, as Authorize does: an issuer that may not issue changes nothing
// either, and a change takes a token of the same buckets.
func (s *Service) AuthorizeChange(ctx context.Context, tx pgx.Tx, a Attempt) error {
	i, err := s.Lock(ctx, tx, a.IssuerID)
	if err != nil {
		return err
	}
	alarm, err := openAlarm(ctx, tx, i.ID)
	if err != nil {
		return err
	}
	if err := allowed(i, alarm != nil, today(a.At)); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return s.buckets(ctx, tx, a) })
}

// Charge takes the tokens of an attempt whose refusal has told something of a person:
// somebody else gave the dose. Nobody asks that about many.
func (s *Service) Charge(ctx context.Context, a Attempt) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := s.Lock(ctx, tx, a.IssuerID); err != nil {
			return err
		}
		return s.buckets(ctx, tx, a)
	})
}

// MoveDose gives a dose that was certified back to the lot that it was counted against,
// and takes one of another: a record named the wrong lot. ErrLot when the right one has
// none left.
func (s *Service) MoveDose(ctx context.Context, tx pgx.Tx, issuerID string, from, to Lot) error {
	if _, err := tx.Exec(ctx, `
		UPDATE certificate.issuer_lot SET given = given - 1 WHERE issuer_id = $1 AND product_id = $2 AND lot_number = $3 AND given > 0`,
		issuerID, from.ProductID, from.LotNumber); err != nil {
		return fmt.Errorf("give back a dose: %w", err)
	}
	tag, err := tx.Exec(ctx, `
		UPDATE certificate.issuer_lot SET given = given + 1 WHERE issuer_id = $1 AND product_id = $2 AND lot_number = $3 AND given < declared AND `+anyLeft,
		issuerID, to.ProductID, to.LotNumber)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLot
	}
	return err
}

// May tells whether an issuer can issue at a moment, limits and lots aside. It is for
// pages; what decides is Authorize.
func (s *Service) May(ctx context.Context, q pg.Querier, i Issuer, at time.Time) (bool, error) {
	alarm, err := openAlarm(ctx, q, i.ID)
	return err == nil && allowed(i, alarm != nil, today(at)) == nil, err
}

// IsLot tells whether a text, as CleanLot leaves it, can be a lot number.
func IsLot(s string) bool { return lotPattern.MatchString(s) }
