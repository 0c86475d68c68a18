package revocation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"
)

// MaxEntries is how many hashes a batch holds at most (EU gateway).
const MaxEntries = 1000

// country is who revokes.
const country = "DE"

// Batch is a revocation batch in the JSON of the EU gateway.
type Batch struct {
	Country  string    `json:"country"`
	Expires  time.Time `json:"expires"`
	KID      []byte    `json:"kid"` // base64
	HashType HashType  `json:"hashType"`
	Entries  []Hash    `json:"entries"`
}

// Hash is one entry: 16 bytes, base64.
type Hash struct {
	Hash []byte `json:"hash"`
}

// Publisher makes the batches.
type Publisher struct {
	Pool   *pgxpool.Pool
	Now    clock.Clock
	Signer *Signer // nil where this process only serves what others made
}

// publishLock keeps publishers of several workers apart.
const publishLock = 0x7265766f // "revo"

// Publish puts every revocation that is in no batch into one: one batch by key
// id and kind of hash, of at most MaxEntries. Expired ones are left out. It
// returns how many batches it made; another run of it meanwhile makes none twice.
func (p *Publisher) Publish(ctx context.Context) (made int, err error) {
	for {
		n := 0
		err := pg.InTx(ctx, p.Pool, func(tx pgx.Tx) (err error) {
			n, err = p.publishSome(ctx, tx)
			return err
		})
		if err != nil {
			return made, fmt.Errorf("publish revocations: %w", err)
		}
		if made += n; n == 0 {
			return made, nil
		}
	}
}

func (p *Publisher) publishSome(ctx context.Context, tx pgx.Tx) (made int, err error) {
	var mine bool
	if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, publishLock).Scan(&mine); err != nil || !mine {
		return 0, err
	}
	for _, t := range []HashType{TypeSignature, TypeUCI} {
		var kid []byte
		err := tx.QueryRow(ctx, `
			SELECT r.kid FROM certificate.revocation r
			WHERE r.expires_at > $1 AND (r.r_hash IS NOT NULL OR $2 <> 'SIGNATURE')
			  AND NOT EXISTS (SELECT FROM certificate.revocation_entry e WHERE e.revocation_id = r.id AND e.hash_type = $2)
			ORDER BY r.revoked_at, r.id LIMIT 1`, p.Now(), t).Scan(&kid)
		if pg.NoRows(err) {
			continue
		}
		if err != nil {
			return made, err
		}
		if err := p.batch(ctx, tx, t, kid); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

// batch makes the next batch of a key id.
func (p *Publisher) batch(ctx context.Context, tx pgx.Tx, t HashType, kid []byte) error {
	now := p.Now()
	rows, err := tx.Query(ctx, `
		SELECT r.id::text, r.uvci, r.r_hash, r.expires_at FROM certificate.revocation r
		WHERE r.kid = $3 AND r.expires_at > $1 AND (r.r_hash IS NOT NULL OR $2 <> 'SIGNATURE')
		  AND NOT EXISTS (SELECT FROM certificate.revocation_entry e WHERE e.revocation_id = r.id AND e.hash_type = $2)
		ORDER BY r.revoked_at, r.id LIMIT $4`, now, t, kid, MaxEntries)
	if err != nil {
		return err
	}
	type open struct {
		ID, UVCI string
		R        []byte
		Expires  time.Time
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[open])
	if err != nil {
		return err
	}
	b := Batch{Country: country, KID: kid, HashType: t}
	ids := make([]string, len(list))
	for i, r := range list {
		ids[i] = r.ID
		h := r.R
		if t == TypeUCI {
			h = UCIHash(r.UVCI)
		}
		b.Entries = append(b.Entries, Hash{h})
		if e := r.Expires.UTC().Truncate(time.Second); e.After(b.Expires) {
			b.Expires = e
		}
	}
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	cms, err := p.Signer.sign(body)
	if err != nil {
		return err
	}
	batchID := id.New()
	if _, err := tx.Exec(ctx, `
		INSERT INTO certificate.revocation_batch (id, kid, hash_type, entries, expires_at, body, cms, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		batchID, kid, t, len(list), b.Expires, body, cms, now); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO certificate.revocation_entry (revocation_id, hash_type, batch_id) SELECT unnest($1::uuid[]), $2, $3`, ids, t, batchID)
	return err
}

// Listed is a batch in the index.
type Listed struct {
	ID       string    `json:"batchId"`
	Country  string    `json:"country"`
	Date     time.Time `json:"date"` // when it was made
	KID      []byte    `json:"kid"`
	HashType HashType  `json:"hashType"`
	Entries  int       `json:"entries"`
	Expires  time.Time `json:"expires"`
}

// Index lists the batches that count, oldest first.
func (p *Publisher) Index(ctx context.Context) ([]Listed, error) {
	rows, err := p.Pool.Query(ctx, `
		SELECT id::text, $2, made_at, kid, hash_type, entries, expires_at FROM certificate.revocation_batch WHERE expires_at > $1 ORDER BY made_at, id`, p.Now(), country)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Listed])
}
