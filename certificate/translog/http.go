package translog

import (
	"context"
	"embed"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

//go:embed templates i18n
var files embed.FS

// Assets are this package's pages and texts.
var Assets = web.Bundle{Name: "translog", FS: files}

var readers = []web.Role{web.RoleAuditor, web.RoleAdmin}

// daysShown is how many days the table of leaves goes back.
const daysShown = 14

// Routes lists the auditor's page, the published files and the JSON operations.
func (l *Log) Routes() []web.Route {
	return append([]web.Route{
		{Method: http.MethodGet, Path: "/admin/log", Roles: readers, Nav: "translog.nav", NavGroup: "web.nav.certificates", Handle: l.page},
		{Method: http.MethodPost, Path: "/admin/log/shown", Roles: readers, Handle: l.shown},
		{Method: http.MethodGet, Path: "/certificates/log/checkpoint", Anonymous: true, Handle: func(c *web.Ctx) error {
			now, err := l.Newest(c.Std())
			if err != nil {
				return err
			}
			if now.Size == 0 {
				return c.SendStatus(http.StatusNoContent)
			}
			return l.text(c, string(now.Note))
		}},
		{Method: http.MethodGet, Path: "/certificates/log/key", Anonymous: true, Handle: func(c *web.Ctx) error { return l.text(c, l.Key.Public+"\n") }},
	}, l.apiRoutes()...)
}

func (l *Log) text(c *web.Ctx, body string) error {
	c.Set(fiber.HeaderContentType, "text/plain; charset=utf-8")
	c.Set(fiber.HeaderCacheControl, briefly)
	return c.SendString(body)
}

// view is the auditor's page.
type view struct {
	Now     Checkpoint
	Key     string
	Broken  string // why there is no checkpoint to show
	Waiting int64  // leaves without a place
	Alarms  []Alarm
	Kinds   []string
	Days    []dayView
	Digest  string
	Asked   bool
	Found   []foundView
}

type dayView struct {
	Day    time.Time
	Counts []int64 // in the order of Kinds
}

// foundView is a leaf with its proof, checked by the page.
type foundView struct {
	Entry
	Text   string
	Proof  []tlog.Hash
	Proven bool
}

// NoteText is the signed note.
func (v view) NoteText() string { return string(v.Now.Note) }

// shown checks a certificate that was shown to somebody: its signature, then its
// leaf, which the page looks up. One that is signed and has none is an alarm.
func (l *Log) shown(c *web.Ctx) error {
	f := c.Form()
	digest, err := l.Read(strings.TrimSpace(f.Get("text")))
	if err != nil {
		f.Fail("text", "translog.error.text")
		return l.show(c, f, "")
	}
	if _, err := l.Seen(c.Std(), digest); err != nil {
		return err
	}
	return c.See("/admin/log?digest=" + hex.EncodeToString(digest))
}

func (l *Log) page(c *web.Ctx) error {
	return l.show(c, c.Form(), strings.ToLower(strings.Join(strings.Fields(c.Query("digest")), "")))
}

func (l *Log) show(c *web.Ctx, f *web.Form, wanted string) error {
	v := view{Key: l.Key.Public, Digest: wanted}
	ctx := c.Std()
	var err error
	if v.Now, err = l.Newest(ctx); errors.Is(err, ErrDamaged) {
		v.Broken = err.Error() // the page is needed most when something is wrong
	} else if err != nil {
		return err
	}
	if err := l.Pool.QueryRow(ctx, `SELECT count(*) FROM certificate.log_leaf WHERE idx IS NULL`).Scan(&v.Waiting); err != nil {
		return err
	}
	if v.Alarms, err = Alarms(ctx, l.Pool, 100); err != nil {
		return err
	}
	if err := l.countDays(ctx, &v, clock.Day(c.Now).AddDate(0, 0, 1-daysShown)); err != nil {
		return err
	}
	if v.Digest == "" {
		return c.PageForm("translog/log", f, v)
	}
	digest, err := hex.DecodeString(v.Digest)
	if err != nil || len(digest) != 32 {
		f.Fail("digest", "translog.error.digest")
		return c.PageForm("translog/log", f, v)
	}
	v.Asked = true
	if v.Found, err = l.find(ctx, v.Now, digest); err != nil {
		return err
	}
	return c.Page("translog/log", v)
}

// find looks up a digest, and checks each proof against the newest checkpoint as
// an outsider would.
func (l *Log) find(ctx context.Context, now Checkpoint, digest []byte) (out []foundView, err error) {
	list, err := ByDigest(ctx, l.Pool, digest)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		f := foundView{Entry: e, Text: string(e.Data)}
		if e.Index >= 0 && e.Index < now.Size {
			if f.Proof, err = Inclusion(ctx, l.Pool, e.Index, now.Size); err != nil && !errors.Is(err, ErrDamaged) {
				return nil, err
			}
			f.Proven = err == nil && tlog.CheckRecord(f.Proof, now.Size, now.Root, e.Index, e.Hash()) == nil
		}
		out = append(out, f)
	}
	return out, nil
}

// countDays counts leaves by day and kind.
func (l *Log) countDays(ctx context.Context, v *view, since time.Time) error {
	v.Kinds = kinds
	rows, err := l.Pool.Query(ctx, `SELECT day, kind, count(*) FROM certificate.log_leaf WHERE day >= $1 GROUP BY day, kind ORDER BY day DESC`, since)
	if err != nil {
		return err
	}
	type count struct {
		Day  time.Time
		Kind string
		N    int64
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[count])
	if err != nil {
		return err
	}
	for _, n := range list {
		if len(v.Days) == 0 || !v.Days[len(v.Days)-1].Day.Equal(n.Day) {
			v.Days = append(v.Days, dayView{Day: n.Day, Counts: make([]int64, len(kinds))})
		}
		for i, k := range kinds {
			if k == n.Kind {
				v.Days[len(v.Days)-1].Counts[i] = n.N
			}
		}
	}
	return nil
}
