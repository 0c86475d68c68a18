package translog

import (
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/gofiber/fiber/v2"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/web"
)

// What can never change may be kept for a year; the newest checkpoint only for
// as long as it stays the newest.
const (
	forever = "public, max-age=31536000, immutable"
	briefly = "public, max-age=1"
)

// pageMost is how many leaves one answer holds at most.
const pageMost = 1000

// CheckpointJSON is the newest checkpoint.
type CheckpointJSON struct {
	Origin string    `json:"origin"`
	Size   int64     `json:"size" doc:"leaves in the log"`
	Root   tlog.Hash `json:"root" doc:"hash of the whole log (RFC 6962), base64"`
	Note   string    `json:"note" doc:"the signed note (C2SP tlog-checkpoint); empty while the log is"`
	Key    string    `json:"key" doc:"public key of the log (C2SP signed-note)"`
}

// LeafJSON is a leaf.
type LeafJSON struct {
	Index int64  `json:"index" doc:"-1 while it waits for its place, which takes less than a second"`
	Leaf  string `json:"leaf" doc:"the text that is hashed: SHA-256(0x00 || leaf)"`
}

// LeavesJSON is a part of the log.
type LeavesJSON struct {
	Size   int64      `json:"size" doc:"leaves in the log under the newest checkpoint"`
	Leaves []LeafJSON `json:"leaves"`
}

// ProvedJSON is a leaf with the proof that it is in the log.
type ProvedJSON struct {
	LeafJSON
	Hash  tlog.Hash   `json:"hash" doc:"hash of the leaf"`
	Proof []tlog.Hash `json:"proof" doc:"audit path to the root of the checkpoint (RFC 6962, 2.1.1)"`
}

// FoundJSON are the leaves of a digest.
type FoundJSON struct {
	Checkpoint CheckpointJSON `json:"checkpoint"`
	Leaves     []ProvedJSON   `json:"leaves"`
}

// InclusionJSON proves that a leaf is in the log of a size.
type InclusionJSON struct {
	Index int64       `json:"index"`
	Size  int64       `json:"size"`
	Root  tlog.Hash   `json:"root" doc:"root of the log of that size"`
	Proof []tlog.Hash `json:"proof"`
}

// ConsistencyJSON proves that a log extends an earlier one.
type ConsistencyJSON struct {
	From     int64       `json:"from"`
	To       int64       `json:"to"`
	FromRoot tlog.Hash   `json:"from_root"`
	ToRoot   tlog.Hash   `json:"to_root"`
	Proof    []tlog.Hash `json:"proof" doc:"RFC 6962, 2.1.2"`
}

func (l *Log) apiRoutes() []web.Route {
	const base = "/api/v1/certificates/log"
	return []web.Route{
		{Method: http.MethodGet, Path: base + "/checkpoint", Anonymous: true, API: web.JSON("Newest signed checkpoint of the transparency log", l.apiCheckpoint)},
		{Method: http.MethodGet, Path: base + "/leaves", Anonymous: true, API: web.JSON("Leaves of the transparency log, in order", l.apiLeaves)},
		{Method: http.MethodGet, Path: base + "/leaf", Anonymous: true, API: web.JSON("Leaves of what was signed, each with its proof", l.apiLeaf)},
		{Method: http.MethodGet, Path: base + "/proof", Anonymous: true, API: web.JSON("Proof that a leaf is in the log of a size", l.apiProof)},
		{Method: http.MethodGet, Path: base + "/consistency", Anonymous: true, API: web.JSON("Proof that the log of one size extends the log of another", l.apiConsistency)},
	}
}

func (l *Log) checkpointJSON(c Checkpoint) CheckpointJSON {
	if c.Size == 0 {
		c.Root, _ = (&Tree{}).Root() //nolint:errcheck // the empty log reads nothing
	}
	return CheckpointJSON{Origin: c.Origin, Size: c.Size, Root: c.Root, Note: string(c.Note), Key: l.Key.Public}
}

func (l *Log) apiCheckpoint(c *web.Ctx, _ struct{}) (CheckpointJSON, error) {
	now, err := l.Newest(c.Std())
	c.Set(fiber.HeaderCacheControl, briefly)
	return l.checkpointJSON(now), err
}

type leavesIn struct {
	From  int64 `query:"from" json:"-" doc:"index of the first leaf"`
	Count int64 `query:"count" json:"-" doc:"how many, at most 1000; 100 without it"`
}

func (l *Log) apiLeaves(c *web.Ctx, in leavesIn) (LeavesJSON, error) {
	out := LeavesJSON{Leaves: []LeafJSON{}}
	if in.Count == 0 {
		in.Count = 100
	}
	if in.From < 0 || in.Count < 1 || in.Count > pageMost {
		return out, web.Fail(http.StatusBadRequest, "translog.error.range")
	}
	now, err := l.Newest(c.Std())
	if err != nil {
		return out, err
	}
	out.Size = now.Size
	list, err := Leaves(c.Std(), l.Pool, in.From, int(min(in.Count, max(0, now.Size-in.From))))
	for _, e := range list {
		out.Leaves = append(out.Leaves, LeafJSON{Index: e.Index, Leaf: string(e.Data)})
	}
	c.Set(fiber.HeaderCacheControl, briefly)
	if int64(len(list)) == in.Count {
		out.Size = in.From + in.Count // the answer is the same for ever, so it says nothing of today
		c.Set(fiber.HeaderCacheControl, forever)
	}
	return out, err
}

type leafIn struct {
	Digest string `query:"digest" json:"-" doc:"SHA-256 of what was signed, 64 hexadecimal digits"`
}

func (l *Log) apiLeaf(c *web.Ctx, in leafIn) (FoundJSON, error) {
	out := FoundJSON{Leaves: []ProvedJSON{}}
	digest, err := hex.DecodeString(in.Digest)
	if err != nil || len(digest) != 32 {
		return out, web.Fail(http.StatusBadRequest, "translog.error.digest")
	}
	now, err := l.Newest(c.Std())
	if err != nil {
		return out, err
	}
	out.Checkpoint = l.checkpointJSON(now)
	list, err := ByDigest(c.Std(), l.Pool, digest)
	if err != nil {
		return out, err
	}
	if len(list) == 0 {
		return out, web.NotFound()
	}
	for _, e := range list {
		p := ProvedJSON{LeafJSON: LeafJSON{Index: e.Index, Leaf: string(e.Data)}, Hash: e.Hash(), Proof: []tlog.Hash{}}
		if e.Index >= now.Size {
			p.Index = -1 // got its place after the checkpoint was read
		}
		if p.Index >= 0 {
			if p.Proof, err = Inclusion(c.Std(), l.Pool, e.Index, now.Size); err != nil {
				return out, err
			}
		}
		out.Leaves = append(out.Leaves, p)
	}
	return out, nil
}

type proofIn struct {
	Index int64 `query:"index" json:"-"`
	Size  int64 `query:"size" json:"-" doc:"size of a checkpoint"`
}

func (l *Log) apiProof(c *web.Ctx, in proofIn) (InclusionJSON, error) {
	out := InclusionJSON{Index: in.Index, Size: in.Size}
	var err error
	if out.Proof, err = Inclusion(c.Std(), l.Pool, in.Index, in.Size); err != nil {
		return out, outside(err)
	}
	out.Root, err = RootAt(c.Std(), l.Pool, in.Size)
	c.Set(fiber.HeaderCacheControl, forever)
	return out, err
}

type consistencyIn struct {
	From int64 `query:"from" json:"-" doc:"size of the earlier checkpoint"`
	To   int64 `query:"to" json:"-" doc:"size of the later checkpoint"`
}

func (l *Log) apiConsistency(c *web.Ctx, in consistencyIn) (ConsistencyJSON, error) {
	out := ConsistencyJSON{From: in.From, To: in.To}
	var err error
	if out.Proof, err = Consistency(c.Std(), l.Pool, in.From, in.To); err != nil {
		return out, outside(err)
	}
	if out.FromRoot, err = RootAt(c.Std(), l.Pool, in.From); err != nil {
		return out, err
	}
	out.ToRoot, err = RootAt(c.Std(), l.Pool, in.To)
	c.Set(fiber.HeaderCacheControl, forever)
	return out, err
}

// outside maps what the log does not have to 404.
func outside(err error) error {
	if errors.Is(err, ErrRange) {
		return web.Fail(http.StatusNotFound, "translog.error.range")
	}
	return err
}
