package vault_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/vault"
)

func TestSealedUnderOneKeyOnly(t *testing.T) {
	t.Parallel()
	ctx, pool, v := context.Background(), pgtest.New(t), vault.ForTest()
	var a, b vault.Key
	err := pg.InTx(ctx, pool, func(tx pgx.Tx) (err error) {
		if a, err = v.NewKey(ctx, tx); err != nil {
			return err
		}
		b, err = v.NewKey(ctx, tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sealed := a.Seal("name", []byte("Müller"))

	again, err := v.Open(ctx, pool, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Unseal("name", sealed); err != nil || string(got) != "Müller" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := again.Unseal("address", sealed); !errors.Is(err, vault.ErrUnreadable) {
		t.Errorf("another purpose opened it: %v", err)
	}
	if _, err := b.Unseal("name", sealed); !errors.Is(err, vault.ErrUnreadable) {
		t.Errorf("another person's key opened it: %v", err)
	}

	if err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return v.Destroy(ctx, tx, a.ID) }); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open(ctx, pool, a.ID); !errors.Is(err, vault.ErrDestroyed) {
		t.Errorf("destroyed key opened: %v", err)
	}
}

func TestBlindIndexSeparatesDomains(t *testing.T) {
	t.Parallel()
	v := vault.ForTest()
	if string(v.BlindIndex("name", "x")) == string(v.BlindIndex("phone", "x")) {
		t.Error("two domains share one index")
	}
	if a, b := v.BlindIndex("name", "x"), vault.ForTest().BlindIndex("name", "x"); string(a) != string(b) {
		t.Error("index is not stable")
	}
}
