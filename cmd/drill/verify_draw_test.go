package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"impfportal/waitingroom/draw"
)

// knownDraw is a whole draw, from the golden file of package draw.
func knownDraw(t *testing.T) (p draw.Published, file string) {
	t.Helper()
	raw, err := os.ReadFile("../../waitingroom/draw/testdata/known.json")
	if err != nil {
		t.Fatal(err)
	}
	var known struct {
		Published json.RawMessage `json:"published"`
	}
	if err := json.Unmarshal(raw, &known); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(known.Published, &p); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "draw.json")
	if err := os.WriteFile(file, known.Published, 0o600); err != nil {
		t.Fatal(err)
	}
	return p, file
}

func TestVerifyDraw(t *testing.T) {
	t.Parallel()
	p, file := knownDraw(t)
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(file))))
	t.Cleanup(server.Close)
	for _, source := range []string{file, server.URL + "/draw.json"} {
		read, err := readDraw(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		c := verifyDrawCmd{Indexes: []int64{1, 20, 31, 120}, All: true, Key: p.Attempts[0].PublicKey}
		if err := c.verify(&out, read, &p); err != nil {
			t.Errorf("%v\n%s", err, out.String())
		}
		for _, want := range []string{"ok     attempt 2: beacon drand", "ok     all 109 places, each once", "number 120 has place ", "is not drand's quicknet"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is missing in\n%s", want, out.String())
			}
		}
	}
	for name, c := range map[string]struct {
		cmd verifyDrawCmd
		lie func(p *draw.Published)
	}{
		"another key":        {verifyDrawCmd{Key: strings.Repeat("00", 32)}, nil},
		"a number too high":  {verifyDrawCmd{Indexes: []int64{121}}, nil},
		"a changed draw":     {verifyDrawCmd{}, func(p *draw.Published) { p.Draw.Tickets-- }},
		"places too early":   {verifyDrawCmd{All: true}, func(p *draw.Published) { p.State, p.Draw = draw.Closed, nil }},
		"another commitment": {verifyDrawCmd{}, func(p *draw.Published) { p.Attempts[1].Commitment = p.Attempts[0].Commitment }},
	} {
		q, _ := knownDraw(t)
		if c.lie != nil {
			c.lie(&q)
		}
		var out strings.Builder
		if err := c.cmd.verify(&out, q, &p); err == nil {
			t.Errorf("%s: passes\n%s", name, out.String())
		}
	}
	// A number that was not in it is no fault of the draw.
	var out strings.Builder
	switch err := (verifyDrawCmd{Indexes: []int64{1, 121}}).verify(&out, p, nil); {
	case err == nil || strings.Contains(err.Error(), "cannot be recomputed") || !strings.Contains(err.Error(), "did not take part in it: 121"):
		t.Errorf("a number too high: %v", err)
	case !strings.Contains(out.String(), "number 121 did not take part") || !strings.Contains(out.String(), "number 1 has place ") || strings.Contains(out.String(), "WRONG"):
		t.Errorf("a number too high prints\n%s", out.String())
	}
	for _, bad := range []string{file + "x", server.URL + "/nothing", "verify_draw.go"} {
		if _, err := readDraw(context.Background(), bad); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
