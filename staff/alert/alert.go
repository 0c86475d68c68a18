package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/audit"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/notify"
)

// Again is how long after a message an event that lasts is told once more.
const Again = 24 * time.Hour

// ErrAddress says that something is no e-mail address.
var ErrAddress = errors.New("alert: no e-mail address")

// Event is something that is wrong, and that administrators must know.
type Event struct {
	Key   string // names the event among those of its source, as long as it lasts; nothing personal
	Since time.Time
	Path  string // of the page where to look, "/admin/issuers/..."
	// Say tells what it is: in one line, and in sentences.
	Say func(lang string) (title, text string)
}

// Source lists what is wrong at a moment; an error says that it could not look.
type Source struct {
	Name string
	Open func(ctx context.Context, now time.Time) ([]Event, error)
}

// Config is what the service needs.
type Config struct {
	Pool    *pgxpool.Pool
	Vault   *vault.Vault
	Now     clock.Clock
	Log     *slog.Logger
	Notify  *notify.Service
	BaseURL string // without a slash at the end
	Sources []Source
}

// Service tells administrators.
type Service struct{ cfg Config }

// New makes the service.
func New(cfg Config) *Service {
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	return &Service{cfg}
}

// Jobs looks every minute.
func (s *Service) Jobs() []jobs.Periodic {
	return []jobs.Periodic{{Name: "alert.look", Every: time.Minute, Run: func(ctx context.Context, now time.Time) error {
		_, err := s.Look(ctx, now)
		return err
	}}}
}

// state is what was noted of an event.
type state struct {
	ToldAt *time.Time
	Told   int
}

// opened is an event that a source names now.
type opened struct {
	Event
	state
	source string
}

// Look asks every source, and tells what is due. It returns how many events were told.
// A source that cannot look changes nothing of what it said before.
func (s *Service) Look(ctx context.Context, now time.Time) (told int, err error) {
	events, failed := s.ask(ctx, now)
	err = pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		// One at a time: two replicas of the worker would both find an event untold.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('staff.alert'))`); err != nil {
			return err
		}
		var due []opened
		for source, list := range events {
			news, err := s.note(ctx, tx, source, list, now)
			if err != nil {
				return err
			}
			due = append(due, news...)
		}
		if len(due) == 0 {
			return nil
		}
		slices.SortFunc(due, func(a, b opened) int { return a.Since.Compare(b.Since) })
		n, err := s.tell(ctx, tx, due)
		if err != nil || n == 0 {
			return err // nobody has given an address: they stay untold
		}
		for _, e := range due {
			if _, err := tx.Exec(ctx, `UPDATE staff.alert SET told_at = $3, told = told + 1 WHERE source = $1 AND key = $2 AND ended_at IS NULL`, e.source, e.Key, now); err != nil {
				return fmt.Errorf("alert told: %w", err)
			}
		}
		told = len(due)
		return nil
	})
	return told, errors.Join(err, failed)
}

// ask returns what is wrong by source; a source that could not look is not in it.
func (s *Service) ask(ctx context.Context, now time.Time) (map[string][]Event, error) {
	events := map[string][]Event{}
	var failed error
	for _, src := range s.cfg.Sources {
		list, err := src.Open(ctx, now)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("alerts of %s: %w", src.Name, err))
			continue
		}
		events[src.Name] = list
	}
	return events, failed
}

// note keeps what a source says, and returns what is to be told.
func (s *Service) note(ctx context.Context, tx pgx.Tx, source string, list []Event, now time.Time) (due []opened, err error) {
	keys := make([]string, len(list))
	for i, e := range list {
		keys[i] = e.Key
	}
	if _, err := tx.Exec(ctx, `UPDATE staff.alert SET ended_at = $3 WHERE source = $1 AND ended_at IS NULL AND NOT key = ANY ($2)`, source, keys, now); err != nil {
		return nil, fmt.Errorf("end alerts: %w", err)
	}
	for _, e := range list {
		// What came back within a day has been told.
		tag, err := tx.Exec(ctx, `
			INSERT INTO staff.alert (id, source, key, since, told_at, told)
			SELECT $1::uuid, $2::text, $3::text, $4::timestamptz, max(told_at), CASE WHEN count(*) > 0 THEN 1 ELSE 0 END
			  FROM staff.alert WHERE source = $2 AND key = $3 AND ended_at IS NOT NULL AND told_at > $5
			ON CONFLICT (source, key) WHERE ended_at IS NULL DO NOTHING`, id.New(), source, e.Key, e.Since, now.Add(-Again))
		if err != nil {
			return nil, fmt.Errorf("note alert: %w", err)
		}
		if tag.RowsAffected() == 1 {
			s.cfg.Log.WarnContext(ctx, "alert", "source", source, "key", e.Key)
		}
	}
	noted, err := known(ctx, tx, source)
	for _, e := range list {
		if st, ok := noted[e.Key]; ok && (st.ToldAt == nil || !now.Before(st.ToldAt.Add(Again))) {
			due = append(due, opened{e, st, source})
		}
	}
	return due, err
}

// known returns the open alerts of a source.
func known(ctx context.Context, q pg.Querier, source string) (map[string]state, error) {
	rows, err := q.Query(ctx, `SELECT key, told_at, told FROM staff.alert WHERE source = $1 AND ended_at IS NULL`, source)
	if err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	out := map[string]state{}
	var key string
	var st state
	_, err = pgx.ForEachRow(rows, []any{&key, &st.ToldAt, &st.Told}, func() error { out[key] = st; return nil })
	return out, err
}

// recipient is an administrator who is told.
type recipient struct {
	accountID, keyID, lang string
	sealed                 []byte
}

// tell writes one message to each administrator with an address, and returns to how many.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, due []opened) (n int, err error) {
	rows, err := tx.Query(ctx, `
		SELECT a.id::text, a.key_id::text, x.lang, x.sealed FROM staff.alert_address x JOIN staff.account a ON a.id = x.account_id
		 WHERE a.disabled_at IS NULL AND 'admin' = ANY (a.roles) ORDER BY a.id`)
	if err != nil {
		return 0, fmt.Errorf("who is told: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r recipient, err error) {
		return r, row.Scan(&r.accountID, &r.keyID, &r.lang, &r.sealed)
	})
	if err != nil {
		return 0, fmt.Errorf("who is told: %w", err)
	}
	for _, r := range list {
		to, err := s.open(ctx, tx, r)
		if err != nil {
			return 0, err
		}
		if err := s.cfg.Notify.Send(ctx, tx, to, s.message(r.lang, due)); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// message puts events into words.
func (s *Service) message(lang string, due []opened) notify.Message {
	var b strings.Builder
	title := ""
	for _, e := range due {
		line, text := e.Say(lang)
		title = line
		b.WriteString(say(lang, "one", "Title", line, "Text", text, "Since", web.FormatDateTime(lang, e.Since), "URL", s.cfg.BaseURL+e.Path))
		if e.Told > 0 {
			b.WriteString(" " + say(lang, "lasts"))
		}
		b.WriteString("\n\n")
	}
	if len(due) > 1 {
		title = say(lang, "many", "Count", len(due))
	}
	return notify.Message{
		Kind: "staff.alert", Subject: say(lang, "subject", "Title", title),
		Text: say(lang, "message", "Events", strings.TrimSpace(b.String()), "URL", s.cfg.BaseURL+"/admin/alerts"),
	}
}

// sealContext binds a sealed address to its account.
func sealContext(accountID string) string { return "staff.alert " + accountID }

func (s *Service) open(ctx context.Context, q pg.Querier, r recipient) (notify.Recipient, error) {
	key, err := s.cfg.Vault.Open(ctx, q, r.keyID)
	if err != nil {
		return notify.Recipient{}, err
	}
	email, err := key.Unseal(sealContext(r.accountID), r.sealed)
	return notify.Recipient{KeyID: r.keyID, Email: string(email), Lang: r.lang}, err
}

// SetAddress gives an administrator's account the address at which it is told, in a
// language, and writes a first message there; email "" takes it away. ErrAddress.
func (s *Service) SetAddress(ctx context.Context, accountID, email, lang, actor string) error {
	if email != "" {
		clean, ok := notify.EmailAddress(email)
		if !ok {
			return ErrAddress
		}
		email = clean
	}
	now := s.cfg.Now()
	return pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		to, err := s.putAddress(ctx, tx, accountID, email, lang, now)
		if err != nil {
			return err
		}
		if email != "" {
			if err := s.cfg.Notify.Send(ctx, tx, to, notify.Message{
				Kind: "staff.alert_address", Subject: say(lang, "hello.subject"), Text: say(lang, "hello.text", "URL", s.cfg.BaseURL+"/admin/alerts"),
			}); err != nil {
				return err
			}
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: actor, Role: "admin", Action: "alert.address", Subject: "staff:" + accountID, After: map[string]bool{"address": email != ""},
		})
	})
}

func (s *Service) putAddress(ctx context.Context, tx pgx.Tx, accountID, email, lang string, now time.Time) (to notify.Recipient, err error) {
	if email == "" {
		_, err := tx.Exec(ctx, `DELETE FROM staff.alert_address WHERE account_id = $1`, accountID)
		return to, err
	}
	to = notify.Recipient{Email: email, Lang: lang}
	if err := tx.QueryRow(ctx, `SELECT key_id::text FROM staff.account WHERE id = $1`, accountID).Scan(&to.KeyID); err != nil {
		return to, fmt.Errorf("alert address: %w", err)
	}
	key, err := s.cfg.Vault.Open(ctx, tx, to.KeyID)
	if err != nil {
		return to, err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO staff.alert_address (account_id, sealed, lang, set_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account_id) DO UPDATE SET sealed = excluded.sealed, lang = excluded.lang, set_at = excluded.set_at`,
		accountID, key.Seal(sealContext(accountID), []byte(email)), lang, now); err != nil {
		return to, fmt.Errorf("alert address: %w", err)
	}
	return to, nil
}

// address is the address of an account, "" when it has none.
func (s *Service) address(ctx context.Context, q pg.Querier, accountID string) (string, error) {
	r := recipient{accountID: accountID}
	err := q.QueryRow(ctx, `
		SELECT a.key_id::text, x.lang, x.sealed FROM staff.alert_address x JOIN staff.account a ON a.id = x.account_id WHERE x.account_id = $1`, accountID).Scan(&r.keyID, &r.lang, &r.sealed)
	if pg.NoRows(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("alert address: %w", err)
	}
	to, err := s.open(ctx, q, r)
	return to.Email, err
}

// SeedDemo gives the demo administrators addresses; local runs only. Messages go to
// /dev/mailbox there.
func (s *Service) SeedDemo(ctx context.Context, now time.Time) error {
	return pg.InTx(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT a.id::text, a.login FROM staff.account a
			 WHERE 'admin' = ANY (a.roles) AND NOT EXISTS (SELECT FROM staff.alert_address) AND a.login IN ('admin', 'admin2', 'admin3')`)
		if err != nil {
			return err
		}
		found := map[string]string{}
		var accountID, login string
		if _, err := pgx.ForEachRow(rows, []any{&accountID, &login}, func() error { found[accountID] = login; return nil }); err != nil {
			return err
		}
		for _, accountID := range slices.Sorted(maps.Keys(found)) {
			if _, err := s.putAddress(ctx, tx, accountID, found[accountID]+"@verwaltung.example", "de", now); err != nil {
				return err
			}
		}
		return nil
	})
}
