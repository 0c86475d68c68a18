package translog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/mod/sumdb/note"
)

// ErrWitness says that the log and the witness file contradict each other, or
// that the file cannot be read or written. Nothing is sequenced while it lasts.
var ErrWitness = errors.New("translog: the log disagrees with its witness file")

// witness is an append-only file of checkpoints, each followed by a blank line.
// It is read from its end. What was torn by a crash while it was written does
// not verify and counts for nothing: its checkpoint is written again.
type witness struct {
	path string
	key  note.Verifier

	mu    sync.Mutex
	bytes int64      // length of the file when last was read
	last  Checkpoint // Size 0 = the file is empty
}

// tail is how much of the end of the file is read to find the last checkpoint.
const tail = 64 << 10

// latest returns the last checkpoint of the file; ok is false when there is no
// file. A file that became shorter is ErrWitness.
func (w *witness) latest() (c Checkpoint, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.Open(w.path)
	if errors.Is(err, os.ErrNotExist) {
		if w.bytes > 0 {
			return c, false, fmt.Errorf("%w: %s is gone", ErrWitness, w.path)
		}
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	defer f.Close()
	return w.read(f)
}

// read looks at the end of the file unless its length is the one seen last.
func (w *witness) read(f *os.File) (c Checkpoint, ok bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return c, false, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	size := info.Size()
	switch {
	case size < w.bytes:
		return c, false, fmt.Errorf("%w: %s became shorter", ErrWitness, w.path)
	case size == w.bytes:
		return w.last, size > 0, nil
	}
	part := make([]byte, min(size, tail))
	if _, err := f.ReadAt(part, size-int64(len(part))); err != nil {
		return c, false, fmt.Errorf("%w: %w", ErrWitness, err)
	}
	list := witnessed(part, w.key)
	if len(list) == 0 {
		return c, false, fmt.Errorf("%w: no checkpoint of this log at the end of %s", ErrWitness, w.path)
	}
	// It grows with the log. An earlier state behind a later one was put there to hide
	// that the log became shorter.
	last := list[len(list)-1]
	for i, c := range list {
		if i > 0 && c.Size < list[i-1].Size || last.Size < w.last.Size {
			return c, false, fmt.Errorf("%w: %s goes back to %d leaves", ErrWitness, w.path, last.Size)
		}
	}
	w.last = last
	w.bytes = size
	return w.last, true, nil
}

// append adds a checkpoint and returns when it is on the disk. It adds nothing
// when the file has one of that size or a larger one, which another sequencer
// wrote meanwhile.
func (w *witness) append(c Checkpoint) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWitness, err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("%w: %w", ErrWitness, cerr)
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("%w: lock: %w", ErrWitness, err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWitness, err)
	}
	fresh := info.Size() == 0
	if !fresh {
		last, _, err := w.read(f)
		if err != nil {
			return err
		}
		if last.Size == c.Size && last.Root != c.Root {
			return fmt.Errorf("%w: at %d leaves the root is %s, the witness has seen %s", ErrWitness, c.Size, c.Root, last.Root)
		}
		if last.Size >= c.Size {
			return nil
		}
	}
	block := append(bytes.Clone(c.Note), '\n')
	if !fresh { // closes what a crash may have torn
		block = append([]byte("\n"), block...)
	}
	if _, err := f.Write(block); err != nil {
		return fmt.Errorf("%w: %w", ErrWitness, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrWitness, err)
	}
	if fresh {
		if err := syncFolder(filepath.Dir(w.path)); err != nil {
			return fmt.Errorf("%w: %w", ErrWitness, err)
		}
	}
	w.last, w.bytes = c, info.Size()+int64(len(block))
	return nil
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadWitness reads all checkpoints of a witness file, or of any file that
// somebody saved checkpoints to. What does not verify is left out.
func ReadWitness(r io.Reader, key note.Verifier) ([]Checkpoint, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return witnessed(text, key), nil
}

// signature begins a signature line of a note (an em dash and a space).
const signature = "— "

// witnessed finds the checkpoints in a text: the blocks of lines that end with a
// signature and verify.
func witnessed(text []byte, key note.Verifier) (out []Checkpoint) {
	var block [][]byte
	for line := range bytes.Lines(text) {
		if len(block) == 0 && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		block = append(block, line)
		if bytes.HasPrefix(line, []byte(signature)) {
			// A torn block stands in front of the whole one: its last lines count.
			whole := bytes.Join(block[max(0, len(block)-5):], nil)
			if c, err := OpenCheckpoint(whole, key); err == nil {
				out = append(out, c)
			}
			block = nil
		}
	}
	return out
}
