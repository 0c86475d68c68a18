package waitingroom

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/waitingroom/draw"
)

// drawRow is one attempt of a draw as Postgres has it. All its times are those
// of the world outside: a beacon knows no other.
type drawRow struct {
	draw.Subject
	naming
	seed        [32]byte
	commitment  [32]byte
	committedAt time.Time
	closedAt    *time.Time
	tickets     *int64
	last        *int64
	gaps        [][2]int64
	signature   []byte
	publicKey   []byte
	value       *string
	proof       string
	valueAt     *time.Time
	revealedAt  *time.Time
	failedAt    *time.Time
	failedWhy   string
}

const drawColumns = `d.room_id, d.epoch, d.attempt, d.seed, d.commitment, d.committed_at, d.beacon, d.beacon_name, d.beacon_due, d.chain,
	d.tickets, d.gaps, d.last_index, d.closed_at, d.signature, d.public_key, d.beacon_value, d.beacon_proof, d.beacon_at, d.revealed_at, d.failed_at, d.failed_why`

func scanDraw(row pgx.CollectableRow) (d drawRow, err error) {
	var seed, commitment, chain, gaps []byte
	err = row.Scan(&d.Room, &d.Epoch, &d.Attempt, &seed, &commitment, &d.committedAt, &d.beacon, &d.name, &d.due, &chain,
		&d.tickets, &gaps, &d.last, &d.closedAt, &d.signature, &d.publicKey, &d.value, &d.proof, &d.valueAt, &d.revealedAt, &d.failedAt, &d.failedWhy)
	if err != nil {
		return d, err
	}
	if len(seed) != 32 || len(commitment) != 32 {
		return d, fmt.Errorf("draw of %s, line %d: seed or commitment is not 32 bytes", d.Room, d.Epoch)
	}
	d.seed, d.commitment = [32]byte(seed), [32]byte(commitment)
	if chain != nil {
		if err := json.Unmarshal(chain, &d.chain); err != nil {
			return d, err
		}
	}
	for _, t := range []*time.Time{&d.committedAt, &d.due} {
		*t = t.UTC()
	}
	for _, t := range []*time.Time{d.closedAt, d.valueAt, d.revealedAt, d.failedAt} {
		if t != nil {
			*t = t.UTC()
		}
	}
	return d, json.Unmarshal(gaps, &d.gaps)
}

// closed reports whether it is fixed who takes part.
func (d *drawRow) closed() bool { return d.closedAt != nil }

// statement is what is signed at the close.
func (d *drawRow) statement() draw.Statement {
	return draw.NewStatement(d.Subject, d.commitment, string(d.beacon), d.name, d.due, *d.tickets, *d.last, d.gaps, *d.closedAt)
}

// drawKey is the key of the permutation; the value must be there.
func (d *drawRow) drawKey() [32]byte {
	return draw.Key(d.Subject, d.seed, *d.tickets, *d.last, d.gaps, string(d.beacon), d.name, *d.value)
}

// drawnLine is the draw of one line: the attempts so far, the last one holds.
type drawnLine struct {
	attempts  []drawRow
	published draw.Published
	file      *web.Public // draw.json
}

func (l *drawnLine) now() *drawRow { return &l.attempts[len(l.attempts)-1] }

// newDrawnLine makes what is published of the attempts of one line. Seeds are
// published with the reveal, those of failed attempts too.
func newDrawnLine(rows []drawRow, epochs []int64, own []byte) (*drawnLine, error) {
	l := &drawnLine{attempts: rows}
	last := l.now()
	p := draw.Published{
		Room: last.Room, Epoch: last.Epoch, State: draw.Committed, Trust: draw.TrustFor(string(last.beacon)), Algorithm: draw.Algorithm,
		LateRule: draw.LateRule, Epochs: epochs,
	}
	revealed := last.revealedAt != nil
	switch {
	case revealed:
		p.State = draw.Revealed
		key := last.drawKey()
		p.Draw = &draw.Reveal{Tickets: *last.tickets, LastIndex: *last.last, Gaps: last.gaps, Key: hex.EncodeToString(key[:])}
	case last.closed():
		p.State = draw.Closed
	}
	for i := range rows {
		d := &rows[i]
		a := draw.Attempt{
			Number: d.Attempt, Commitment: hex.EncodeToString(d.commitment[:]), CommittedAt: draw.Stamp(d.committedAt), Beacon: string(d.beacon), Name: d.name,
			Due: d.due, Chain: d.chain, PublicKey: hex.EncodeToString(own), FailedAt: d.failedAt, FailedWhy: d.failedWhy,
		}
		if d.closed() {
			a.Statement, a.Signature, a.PublicKey = string(d.statement().Bytes()), hex.EncodeToString(d.signature), hex.EncodeToString(d.publicKey)
			if d.beacon != LocalBeacon || revealed { // what the portal made itself is no use to anybody before
				a.Value, a.Proof, a.ValueAt = d.value, d.proof, d.valueAt
			}
		}
		if revealed {
			a.Seed, a.RevealedAt = hex.EncodeToString(d.seed[:]), d.revealedAt
			if i == len(rows)-1 {
				a.Key = p.Draw.Key
			}
		}
		p.Attempts = append(p.Attempts, a)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	caches := cacheControl
	if p.State == draw.Revealed {
		caches = "public, max-age=30, stale-if-error=86400"
	}
	l.published, l.file = p, web.NewPublic(fiber.MIMEApplicationJSON, caches, body)
	return l, nil
}

// drawnSet is what a replica knows of the draws of a room.
type drawnSet struct {
	lines  map[int64]*drawnLine // present and planned lines
	epochs []int64              // of all draws there are
}

// line returns the draw of a line, nil when there is none.
func (v *view) drawing(epoch int64) *drawnLine {
	if set := v.drawn.Load(); set != nil {
		return set.lines[epoch]
	}
	return nil
}

// loadLots reads which draws there are, and those of the present and the planned
// lines, and keeps the lot of each room in step with them.
func (s *Service) loadLots(ctx context.Context) error {
	epochs := map[string][]int64{}
	rows, err := s.pool.Query(ctx, `SELECT room_id, array_agg(DISTINCT epoch ORDER BY epoch) FROM waitingroom.draw GROUP BY room_id`)
	if err != nil {
		return fmt.Errorf("draws: %w", err)
	}
	var (
		id   string
		list []int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &list}, func() error {
		epochs[id] = append([]int64(nil), list...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("draws: %w", err)
	}
	rows, err = s.pool.Query(ctx, `
		SELECT `+drawColumns+` FROM waitingroom.draw d JOIN waitingroom.line l ON l.room_id = d.room_id AND d.epoch >= l.epoch
		ORDER BY d.room_id, d.epoch, d.attempt`)
	if err != nil {
		return fmt.Errorf("draws: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanDraw)
	if err != nil {
		return fmt.Errorf("draws: %w", err)
	}
	byRoom := map[string]map[int64][]drawRow{}
	for _, d := range all {
		if byRoom[d.Room] == nil {
			byRoom[d.Room] = map[int64][]drawRow{}
		}
		byRoom[d.Room][d.Epoch] = append(byRoom[d.Room][d.Epoch], d)
	}
	s.draws.known.Store(&epochs)
	for id, v := range s.rooms.Load().views {
		set := &drawnSet{lines: map[int64]*drawnLine{}, epochs: epochs[id]}
		for epoch, attempts := range byRoom[id] {
			if set.lines[epoch], err = newDrawnLine(attempts, set.epochs, s.publicKey()); err != nil {
				return err
			}
		}
		v.drawn.Store(set)
		s.learnLot(v, set)
	}
	return nil
}

// learnLot sets what the engine goes by: the lot, and when the beacon is due.
func (s *Service) learnLot(v *view, set *drawnSet) {
	r := v.known.Load()
	l := set.lines[r.Epoch]
	if l == nil || l.now().revealedAt == nil {
		v.lot.Store(nil)
	} else if d := l.now(); true {
		lot := &draw.Lot{Tickets: *d.tickets, LastIndex: *d.last, Gaps: d.gaps, Key: d.drawKey()}
		if old := v.lot.Load(); old == nil || old.Key != lot.Key { // what was computed of it stays
			v.lot.Store(lot)
		}
	}
	if l == nil {
		l = set.lines[r.Epoch+1]
	}
	if l == nil || l.now().revealedAt != nil || draw.TrustFor(string(l.now().beacon)) == draw.TrustOperator {
		v.due.Store(nil)
		return
	}
	due := s.toRoom(l.now().due).Round(time.Second)
	v.due.Store(&due)
}

func (s *Service) publicKey() []byte { return s.draws.key.Public().(ed25519.PublicKey) }

// drawnPast reads the draw of any line, nil when there is none.
func (s *Service) drawnPast(ctx context.Context, q pg.Querier, roomID string, epoch int64) (*drawnLine, error) {
	rows, err := q.Query(ctx, `SELECT `+drawColumns+` FROM waitingroom.draw d WHERE d.room_id = $1 AND d.epoch = $2 ORDER BY d.attempt`, roomID, epoch)
	if err != nil {
		return nil, err
	}
	attempts, err := pgx.CollectRows(rows, scanDraw)
	if err != nil || len(attempts) == 0 {
		return nil, err
	}
	var epochs []int64
	err = q.QueryRow(ctx, `SELECT array_agg(DISTINCT epoch ORDER BY epoch) FROM waitingroom.draw WHERE room_id = $1`, roomID).Scan(&epochs)
	if err != nil {
		return nil, err
	}
	return newDrawnLine(attempts, epochs, s.publicKey())
}
