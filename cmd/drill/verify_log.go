package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/certificate/statement"
	"impfportal/certificate/translog"
)

// verifyLogCmd recomputes the transparency log of a portal from its published
// leaves, without asking anything else of it.
type verifyLogCmd struct {
	URL     string   `arg:"" optional:"" env:"URL" help:"Address of the portal; URL= does the same."`
	Key     string   `help:"Public key of the log as it is printed elsewhere (/certificates/log/key); it must be the one that signed." placeholder:"KEY"`
	Witness string   `help:"Witness file, or any file with checkpoints that were saved: the log must still contain each of them." placeholder:"FILE"`
	Save    string   `help:"File to which the checkpoint is appended when all holds, for --witness of a later run." placeholder:"FILE"`
	Proofs  string   `help:"Proofs of a monthly statement: each of its leaves must stand under its checkpoint, and the log must still contain that." placeholder:"FILE"`
	Digest  []string `help:"SHA-256 of what was signed, hexadecimal: the log must contain it." placeholder:"HEX"`
}

// Run downloads and checks the log.
func (c verifyLogCmd) Run(ctx context.Context) error {
	if !strings.HasPrefix(c.URL, "http://") && !strings.HasPrefix(c.URL, "https://") {
		return errors.New("say which portal: drill verify-log https://impfen.example")
	}
	return c.verify(ctx, os.Stdout)
}

// logPortal asks the public addresses of a portal.
type logPortal string

// maxLogAnswer bounds one answer; a thousand leaves have about half a megabyte.
const maxLogAnswer = 16 << 20

func (p logPortal) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(string(p), "/")+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", path, res.StatusCode)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxLogAnswer))
}

func (p logPortal) json(ctx context.Context, into any, format string, args ...any) error {
	body, err := p.get(ctx, "/api/v1/certificates/log/"+fmt.Sprintf(format, args...))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// recount is the log, recomputed.
type recount struct {
	tree    translog.Tree
	leaves  []tlog.Hash
	kinds   map[string]int
	signed  map[string]int64 // digest of what was signed -> its leaf
	earlier []translog.Checkpoint
	missing map[string]bool // digests that must be there and were not met
}

// verify prints what was checked, and returns an error when anything does not hold.
func (c verifyLogCmd) verify(ctx context.Context, w io.Writer) error {
	found := findings{w: w}
	p := logPortal(c.URL)
	key, err := c.publicKey(ctx, w, p)
	if err != nil {
		return err
	}
	text, err := p.get(ctx, "/certificates/log/checkpoint")
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	now, err := translog.OpenCheckpoint(text, key)
	if err != nil {
		found.say("signature of the checkpoint", err)
		return errors.New("this log cannot be verified")
	}
	fmt.Fprintf(w, "log %s: %d leaves, root %s\n", now.Origin, now.Size, now.Root)
	found.say("signature of the checkpoint", nil)
	r := recount{kinds: map[string]int{}, signed: map[string]int64{}, missing: map[string]bool{}}
	for _, d := range c.Digest {
		r.missing[strings.ToLower(d)] = true
	}
	if r.earlier, err = c.saved(key); err != nil {
		return err
	}
	if c.Proofs != "" {
		under, err := proofs(c.Proofs, key)
		found.say("proofs of the statement", err)
		if err == nil {
			r.earlier = append(r.earlier, under)
			slices.SortStableFunc(r.earlier, func(a, b translog.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
		}
	}
	if err := r.download(ctx, p, now.Size, &found); err != nil {
		found.say("all leaves, well-formed, what was signed once", err)
		return errors.New("this log cannot be recomputed")
	}
	found.say(fmt.Sprintf("all %d leaves, well-formed, what was signed once", now.Size), nil)
	root, err := r.tree.Root()
	if err == nil && root != now.Root {
		err = fmt.Errorf("the leaves give %s", root)
	}
	found.say("root of the checkpoint from the leaves", err)
	for _, c := range r.earlier {
		found.say(fmt.Sprintf("saved checkpoint of %d leaves", c.Size), errors.New("the log is shorter now"))
	}
	if c.Witness != "" && len(r.earlier) == 0 {
		fmt.Fprintf(w, "note   compared with every checkpoint of %s\n", c.Witness)
	}
	found.say("proofs that the portal gives", r.proofs(ctx, p, now))
	for d := range r.missing {
		found.say("digest "+d, errors.New("the log does not have it"))
	}
	for _, k := range translog.Kinds() {
		if r.kinds[k] > 0 {
			fmt.Fprintf(w, "       %-12s %d\n", k, r.kinds[k])
		}
	}
	if found.wrong > 0 {
		return fmt.Errorf("%d of the checks failed: this log is broken", found.wrong)
	}
	return c.save(now)
}

// publicKey is the key that was given, or the one that the portal names.
func (c verifyLogCmd) publicKey(ctx context.Context, w io.Writer, p logPortal) (note.Verifier, error) {
	text := c.Key
	if text == "" {
		said, err := p.get(ctx, "/certificates/log/key")
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		text = strings.TrimSpace(string(said))
		fmt.Fprintf(w, "note   signed with %s: is that the log's key? (--key checks it)\n", text)
	}
	return note.NewVerifier(text)
}

// saved reads the checkpoints that were saved earlier, by size.
func (c verifyLogCmd) saved(key note.Verifier) ([]translog.Checkpoint, error) {
	if c.Witness == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.Witness)
	if err != nil {
		return nil, err
	}
	list, err := translog.ReadWitness(bytes.NewReader(text), key)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s has no checkpoint of this log", c.Witness)
	}
	slices.SortStableFunc(list, func(a, b translog.Checkpoint) int { return int(a.Size - b.Size) })
	return list, err
}

func (c verifyLogCmd) save(now translog.Checkpoint) error {
	if c.Save == "" {
		return nil
	}
	f, err := os.OpenFile(c.Save, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(bytes.Clone(now.Note), '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// download adds every leaf, and compares with each saved checkpoint on the way.
func (r *recount) download(ctx context.Context, p logPortal, size int64, found *findings) error {
	r.compare(found)
	for r.tree.Size() < size {
		var page translog.LeavesJSON
		count := min(1000, size-r.tree.Size())
		if err := p.json(ctx, &page, "leaves?from=%d&count=%d", r.tree.Size(), count); err != nil {
			return err
		}
		if int64(len(page.Leaves)) != count {
			return fmt.Errorf("asked for %d leaves from %d, got %d", count, r.tree.Size(), len(page.Leaves))
		}
		for _, l := range page.Leaves {
			if err := r.add(l); err != nil {
				return fmt.Errorf("leaf %d: %w", r.tree.Size(), err)
			}
			r.compare(found)
		}
	}
	return nil
}

func (r *recount) add(l translog.LeafJSON) error {
	at := r.tree.Size()
	if l.Index != at {
		return fmt.Errorf("the portal says that it is leaf %d", l.Index)
	}
	leaf, err := translog.Decode([]byte(l.Leaf))
	if err != nil {
		return err
	}
	r.kinds[leaf.Kind]++
	digest := hex.EncodeToString(leaf.Digest)
	if leaf.Kind == translog.KindCertificate || leaf.Kind == translog.KindReissue {
		if first, twice := r.signed[digest]; twice {
			return fmt.Errorf("the same as leaf %d was signed", first)
		}
		r.signed[digest] = at
	}
	delete(r.missing, digest)
	hash := tlog.RecordHash([]byte(l.Leaf))
	r.leaves = append(r.leaves, hash)
	_, err = r.tree.Add(hash)
	return err
}

// compare holds the log so far against the saved checkpoints of its size.
func (r *recount) compare(found *findings) {
	for len(r.earlier) > 0 && r.earlier[0].Size == r.tree.Size() {
		root, err := r.tree.Root()
		if err == nil && root != r.earlier[0].Root {
			err = fmt.Errorf("another history: its root is %s, now it would be %s", r.earlier[0].Root, root)
		}
		if err != nil {
			found.say(fmt.Sprintf("saved checkpoint of %d leaves", r.earlier[0].Size), err)
		}
		r.earlier = r.earlier[1:]
	}
}

// proofs asks for some proofs and checks them against the recomputed leaves.
func (r *recount) proofs(ctx context.Context, p logPortal, now translog.Checkpoint) error {
	if now.Size == 0 {
		return nil
	}
	at := []int64{0, now.Size - 1}
	for range 20 {
		at = append(at, rand.Int64N(now.Size)) //nolint:gosec // a sample
	}
	for _, i := range at {
		var in translog.InclusionJSON
		if err := p.json(ctx, &in, "proof?index=%d&size=%d", i, now.Size); err != nil {
			return err
		}
		if err := tlog.CheckRecord(in.Proof, now.Size, now.Root, i, r.leaves[i]); err != nil {
			return fmt.Errorf("leaf %d: %w", i, err)
		}
		var con translog.ConsistencyJSON
		if err := p.json(ctx, &con, "consistency?from=%d&to=%d", i+1, now.Size); err != nil {
			return err
		}
		var before translog.Tree
		for _, h := range r.leaves[:i+1] {
			if _, err := before.Add(h); err != nil {
				return err
			}
		}
		root, err := before.Root()
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(con.Proof, now.Size, now.Root, i+1, root); err != nil {
			return fmt.Errorf("%d leaves to %d: %w", i+1, now.Size, err)
		}
	}
	return nil
}

// proofs checks the proofs of a statement and returns the checkpoint that they
// stand under.
func proofs(name string, key note.Verifier) (translog.Checkpoint, error) {
	var in statement.Proofs
	body, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		return translog.Checkpoint{}, err
	}
	return proved(in, key)
}

// proved checks that each leaf stands under the checkpoint, which it returns.
func proved(in statement.Proofs, key note.Verifier) (translog.Checkpoint, error) {
	under, err := translog.OpenCheckpoint([]byte(in.Checkpoint), key)
	if err != nil {
		return under, err
	}
	for _, l := range in.Leaves {
		if err := tlog.CheckRecord(l.Proof, under.Size, under.Root, l.Index, tlog.RecordHash([]byte(l.Leaf))); err != nil {
			return under, fmt.Errorf("leaf %d: %w", l.Index, err)
		}
	}
	return under, nil
}
