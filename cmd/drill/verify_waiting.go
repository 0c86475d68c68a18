package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"impfportal/booking/listdraw"
)

// verifyWaitingCmd recomputes who was asked on the waiting list on a day, from the
// file that the portal gives to auditors, without asking the portal.
type verifyWaitingCmd struct {
	Source     string `arg:"" help:"File with the draw of a day, from the page of the draws."`
	Commitment string `help:"Checksum of the key as the audit record has it; it must be the one in the file." placeholder:"HEX"`
}

func (c verifyWaitingCmd) Run(context.Context) error {
	f, err := os.Open(c.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	var p listdraw.Published
	if err := json.NewDecoder(f).Decode(&p); err != nil {
		return fmt.Errorf("%s is no draw of the waiting list: %w", c.Source, err)
	}
	return c.verify(os.Stdout, p)
}

// verify prints what was checked, and returns an error when anything does not hold.
func (c verifyWaitingCmd) verify(w io.Writer, p listdraw.Published) error {
	found := findings{w: w}
	fmt.Fprintf(w, "waiting list, %s: %d offers\n", p.Day, len(p.Rounds))
	if c.Commitment != "" {
		var err error
		if c.Commitment != p.Commitment {
			err = fmt.Errorf("the file says %s", p.Commitment)
		}
		found.say("the checksum that was given", err)
	} else {
		fmt.Fprintf(w, "note   the checksum is %s: is that the one in the audit record? (--commitment checks it)\n", p.Commitment)
	}
	for _, f := range listdraw.Findings(p) {
		found.say(f.What, f.Err)
	}
	if found.wrong > 0 {
		return fmt.Errorf("%d of the checks failed", found.wrong)
	}
	return nil
}
