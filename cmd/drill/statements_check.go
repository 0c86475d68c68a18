package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/statement"
	"impfportal/internal/id"
	"impfportal/internal/web"
)

// statementSample is how many statements of a month are fetched over HTTP and
// looked into.
const statementSample = 50

// leavesSQL reads the leaves once more, by the text that was hashed alone, and says
// to which month each belongs and what the law pays for it.
const leavesSQL = `
	CREATE TABLE drill.leaf AS
	WITH told AS (
		SELECT l.idx, l.ref, convert_from(l.data, 'UTF8') AS t FROM certificate.log_leaf l WHERE l.idx IS NOT NULL
	), parts AS (
		SELECT idx, ref, substring(t FROM '(?n)^kind: (.*)$') AS kind, substring(t FROM '(?n)^digest: (.*)$') AS digest, substring(t FROM '(?n)^issuer: (.*)$') AS issuer,
		       substring(t FROM '(?n)^day: (.*)$')::date AS day, substring(t FROM '(?n)^detail\.basis: (.*)$') = 'seen' AS seen, t ~ '(?n)^detail\.further: ' AS further,
		       substring(t FROM '(?n)^detail\.issuer_kind: (.*)$') IN ('centre', 'mobile') AS whole, substring(t FROM '(?n)^detail\.replaces: (.*)$') AS replaces,
		       t ~ '(?n)^detail\.reason: (fraud|compromise|lot|record-void)$' AND NOT t ~ '(?n)^detail\.replaced: ' AS fault
		  FROM told
	)
	SELECT p.idx, p.kind, p.digest, coalesce(p.issuer, '') AS issuer, p.replaces, p.fault,
	       EXISTS (SELECT FROM certificate.certificate c WHERE 'certificate:' || c.id = p.ref) AS held,
	       (SELECT date_trunc('month', c.made_at AT TIME ZONE 'Europe/Berlin')::date FROM certificate.log_checkpoint c WHERE c.size > p.idx ORDER BY c.size LIMIT 1) AS month,
	       CASE WHEN p.kind <> 'certificate' OR p.whole OR p.day < '2021-06-07' THEN 0 WHEN p.seen AND NOT p.further AND p.day < '2021-07-08' THEN 1800 ELSE 600 END AS cents
	  FROM parts p WHERE p.kind IN ('certificate', 'reissue', 'revocation')`

// owedSQL is what each issuer's statement of a month must say: how many lines, and
// their sum. What was held is billed in the month after.
const owedSQL = `
	WITH RECURSIVE chain AS (
		SELECT r.idx AS revocation, r.month, s.idx AS at, s.kind, s.replaces, s.issuer, s.cents
		  FROM drill.leaf r JOIN drill.leaf s ON s.digest = r.digest AND s.kind <> 'revocation' WHERE r.kind = 'revocation' AND r.fault
		UNION ALL
		SELECT c.revocation, c.month, s.idx, s.kind, s.replaces, s.issuer, s.cents
		  FROM chain c JOIN drill.leaf s ON s.digest = c.replaces AND s.kind <> 'revocation' WHERE c.kind = 'reissue'
	), credit AS (
		SELECT DISTINCT ON (at) revocation, month, issuer, cents FROM chain WHERE kind = 'certificate' ORDER BY at, revocation
	), line AS (
		SELECT month, issuer, CASE WHEN held THEN 0 ELSE cents END AS cents FROM drill.leaf l WHERE NOT EXISTS (SELECT FROM credit c WHERE c.revocation = l.idx)
		UNION ALL SELECT (month + interval '1 month')::date, issuer, cents FROM drill.leaf WHERE held
		UNION ALL SELECT month, issuer, -cents FROM credit
	), owed AS (
		SELECT issuer, count(*) AS lines, sum(cents) AS cents FROM line WHERE month = $1 GROUP BY issuer
	)
	SELECT count(*) FILTER (WHERE s.id IS NULL), count(*) FILTER (WHERE o.issuer IS NULL), count(*) FILTER (WHERE (s.lines, s.cents) <> (o.lines, o.cents)), coalesce(sum(o.cents), 0)::bigint
	  FROM owed o FULL JOIN (SELECT * FROM certificate.statement WHERE month = $1) s ON s.issuer = o.issuer`

// check holds the statements of a month against the log.
func (d *statements) check(ctx context.Context, r *Report, month time.Time) error {
	pool := d.p.env.Pool
	for _, sql := range []string{`DROP TABLE IF EXISTS drill.leaf`, leavesSQL, `CREATE INDEX ON drill.leaf (digest)`, `ANALYZE drill.leaf`} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("leaves: %w", err)
		}
	}
	var missing, invented, wrong, astray int
	var owed, paid, size int64
	if err := pool.QueryRow(ctx, owedSQL, month).Scan(&missing, &invented, &wrong, &owed); err != nil {
		return fmt.Errorf("sums: %w", err)
	}
	if err := pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM drill.leaf l WHERE l.month = $1 AND (SELECT count(*) FROM certificate.statement_line s WHERE s.month = $1 AND s.idx = l.idx) <> 1)
		     + (SELECT count(*) FROM certificate.statement_line s LEFT JOIN drill.leaf l USING (idx) WHERE s.month = $1 AND (l.idx IS NULL OR l.month <> $1 AND NOT l.held)),
		       (SELECT sum(cents) FROM certificate.statement WHERE month = $1)::bigint, (SELECT sum(octet_length(pdf)) FROM certificate.statement WHERE month = $1)::bigint`,
		month).Scan(&astray, &paid, &size); err != nil {
		return fmt.Errorf("lines: %w", err)
	}
	name := month.Format("2006-01")
	r.promise(missing+invented+wrong == 0 && paid == owed, "%s: %d issuers have no statement, %d statements are nobody's, %d say something else than the log; %d cents for %d", name, missing, invented, wrong, paid, owed)
	r.promise(astray == 0, "%s: %d leaves are not on exactly one statement", name, astray)
	r.note("%s: %d.%02d EUR, as the leaves themselves give; the PDFs have %d MB", name, paid/100, paid%100, size>>20)
	return d.sample(ctx, r, month)
}

// sample fetches some statements as their issuers do, the largest among them, and
// checks PDF, CSV and proofs.
func (d *statements) sample(ctx context.Context, r *Report, month time.Time) error {
	rows, err := d.p.env.Pool.Query(ctx, `
		(SELECT id::text, substr(issuer_ref, 8), lines, cents, pdf_sha256 FROM certificate.statement WHERE month = $1 AND issuer_ref LIKE 'issuer:%' ORDER BY lines DESC LIMIT 3)
		UNION (SELECT id::text, substr(issuer_ref, 8), lines, cents, pdf_sha256 FROM certificate.statement WHERE month = $1 AND issuer_ref LIKE 'issuer:%' ORDER BY issuer LIMIT $2)`, month, statementSample)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sampled])
	if err != nil {
		return err
	}
	client := newClient(8)
	defer client.CloseIdleConnections()
	var most int
	for _, s := range list {
		most = max(most, s.Lines)
		token, err := d.p.env.NewSession(ctx, web.User{Kind: "staff", ID: id.New(), Name: "Drill", Roles: []web.Role{web.RoleIssuer}, Scope: s.Issuer}, time.Hour)
		if err != nil {
			return err
		}
		b := newBrowser(d.p.addr, client)
		b.jar["sid"] = token
		if err := d.look(ctx, b, s); err != nil {
			r.promise(false, "statement %s: %v", s.ID, err)
		}
	}
	r.note("%s: PDF, CSV and every proof of %d statements hold, one of them with %d leaves", month.Format("2006-01"), len(list), most)
	return nil
}

// sampled is a statement as the database has it.
type sampled struct {
	ID, Issuer string
	Lines      int
	Cents      int64
	PDF        []byte // SHA-256
}

// look checks one statement's files.
func (d *statements) look(ctx context.Context, b *browser, s sampled) error {
	get := func(file string) ([]byte, error) {
		status, body, err := b.call(ctx, http.MethodGet, "/issuer/statements/"+s.ID+"/"+file, "")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: status %d", file, status)
		}
		return body, err
	}
	pdf, err1 := get("statement.pdf")
	table, err2 := get("lines.csv")
	text, err3 := get("proofs.json")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if sum := sha256.Sum256(pdf); !bytes.Equal(sum[:], s.PDF) || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		return errors.New("the PDF is another one")
	}
	lines, cents, err := addUp(table)
	if err != nil {
		return fmt.Errorf("CSV: %w", err)
	}
	if lines != s.Lines || cents != s.Cents {
		return fmt.Errorf("the CSV has %d lines and %d cents, the statement %d and %d", lines, cents, s.Lines, s.Cents)
	}
	var p statement.Proofs
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	if len(p.Leaves) != s.Lines {
		return fmt.Errorf("%d proofs of %d leaves", len(p.Leaves), s.Lines)
	}
	_, err = proved(p, d.p.Log.Key.Verifier())
	return err
}

// addUp reads a statement's CSV as a German spreadsheet does.
func addUp(table []byte) (lines int, cents int64, err error) {
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(table), "\ufeff")))
	in.Comma = ';'
	rows, err := in.ReadAll()
	if err != nil || len(rows) == 0 {
		return 0, 0, errors.Join(err, errors.New("no table"))
	}
	for name, sign := range map[string]int64{"billed_eur": 1, "credited_eur": -1} {
		at := slices.Index(rows[0], name)
		if at < 0 {
			return 0, 0, fmt.Errorf("no column %s", name)
		}
		for _, row := range rows[1:] {
			n, err := strconv.ParseInt(strings.Replace(row[at], ",", "", 1), 10, 64)
			if err != nil {
				return 0, 0, err
			}
			cents += sign * n
		}
	}
	return len(rows) - 1, cents, nil
}
