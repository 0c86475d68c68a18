package notify

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

var agent = Printer{Actor: "staff:x", Role: "agent"}

// Letters that give rights over others go through fewer hands, and it is known whose.
func TestGuardedLetters(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ctx := context.Background()
	to := Recipient{KeyID: b.key.ID, Postal: &Address{Name: "A B", Street: "C 1", Postcode: "01067", City: "Dresden"}}
	for _, m := range []Message{{Kind: "k", Subject: "s", Text: "t", ByPost: true}, {Kind: "issuer.code", Subject: "s", Text: "t", ByPost: true, Guarded: true}} {
		if err := pg.InTx(ctx, b.pool, func(tx pgx.Tx) error { return b.Send(ctx, tx, to, m) }); err != nil {
			t.Fatal(err)
		}
	}
	ada, emil := Printer{Actor: "staff:ada", Role: "admin", Guarded: true}, Printer{Actor: "staff:emil", Role: "admin", Guarded: true}
	if q, err := b.Letters(ctx, b.pool, agent); err != nil || q.Waiting != 1 || q.Guarded != 0 {
		t.Errorf("an agent sees %+v, %v", q, err)
	}
	if q, err := b.Letters(ctx, b.pool, ada); err != nil || q.Waiting != 2 || q.Guarded != 1 {
		t.Errorf("an administrator sees %+v, %v", q, err)
	}
	batch, err := b.TakeBatch(ctx, ada)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.BatchByID(ctx, b.pool, batch, ada); err != nil || !got.Guarded || got.Letters != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, by := range map[string]Printer{"agent": agent, "another administrator": emil} {
		if _, err := b.BatchZIP(ctx, batch, by); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s downloads it: %v", name, err)
		}
	}
	for name, step := range map[string]func(context.Context, string, Printer) error{"printed": b.MarkPrinted, "again": b.PrintAgain} {
		if err := step(ctx, batch, agent); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s by an agent: %v", name, err)
		}
	}
	if _, err := b.BatchZIP(ctx, batch, ada); err != nil {
		t.Error(err)
	}
	// Given back and taken by another: both had it.
	if err := b.PrintAgain(ctx, batch, emil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.TakeBatch(ctx, emil); err != nil {
		t.Fatal(err)
	}
	if got, err := TakersOf(ctx, b.pool, b.key.ID, "issuer.code"); err != nil || !slices.Equal(got, []string{"staff:ada", "staff:emil"}) {
		t.Errorf("%v, %v", got, err)
	}
	if batch, err = b.TakeBatch(ctx, agent); err != nil {
		t.Fatal(err)
	}
	if got, err := b.BatchByID(ctx, b.pool, batch, agent); err != nil || got.Guarded || got.Letters != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLetters(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setup(t, nil)
	to := Recipient{Lang: "de", Postal: &Address{Name: "Jiří Großmann", Street: "Straße 1", Postcode: "02625", City: "Bautzen"}}
	if _, err := b.TakeBatch(ctx, agent); !errors.Is(err, ErrEmpty) {
		t.Fatalf("got %v", err)
	}
	b.send(t, to, Message{Kind: "k", Subject: "Ihre Zugangsdaten", Text: "Guten Tag,\n\nein Brief ohne eigenes PDF."})
	b.send(t, to, Message{Kind: "k", Subject: "s", Letter: []byte("%PDF-1.4 own"), ByPost: true})
	batch, err := b.TakeBatch(ctx, agent)
	if err != nil {
		t.Fatal(err)
	}
	b.send(t, to, Message{Kind: "k", Subject: "later", Text: "later"})
	zipped, err := b.BatchZIP(ctx, batch, agent)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil || len(z.File) != 2 || z.File[0].Name != "0001.pdf" {
		t.Fatalf("%v, %v", z, err)
	}
	f, _ := z.File[0].Open()
	letter, _ := io.ReadAll(f)
	path := filepath.Join(t.TempDir(), "letter.pdf")
	if err := os.WriteFile(path, letter, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("pdftotext", "-layout", path, "-").Output()
	if err != nil {
		t.Fatalf("pdftotext (Debian: poppler-utils): %v", err)
	}
	for _, want := range []string{"Jiří Großmann", "02625 Bautzen", "18. Januar 2021", "Ihre Zugangsdaten", "ein Brief ohne eigenes PDF."} {
		if !strings.Contains(string(text), want) {
			t.Errorf("letter lacks %q:\n%s", want, text)
		}
	}
	q, err := b.Letters(ctx, b.pool, agent)
	if err != nil || q.Waiting != 1 || len(q.Batches) != 1 || q.Batches[0].Letters != 2 {
		t.Fatalf("%+v, %v", q, err)
	}
	if err := b.MarkPrinted(ctx, batch, agent); err != nil {
		t.Fatal(err)
	}
	if _, err := b.BatchZIP(ctx, batch, agent); !errors.Is(err, ErrNotFound) {
		t.Errorf("printed letters are handed out again: %v", err)
	}
	if err := b.MarkPrinted(ctx, batch, agent); err != nil {
		t.Errorf("pressed twice: %v", err)
	}
	if err := b.MarkPrinted(ctx, "00000000-0000-7000-8000-000000000000", agent); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such batch: %v", err)
	}
	if err := b.PrintAgain(ctx, batch, agent); err != nil {
		t.Fatal(err)
	}
	if q, _ := b.Letters(ctx, b.pool, agent); q.Waiting != 3 {
		t.Errorf("%+v", q)
	}
	var audited int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM audit.entry WHERE subject = 'batch:' || $1`, batch).Scan(&audited); err != nil || audited != 4 {
		t.Errorf("%d audit entries, %v", audited, err)
	}
}
