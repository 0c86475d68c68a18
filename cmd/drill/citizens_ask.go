package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// poll fetches the public snapshot, without cookies, as a cache would.
func (cs *citizens) poll(ctx context.Context, p *person) error {
	cs.polls.add(cs.now())
	q := question{method: http.MethodGet, path: statePath, want: http.StatusOK, same: p.seen}
	q.use = func(x *exchange) (err error) {
		if x.status != http.StatusNotModified {
			p.seen, err = cs.read(x.etag, x.answer)
		}
		return err
	}
	return cs.ask(ctx, p, nil, q)
}

// read decodes a snapshot once for all who get it.
func (cs *citizens) read(etag string, body []byte) (*seen, error) {
	if s, ok := cs.states.Load(etag); ok {
		return s.(*seen), nil
	}
	s := &seen{etag: etag}
	if err := json.Unmarshal(body, &s.State); err != nil {
		return nil, err
	}
	if s.Draw != nil && s.Draw.Key != "" {
		var err error
		if s.lot, err = lotOf(s.Draw); err != nil {
			return nil, err
		}
	}
	got, _ := cs.states.LoadOrStore(etag, s)
	return got.(*seen), nil
}

// question is one request and the answer it wants.
type question struct {
	method, path, body string
	accept             string // JSON when empty
	same               *seen  // what the browser has already
	want               int    // status; 304 will do as well when same is given
	problem            string // that the answer must name
	out                any    // of JSON
	use                func(x *exchange) error
	wrong              func(x *exchange) bool // whether an answer that is not wanted is an error; nil = it is
}

// errRefused says that the gate let somebody not through.
var errRefused = errors.New("refused")

// ask sends a question until the answer is more than "not now". A not-now is an
// error but during a fault and shortly after it.
func (cs *citizens) ask(ctx context.Context, p *person, j *jar, q question) error {
	x := cs.pool.Get().(*exchange)
	defer cs.pool.Put(x)
	var first time.Duration // of the not-nows
	for {
		x.method, x.path, x.body, x.jar = q.method, q.path, q.body, j
		x.accept, x.client = cmp.Or(q.accept, "application/json"), clientAddress(p.id)
		x.etag = ""
		if q.same != nil {
			x.etag = q.same.etag
		}
		err := cs.portal.do(ctx, x)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		kind := err == nil && x.status == http.StatusServiceUnavailable && saysNotNow(x)
		if err == nil && !kind {
			if first != 0 {
				cs.faults.answered(cs.now(), first, &cs.slowest)
			}
			return q.judge(x)
		}
		if first == 0 {
			first = cs.now()
		}
		cs.notNow.Add(1)
		if err == nil {
			err = fmt.Errorf("%s %s: not now: %.200q", q.method, q.path, x.answer)
		}
		if !cs.faults.bearable(cs.now(), first) {
			return err
		}
		// As the page says, or soon when the proxy has only shown an error.
		wait := time.Duration(max(1, x.retryAfter)) * time.Second
		if errors.Is(err, errCut) {
			wait = time.Second
		}
		if err := pause(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
}

// judge wants the answer to be the right one, and reads it.
func (q question) judge(x *exchange) error {
	right := x.status == q.want && (q.problem == "" || bytes.Contains(x.answer, []byte(q.problem)))
	if !right && (q.same == nil || x.status != http.StatusNotModified) {
		if q.wrong != nil && !q.wrong(x) {
			return nil
		}
		err := fmt.Errorf("%s %s: status %d, want %d %s: %.200q", q.method, q.path, x.status, q.want, q.problem, x.answer)
		if x.status == http.StatusForbidden {
			err = fmt.Errorf("%w: %w", errRefused, err)
		}
		return err
	}
	if q.use != nil {
		return q.use(x)
	}
	if q.out == nil {
		return nil
	}
	return json.Unmarshal(x.answer, q.out)
}

// saysNotNow reports whether a 503 is the kind one, which says that the place
// is kept, or the short one of the snapshot of a portal that has just started.
func saysNotNow(x *exchange) bool {
	return len(x.answer) == 0 || x.path == statePath || bytes.Contains(x.answer, []byte(problemNotNow)) || bytes.Contains(x.answer, []byte("Platz"))
}

// clientAddress is the address of a citizen: everybody has a connection of
// their own, as people at home have.
func clientAddress(i int) string {
	h := uint32(i+1) * 2654435761 //nolint:gosec // any number will do
	return fmt.Sprintf("%d.%d.%d.%d", 80+h>>28, byte(h>>20), byte(h>>12), 1+byte(h>>4)%250)
}
