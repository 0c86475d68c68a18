package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
)

// publishedLog is a portal with nothing but a log.
func publishedLog(t *testing.T, pool *pgxpool.Pool, dir string) (*translog.Log, string) {
	t.Helper()
	key, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: dir, Origin: "localhost/certificates/log"})
	if err != nil {
		t.Fatal(err)
	}
	l := translog.New(translog.Config{Pool: pool, Vault: vault.ForTest(), Now: clock.Shifted(0), Key: key, Witness: filepath.Join(dir, "witness.txt")})
	app := webtest.New(t, webtest.Config{Pool: pool, Routes: l.Routes(), Bundles: []web.Bundle{translog.Assets}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = app.Web().Fiber().Listener(ln) }()
	t.Cleanup(func() { _ = app.Web().Fiber().ShutdownWithTimeout(time.Second) })
	return l, "http://" + ln.Addr().String()
}

func logged(t *testing.T, l *translog.Log, from, to int) {
	t.Helper()
	ctx := context.Background()
	err := pg.InTx(ctx, l.Pool, func(tx pgx.Tx) error {
		for i := from; i < to; i++ {
			digest := sha256.Sum256(fmt.Appendf(nil, "%d", i))
			leaf := translog.Leaf{Kind: translog.KindCertificate, Subject: fmt.Sprintf("certificate:%d", i), Digest: digest[:], Day: time.Date(2021, 6, 14, 0, 0, 0, 0, time.UTC)}
			if err := l.Append(ctx, tx, leaf.Subject, leaf); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Sequence(ctx); err != nil || n != to-from {
		t.Fatalf("sequenced %d, %v", n, err)
	}
}

func TestVerifyLog(t *testing.T) {
	t.Parallel()
	ctx, dir, pool := context.Background(), t.TempDir(), pgtest.New(t)
	l, address := publishedLog(t, pool, dir)
	logged(t, l, 0, 30)
	saved := filepath.Join(dir, "saved.txt")
	check := func(c verifyLogCmd) (string, error) {
		var out bytes.Buffer
		c.URL = address
		err := c.verify(ctx, &out)
		return out.String(), err
	}
	if out, err := check(verifyLogCmd{Key: l.Key.Public, Save: saved}); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	logged(t, l, 30, 1100) // more than one page
	digest := sha256.Sum256([]byte("1007"))
	out, err := check(verifyLogCmd{Witness: saved, Digest: []string{hex.EncodeToString(digest[:])}})
	if err != nil || !strings.Contains(out, "ok     all 1100 leaves") || !strings.Contains(out, "certificate  1100") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := check(verifyLogCmd{Witness: l.Witness, Key: l.Key.Public}); err != nil {
		t.Errorf("witness file: %v\n%s", err, out)
	}
	if out, err := check(verifyLogCmd{Digest: []string{strings.Repeat("00", 32)}}); err == nil {
		t.Errorf("a digest that is not there\n%s", out)
	}
	stranger, err := translog.OpenKey(translog.KeyConfig{Local: true, Dir: t.TempDir(), Origin: "localhost/certificates/log"})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := check(verifyLogCmd{Key: stranger.Public}); err == nil {
		t.Errorf("another key\n%s", out)
	}

	// A fork: the same key signed another history of 30 leaves.
	other, _ := publishedLog(t, pgtest.New(t), dir)
	other.Config.Witness = filepath.Join(t.TempDir(), "fork.txt")
	fork := translog.New(other.Config)
	logged(t, fork, 500, 530)
	if out, err := check(verifyLogCmd{Witness: fork.Witness}); err == nil || !strings.Contains(out, "another history") {
		t.Errorf("forked: %v\n%s", err, out)
	}
	// The leaf of somebody is edited past the guards of the database.
	for _, sql := range []string{
		`ALTER TABLE certificate.log_leaf DISABLE TRIGGER USER`,
		`UPDATE certificate.log_leaf SET data = convert_to(replace(convert_from(data, 'UTF8'), '2021-06-14', '2021-06-15'), 'UTF8') WHERE idx = 700`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := check(verifyLogCmd{}); err == nil || !strings.Contains(out, "WRONG  root of the checkpoint") {
		t.Errorf("edited: %v\n%s", err, out)
	}
	// The whole database is replaced by that of another log, which looks whole.
	short, shortAddress := publishedLog(t, pgtest.New(t), t.TempDir())
	logged(t, short, 0, 5)
	address = shortAddress
	text, err := os.ReadFile(short.Witness)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(saved, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := check(verifyLogCmd{Witness: l.Witness}); err == nil {
		t.Errorf("another log's witness: %s", out)
	}
	if out, err := check(verifyLogCmd{Witness: saved}); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if res, err := http.Get(address + "/api/v1/certificates/log/proof?index=9&size=10"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("a proof of the future: %v, %v", res, err)
	}
}
