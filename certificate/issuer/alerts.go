package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/certificate/issuer/brake"
	"impfportal/internal/web"
	"impfportal/staff/alert"
)

// The registry is not reachable now and then; that is said when it lasts.
const unreachableAfter = time.Hour

// alertsMost bounds what is listed: after so many, one look finds the rest.
const alertsMost = 200

// Alerts tells administrators of issuers that an alarm pauses, and of a registry that
// is not as it should be.
func (s *Service) Alerts() alert.Source {
	return alert.Source{Name: "issuer", Open: func(ctx context.Context, now time.Time) ([]alert.Event, error) {
		paused, err := s.pausedAlerts(ctx)
		if err != nil || s.Fetch == nil {
			return paused, err
		}
		registry, err := s.registryAlerts(ctx, now)
		return append(paused, registry...), err
	}}
}

// pausedAlerts are the open alarms, each an event of its own.
func (s *Service) pausedAlerts(ctx context.Context) ([]alert.Event, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT a.id::text, i.id::text, a.alarm, a.measured, a.at, e.name, e.city
		  FROM certificate.issuer_alarm a JOIN certificate.issuer i ON i.id = a.issuer_id JOIN certificate.registry_entry e ON e.id = i.entry_id
		 WHERE a.cleared_at IS NULL AND i.state IN ('active', 'paused') ORDER BY a.at, a.id LIMIT $1`, alertsMost)
	if err != nil {
		return nil, fmt.Errorf("open alarms: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e alert.Event, err error) {
		var issuerID, name, place, city string
		var measured []byte
		if err := row.Scan(&e.Key, &issuerID, &name, &measured, &e.Since, &place, &city); err != nil {
			return e, err
		}
		var m brake.Measure
		if err := json.Unmarshal(measured, &m); err != nil {
			return e, err
		}
		e.Key, e.Path = "alarm:"+e.Key, "/admin/issuers/"+issuerID
		e.Say = func(lang string) (title, text string) {
			return say(lang, "alert.paused", "Name", place, "City", city),
				say(lang, "alert.paused_text", "Why", say(lang, "why.alarm."+name), "Measured", measuredText(lang, m))
		}
		return e, nil
	})
}

// measuredText says what was counted.
func measuredText(lang string, m brake.Measure) string {
	out := say(lang, "alarm.count", "N", web.FormatNumber(lang, m.Count))
	if m.Of > 0 {
		out = say(lang, "alarm.ratio", "N", web.FormatNumber(lang, m.Count), "Of", web.FormatNumber(lang, m.Of))
	}
	if m.Lot != "" {
		out += " " + say(lang, "alarm.lot", "Lot", m.Lot)
	}
	return out
}

// registryAlerts tell what is wrong with the registry: out of date, refused, not to be
// reached, not looked at, or entries that wait for somebody's look.
func (s *Service) registryAlerts(ctx context.Context, now time.Time) (out []alert.Event, err error) {
	add := func(key string, since time.Time, what string, args ...func(lang string) []any) {
		out = append(out, alert.Event{Key: key, Since: since, Path: "/admin/registry", Say: func(lang string) (string, string) {
			var in []any
			for _, a := range args {
				in = append(in, a(lang)...)
			}
			return say(lang, "alert."+what, in...), say(lang, "alert."+what+"_text", in...)
		}})
	}
	h, err := s.Head(ctx, s.Pool)
	switch {
	case err == nil && h.Stale(now):
		add(fmt.Sprintf("stale:%d", h.Sequence), h.NextUpdate, "stale", func(lang string) []any {
			return []any{"At", web.FormatDateTime(lang, h.NextUpdate.Add(s.Grace))}
		})
	case err != nil && !errors.Is(err, ErrRegistry):
		return nil, err
	}
	pulls, err := s.badPulls(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case pulls.Outcome == "refused":
		add("refused:"+pulls.Problem+":"+pulls.ID, pulls.At, "refused", func(lang string) []any { return []any{"Problem", say(lang, "problem."+pulls.Problem)} })
	case pulls.Outcome == "failed" && now.Sub(pulls.At) >= unreachableAfter:
		add("failed:"+pulls.ID, pulls.At, "unreachable")
	case !pulls.LastAt.IsZero() && now.Sub(pulls.LastAt) > unreachableAfter:
		add("silent", pulls.LastAt, "silent")
	}
	n, until, err := Held(ctx, s.Pool)
	if err == nil && n > 0 && until != nil {
		since := now
		if err := s.Pool.QueryRow(ctx, `SELECT min(changed_at) FROM certificate.registry_entry WHERE state = 'held'`).Scan(&since); err != nil {
			return nil, err
		}
		add("held:"+until.UTC().Format(time.RFC3339), since, "held", func(lang string) []any {
			return []any{"Count", n, "N", web.FormatNumber(lang, n), "At", web.FormatDateTime(lang, *until)}
		})
	}
	return out, err
}

// badPull is the first of the looks that came to nothing, one after the other, up to
// the last; Outcome is that of the last, "" when it was good.
type badPull struct {
	ID, Outcome, Problem string
	At, LastAt           time.Time
}

func (s *Service) badPulls(ctx context.Context) (b badPull, err error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT id::text, at, outcome, problem FROM certificate.registry_pull
		 WHERE at > coalesce((SELECT max(at) FROM certificate.registry_pull WHERE outcome IN ('applied', 'unchanged')), '-infinity') OR at = (SELECT max(at) FROM certificate.registry_pull)
		 ORDER BY at, id`)
	if err != nil {
		return b, fmt.Errorf("looks at the registry: %w", err)
	}
	var pullID, outcome, problem string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&pullID, &at, &outcome, &problem}, func() error {
		if b.LastAt = at; outcome == "applied" || outcome == "unchanged" {
			b.Outcome = ""
			return nil
		}
		if outcome != b.Outcome || problem != b.Problem { // something else is wrong than before
			b.ID, b.Outcome, b.Problem, b.At = pullID, outcome, problem, at
		}
		return nil
	})
	return b, err
}
