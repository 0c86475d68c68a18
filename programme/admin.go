package programme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/pg"
)

// ErrInvalid: figures or words that make no sense.
var ErrInvalid = errors.New("programme: invalid")

// By is who changes something, for the audit.
type By struct {
	Actor string // "staff:<id>", "system"
	Role  string
}

// SeriesRule is a Series with its date.
type SeriesRule struct {
	ProductID string
	ValidFrom time.Time
	Series
	SetBy string
	SetAt time.Time
}

// SeriesRules returns all series rules of a programme by product, newest first.
func SeriesRules(ctx context.Context, q pg.Querier, programmeID string) ([]SeriesRule, error) {
	rows, err := q.Query(ctx, `
		SELECT r.product_id, r.valid_from, r.doses, r.min_days, CASE WHEN r.doses = 1 THEN 0 ELSE coalesce(r.max_days, $2::int) END, r.plan_days, r.may_waive, r.set_by, r.set_at
		FROM programme.series_rule r JOIN programme.product p ON p.id = r.product_id
		WHERE p.programme_id = $1 ORDER BY p.position, r.product_id, r.valid_from DESC`, programmeID, NoUpperLimit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (SeriesRule, error) {
		var r SeriesRule
		err := row.Scan(&r.ProductID, &r.ValidFrom, &r.Doses, &r.MinDays, &r.MaxDays, &r.PlanDays, &r.MayWaive, &r.SetBy, &r.SetAt)
		return r, err
	})
}

// SetSeries sets the series of a product from the day of from on. MaxDays 0 or
// NoUpperLimit means no greatest distance. Appointments that are booked stay as
// they are. ErrNotFound, ErrInvalid.
func SetSeries(ctx context.Context, tx pgx.Tx, now time.Time, productID string, from time.Time, s Series, by By) error {
	if _, err := ProductByID(ctx, tx, productID); err != nil {
		return err
	}
	// The table says the same; its columns could not even take larger figures.
	if s.Doses < 1 || s.Doses > 9 || s.MinDays < 0 || s.MinDays > 3650 || s.PlanDays < 0 || s.PlanDays > 3650 ||
		s.MaxDays < 0 || (s.MaxDays > 3650 && s.MaxDays != NoUpperLimit) {
		return fmt.Errorf("%w: series", ErrInvalid)
	}
	var before any
	if old, err := SeriesFor(ctx, tx, productID, from); err == nil {
		before = old
	} else if !errors.Is(err, ErrNoRule) {
		return err
	}
	var maxDays *int
	if s.Doses == 1 {
		s.MinDays, s.MaxDays, s.PlanDays, s.MayWaive = 0, 0, 0, false
	} else if s.MaxDays != 0 && s.MaxDays != NoUpperLimit {
		maxDays = &s.MaxDays
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO programme.series_rule (product_id, valid_from, doses, min_days, max_days, plan_days, may_waive, set_by, set_at)
		VALUES ($1, $2, $3, $4, $5, $6, $9, $7, $8)
		ON CONFLICT (product_id, valid_from) DO UPDATE SET doses = excluded.doses, min_days = excluded.min_days, max_days = excluded.max_days,
			plan_days = excluded.plan_days, may_waive = excluded.may_waive, set_by = excluded.set_by, set_at = excluded.set_at`,
		productID, clock.Day(from), s.Doses, s.MinDays, maxDays, s.PlanDays, by.Actor, now, s.MayWaive)
	if pg.Violates(err, "series_days") || pg.Violates(err, "series_doses") {
		return fmt.Errorf("%w: series", ErrInvalid)
	}
	if err != nil {
		return err
	}
	if err := SeriesChanged.Enqueue(ctx, tx, SeriesChangedPayload{ProductID: productID}); err != nil {
		return err
	}
	return record(ctx, tx, now, by, "programme.series", "product:"+productID, from, before, s)
}

// AgeRule says from which to which age (completed years, both included) a
// product may be given from a day on.
type AgeRule struct {
	ProductID string    `json:"product_id"`
	ValidFrom time.Time `json:"valid_from"`
	MinAge    int       `json:"min_age"`
	MaxAge    int       `json:"max_age"` // 0 = no limit
	Allowed   bool      `json:"allowed"` // false: not given any more
	SetBy     string    `json:"set_by"`
	SetAt     time.Time `json:"set_at"`
}

// AgeRules returns all age rules of a programme by product, newest first.
func AgeRules(ctx context.Context, q pg.Querier, programmeID string) ([]AgeRule, error) {
	rows, err := q.Query(ctx, `
		SELECT r.product_id, r.valid_from, r.min_age, coalesce(r.max_age, 0), r.allowed, r.set_by, r.set_at
		FROM programme.age_rule r JOIN programme.product p ON p.id = r.product_id
		WHERE p.programme_id = $1 ORDER BY p.position, r.product_id, r.valid_from DESC`, programmeID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[AgeRule])
}

// SetAgeRule sets the ages of a product from the day of r.ValidFrom on.
// ErrNotFound, ErrInvalid.
func SetAgeRule(ctx context.Context, tx pgx.Tx, now time.Time, r AgeRule, by By) error {
	p, err := ProductByID(ctx, tx, r.ProductID)
	if err != nil {
		return err
	}
	if r.MinAge < 0 || r.MinAge > 120 || r.MaxAge < 0 || r.MaxAge > 130 {
		return fmt.Errorf("%w: age", ErrInvalid)
	}
	rules, err := AgeRules(ctx, tx, p.ProgrammeID)
	if err != nil {
		return err
	}
	var before any
	if i := slices.IndexFunc(rules, func(o AgeRule) bool {
		return o.ProductID == r.ProductID && !o.ValidFrom.After(clock.Day(r.ValidFrom))
	}); i >= 0 {
		before = rules[i]
	}
	var maxAge *int
	if r.MaxAge != 0 {
		maxAge = &r.MaxAge
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO programme.age_rule (product_id, valid_from, min_age, max_age, allowed, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (product_id, valid_from) DO UPDATE SET min_age = excluded.min_age, max_age = excluded.max_age,
			allowed = excluded.allowed, set_by = excluded.set_by, set_at = excluded.set_at`,
		r.ProductID, clock.Day(r.ValidFrom), r.MinAge, maxAge, r.Allowed, by.Actor, now)
	if pg.Violates(err, "age_min") || pg.Violates(err, "age_max") {
		return fmt.Errorf("%w: age", ErrInvalid)
	}
	if err != nil {
		return err
	}
	r.SetBy, r.SetAt = by.Actor, now
	return record(ctx, tx, now, by, "programme.age", "product:"+r.ProductID, r.ValidFrom, before, r)
}

// GroupRule is a group as it is from a day on, in all languages.
type GroupRule struct {
	ProgrammeID string            `json:"programme_id"`
	Code        string            `json:"code"`
	ValidFrom   time.Time         `json:"valid_from"`
	Rank        int               `json:"rank"`
	Name        map[string]string `json:"name"`  // by language; "de" is needed
	Proof       map[string]string `json:"proof"` // by language; "de" is needed
	ProofKind   string            `json:"proof_kind"`
	MinAge      int               `json:"min_age"`
	Open        bool              `json:"open"`
	SetBy       string            `json:"set_by"`
	SetAt       time.Time         `json:"set_at"`
}

const groupColumns = `programme_id, code, valid_from, rank, name, proof, proof_kind, min_age, open, set_by, set_at`

// GroupRules returns every row of every group of a programme: by rank and code,
// newest first.
func GroupRules(ctx context.Context, q pg.Querier, programmeID string) ([]GroupRule, error) {
	rows, err := q.Query(ctx, `SELECT `+groupColumns+` FROM programme.priority_group WHERE programme_id = $1 ORDER BY rank, code, valid_from DESC`, programmeID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[GroupRule])
}

// GroupRuleOn returns the row of a group in force on the day of on, or ErrNotFound.
func GroupRuleOn(ctx context.Context, q pg.Querier, programmeID, code string, on time.Time) (GroupRule, error) {
	rows, err := q.Query(ctx, `SELECT `+groupColumns+` FROM programme.priority_group
		WHERE programme_id = $1 AND code = $2 AND valid_from <= $3 ORDER BY valid_from DESC LIMIT 1`, programmeID, code, clock.Day(on))
	if err != nil {
		return GroupRule{}, err
	}
	g, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[GroupRule])
	if pg.NoRows(err) {
		return g, ErrNotFound
	}
	return g, err
}

// SetGroup sets how a group is from the day of g.ValidFrom on: opens or closes
// it, renames it, or adds a new one. ErrNotFound (programme), ErrInvalid.
func SetGroup(ctx context.Context, tx pgx.Tx, now time.Time, g GroupRule, by By) error {
	if _, err := ProgrammeByID(ctx, tx, g.ProgrammeID, "de"); err != nil {
		return err
	}
	if g.Rank < 1 || g.Rank > 99 || g.MinAge < 0 || g.MinAge > 120 {
		return fmt.Errorf("%w: rank or age", ErrInvalid)
	}
	for _, words := range []map[string]string{g.Name, g.Proof} {
		if words["de"] == "" {
			return fmt.Errorf("%w: German words", ErrInvalid)
		}
		for _, w := range words {
			if len([]rune(w)) > 300 {
				return fmt.Errorf("%w: words too long", ErrInvalid)
			}
		}
	}
	var before any
	old, err := GroupRuleOn(ctx, tx, g.ProgrammeID, g.Code, g.ValidFrom)
	if err == nil {
		before = old
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	g.ValidFrom, g.SetBy, g.SetAt = clock.Day(g.ValidFrom), by.Actor, now
	_, err = tx.Exec(ctx, `
		INSERT INTO programme.priority_group (`+groupColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (programme_id, code, valid_from) DO UPDATE SET rank = excluded.rank, name = excluded.name, proof = excluded.proof,
			proof_kind = excluded.proof_kind, min_age = excluded.min_age, open = excluded.open, set_by = excluded.set_by, set_at = excluded.set_at`,
		g.ProgrammeID, g.Code, g.ValidFrom, g.Rank, g.Name, g.Proof, g.ProofKind, g.MinAge, g.Open, g.SetBy, g.SetAt)
	for _, c := range []string{"group_code", "group_rank", "group_proof_kind", "group_min_age"} {
		if pg.Violates(err, c) {
			return fmt.Errorf("%w: %s", ErrInvalid, c)
		}
	}
	if err != nil {
		return err
	}
	return record(ctx, tx, now, by, "programme.group", "group:"+g.ProgrammeID+"/"+g.Code, g.ValidFrom, before, g)
}

// SetText replaces a text in one language. An empty body of TextNotice takes
// the notice away; the others need words. ErrNotFound, ErrInvalid.
func SetText(ctx context.Context, tx pgx.Tx, now time.Time, key, lang, title, markdown string, by By) error {
	if !slices.Contains(TextKeys(), key) || !slices.Contains(Languages(), lang) {
		return ErrNotFound
	}
	if title == "" || len([]rune(title)) > 200 || len(markdown) > 100_000 || (markdown == "" && key != TextNotice) {
		return fmt.Errorf("%w: text", ErrInvalid)
	}
	old, err := Text(ctx, tx, key, lang)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO programme.text (key, lang, title, body, set_by, set_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (key, lang) DO UPDATE SET title = excluded.title, body = excluded.body, set_by = excluded.set_by, set_at = excluded.set_at`,
		key, lang, title, markdown, by.Actor, now)
	if err != nil {
		return err
	}
	type words struct {
		Title string `json:"title"`
		Body  string `json:"body"`
	}
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: "programme.text", Subject: "text:" + key + "/" + lang,
		Before: words{old.Title, old.Markdown}, After: words{title, markdown},
	})
}

func record(ctx context.Context, tx pgx.Tx, now time.Time, by By, action, subject string, from time.Time, before, after any) error {
	return audit.Write(ctx, tx, now, audit.Entry{
		Actor: by.Actor, Role: by.Role, Action: action, Subject: subject,
		Before: before, After: map[string]any{"valid_from": clock.Day(from).Format(time.DateOnly), "rule": after},
	})
}
