package waitingroom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// ceilingBlock is how many numbers Postgres allows ahead. Numbers that are lost
// with Redis are jumped over, so the size costs nobody a place. Numbers behind
// the line are jumped over one by one, so there are fewer of them ahead.
const (
	ceilingBlock       = 100_000
	behindCeilingBlock = 1_000
)

// rebuiltWithin is how long a replica that finds the room rebuilt in Postgres
// waits for the other one to put it into Redis, too.
const rebuiltWithin = 1500 * time.Millisecond

// restorePatience is how long a request waits for a rebuild.
const restorePatience = 3 * time.Second

// restore rebuilds the state of a room in Redis from Postgres under the next
// generation, for a caller who has found that of generation missing or behind.
// It does nothing when this or another replica has done so meanwhile.
func (s *Service) restore(ctx context.Context, v *view, generation int64) error {
	ctx, cancel := context.WithTimeout(ctx, restorePatience)
	defer cancel()
	for !v.restoring.TryLock() { // hundreds of requests may find it at once
		if v.known.Load().Generation > generation {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	defer v.restoring.Unlock()
	if v.known.Load().Generation > generation {
		return nil // the caller looks again
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	for {
		for until := time.Now().Add(rebuiltWithin); v.known.Load().Generation > generation && time.Now().Before(until); {
			r, known := v.knownAndSeen()
			if done, err := s.standing(ctx, v, r.Generation, known); err != nil || done {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := s.rebuild(ctx, v, v.known.Load().Generation); !errors.Is(err, errRebuilt) || ctx.Err() != nil {
			return err
		}
	}
}

// errRebuilt says that another replica has rebuilt the line in Postgres while
// this one waited for the row, and is about to put it into Redis.
var errRebuilt = errors.New("waitingroom: rebuilt elsewhere")

// rebuild does it, for a state of generation that is missing or behind. It
// returns errRebuilt when Postgres knows a later one.
//
// The update of the line's row waits for every admission that is just being
// written under the old generation, and none can be written under it
// afterwards; so the passes read here are all there are.
func (s *Service) rebuild(ctx context.Context, v *view, generation int64) error {
	var (
		r                     Room
		known                 seen
		issued                int64
		serving               int64
		ceiling               int64
		gaps                  []Gap
		behind, behindServing int64
		done                  bool
		recent                bool
		admitted              int64
		inside                []any // member, end, member, end ...
	)
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if r, err = readRoom(ctx, tx, v.id, lockLine); err != nil {
			return err
		}
		v.learn(r)
		if r.Generation > generation {
			return errRebuilt
		}
		_, known = v.knownAndSeen()
		if done, err = s.standing(ctx, v, r.Generation, known); err != nil || done {
			return err
		}

		var raw []byte
		err = tx.QueryRow(ctx, `SELECT ceiling, issued, serving, gaps, behind_ceiling, behind_serving FROM waitingroom.line WHERE room_id = $1`, v.id).
			Scan(&ceiling, &issued, &serving, &raw, &behind, &behindServing)
		if err != nil {
			return err
		}
		if gaps, err = unmarshalGaps(raw); err != nil {
			return err
		}
		now := s.roomNow()
		var furthest int64 // nobody comes in who was not invited
		err = tx.QueryRow(ctx, `
			SELECT count(*), coalesce(max(entered_at) > $3, false), coalesce(max(ticket_index) FILTER (WHERE cohort = 0), 0)
			FROM waitingroom.pass WHERE room_id = $1 AND epoch = $2`,
			v.id, r.Epoch, now.Add(-time.Minute)).Scan(&admitted, &recent, &furthest)
		if err != nil {
			return err
		}
		serving = max(serving, furthest)
		if f := v.line.Load(); f != nil && f.epoch == r.Epoch {
			serving = max(serving, f.Serving)
		}
		gaps, issued = afterLoss(gaps, serving, max(issued, known.issued), ceiling)
		if raw, err = marshalGaps(gaps); err != nil {
			return err
		}
		r.Generation++
		ceiling += ceilingBlock
		_, err = tx.Exec(ctx, `UPDATE waitingroom.line SET generation = $2, ceiling = $3, issued = $4, serving = $5, gaps = $6 WHERE room_id = $1`,
			v.id, r.Generation, ceiling, issued, serving, raw)
		if err != nil {
			return err
		}

		passes, err := tx.Query(ctx, `
			SELECT epoch, cohort, ticket_index, expires_at FROM waitingroom.pass
			WHERE room_id = $1 AND released_at IS NULL AND expires_at > $2`, v.id, now)
		if err != nil {
			return err
		}
		var (
			p    Place
			over time.Time
		)
		_, err = pgx.ForEachRow(passes, []any{&p.Epoch, &p.Cohort, &p.Index, &over}, func() error {
			inside = append(inside, p.member(), over.UnixMicro())
			return nil
		})
		return err
	})
	if err != nil || done {
		return err
	}
	full := 1
	if recent {
		full = 0 // whoever came in during the last minute counts against the rate
	}
	// Whoever was invited during the last moments still comes in time.
	lately := int64(r.Rate) / 2
	args := append([]any{
		r.Generation, r.Version, s.offset(), issued, ceiling, serving, formatGaps(gaps), full, admitted, behind, behindServing, lately, firstDelay,
	}, inside...)
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := restoreScript.Run(ctx, s.rdb, append(v.lineKeys(), v.usedKey(r.Epoch, CohortLive)), args...).Err(); err != nil {
		return err
	}
	v.learn(r)
	restores.WithLabelValues(v.id).Inc()
	s.log.Warn("line rebuilt from Postgres", "room", v.id, "generation", r.Generation, "epoch", r.Epoch, "issued", issued, "serving", serving, "inside", len(inside)/2)
	return nil
}

// standing reports whether Redis holds a state of generation that is not an old
// copy: on the server that it was built on, and not behind what was seen of it.
func (s *Service) standing(ctx context.Context, v *view, generation int64, known seen) (bool, error) {
	have, err := s.run(ctx, lookScript, v.stateKeys(), nil)
	if err != nil {
		return false, err
	}
	return num(have, 2) == 1 && num(have, 0) == generation && num(have, 1) >= known.changes, nil
}

// afterLoss returns the gaps and the highest number given out of a line that
// goes on above its ceiling: what lies between the last number known and the
// ceiling is a gap, and gaps that the line has passed are dropped.
func afterLoss(gaps []Gap, serving, known, ceiling int64) (left []Gap, issued int64) {
	for _, g := range gaps {
		if g.Last > serving {
			left = append(left, g)
		}
	}
	first := max(known, serving) + 1
	switch n := len(left); {
	case first > ceiling:
	case n > 0 && left[n-1].Last+1 >= first: // lost twice with nobody coming in between
		left[n-1].Last = ceiling
	default:
		left = append(left, Gap{first, ceiling})
	}
	return left, ceiling
}

func marshalGaps(gaps []Gap) ([]byte, error) {
	pairs := make([][2]int64, len(gaps))
	for i, g := range gaps {
		pairs[i] = [2]int64{g.First, g.Last}
	}
	return json.Marshal(pairs)
}

func unmarshalGaps(raw []byte) ([]Gap, error) {
	var pairs [][2]int64
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return nil, fmt.Errorf("gaps: %w", err)
	}
	gaps := make([]Gap, len(pairs))
	for i, p := range pairs {
		gaps[i] = Gap{p[0], p[1]}
	}
	return gaps, nil
}

// checkpoint writes how far the line is; only what has grown is written.
func (s *Service) checkpoint(ctx context.Context, v *view, f Figures) error {
	r, _ := v.knownAndSeen()
	_, err := s.pool.Exec(ctx, `
		UPDATE waitingroom.line SET issued = greatest(issued, $3), serving = greatest(serving, $4), behind_serving = greatest(behind_serving, $5)
		WHERE room_id = $1 AND generation = $2 AND (issued < $3 OR serving < $4 OR behind_serving < $5)
			AND ceiling >= greatest($3, $4) AND behind_ceiling >= $5`,
		v.id, r.Generation, f.Issued, f.Serving, f.behindServing)
	return err
}

// raise allows numbers beyond want: first in Postgres, then in Redis.
func (s *Service) raise(ctx context.Context, v *view, lane Lane, want int64) error {
	column, block := "ceiling", int64(ceilingBlock)
	if lane == Behind {
		column, block = "behind_ceiling", behindCeilingBlock
	}
	r, _ := v.knownAndSeen()
	var ceiling int64
	err := s.pool.QueryRow(ctx, `
		UPDATE waitingroom.line SET `+column+` = greatest(`+column+`, $3) WHERE room_id = $1 AND generation = $2 RETURNING `+column,
		v.id, r.Generation, want+block).Scan(&ceiling)
	if pg.NoRows(err) {
		return s.load(ctx) // another generation: the caller tries again with it
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	_, _, err = s.eval(ctx, v, call{
		script: raiseScript,
		keys:   func(Room) []string { return v.stateKeys() },
		args:   func(Room) []any { return []any{ceiling, string(lane)} },
	})
	return err
}
