package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSigningFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, doc, out := filepath.Join(dir, "authority.key"), filepath.Join(dir, "list.json"), filepath.Join(dir, "list.jws")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(NewKeyFiles(key))
	if err := NewKeyFiles(key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	l := list(0, entry("A-1"))
	l.IssuedAt, l.NextUpdate = time.Time{}, time.Time{}
	must(WriteUnsigned(doc, l))
	signer, err := PrivateKey(key)
	must(err)
	keys, err := KeyFile(key + ".pub")
	must(err)
	for n := range int64(3) {
		_, err = SignFile(doc, out, signer, now, time.Hour)
		must(err)
		raw, err := os.ReadFile(out)
		must(err)
		got, err := Open(raw, keys)
		if err != nil || got.Sequence != n+1 || !got.NextUpdate.Equal(now.Add(time.Hour)) || len(got.Entries) != 1 {
			t.Errorf("%+v %v", got, err)
		}
	}
	if _, err := SignFile(doc, out, edKey(t), now, time.Hour); !errors.Is(err, ErrSignature) {
		t.Errorf("another authority's list: %v", err)
	}
}
