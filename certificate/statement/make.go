package statement

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"impfportal/internal/id"
)

// makeBatch is how many statements one transaction makes.
const makeBatch = 100

// Statement is one issuer's of one month.
type Statement struct {
	ID        string
	Month     time.Time
	Number    int
	Issuer    string // pseudonym of the log
	Ref       string // "" = an issuer that is not known any more
	Name      string
	Lines     int
	Cents     int64
	CSVSHA256 []byte
	PDFSHA256 []byte
	MadeAt    time.Time
}

// No is the statement's number as it is printed: month and running number.
func (s Statement) No() string { return fmt.Sprintf("%s-%05d", s.Month.Format("2006-01"), s.Number) }

// made is a statement with its documents, on its way into the database.
type made struct {
	Statement
	party Party
	lines []Line
	pdf   []byte
}

// make makes the next statements; after the last one the month is done.
func (s *Service) make(ctx context.Context, tx pgx.Tx, m *Month) error {
	parties, err := s.parties(ctx, tx, m.Month)
	if err != nil {
		return err
	}
	lines, err := nextLines(ctx, tx, m)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return s.finish(ctx, tx, m)
	}
	var batch []made
	for from := 0; from < len(lines); {
		upto := from
		for upto < len(lines) && lines[upto].Issuer == lines[from].Issuer {
			upto++
		}
		one := made{party: parties[lines[from].Issuer], lines: lines[from:upto]}
		one.Statement = Statement{
			ID: id.New(), Month: m.Month, Number: m.Statements + len(batch) + 1, Issuer: lines[from].Issuer, Ref: one.party.Ref, Name: one.party.Name,
			Lines: upto - from, MadeAt: s.Now(),
		}
		for _, l := range one.lines {
			one.Cents += int64(l.Cents)
		}
		batch, from = append(batch, one), upto
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range batch {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			return s.write(&batch[i], *m)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"certificate", "statement"},
		[]string{"id", "month", "number", "issuer", "issuer_ref", "name", "lines", "cents", "csv_sha256", "pdf_sha256", "pdf", "made_at"},
		pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
			b := batch[i]
			return []any{b.ID, b.Month, b.Number, b.Issuer, b.Ref, b.Name, b.Lines, b.Cents, b.CSVSHA256, b.PDFSHA256, b.pdf, b.MadeAt}, nil
		}))
	if err != nil {
		return fmt.Errorf("statements: %w", err)
	}
	m.Statements += len(batch)
	_, err = tx.Exec(ctx, `UPDATE certificate.statement_month SET made_upto = $2, statements = $3 WHERE month = $1`, m.Month, batch[len(batch)-1].Issuer, m.Statements)
	return err
}

// nextLines are the lines of the next issuers that have no statement yet, none after
// the last one. Two steps along the index, so that no batch reads what another has read.
func nextLines(ctx context.Context, tx pgx.Tx, m *Month) ([]Line, error) {
	after, from := ">=", ""
	if m.MadeUpto != nil {
		after, from = ">", *m.MadeUpto
	}
	var upto *string
	err := tx.QueryRow(ctx, `
		WITH RECURSIVE n AS (
			(SELECT l.issuer, 1 AS nth FROM certificate.statement_line l WHERE l.month = $1 AND l.issuer `+after+` $2 ORDER BY l.issuer LIMIT 1)
			UNION ALL
			SELECT x.issuer, n.nth + 1 FROM n, LATERAL (SELECT l.issuer FROM certificate.statement_line l WHERE l.month = $1 AND l.issuer > n.issuer ORDER BY l.issuer LIMIT 1) x WHERE n.nth < $3
		) SELECT max(issuer) FROM n`, m.Month, from, makeBatch).Scan(&upto)
	if err != nil || upto == nil {
		return nil, err
	}
	return linesOf(ctx, tx, `WHERE l.month = $1 AND l.issuer `+after+` $2 AND l.issuer <= $3 ORDER BY l.issuer, l.idx`, m.Month, from, *upto)
}

// write makes the documents of one statement.
func (s *Service) write(b *made, m Month) (err error) {
	csv := sha256.Sum256(CSV(b.Statement, b.lines))
	b.CSVSHA256 = csv[:]
	if b.pdf, err = s.paper(b, m); err != nil {
		return fmt.Errorf("statement %s: %w", b.No(), err)
	}
	sum := sha256.Sum256(b.pdf)
	b.PDFSHA256 = sum[:]
	return nil
}

// parties are the issuers by their pseudonym. The list is asked for once a month
// and process.
func (s *Service) parties(ctx context.Context, tx pgx.Tx, month time.Time) (map[string]Party, error) {
	s.known.Lock()
	defer s.known.Unlock()
	if s.known.parties != nil && s.known.month.Equal(month) {
		return s.known.parties, nil
	}
	list, err := s.Parties(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	out := make(map[string]Party, len(list))
	for _, p := range list {
		out[s.Log.Pseudonym("issuer", p.Ref)] = p
	}
	s.known.month, s.known.parties = month, out
	return out, nil
}
