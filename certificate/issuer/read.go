package issuer

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/dcc"
	"impfportal/certificate/issuer/brake"
	"impfportal/internal/pg"
)

// listMost is how many issuers one page shows.
const listMost = 200

// Search returns issuers by state ("" = all that have not ended) and by a part of
// the place's name or the entry's id. The id of a certificate finds who issued it, also
// when that has ended.
func Search(ctx context.Context, q pg.Querier, state, text string) ([]Issuer, error) {
	text = strings.TrimSpace(text)
	if uvci, err := dcc.ParseUVCI(text); err == nil {
		text = uvci
	}
	if site := siteOf(text); site != "" {
		return collect(ctx, q, `
			WHERE left(regexp_replace(i.entry_id, '[^A-Z0-9]', '', 'g'), 20) = $1 OR EXISTS (
			    SELECT FROM certificate.certificate c WHERE c.uvci = $2 AND c.issuer_ref = 'issuer:' || i.id)
			ORDER BY i.state = 'ended', i.since DESC, i.id LIMIT $3`, site, strings.ToUpper(text), listMost)
	}
	return collect(ctx, q, `
		WHERE (i.state = $1 OR $1 = '' AND i.state <> 'ended') AND ($2 = '' OR strpos(lower(e.name), lower($2)) > 0 OR strpos(i.entry_id, upper($2)) > 0)
		ORDER BY i.state = 'paused' DESC, i.state = 'proven' DESC, i.since DESC, i.id LIMIT $3`, state, text, listMost)
}

var uvciSite = regexp.MustCompile(`^URN:UVCI:01DE/([A-Z0-9]{1,20})/`)

// siteOf is the place that a certificate's id names, "" for any other text.
func siteOf(text string) string {
	if m := uvciSite.FindStringSubmatch(strings.ToUpper(text)); m != nil {
		return m[1]
	}
	return ""
}

// Ever returns every issuer that was ever activated, also those that ended.
func Ever(ctx context.Context, q pg.Querier) ([]Issuer, error) {
	return collect(ctx, q, `WHERE i.activated_at IS NOT NULL`)
}

// Lang is the language in which the portal writes to the issuer.
func (i Issuer) Lang() string { return i.lang }

// Counts counts issuers by state.
func Counts(ctx context.Context, q pg.Querier) (map[string]int, error) {
	rows, err := q.Query(ctx, `SELECT state, count(*) FROM certificate.issuer GROUP BY state`)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	var state string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error { out[state] = n; return nil })
	return out, err
}

// Alarm is an alarm of an issuer.
type Alarm struct {
	ID        string
	Alarm     string
	Measured  brake.Measure
	At        time.Time
	ClearedAt *time.Time
}

// Alarms lists an issuer's alarms, newest first.
func Alarms(ctx context.Context, q pg.Querier, issuerID string, limit int) ([]Alarm, error) {
	rows, err := q.Query(ctx, `SELECT id::text, alarm, measured, at, cleared_at FROM certificate.issuer_alarm WHERE issuer_id = $1 ORDER BY at DESC LIMIT $2`, issuerID, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Alarm, err error) {
		var m []byte
		if err := row.Scan(&a.ID, &a.Alarm, &m, &a.At, &a.ClearedAt); err != nil {
			return a, err
		}
		return a, json.Unmarshal(m, &a.Measured)
	})
}

// openAlarm returns the alarm that pauses an issuer, nil when none does.
func openAlarm(ctx context.Context, q pg.Querier, issuerID string) (*Alarm, error) {
	list, err := Alarms(ctx, q, issuerID, 20)
	for i := range list {
		if list[i].ClearedAt == nil {
			return &list[i], err
		}
	}
	return nil, err
}

// Pulls lists what came of the last looks at the registry, newest first; changed
// alone leaves those out that found nothing new.
func Pulls(ctx context.Context, q pg.Querier, changed bool, limit int) ([]Pull, error) {
	rows, err := q.Query(ctx, `
		SELECT id::text, at, outcome, problem, bytes, sha256, sequence, issued_at, next_update, entries, added, changed, missing, held, suspended
		  FROM certificate.registry_pull WHERE NOT $1 OR outcome <> 'unchanged' ORDER BY at DESC, id DESC LIMIT $2`, changed, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Pull])
}

// Change is what a list changed of an entry.
type Change struct {
	EntryID       string
	What          string
	Before, After []byte // JSON of the entry; nil = not there
	At            time.Time
}

// Differences lists the fields that differ, as "field: before → after".
func (c Change) Differences() []string {
	var before, after map[string]any
	_ = json.Unmarshal(c.Before, &before) // nil for an entry that was not there
	_ = json.Unmarshal(c.After, &after)
	if before == nil || after == nil {
		return nil
	}
	var out []string
	for _, f := range []string{"name", "street", "postcode", "city", "kind", "licence", "region", "keys", "valid_from", "valid_to"} {
		was, is := fmt.Sprint(before[f]), fmt.Sprint(after[f])
		if f == "keys" && was != is {
			out = append(out, f)
		} else if was != is {
			out = append(out, fmt.Sprintf("%s: %s → %s", f, dash(before[f]), dash(after[f])))
		}
	}
	return out
}

func dash(v any) string {
	if v == nil || v == "" {
		return "–"
	}
	return fmt.Sprint(v)
}

// Changes lists the last changes of the registry, of one entry or of all ("").
func Changes(ctx context.Context, q pg.Querier, entryID string, limit int) ([]Change, error) {
	rows, err := q.Query(ctx, `
		SELECT entry_id, what, before, after, at FROM certificate.registry_change WHERE $1 = '' OR entry_id = $1 ORDER BY at DESC, entry_id LIMIT $2`, entryID, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Change])
}

// Held is what waits for somebody's look: how many entries, and until when.
func Held(ctx context.Context, q pg.Querier) (n int, until *time.Time, err error) {
	err = q.QueryRow(ctx, `SELECT count(*), min(hold_until) FROM certificate.registry_entry WHERE state = 'held'`).Scan(&n, &until)
	return n, until, err
}

// unknownToday is how often ids were tried today that the registry does not know.
func unknownToday(ctx context.Context, q pg.Querier, now time.Time) (n int64, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce(sum(n), 0) FROM certificate.issuer_unknown WHERE day = $1`, today(now)).Scan(&n)
	return n, err
}

// reason is the text of a state's reason: codes that nobody wrote a text for say nothing.
func reason(why string) string {
	if why == "" {
		return "none"
	}
	return why
}
