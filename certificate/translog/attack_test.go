package translog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// The database refuses to change, remove or skip anything.
func TestDatabaseGuards(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.fill(0, 5)
	if err := b.append(b.leafOf(5), b.leafOf(6)); err != nil {
		t.Fatal(err)
	}
	for sql, constraint := range map[string]string{
		`UPDATE certificate.log_leaf SET data = 'x' WHERE idx = 1`:                                                      "log_append_only",
		`UPDATE certificate.log_leaf SET data = 'x' WHERE idx IS NULL`:                                                  "log_append_only",
		`UPDATE certificate.log_leaf SET idx = NULL WHERE idx = 4`:                                                      "log_append_only",
		`UPDATE certificate.log_leaf SET idx = 7 WHERE ref = 'certificate:5'`:                                           "log_no_holes",
		`UPDATE certificate.log_leaf SET idx = CASE ref WHEN 'certificate:5' THEN 5 ELSE 7 END WHERE idx IS NULL`:       "log_no_holes",
		`DELETE FROM certificate.log_leaf WHERE idx = 4`:                                                                "log_append_only",
		`DELETE FROM certificate.log_leaf WHERE idx IS NULL`:                                                            "log_append_only",
		`TRUNCATE certificate.log_leaf`:                                                                                 "log_append_only",
		`INSERT INTO certificate.log_leaf (ref, kind, day, data, queued_at, idx) VALUES ('x','stop',now(),'x',now(),5)`: "log_append_only",
		`UPDATE certificate.log_hash SET hash = sha256('x') WHERE pos = 1`:                                              "log_append_only",
		`DELETE FROM certificate.log_hash WHERE pos = 1`:                                                                "log_append_only",
		`TRUNCATE certificate.log_hash`:                                                                                 "log_append_only",
		`INSERT INTO certificate.log_hash (pos, hash) VALUES (99, sha256('x'))`:                                         "log_no_holes",
		`UPDATE certificate.log_checkpoint SET size = 9`:                                                                "log_append_only",
		`DELETE FROM certificate.log_checkpoint`:                                                                        "log_append_only",
		`UPDATE certificate.log_told SET upto = 0`:                                                                      "log_append_only",
		`DELETE FROM certificate.log_told`:                                                                              "log_append_only",
		`DELETE FROM certificate.log_alarm`:                                                                             "log_append_only",
	} {
		if _, err := b.Pool.Exec(ctx, sql); !pg.Violates(err, constraint) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := b.Sequence(ctx); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// A log that lost its last leaves (an older backup, a superuser) contradicts the
// witness file: alarm, and nothing more is sequenced or released.
func TestTruncated(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.fill(0, 5)
	b.fill(5, 9)
	b.bypass(`DELETE FROM certificate.log_leaf WHERE idx >= 5`)
	b.bypass(`DELETE FROM certificate.log_hash WHERE pos >= 8`) // StoredHashCount(5)
	b.bypass(`DELETE FROM certificate.log_checkpoint WHERE size > 5`)
	b.bypass(`UPDATE certificate.log_told SET upto = 5`)
	if _, err := b.Check(ctx); err != nil {
		t.Fatalf("by itself the shorter log looks whole: %v", err)
	}
	if err := b.append(b.leafOf(100)); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Log{b.Log, New(b.Config)} { // who ran on, and who is started
		if n, err := l.Sequence(ctx); !errors.Is(err, ErrWitness) || n != 0 {
			t.Errorf("sequenced %d, %v", n, err)
		}
	}
	if b.told["certificate:100"] != 0 || len(b.alarms(AlarmWitness)) != 1 {
		t.Errorf("told %v, alarms %v", b.told, b.alarms(AlarmWitness))
	}
	// Grown again by other leaves it is still another log.
	unwatched := New(b.Config)
	unwatched.Witness = filepath.Join(t.TempDir(), "other.txt")
	unwatched.witness = &witness{path: unwatched.Witness, key: b.Key.Verifier()}
	for i := 200; i < 210; i++ {
		if err := b.append(b.leafOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unwatched.Sequence(ctx); err != nil || len(b.alarms(AlarmWitnessNew)) != 1 {
		t.Fatalf("a new witness file tells of itself: %v, %v", err, b.alarms(AlarmWitnessNew))
	}
	if _, err := b.Sequence(ctx); !errors.Is(err, ErrWitness) {
		t.Errorf("longer, but not the same: %v", err)
	}
}

// A forked checkpoint: rightly signed, of another log. Whoever has both sees it.
func TestForked(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.fill(0, 6)
	fork := setupAt(t, setup(t).Pool, t.TempDir())
	fork.Key, fork.witness.key = b.Key, b.Key.Verifier()
	fork.fill(50, 56)
	other, err := fork.Newest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := b.Newest(ctx)
	if err != nil || mine.Size != other.Size || mine.Root == other.Root {
		t.Fatalf("no fork: %v, %v, %v", mine, other, err)
	}
	text, err := os.ReadFile(b.Witness)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Witness, append(text, append([]byte("\n"), other.Note...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.append(b.leafOf(6)); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Sequence(ctx); !errors.Is(err, ErrWitness) || n != 0 || len(b.alarms(AlarmWitness)) != 1 {
		t.Errorf("sequenced %d, %v, alarms %v", n, err, b.alarms(AlarmWitness))
	}
	// A checkpoint of somebody else's key is none.
	stranger, err := OpenKey(KeyConfig{Local: true, Dir: t.TempDir(), Origin: testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	forged, err := stranger.sign(6, other.Root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(forged.Note, b.Key.Verifier()); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("signed by a stranger: %v", err)
	}
	if _, err := OpenCheckpoint([]byte(strings.Replace(string(mine.Note), "\n6\n", "\n7\n", 1)), b.Key.Verifier()); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("with another size: %v", err)
	}
}

// A witness file that became shorter, vanished or says nothing stops the log.
func TestWitnessTampered(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.fill(0, 2)
	first, err := os.ReadFile(b.Witness)
	if err != nil {
		t.Fatal(err)
	}
	b.fill(2, 4)
	for name, spoil := range map[string]func() error{
		"shorter": func() error { return os.WriteFile(b.Witness, first, 0o600) },
		"gone":    func() error { return os.Remove(b.Witness) },
		"back": func() error {
			now, err := os.ReadFile(b.Witness)
			return errors.Join(err, os.WriteFile(b.Witness, append(append(now, '\n'), first...), 0o600))
		},
		"noise": func() error { return os.WriteFile(b.Witness, []byte(strings.Repeat("x\n", 9000)), 0o600) },
	} {
		whole, err := os.ReadFile(b.Witness)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Sequence(ctx); !errors.Is(err, ErrWitness) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "back" { // nor by who has not seen the file before
			if _, err := New(b.Config).Sequence(ctx); !errors.Is(err, ErrWitness) {
				t.Errorf("%s, a new process: %v", name, err)
			}
		}
		if err := os.WriteFile(b.Witness, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.fill(4, 5)
}

// Somebody with all rights in the database edits past the triggers. The leaves no
// longer give the root that was signed.
func TestEditedPastTheGuards(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, c := range map[string]struct {
		sql       string
		sequences bool // the sequencer does not see it: it does not read leaves again
	}{
		"a leaf":              {`UPDATE certificate.log_leaf SET data = convert_to(replace(convert_from(data, 'UTF8'), 'given', 'seen'), 'UTF8') WHERE idx = 2`, true},
		"a leaf's columns":    {`UPDATE certificate.log_leaf SET digest = sha256('x') WHERE idx = 2`, true},
		"a leaf's day":        {`UPDATE certificate.log_leaf SET day = '2021-01-01' WHERE idx = 2`, true},
		"a hash":              {`UPDATE certificate.log_hash SET hash = sha256('x') WHERE pos = 3`, true},
		"a hash at the edge":  {`UPDATE certificate.log_hash SET hash = sha256('x') WHERE pos = 6`, false}, // of leaves 0 to 3
		"a leaf gone":         {`DELETE FROM certificate.log_leaf WHERE idx = 2`, true},
		"the last leaf gone":  {`DELETE FROM certificate.log_leaf WHERE idx = 5`, false},
		"leaves swapped":      {`UPDATE certificate.log_leaf SET data = (SELECT data FROM certificate.log_leaf WHERE idx = 3) WHERE idx = 2`, true},
		"a checkpoint's note": {`UPDATE certificate.log_checkpoint SET note = convert_to(replace(convert_from(note, 'UTF8'), E'\n6\n', E'\n5\n'), 'UTF8')`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.fill(0, 6)
			b.bypass(c.sql)
			if _, err := b.Check(ctx); !errors.Is(err, ErrDamaged) || len(b.alarms(AlarmDamaged)) != 1 {
				t.Errorf("%v, alarms %v", err, b.alarms(AlarmDamaged))
			}
			if err := b.append(b.leafOf(6)); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Sequence(ctx); (err == nil) != c.sequences {
				t.Errorf("sequencer: %v", err)
			}
		})
	}
}

// Something with a valid signature that is not in the log is an alarm, whether
// it is shown somewhere or lies in the portal's own table.
func TestSignedPastTheLog(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	b.fill(0, 1)
	if ok, err := b.Seen(ctx, b.leafOf(0).Digest); err != nil || !ok || len(b.alarms(AlarmUnlogged)) != 0 {
		t.Errorf("logged: %v, %v", ok, err)
	}
	for range 2 {
		if ok, err := b.Seen(ctx, b.leafOf(1).Digest); err != nil || ok {
			t.Errorf("not logged: %v, %v", ok, err)
		}
	}
	if list := b.alarms(AlarmUnlogged); len(list) != 1 || !strings.HasPrefix(list[0].Subject, "d") && len(list[0].Subject) != 64 {
		t.Errorf("alarms %+v", list)
	}

	b.pass(time.Second)
	key := id.New()
	b.exec(`INSERT INTO vault.key (id, wrapped, master, created_at) VALUES ($1, 'x', 'x', now())`, key)
	b.exec(`INSERT INTO certificate.certificate (id, record_id, version, key_id, state, uvci, issued_at, expires_at, claims, kid, digest, hc1, created_at, signed_at)
		VALUES ($1, $2, 1, $3, 'signed', 'URN:UVCI:X', $4, $4::timestamptz + interval '1 day', 'x', 'x', $5, 'x', $4, $4)`, id.New(), id.New(), key, b.clock(), b.leafOf(2).Digest)
	if err := b.Watch(ctx); err != nil || len(b.alarms(AlarmUnlogged)) != 1 {
		t.Errorf("at once: %v, %v", err, b.alarms(AlarmUnlogged))
	}
	b.pass(2 * time.Minute)
	if err := b.Watch(ctx); err != nil || len(b.alarms(AlarmUnlogged)) != 2 {
		t.Errorf("after two minutes: %v, %v", err, b.alarms(AlarmUnlogged))
	}
}

func TestLeafThatWaits(t *testing.T) {
	t.Parallel()
	ctx, b := context.Background(), setup(t)
	if err := b.append(b.leafOf(0)); err != nil {
		t.Fatal(err)
	}
	if err := b.Watch(ctx); err != nil || len(b.alarms(AlarmWaiting)) != 0 {
		t.Errorf("%v, %v", err, b.alarms(AlarmWaiting))
	}
	b.pass(61 * time.Second)
	if err := b.Watch(ctx); err != nil || len(b.alarms(AlarmWaiting)) != 1 {
		t.Errorf("%v, %v", err, b.alarms(AlarmWaiting))
	}
	// In the log, and its owner fails: nothing would be released.
	b.fail = errors.New("not now")
	if _, err := b.Sequence(ctx); !errors.Is(err, b.fail) {
		t.Fatal(err)
	}
	b.pass(61 * time.Second)
	if err := b.Watch(ctx); err != nil || len(b.alarms(AlarmWaiting)) != 2 {
		t.Errorf("%v, %v", err, b.alarms(AlarmWaiting))
	}
}

// Production makes no key and refuses one that others can read.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenKey(KeyConfig{Dir: dir, Origin: testOrigin, Sign: true}); !errors.Is(err, ErrKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := OpenKey(KeyConfig{Dir: dir, Origin: testOrigin}); !errors.Is(err, ErrKey) {
		t.Errorf("without a public key: %v", err)
	}
	a, err := OpenKey(KeyConfig{Local: true, Dir: dir, Origin: testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKey(KeyConfig{Dir: dir, Origin: testOrigin, Sign: true})
	if err != nil || again.Public != a.Public || !again.Signs() {
		t.Errorf("not the same key: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKey(KeyConfig{Dir: dir, Origin: testOrigin, Sign: true}); !errors.Is(err, ErrKey) {
		t.Errorf("readable by others: %v", err)
	}
	if _, err := New(Config{Key: &Key{verifier: a.verifier}}).Sequence(context.Background()); !errors.Is(err, ErrReader) {
		t.Errorf("a reader sequences: %v", err)
	}
}
