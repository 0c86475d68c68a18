package passkey

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/web"
	"impfportal/staff/alert"
)

var texts = web.LoadTexts(Assets)

// clonedFor is how long a copied key is an event: the key itself is disabled.
const clonedFor = time.Hour

// Alerts tells administrators of keys that seem to be copied.
func (s *Service) Alerts() alert.Source {
	return alert.Source{Name: "passkey", Open: func(ctx context.Context, now time.Time) ([]alert.Event, error) {
		rows, err := s.pool.Query(ctx, `
			SELECT k.id::text, k.disabled_at, a.name FROM staff.credential k JOIN staff.account a ON a.id = k.account_id
			 WHERE k.disabled_why = 'cloned' AND k.disabled_at > $1 ORDER BY k.disabled_at, k.id`, now.Add(-clonedFor))
		if err != nil {
			return nil, fmt.Errorf("copied keys: %w", err)
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e alert.Event, err error) {
			var name string
			if err := row.Scan(&e.Key, &e.Since, &name); err != nil {
				return e, err
			}
			e.Key, e.Path = "cloned:"+e.Key, "/admin/key-accounts"
			e.Say = func(lang string) (title, text string) {
				return texts.Say(lang, "passkey.alert.cloned", "Name", name), texts.Say(lang, "passkey.alert.cloned_text")
			}
			return e, nil
		})
	}}
}
