package translog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
	"impfportal/staff/alert"
)

var texts = web.LoadTexts(Assets)

// lasts is how long an alarm counts as going on after it was seen last: longer than
// the time between two looks at it.
const (
	lasts       = 10 * time.Minute
	lastsHourly = 2 * time.Hour // of what the hourly check finds, and of what somebody shows
)

// alertsMost bounds what is listed: after so many, one look finds the rest.
const alertsMost = 50

// Alerts tells administrators of alarms of the log that go on.
func (l *Log) Alerts() alert.Source {
	return alert.Source{Name: "translog", Open: func(ctx context.Context, now time.Time) ([]alert.Event, error) {
		rows, err := l.Pool.Query(ctx, `
			SELECT kind, subject, first_at FROM certificate.log_alarm
			 WHERE last_at > CASE WHEN kind IN ($1, $2) THEN $3::timestamptz ELSE $4::timestamptz END ORDER BY first_at, kind, subject LIMIT $5`,
			AlarmWaiting, AlarmWitness, now.Add(-lasts), now.Add(-lastsHourly), alertsMost)
		if err != nil {
			return nil, fmt.Errorf("alarms of the log: %w", err)
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e alert.Event, err error) {
			var kind, subject string
			if err := row.Scan(&kind, &subject, &e.Since); err != nil {
				return e, err
			}
			e.Key, e.Path = kind+":"+subject, "/admin/log"
			if kind == AlarmUnlogged {
				e.Path += "?digest=" + subject
			}
			e.Say = func(lang string) (title, text string) {
				return texts.Say(lang, "translog.alert", "What", texts.Say(lang, "translog.alarm."+kind)), texts.Say(lang, "translog.alert."+kind)
			}
			return e, nil
		})
	}}
}
