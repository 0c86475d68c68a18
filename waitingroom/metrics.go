package waitingroom

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Counters of this replica, by room.
var (
	polls = promauto.NewCounter(prometheus.CounterOpts{
		Name: "waitingroom_polls_total", Help: "Snapshots served.",
	})
	joins = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_joins_total", Help: "Places given out.",
	}, []string{"room"})
	batches = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_join_batches_total", Help: "Redis commands that gave out places.",
	}, []string{"room"})
	enters = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_enters_total", Help: "Answers at the door.",
	}, []string{"room", "verdict"})
	releases = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_releases_total", Help: "Passes given back before their time.",
	}, []string{"room"})
	restores = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_restores_total", Help: "Times this replica rebuilt the line from Postgres.",
	}, []string{"room"})
	troubles = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_troubles_total", Help: "Rounds in which the line could not be reached.",
	}, []string{"room"})
	refusals = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "waitingroom_gate_refusals_total", Help: "Requests without a valid pass.",
	}, []string{"group"})
)
