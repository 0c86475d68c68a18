package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/pdf/pdftest"
)

// checkStatement reads the files of the pharmacy's statement: two certificates of 6.00
// euros, each proven by its path to the checkpoint that the PDF names.
func checkStatement(t *testing.T, folder string) {
	t.Helper()
	read := func(name string) []byte {
		body, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	paper, table := read("statement.pdf"), read("lines.csv")
	pdftest.Accessible(t, paper, "de-DE")
	text := strings.Join(strings.Fields(printed(t, "pdftotext", "-layout", filepath.Join(folder, "statement.pdf"), "-")), " ")
	var proofs struct {
		Checkpoint, Key string
		Leaves          []struct {
			Index int64
			Leaf  string
			Proof tlog.RecordProof
		}
	}
	if err := json.Unmarshal(read("proofs.json"), &proofs); err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(proofs.Key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Open([]byte(proofs.Checkpoint), note.VerifierList(key))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(signed.Text, "\n") // origin, size, root
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range proofs.Leaves {
		if err := tlog.CheckRecord(l.Proof, size, root, l.Index, tlog.RecordHash([]byte(l.Leaf))); err != nil || !strings.Contains(l.Leaf, "\nkind: certificate\n") {
			t.Errorf("leaf %d: %v: %s", l.Index, err, l.Leaf)
		}
	}
	sum := sha256.Sum256(table)
	for _, want := range []string{"Apotheke MUSTER Leipzig", "Zertifikat zur eigenen Impfung 2 6,00 € 12,00 €", lines[2], hex.EncodeToString(sum[:])[:16]} {
		if !strings.Contains(text, want) {
			t.Errorf("the statement lacks %q: %s", want, text)
		}
	}
	if n := bytes.Count(table, []byte(";6,00;0,00\r\n")); n != 2 || len(proofs.Leaves) != 2 {
		t.Errorf("%d lines, %d proofs: %s", n, len(proofs.Leaves), table)
	}
}
