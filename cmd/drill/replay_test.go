package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"impfportal/internal/pg/pgtest"
	"impfportal/internal/shareddata"
)

// What Saxony reported until the end of January 2021, with the change from five
// to six doses of Comirnaty on the 15th.
func TestReplayOfJanuary2021(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h, err := readHistory(shareddata.Path(t, "saxony-deliveries.csv"), shareddata.Path(t, "saxony-vaccinations.csv"))
	if err != nil {
		t.Fatal(err)
	}
	h.last = time.Date(2021, time.January, 31, 0, 0, 0, 0, time.UTC)
	r, err := newReplay(ctx, pgtest.New(t), h)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(ctx); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := r.print(ctx, &out); err != nil {
		t.Error(err)
	}
	if len(r.jumps) != 1 {
		t.Fatalf("rule changes: %+v", r.jumps)
	}
	if j := r.jumps[0]; j.Given != 36_410 || j.Opened != 7_288 || j.Vials != 20_475-7_288 || j.After-j.Before != 13_187 {
		t.Errorf("%+v", j)
	}
	if sum := r.sums["comirnaty"]; sum.VialsIn-sum.Opened != sum.Vials || sum.Unexplained != 0 || sum.Promised == 0 {
		t.Errorf("comirnaty: %+v", sum)
	}
	// Vaccinations before anything was delivered: nothing becomes negative.
	if sum := r.sums["vaxzevria"]; sum.Given != 0 || sum.Unexplained != 2 {
		t.Errorf("vaxzevria: %+v", sum)
	}
	for _, want := range []string{
		"2021-01-15, comirnaty: 36410 doses recorded until then, from 7288 vials; 13187 vials are closed, 65935 doses become 79122: 13187 more",
		"vaxzevria: 2 vaccinations on 2 days, from 2021-01-18 on, are more than the deliveries explain",
		"0 balances differ from their sum, 0 are negative",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestHistoryTellsTheLine(t *testing.T) {
	t.Parallel()
	good := writeFile(t, "date,vaccine,doses\n2021-01-01,Pfizer/BioNTech,975\n")
	for _, bad := range []string{"2021-01-02,Comirnaty,1", "2021-13-02,Comirnaty,1,5", "2021-01-02,Comirnaty,first,5", "2021-01-02,Comirnaty,1,-5"} {
		_, err := readHistory(good, writeFile(t, "date,vaccine,dose,count\n2021-01-01,Comirnaty,1,10\n"+bad+"\n"))
		if err == nil || !strings.Contains(err.Error(), "line 3") && !strings.Contains(err.Error(), "wrong number of fields") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "report.csv")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
