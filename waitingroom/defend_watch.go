package waitingroom

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"impfportal/audit"
	"impfportal/internal/pg"
	"impfportal/waitingroom/defence"
)

// Counters of this replica, by room.
var (
	joinStandings = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_join_standings_total",
		Help: "Requests for a new place: free, proven, challenged (sent for a proof), behind (place behind the line), limited (429).",
	}, []string{"room", "standing"})
	challengeOutcomes = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_challenges_total", Help: "Proofs of work: issued, limited; and presented: solved, wrong, expired, used, foreign.",
	}, []string{"room", "outcome"})
	machinesNow = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "waitingroom_machines", Help: "1 while the verdict on a room says machines.",
	}, []string{"room"})
	challengedNow = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "waitingroom_challenged", Help: "1 while newcomers of a room must prove work.",
	}, []string{"room"})
)

// watchRoom is watchArrivals for one room. While Redis cannot be reached, what
// was known last holds, and each replica limits by itself.
func (s *Service) watchRoom(ctx context.Context, v *view) error {
	d, now := s.defence(v), s.roomNow()
	seen, err := d.watch.Exchange(ctx, now)
	if err != nil {
		return err
	}
	verdict := defence.Judge(seen.Signals)
	var before defence.Held
	if old := d.seen.Load(); old != nil {
		before = old.Held
	}
	remembered := before.On && now.Sub(before.Last) < defence.Hold
	switch {
	case verdict.Machines:
		keep := defence.Held{Began: now, Last: now, Reasons: found(verdict.Reasons)}
		if remembered {
			keep.Began = before.Began // counts only when Redis has lost it
		}
		seen.Held, err = d.watch.Keep(ctx, keep, now)
	case remembered && !seen.Held.On: // lost with Redis
		seen.Held, err = d.watch.Keep(ctx, before, now)
	}
	if err != nil {
		return err
	}
	d.seen.Store(&defenceSeen{seen, verdict})
	machinesNow.WithLabelValues(v.id).Set(oneIf(seen.Held.On))
	challengedNow.WithLabelValues(v.id).Set(oneIf(s.challengeNow(v)))
	return s.noteVerdict(ctx, v, d, seen)
}

func found(reasons []defence.Reason) (out []defence.Reason) {
	for _, r := range reasons {
		if r.Found {
			out = append(out, r)
		}
	}
	return out
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// noteVerdict writes down that the verdict has been switched, with its reasons
// and the audit entry: one replica does, the others find it done.
func (s *Service) noteVerdict(ctx context.Context, v *view, d *roomDefence, seen defence.Seen) error {
	var began time.Time
	if seen.Held.On {
		began = seen.Held.Began
	}
	if d.looked && began.Equal(d.noted) {
		return nil
	}
	// Which earlier one may have to be ended: what this replica has seen begin,
	// or, after its start, what cannot be young any more.
	until := d.noted
	if !d.looked {
		until = seen.At.Add(-defence.Hold)
	}
	err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE waitingroom.alarm SET ended_at = greatest(began_at, $3) WHERE room_id = $1 AND ended_at IS NULL AND began_at <= $2 AND began_at <> $4`,
			v.id, until, seen.At, began)
		if err != nil {
			return err
		}
		if tag.RowsAffected() > 0 {
			s.log.Info("arrivals look like people again", "room", v.id)
			err := audit.Write(ctx, tx, s.now(), audit.Entry{Actor: "system", Action: "waitingroom.defence.people", Subject: "room:" + v.id})
			if err != nil {
				return err
			}
		}
		if began.IsZero() {
			return nil
		}
		reasons, err := json.Marshal(seen.Held.Reasons)
		if err != nil {
			return err
		}
		tag, err = tx.Exec(ctx, `INSERT INTO waitingroom.alarm (room_id, began_at, reasons) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, v.id, began, reasons)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		s.log.Warn("arrivals look like machines", "room", v.id, "reasons", string(reasons))
		return audit.Write(ctx, tx, s.now(), audit.Entry{
			Actor: "system", Action: "waitingroom.defence.machines", Subject: "room:" + v.id, After: seen.Held.Reasons,
		})
	})
	if err == nil {
		d.looked, d.noted = true, began
	}
	return err
}
