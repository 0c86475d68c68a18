package inventory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
	"impfportal/internal/web"
)

var (
	// ErrRepeated: the change was made before, with the same key; nothing is to be
	// done.
	ErrRepeated = errors.New("inventory: done already")
	// ErrKeyUsed: the key was used for another change. It is an ErrInvalid.
	ErrKeyUsed = fmt.Errorf("%w: the key was used for another change", ErrInvalid)
)

// maxKey is how long a key may be.
const maxKey = 100

// Request is a change that somebody may send twice because the answer was lost. The
// zero value is one that comes without a key: it is made as often as it comes.
type Request struct {
	Actor, Key string
	digest     []byte
}

// RequestOf reads the key of a form (field 'once') or of an operation (header
// Idempotency-Key), and what is asked for: as it came, whatever the form says later.
func RequestOf(c *web.Ctx) Request {
	if r, ok := c.Locals(requestLocal).(Request); ok {
		return r
	}
	r := readRequest(c)
	c.Locals(requestLocal, r)
	return r
}

const requestLocal = "inventory.request"

func readRequest(c *web.Ctx) Request {
	r := Request{Actor: c.Actor(), Key: strings.TrimSpace(c.Get("Idempotency-Key"))}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s %s\x00", c.Method(), c.Path())
	if strings.HasPrefix(c.Path(), "/api/") {
		h.Write(bytes.TrimSpace(c.Body()))
	} else {
		f := c.Form()
		r.Key = f.Get("once")
		_, _ = h.Write([]byte(typed(f).Encode()))
	}
	r.digest = h.Sum(nil)
	return r
}

// typed is what somebody has typed into a form, without what the page has added.
func typed(f *web.Form) url.Values {
	v := url.Values{}
	for _, name := range f.Names() {
		if name != "once" && name != "_csrf" {
			v[name] = slices.Clone(f.All(name))
		}
	}
	return v
}

// First notes a request in the transaction that makes the change. ErrRepeated when
// that was done, ErrKeyUsed. Of two at the same moment the second waits.
func (s *Service) First(ctx context.Context, tx pgx.Tx, r Request) error {
	if r.Key == "" {
		return nil
	}
	if len(r.Key) > maxKey || !utf8.ValidString(r.Key) {
		return fmt.Errorf("%w: key", ErrInvalid)
	}
	if r.digest == nil {
		r.digest = []byte{} // the key says it all
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO inventory.request (actor, key, digest, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, r.Actor, r.Key, r.digest, s.now())
	if err != nil {
		return fmt.Errorf("note request: %w", err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	_, err = repeated(ctx, tx, r)
	if err != nil {
		return err
	}
	return ErrRepeated
}

// repeated returns the answer of a request that was made before; pgx.ErrNoRows when
// it was not, ErrKeyUsed.
func repeated(ctx context.Context, q pg.Querier, r Request) (answer []byte, err error) {
	if !utf8.ValidString(r.Key) {
		return nil, fmt.Errorf("%w: key", ErrInvalid)
	}
	var digest []byte
	if err := q.QueryRow(ctx, `SELECT digest, answer FROM inventory.request WHERE actor = $1 AND key = $2`, r.Actor, r.Key).Scan(&digest, &answer); err != nil {
		return nil, err
	}
	if !bytes.Equal(digest, r.digest) {
		return nil, ErrKeyUsed
	}
	return answer, nil
}

// change runs what a form or an operation changes, once for its key.
func (s *Service) change(c *web.Ctx, do func(tx pgx.Tx) error) error {
	return pg.InTx(c.Std(), s.pool, func(tx pgx.Tx) error {
		if err := s.First(c.Std(), tx, RequestOf(c)); err != nil {
			return err
		}
		return do(tx)
	})
}

// answer keeps what an operation answers besides that it is done.
func (s *Service) answer(c *web.Ctx, tx pgx.Tx, out any) error {
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	r := RequestOf(c)
	_, err = tx.Exec(c.Std(), `UPDATE inventory.request SET answer = $3 WHERE actor = $1 AND key = $2`, r.Actor, r.Key, b)
	return err
}

// changing is an operation that may be sent again with the same key: it is looked up
// before anything is checked, since what was right then may be wrong now.
func changing[In, Out any](s *Service, summary string, fn func(c *web.Ctx, in In) (Out, error)) *web.Op {
	return web.JSON(summary, func(c *web.Ctx, in In) (out Out, err error) {
		r := RequestOf(c)
		again := func() (Out, error) {
			b, err := repeated(c.Std(), s.pool, r)
			if err == nil && b != nil {
				err = json.Unmarshal(b, &out)
			}
			return out, err
		}
		if r.Key != "" {
			if out, err := again(); !pg.NoRows(err) {
				return out, problem(err)
			}
		}
		out, err = fn(c, in)
		if errors.Is(err, ErrRepeated) {
			return again()
		}
		return out, err
	}).Repeatable()
}

// changingForms makes the forms of routes such that each is done once.
func (s *Service) changingForms(routes []web.Route) []web.Route {
	for i, r := range routes {
		if r.Method == http.MethodPost && r.Handle != nil {
			routes[i].Handle = s.changingForm(r.Handle)
		}
	}
	return routes
}

func (s *Service) changingForm(handle func(c *web.Ctx) error) func(c *web.Ctx) error {
	return func(c *web.Ctx) error {
		r := RequestOf(c)
		err := ErrRepeated
		if r.Key == "" {
			err = handle(c)
		} else if _, before := repeated(c.Std(), s.pool, r); pg.NoRows(before) {
			err = handle(c)
		} else if before != nil {
			err = problem(before)
		}
		if !errors.Is(err, ErrRepeated) {
			return err
		}
		c.Flash("inventory.once.done")
		return c.See(listOf(c))
	}
}

// listOf is the page on which somebody sees what a form has changed.
func listOf(c *web.Ctx) string {
	p, f := c.Path(), c.Form()
	switch {
	case strings.HasPrefix(p, "/site/"):
		if place := f.Get("place"); place != "" {
			return "/site/stock?place=" + url.QueryEscape(place)
		}
		return "/site/stock"
	case strings.HasPrefix(p, "/admin/deliveries"):
		return "/admin/deliveries"
	}
	return "/admin/stock"
}
