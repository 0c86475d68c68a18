package translog

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
)

// ErrOther says that the reference, or what was signed, has a leaf already that
// says something else.
var ErrOther = errors.New("translog: there is another leaf for it")

// Config is what a Log needs.
type Config struct {
	Pool  *pgxpool.Pool
	Vault *vault.Vault // keys the pseudonyms
	Now   clock.Clock
	// Key signs the checkpoints; a process without the private key reads only.
	Key *Key
	// Witness is the path of the witness file, outside the database and, in
	// production, on a disk that the database's administrators do not reach. Needed
	// where Sequence is called.
	Witness string
	// OnSequenced is called with the references of leaves that are in the log, under
	// a checkpoint that the witness file has: each leaf once, in the transaction
	// that remembers it. An error rolls both back, and it is called again.
	OnSequenced func(ctx context.Context, tx pgx.Tx, refs []string) error
	// Read verifies the text of a certificate (HC1) with this portal's own keys and
	// returns the digest of what was signed; an error says that it is none of ours.
	Read func(text string) (digest []byte, err error)
	Log  *slog.Logger
}

// Log is the transparency log.
type Log struct {
	Config
	witness *witness
}

// New makes the log. It reads nothing yet.
func New(cfg Config) *Log {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Log{Config: cfg, witness: &witness{path: cfg.Witness, key: cfg.Key.Verifier()}}
}

// Pseudonym names an issuer or an operator in the log: keyed, always the same,
// and of no use to who does not have the portal's secret. domain keeps issuers
// and operators apart. "" stays "".
func (l *Log) Pseudonym(domain, id string) string {
	if id == "" {
		return ""
	}
	return hex.EncodeToString(l.Vault.MAC("log pseudonym "+domain, []byte(id))[:16])
}

// Append writes a leaf into the transaction of the fact that it proves; it gets
// its place in the log within about a quarter of a second after the commit. ref
// names the fact ("certificate:<id>"); appending it again is no error and no
// second leaf. It returns ErrLeaf for a malformed one, and ErrOther when ref has
// a leaf of another kind or digest, or when what was signed (certificate,
// reissue) has a leaf under another reference.
func (l *Log) Append(ctx context.Context, tx pgx.Tx, ref string, leaf Leaf) error {
	data, err := leaf.Encode()
	if err != nil {
		return err
	}
	if ref == "" {
		return fmt.Errorf("%w: no reference", ErrLeaf)
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO certificate.log_leaf (ref, kind, digest, day, data, queued_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, ref, leaf.Kind, digestOrNull(leaf.Digest), leaf.Day, data, l.Now())
	if err != nil {
		return fmt.Errorf("log %s: %w", ref, err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	var kind string
	var digest []byte
	err = tx.QueryRow(ctx, `SELECT kind, digest FROM certificate.log_leaf WHERE ref = $1`, ref).Scan(&kind, &digest)
	if err != nil && !pg.NoRows(err) {
		return fmt.Errorf("log %s: %w", ref, err)
	}
	if err != nil || kind != leaf.Kind || !bytes.Equal(digest, leaf.Digest) {
		return fmt.Errorf("%w: %s", ErrOther, ref)
	}
	return nil
}

// digestOrNull stores a leaf without digest as NULL, so that the index of the
// signed ones never sees it.
func digestOrNull(digest []byte) any {
	if len(digest) == 0 {
		return nil
	}
	return digest
}
