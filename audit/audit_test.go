package audit_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
)

func TestChain(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), pgtest.New(t)
	now := time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)
	write := func(action string) {
		t.Helper()
		err := pg.InTx(ctx, pool, func(tx pgx.Tx) error {
			return audit.Write(ctx, tx, now, audit.Entry{Actor: "system", Role: "system", Action: action, Subject: "room:r", After: map[string]int{"rate": 60}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	write("a")
	write("b")
	if n, err := audit.Seal(ctx, pool, 100); err != nil || n != 2 {
		t.Fatalf("sealed %d, %v", n, err)
	}
	write("c")
	if n, err := audit.Seal(ctx, pool, 100); err != nil || n != 1 {
		t.Fatalf("sealed %d, %v", n, err)
	}
	if n, _, ok, err := audit.Verify(ctx, pool); err != nil || !ok || n != 3 {
		t.Fatalf("chain of %d, ok %v, %v", n, ok, err)
	}

	_, err := pool.Exec(ctx, `UPDATE audit.entry SET action = 'forged' WHERE seq = 2`)
	if !pg.Violates(err, "audit_append_only") {
		t.Errorf("a row could be changed: %v", err)
	}
	_, err = pool.Exec(ctx, `DELETE FROM audit.entry WHERE seq = 2`)
	if !pg.Violates(err, "audit_append_only") {
		t.Errorf("a row could be deleted: %v", err)
	}

	// Somebody with all rights in the database gets past the trigger, but not past the chain.
	for _, sql := range []string{`ALTER TABLE audit.entry DISABLE TRIGGER entry_append_only`, `UPDATE audit.entry SET action = 'forged' WHERE seq = 2`} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, broken, ok, err := audit.Verify(ctx, pool); err != nil || ok || broken != 2 {
		t.Errorf("forgery not found: broken %d, ok %v, %v", broken, ok, err)
	}
}

// TestAnyTextIsSealed: what people type is recorded, chained and shown byte for
// byte: quotation marks, lines, backslashes, control characters, any script.
func TestAnyTextIsSealed(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), pgtest.New(t)
	now := time.Date(2021, 1, 11, 13, 0, 0, 0, time.UTC)
	texts := []string{"Zeile 1\nZeile 2", `"Ruhe", sagte er`, `C:\neu\101\\x`, "\u0001\t\r", "Łukasz 💉 Ü\u0308", `<script>'"><img src=x>`}
	for _, text := range texts {
		err := pg.InTx(ctx, pool, func(tx pgx.Tx) error {
			return audit.Write(ctx, tx, now, audit.Entry{
				Actor: "staff:x", Role: "admin", Action: "waitingroom.valve", Subject: "room:r",
				Before: map[string]string{text: ""}, After: map[string]string{"message": text},
			})
		})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	if n, err := audit.Seal(ctx, pool, 100); err != nil || n != len(texts) {
		t.Fatalf("sealed %d, %v", n, err)
	}
	if n, _, ok, err := audit.Verify(ctx, pool); err != nil || !ok || n != int64(len(texts)) {
		t.Fatalf("chain of %d, ok %v, %v", n, ok, err)
	}
	rows, err := audit.Recent(ctx, pool, "room:r", 100)
	if err != nil || len(rows) != len(texts) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, r := range rows {
		var after struct{ Message string }
		if err := json.Unmarshal(r.After, &after); err != nil || after.Message != texts[len(texts)-1-i] {
			t.Errorf("%q came back as %q, %v", texts[len(texts)-1-i], after.Message, err)
		}
	}
}
