package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"impfportal/waitingroom"
)

// copied carries cookies into a browser without the key, and into one with a
// key of its own: both are refused.
func (cs *citizens) copied(ctx context.Context, p *person, path string, status int, problem string, cookies ...string) error {
	for _, own := range []bool{false, true} {
		other := p.jar.only(cookies...)
		if own {
			other = append(other, cookie{keyCookie, waitingroom.NewKey()})
		}
		cs.copiesTried.Add(1)
		if err := cs.refused(ctx, p, &other, path, status, problem); err != nil {
			return fmt.Errorf("in a second browser: %w", err)
		}
	}
	return nil
}

// refused wants a request to be refused with the problem. After Redis was lost
// the door may say first that there is no room at the moment, as to everybody;
// it knows a used ticket when it looks it up.
func (cs *citizens) refused(ctx context.Context, p *person, j *jar, path string, status int, problem string) error {
	for {
		later := false
		q := question{method: http.MethodPost, path: path, body: "{}", want: status, problem: problem}
		q.wrong = func(x *exchange) bool {
			later = cs.faults != nil && path == enterPath && x.status == http.StatusOK && !bytes.Contains(x.answer, []byte(`"verdict":"in"`))
			if !later {
				cs.worthless.Add(1)
			}
			return !later
		}
		if err := cs.ask(ctx, p, j, q); err != nil || !later {
			return err
		}
		if err := pause(ctx, time.Second+rand.N(2*time.Second)); err != nil {
			return err
		}
	}
}

// again tries a used ticket and a pass that was given back, when the day is
// nearly over.
func (cs *citizens) again(ctx context.Context, p *person, kept jar) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-cs.calm:
	}
	if err := pause(ctx, rand.N(5*time.Second)); err != nil {
		return err
	}
	for _, q := range []struct {
		path, problem string
		status        int
	}{{enterPath, problemUsed, http.StatusConflict}, {gatedPath, problemRefused, http.StatusForbidden}} {
		cs.usedTried.Add(1)
		j := slices.Clone(kept)
		if err := cs.refused(ctx, p, &j, q.path, q.status, q.problem); err != nil {
			return fmt.Errorf("with a used ticket: %w", err)
		}
	}
	return nil
}
