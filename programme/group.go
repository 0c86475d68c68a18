package programme

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// Kinds of proof. The diagnosis is never asked for or recorded.
const (
	ProofIdentity = "identity" // Personalausweis, Reisepass
	ProofEmployer = "employer" // Bescheinigung des Arbeitgebers
	ProofDoctor   = "doctor"   // ärztliche Bescheinigung
)

// Group is a priority group as it is on a day.
type Group struct {
	Code      string `json:"code"`
	Rank      int    `json:"rank"` // 1 = comes first
	Name      string `json:"name"`
	Proof     string `json:"proof"`      // what to bring along, in words
	ProofKind string `json:"proof_kind"` // ProofIdentity, ProofEmployer, ProofDoctor
	MinAge    int    `json:"min_age"`    // completed years; 0 = none
	Open      bool   `json:"open"`       // may register and book on that day
}

// FitsAge reports whether somebody born on birth is old enough for the group
// on the day of on.
func (g Group) FitsAge(birth, on time.Time) bool { return Age(birth, on) >= g.MinAge }

// GroupsOn returns the groups of a programme as they are on the day of on,
// first rank first.
func GroupsOn(ctx context.Context, q pg.Querier, programmeID string, on time.Time, lang string) ([]Group, error) {
	rows, err := q.Query(ctx, `
		SELECT code, rank, coalesce(name->>$3, name->>'de'), coalesce(proof->>$3, proof->>'de'), proof_kind, min_age, open
		FROM (SELECT DISTINCT ON (code) * FROM programme.priority_group
		      WHERE programme_id = $1 AND valid_from <= $2
		      ORDER BY code, valid_from DESC) g
		ORDER BY rank, min_age DESC, code`, programmeID, clock.Day(on), lang)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Group])
}

// GroupByCode returns one group as it is on the day of on, or ErrNotFound.
func GroupByCode(ctx context.Context, q pg.Querier, programmeID, code string, on time.Time, lang string) (Group, error) {
	groups, err := GroupsOn(ctx, q, programmeID, on, lang)
	if err != nil {
		return Group{}, err
	}
	for _, g := range groups {
		if g.Code == code {
			return g, nil
		}
	}
	return Group{}, ErrNotFound
}

// GroupOpen reports whether a group may register and book on the day of on.
// An unknown group is not open.
func GroupOpen(ctx context.Context, q pg.Querier, programmeID, code string, on time.Time) (bool, error) {
	var open bool
	err := q.QueryRow(ctx, `
		SELECT open FROM programme.priority_group
		WHERE programme_id = $1 AND code = $2 AND valid_from <= $3
		ORDER BY valid_from DESC LIMIT 1`, programmeID, code, clock.Day(on)).Scan(&open)
	if pg.NoRows(err) {
		return false, nil
	}
	return open, err
}
