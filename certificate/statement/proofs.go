package statement

import (
	"context"
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"impfportal/certificate/translog"
)

// Proofs prove that every line of a statement stands in the log, against the
// checkpoint of the month's end. 'drill verify-log --proofs' checks them.
type Proofs struct {
	Statement  string   `json:"statement" doc:"number of the statement"`
	Checkpoint string   `json:"checkpoint" doc:"signed note (C2SP tlog-checkpoint) of the month's end"`
	Key        string   `json:"key" doc:"public key of the log (C2SP signed-note)"`
	Leaves     []Proved `json:"leaves"`
}

// Proved is a leaf with its proof.
type Proved struct {
	Index int64       `json:"index"`
	Leaf  string      `json:"leaf" doc:"the text that is hashed: SHA-256(0x00 || leaf)"`
	Proof []tlog.Hash `json:"proof" doc:"audit path to the root of the checkpoint (RFC 6962, 2.1.1)"`
}

// Proofs proves the lines of a statement.
func (s *Service) Proofs(ctx context.Context, st Statement) (p Proofs, err error) {
	m, err := s.month(ctx, st)
	if err != nil {
		return p, err
	}
	lines, err := s.Lines(ctx, st)
	if err != nil {
		return p, err
	}
	indexes := make([]int64, len(lines))
	for i, l := range lines {
		indexes[i] = l.Index
	}
	entries, err := translog.At(ctx, s.Pool, indexes)
	if err != nil {
		return p, err
	}
	if len(entries) != len(lines) {
		return p, ErrChanged
	}
	proofs, err := translog.Inclusions(ctx, s.Pool, indexes, m.Size)
	if err != nil {
		return p, err
	}
	p = Proofs{Statement: st.No(), Checkpoint: string(m.Note), Key: s.Log.Key.Public, Leaves: make([]Proved, len(lines))}
	for i, e := range entries {
		p.Leaves[i] = Proved{Index: e.Index, Leaf: string(e.Data), Proof: proofs[i]}
	}
	return p, nil
}

// CSV returns the statement's lines as a file, or ErrChanged when they are not
// those that its hash names.
func (s *Service) CSV(ctx context.Context, st Statement) ([]byte, error) {
	lines, err := s.Lines(ctx, st)
	if err != nil {
		return nil, err
	}
	body := CSV(st, lines)
	if sum := sha256.Sum256(body); string(sum[:]) != string(st.CSVSHA256) {
		return nil, ErrChanged
	}
	return body, nil
}

// PDF returns the statement as it was made, or ErrChanged.
func (s *Service) PDF(ctx context.Context, st Statement) (body []byte, err error) {
	if err := s.Pool.QueryRow(ctx, `SELECT pdf FROM certificate.statement WHERE id = $1`, st.ID).Scan(&body); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(body); string(sum[:]) != string(st.PDFSHA256) {
		return nil, ErrChanged
	}
	return body, nil
}
