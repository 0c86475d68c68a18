package translog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrCheckpoint says that something is no checkpoint of this log.
var ErrCheckpoint = errors.New("translog: no checkpoint of this log")

// Checkpoint is a signed statement: the log had so many leaves, with this root.
type Checkpoint struct {
	Origin string // name of the log, and of its key
	Size   int64
	Root   tlog.Hash
	Note   []byte // as published: three lines, a blank one, the signature
}

// sign makes the checkpoint of a log: a note (golang.org/x/mod/sumdb/note,
// C2SP signed-note) with origin, size and root, as C2SP tlog-checkpoint says.
func (k *Key) sign(size int64, root tlog.Hash) (Checkpoint, error) {
	c := Checkpoint{Origin: k.Origin, Size: size, Root: root}
	text := fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
	var err error
	c.Note, err = note.Sign(&note.Note{Text: text}, k.signer)
	return c, err
}

// OpenCheckpoint reads a checkpoint and checks its signature against the log's
// public key; the origin must be the key's name. Every error is ErrCheckpoint.
func OpenCheckpoint(text []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(text, note.VerifierList(key))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" || lines[0] != key.Name() {
		return Checkpoint{}, fmt.Errorf("%w: not three lines, or of another log", ErrCheckpoint)
	}
	c := Checkpoint{Origin: lines[0], Note: text}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: size", ErrCheckpoint)
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: root", ErrCheckpoint)
	}
	return c, nil
}
