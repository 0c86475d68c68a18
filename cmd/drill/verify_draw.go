package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"impfportal/waitingroom/draw"
)

// verifyDrawCmd recomputes a draw from what its draw.json publishes, without
// asking anything else of the portal.
type verifyDrawCmd struct {
	Source  string  `arg:"" help:"Address or file of a draw.json."`
	Indexes []int64 `arg:"" optional:"" name:"index" help:"Numbers whose places are printed."`
	All     bool    `help:"Check that all places are a permutation."`
	Key     string  `help:"Public key of the portal (hexadecimal), as it is printed elsewhere; it must be the one in the file." placeholder:"HEX"`
	Before  string  `help:"A draw.json that was saved before the close: commitment and beacon must be the same." placeholder:"FILE"`
}

// maxDrawFile bounds what is read: a draw.json has a few kilobytes, and some
// more when Redis was lost often in its pre-queue.
const maxDrawFile = 8 << 20

func (c verifyDrawCmd) Run(ctx context.Context) error {
	p, err := readDraw(ctx, c.Source)
	if err != nil {
		return err
	}
	var before *draw.Published
	if c.Before != "" {
		b, err := readDraw(ctx, c.Before)
		if err != nil {
			return err
		}
		before = &b
	}
	return c.verify(os.Stdout, p, before)
}

// findings prints what was checked.
type findings struct {
	w     io.Writer
	wrong int
}

func (f *findings) say(what string, err error) {
	if err != nil {
		f.wrong++
		fmt.Fprintf(f.w, "WRONG  %s: %v\n", what, err)
		return
	}
	fmt.Fprintf(f.w, "ok     %s\n", what)
}

// verify prints what was checked and what follows, and returns an error when
// anything does not hold, and another when it does and a number was not in it.
func (c verifyDrawCmd) verify(w io.Writer, p draw.Published, before *draw.Published) error {
	found := findings{w: w}
	fmt.Fprintf(w, "room %s, line %d: %s\n", p.Room, p.Epoch, p.State)
	for _, f := range draw.Findings(p) {
		found.say(f.What, f.Err)
	}
	if c.Key != "" {
		var err error
		for _, a := range p.Attempts {
			if !strings.EqualFold(a.PublicKey, c.Key) {
				err = errors.New("the statement is signed with " + a.PublicKey)
			}
		}
		found.say("signed with the key that was given", err)
	}
	if before != nil {
		found.say("same commitment and beacon as before the close", sameNaming(*before, p))
	}
	if len(p.Attempts) > 0 {
		c.remarks(w, p)
	}
	lot, revealed := p.Lot()
	var absent []string
	if !revealed {
		fmt.Fprintln(w, "note   not revealed yet: no places")
		if len(c.Indexes) > 0 || c.All {
			found.say("places", errors.New("not revealed yet"))
		}
	} else if found.wrong == 0 {
		for _, index := range c.Indexes {
			place, ok := lot.Place(index)
			if !ok {
				absent = append(absent, strconv.FormatInt(index, 10))
				fmt.Fprintf(w, "number %d did not take part\n", index)
				continue
			}
			fmt.Fprintf(w, "number %d has place %d of %d\n", index, place, lot.Tickets)
		}
		if c.All {
			found.say(fmt.Sprintf("all %d places, each once", lot.Tickets), permutation(lot))
		}
	}
	if found.wrong > 0 {
		return fmt.Errorf("%d of the checks failed: this draw cannot be recomputed", found.wrong)
	}
	if len(absent) > 0 {
		return fmt.Errorf("the draw holds, but these numbers did not take part in it: %s", strings.Join(absent, ", "))
	}
	return nil
}

// remarks says what no computation can check.
func (c verifyDrawCmd) remarks(w io.Writer, p draw.Published) {
	last := p.Attempts[len(p.Attempts)-1]
	switch p.Trust {
	case draw.TrustOperator:
		fmt.Fprintln(w, "note   there is no public beacon: the operator could have chosen the order")
	case draw.TrustEntry:
		if last.Value != nil {
			fmt.Fprintf(w, "note   compare with what the lottery published: %s: %s\n", last.Name, *last.Value)
		}
	case draw.TrustNobody:
		if last.Chain != nil && last.Chain.Hash != draw.Quicknet.Hash {
			fmt.Fprintf(w, "note   the chain %s is not drand's quicknet: find out whose it is\n", last.Chain.Hash)
		}
	}
	if c.Key == "" {
		fmt.Fprintf(w, "note   signed with %s: is that the portal's key? (-key checks it)\n", last.PublicKey)
	}
}

// sameNaming compares with a draw.json from before the close.
func sameNaming(before, now draw.Published) error {
	if before.Room != now.Room || before.Epoch != now.Epoch {
		return errors.New("it is of another draw")
	}
	if len(before.Attempts) == 0 || len(before.Attempts) > len(now.Attempts) {
		return errors.New("attempts are missing")
	}
	for i, a := range before.Attempts {
		b := now.Attempts[i]
		if a.Commitment != b.Commitment || a.Beacon != b.Beacon || a.Name != b.Name || !a.Due.Equal(b.Due) {
			return fmt.Errorf("attempt %d named something else", a.Number)
		}
		if a.Statement != "" && a.Statement != b.Statement {
			return fmt.Errorf("attempt %d stated something else", a.Number)
		}
	}
	return nil
}

// permutation checks that the places of all tickets are 1 to N, each once, and
// that both ways to compute them agree.
func permutation(lot *draw.Lot) error {
	seen := make([]bool, lot.Tickets)
	places := lot.Places()
	for i, place := range places {
		if place < 1 || place > lot.Tickets || seen[place-1] {
			return fmt.Errorf("place %d is given twice, or outside", place)
		}
		seen[place-1] = true
		if i%(len(places)/1000+1) == 0 { // a thousand of them one by one
			index, ok := lot.Index(place)
			if again, in := lot.Place(index); !ok || !in || again != place {
				return fmt.Errorf("place %d is of number %d, which has place %d", place, index, again)
			}
		}
	}
	return nil
}

// readDraw reads a draw.json from an address or a file.
func readDraw(ctx context.Context, source string) (p draw.Published, err error) {
	var in io.ReadCloser
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return p, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return p, err
		}
		in = res.Body
		if res.StatusCode != http.StatusOK {
			_ = in.Close()
			return p, fmt.Errorf("%s answers with status %d", source, res.StatusCode)
		}
	} else if in, err = os.Open(source); err != nil {
		return p, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, maxDrawFile))
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("%s is no draw.json: %w", source, err)
	}
	return p, nil
}
