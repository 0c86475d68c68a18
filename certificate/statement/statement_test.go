package statement

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/certificate/translog"
	"impfportal/internal/pdf/pdftest"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// What a month is worth: the tariff by day, basis and kind of issuer.
func TestPrices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	further := b.issue(0, Seen)
	further.Detail["further"] = "yes"
	b.log(b.issue(0, Seen), further, b.issue(1, Given), b.issue(1, Seen), b.issue(2, Given))
	b.at(2021, 7, 7)
	b.log(b.issue(0, Seen))
	b.at(2021, 7, 8)
	b.log(b.issue(0, Seen), b.issue(1, Given))
	b.at(2021, 8, 1)
	b.run()
	for _, c := range []struct {
		party int
		month string
		cents int64
		lines int
	}{{0, "2021-06", 1800 + 600, 2}, {1, "2021-06", 600 + 1800, 2}, {2, "2021-06", 0, 1}, {0, "2021-07", 1800 + 600, 2}, {1, "2021-07", 600, 1}} {
		st, lines := b.of(c.party, c.month)
		if st.Cents != c.cents || len(lines) != c.lines || st.Lines != c.lines {
			t.Errorf("%s of %d: %d cents, %+v", c.month, c.party, st.Cents, lines)
		}
	}
}

// A revocation through the issuer's fault is credited once, in the month in which
// it happens, to whom was billed; a re-issue is free, and what was replaced stays
// billed.
func TestCorrectionsStandInTheNextMonth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong, moved, lost := b.issue(0, Seen), b.issue(0, Seen), b.issue(0, Seen)
	b.log(wrong, moved, lost)
	b.at(2021, 7, 5)
	b.run()
	st, lines := b.of(0, "2021-06")
	pdf, err := b.PDF(t.Context(), st)
	b.ok(err)
	// Moved to another issuer by a correction, then voided there: the first was billed.
	again := b.reissue(1, moved)
	b.log(b.revoke(0, wrong, "fraud", false), b.revoke(0, moved, "corrected", true), again, b.revoke(0, lost, "holder", false))
	b.at(2021, 8, 3)
	b.log(b.revoke(1, again, "record-void", false), b.revoke(0, wrong, "fraud", false))
	b.run()
	b.at(2021, 9, 1)
	b.run()
	for _, c := range []struct {
		party int
		month string
		cents int64
		items string
	}{
		{0, "2021-06", 5400, "seen seen seen"},
		{0, "2021-07", -1800, "credit revocation revocation"},
		{1, "2021-07", 0, "reissue"},
		{0, "2021-08", -1800, "credit revocation"},
	} {
		st, lines := b.of(c.party, c.month)
		var items []string
		for _, l := range lines {
			items = append(items, l.Item)
		}
		if st.Cents != c.cents || strings.Join(items, " ") != c.items {
			t.Errorf("%s of %d: %d cents, %v", c.month, c.party, st.Cents, items)
		}
	}
	// The statement of June is what it was.
	now, after := b.of(0, "2021-06")
	same, err := b.PDF(t.Context(), now)
	b.ok(err)
	if len(after) != len(lines) || string(same) != string(pdf) {
		t.Error("a finished statement has changed")
	}
}

// What is in the log but not handed out is held, and billed once it is.
func TestHeldUntilItIsHandedOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.issue(0, Seen)
	b.log(l, b.issue(0, Seen))
	certificateID := "018f0000-0000-7000-8000-00000000000c"
	b.ok(pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
		key, err := vault.ForTest().NewKey(t.Context(), tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), `
			INSERT INTO certificate.certificate (id, record_id, version, key_id, state, problem, uvci, issued_at, expires_at, claims, created_at)
			VALUES ($1, $2, 1, $3, 'intent', '', 'URN:UVCI:01DE/X/Y#Z', $4::timestamptz, $4::timestamptz + interval '1 day', '\x00', $4::timestamptz)`, certificateID, "018f0000-0000-7000-8000-00000000000d", key.ID, begun)
		return err
	}))
	held := b.leaf(translog.KindCertificate, 0, map[string]string{"basis": Seen})
	held.Subject = "certificate:" + certificateID
	b.log(held)
	b.at(2021, 7, 5)
	b.run()
	if st, lines := b.of(0, "2021-06"); st.Cents != 3600 || lines[2].Item != Held {
		t.Errorf("%d, %+v", st.Cents, lines)
	}
	b.at(2021, 8, 5)
	b.run() // still on its way
	_, err := b.Pool.Exec(t.Context(), `DELETE FROM certificate.certificate`)
	b.ok(err)
	b.log(b.revoke(0, held, "fraud", false))
	b.at(2021, 9, 5)
	b.run()
	st, lines := b.of(0, "2021-08")
	if st.Cents != 0 || len(lines) != 2 || lines[0].Item != Seen || lines[0].Cents != 1800 || lines[1].Item != Credit {
		t.Errorf("%d, %+v", st.Cents, lines)
	}
}

// The database refuses what the program never does.
func TestNothingChangesAStatement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.log(b.issue(0, Seen), b.issue(0, Seen))
	b.at(2021, 7, 1)
	b.run()
	for _, c := range []struct{ sql, constraint string }{
		{`UPDATE certificate.statement SET cents = 1`, "statement_keep"},
		{`DELETE FROM certificate.statement`, "statement_keep"},
		{`UPDATE certificate.statement_line SET cents = 1`, "statement_keep"},
		{`DELETE FROM certificate.statement_line`, "statement_keep"},
		{`UPDATE certificate.statement_month SET state = 'reading'`, "statement_keep"},
		{`UPDATE certificate.statement_month SET size = 1`, "statement_keep"},
		{`INSERT INTO certificate.statement_line SELECT month, idx + 100, issuer, kind, item, basis, reason, day, digest, of_idx, cents FROM certificate.statement_line`, "statement_keep"},
		{`UPDATE certificate.statement_tariff SET cents = 1`, "statement_tariff_past"},
		{`INSERT INTO certificate.statement_tariff VALUES ('', 'seen', '2021-06-30', 1, 'x')`, "statement_tariff_past"},
		{`WITH m AS (INSERT INTO certificate.statement_month (month, from_idx, size, root, note, state, read_upto, begun_at) VALUES ('2021-07-01', 2, 2, '', '', 'reading', 2, now()))
		  SELECT 1`, ""},
		{`INSERT INTO certificate.statement_line SELECT '2021-07-01', idx, issuer, kind, item, basis, reason, day, digest, of_idx, cents FROM certificate.statement_line`, "statement_billed_once"},
	} {
		_, err := b.Pool.Exec(t.Context(), c.sql)
		if c.constraint == "" && err != nil || c.constraint != "" && !pg.Violates(err, c.constraint) {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
}

// Leaves that are not those under the checkpoint make no statements.
func TestForgedLogMakesNoStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.log(b.issue(0, Seen), b.issue(0, Seen))
	other := b.issue(1, Seen)
	data, err := other.Encode()
	b.ok(err)
	_, err = b.Pool.Exec(t.Context(), `ALTER TABLE certificate.log_leaf DISABLE TRIGGER ALL`)
	b.ok(err)
	_, err = b.Pool.Exec(t.Context(), `UPDATE certificate.log_leaf SET data = $1 WHERE idx = 1`, data)
	b.ok(err)
	b.at(2021, 7, 1)
	if _, err := b.Run(t.Context()); !errors.Is(err, ErrRoot) {
		t.Errorf("got %v", err)
	}
}

// The proofs hold against the one checkpoint, the CSV is what the PDF names, and
// the paper can be read by everybody.
func TestDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := b.issue(0, Seen)
	b.log(wrong, b.issue(1, Given))
	for range 60 {
		b.log(b.issue(0, Seen))
	}
	b.log(b.revoke(0, wrong, "fraud", false), b.revoke(1, b.issue(1, Given), "holder", false))
	b.at(2021, 7, 1)
	b.log(b.issue(0, Seen)) // of the next month
	b.run()
	for party, lang := range map[int]string{0: "de-DE", 1: "en-GB"} {
		st, lines := b.of(party, "2021-06")
		body, err := b.PDF(t.Context(), st)
		b.ok(err)
		pdftest.Accessible(t, body, lang)
		file := filepath.Join(t.TempDir(), "s.pdf")
		b.ok(os.WriteFile(file, body, 0o600))
		text := strings.Join(strings.Fields(string(pdftest.Run(t, "pdftotext", "-layout", file, "-"))), " ")
		table, err := b.CSV(t.Context(), st)
		b.ok(err)
		sum := sha256.Sum256(table)
		for _, want := range []string{st.No(), st.Issuer[:20], short(lines[0].Digest), short(sum[:]), "drill verify-log --proofs", "MUSTER", parties[party].Name} {
			if !strings.Contains(text, want) {
				t.Errorf("the paper lacks %q: %s", want, text)
			}
		}
		p, err := b.Proofs(t.Context(), st)
		b.ok(err)
		cp, err := translog.OpenCheckpoint([]byte(p.Checkpoint), b.Log.Key.Verifier())
		b.ok(err)
		if cp.Size != 64 || len(p.Leaves) != len(lines) {
			t.Errorf("%d leaves under %d", len(p.Leaves), cp.Size)
		}
		for i, l := range p.Leaves {
			if err := tlog.CheckRecord(l.Proof, cp.Size, cp.Root, l.Index, tlog.RecordHash([]byte(l.Leaf))); err != nil || l.Index != lines[i].Index {
				t.Errorf("leaf %d: %v", l.Index, err)
			}
		}
		if party == 0 {
			keep(t, "statement.pdf", body)
			raw, err := json.Marshal(p)
			b.ok(err)
			keep(t, "proofs.json", raw)
			keep(t, "lines.csv", table)
		}
	}
}

// keep writes a document where KEEP says, to look at it.
func keep(t *testing.T, name string, body []byte) {
	t.Helper()
	if dir := os.Getenv("KEEP"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Spreadsheets run nothing, and German ones see columns and amounts.
func TestCSVCells(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "x=1": "x=1", "": ""} {
		if got := cell(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	body := CSV(Statement{Month: time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC), Number: 1}, []Line{
		{Kind: "revocation", Item: Credit, Reason: `=HYPERLINK("x")`, Cents: -1800}, {Kind: "certificate", Item: Seen, Basis: Seen, Reason: "a;b\n", Cents: 605, Digest: []byte{1}},
	})
	rest, marked := bytes.CutPrefix(body, []byte("\xef\xbb\xbf"))
	in := csv.NewReader(bytes.NewReader(rest))
	in.Comma = ';'
	rows, err := in.ReadAll()
	if err != nil || !marked || len(rows) != 3 || bytes.Count(rest, []byte("\r\n")) != 4 {
		t.Fatalf("%v: %q", err, body)
	}
	for i, want := range []string{
		strings.Join(columns, "|"),
		`2021-06-00001|0|0001-01-01|revocation|credit||'=HYPERLINK("x")||` + "|0,00|18,00",
		"2021-06-00001|0|0001-01-01|certificate|seen|seen|a;b\n|01||6,05|0,00",
	} {
		if got := strings.Join(rows[i], "|"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
