package statement

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// listMost is how many statements one page shows.
const listMost = 200

// The statements of a month that is not done are not there yet.
const selectStatement = `
	SELECT s.id::text, s.month, s.number, s.issuer, s.issuer_ref, s.name, s.lines, s.cents, s.csv_sha256, s.pdf_sha256, s.made_at
	  FROM certificate.statement s JOIN certificate.statement_month m ON m.month = s.month AND m.state = 'done' `

func statements(ctx context.Context, q pg.Querier, where string, args ...any) ([]Statement, error) {
	rows, err := q.Query(ctx, selectStatement+where, args...)
	if err != nil {
		return nil, fmt.Errorf("statements: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Statement])
}

// Of lists an issuer's statements, newest first.
func Of(ctx context.Context, q pg.Querier, ref string) ([]Statement, error) {
	return statements(ctx, q, `WHERE s.issuer_ref = $1 AND $1 <> '' ORDER BY s.month DESC`, ref)
}

// OfMonth lists a month's statements by number, those whose name, pseudonym or
// reference contains a text; at most 200.
func OfMonth(ctx context.Context, q pg.Querier, month time.Time, text string) ([]Statement, error) {
	return statements(ctx, q, `
		WHERE s.month = $1 AND ($2 = '' OR strpos(lower(s.name), lower($2)) > 0 OR strpos(s.issuer, lower($2)) = 1 OR s.issuer_ref = $2)
		ORDER BY s.number LIMIT $3`, month, strings.TrimSpace(text), listMost)
}

// Get returns a statement, ErrNotFound when there is none (yet). With a ref that is
// not empty it must be that issuer's.
func Get(ctx context.Context, q pg.Querier, statementID, ref string) (Statement, error) {
	list, err := statements(ctx, q, `WHERE s.id = $1 AND ($2 = '' OR s.issuer_ref = $2)`, statementID, ref)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Statement{}, err
	}
	return list[0], nil
}

func (s *Service) month(ctx context.Context, st Statement) (Month, error) {
	list, err := months(ctx, s.Pool, `WHERE month = $1`, st.Month)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Month{}, err
	}
	return list[0], nil
}

// Lines are the lines of a statement in the order of the log.
func (s *Service) Lines(ctx context.Context, st Statement) ([]Line, error) {
	return linesOf(ctx, s.Pool, `WHERE l.month = $1 AND l.issuer = $2 ORDER BY l.idx`, st.Month, st.Issuer)
}

func linesOf(ctx context.Context, q pg.Querier, where string, args ...any) ([]Line, error) {
	rows, err := q.Query(ctx, `
		SELECT l.idx, l.issuer, l.kind, l.item, l.basis, l.reason, l.day, l.digest, l.of_idx, l.cents FROM certificate.statement_line l `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("lines: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Line])
}
