package inventory

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"impfportal/internal/shareddata"
)

func TestParseReport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		rows int
		want []LineError
	}{
		"plain":             {"date,vaccine,doses\n2021-01-08,Pfizer/BioNTech,34125\n2021-01-12,Moderna,3600\n", 2, nil},
		"byte order mark":   {"\ufeffdate,vaccine,doses\r\n2021-01-08,Moderna,-10\r\n", 1, nil},
		"no last line feed": {"Date, Vaccine, Doses\n2021-01-08, Moderna, 0", 1, nil},
		"quoted":            {"date,vaccine,doses\n2021-01-08,\"Johnson & Johnson\",5\n", 1, nil},
		"empty":             {"", 0, []LineError{{Line: 1, Key: errLineHeader}}},
		"header only":       {"date,vaccine,doses\n", 0, []LineError{{Line: 1, Key: errLineEmpty}}},
		"no header":         {"2021-01-08,Moderna,10\n", 0, []LineError{{1, errLineHeader, "2021-01-08,Moderna,10"}}},
		"every kind of line": {"date,vaccine,doses\n2021-02-30,Moderna,10\n08.01.2021,Moderna,10\n2021-01-08,,10\n2021-01-08,Moderna,ten\n2021-01-08,Moderna,1.5\n" +
			"2021-01-08,Moderna,99999999\n2021-01-08,Moderna\n2021-01-09,Moderna,10\n2021-01-09,Moderna,11\n", 0, []LineError{
			{2, errLineDate, "2021-02-30"},
			{3, errLineDate, "08.01.2021"},
			{4, errLineVaccine, ""},
			{5, errLineDoses, "ten"},
			{6, errLineDoses, "1.5"},
			{7, errLineDoses, "99999999"},
			{8, errLineFields, "2021-01-08,Moderna"},
			{10, errLineDuplicate, "2021-01-09 Moderna (9)"},
		}},
		"blank lines count":  {"date,vaccine,doses\n\n\n2021-01-08,Moderna,x\n", 0, []LineError{{4, errLineDoses, "x"}}},
		"quotation mark":     {"date,vaccine,doses\n2021-01-08,Mod\"erna,1\n", 0, []LineError{{Line: 2, Key: errLineQuotes}}},
		"not UTF-8":          {"date,vaccine,doses\n2021-01-08,Modern\xe4,1\n", 0, []LineError{{Line: 2, Key: errLineEncoding}}},
		"long value":         {"date,vaccine,doses\n" + strings.Repeat("9", 300) + ",Moderna,1\n", 0, []LineError{{2, errLineDate, strings.Repeat("9", 59) + "…"}}},
		"too long":           {strings.Repeat("x", maxReportBytes+1), 0, []LineError{{Line: 1, Key: errLineTooLong}}},
		"control characters": {"date,vaccine,doses\n2021-01-08,Mod\x00erna,1\n", 0, []LineError{{2, errLineVaccine, "Mod\x00erna"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := parseReport(strings.NewReader(c.in))
			var got ImportErrors
			if err != nil && !errors.As(err, &got) {
				t.Fatal(err)
			}
			if len(rows) != c.rows || !slices.Equal(got, ImportErrors(c.want)) {
				t.Errorf("rows = %d, errors = %+v; want %d, %+v", len(rows), got, c.rows, c.want)
			}
		})
	}
}

func TestReportedPerVial(t *testing.T) {
	t.Parallel()
	jan := func(d int) time.Time { return day(2021, 1, d) }
	for _, c := range []struct {
		product string
		day     time.Time
		doses   int
		want    int
	}{
		{"comirnaty", day(2020, 12, 26), 9750, 5},
		{"comirnaty", jan(8), 34125, 5},
		{"comirnaty", jan(8), 1170, 5},
		{"comirnaty", jan(19), 40950, 6},
		{"comirnaty", jan(19), 975, 6},
		{"comirnaty", jan(12), 975, 5},   // whole trays at five only
		{"comirnaty", jan(18), 975, 5},   // the trays tell, not the day
		{"comirnaty", jan(12), 1170, 6},  // whole trays at six only
		{"comirnaty", jan(14), 5850, 5},  // both: the label of the day
		{"comirnaty", jan(15), 5850, 6},  //
		{"comirnaty", jan(14), 1001, 5},  // neither: the label of the day
		{"comirnaty", jan(15), 1001, 6},  //
		{"comirnaty", jan(12), -1170, 6}, // a return is counted alike
		{"spikevax", jan(12), 3600, 10},
		{"vaxzevria", day(2021, 8, 20), -151200, 10},
		{"janssen", day(2021, 4, 25), 12000, 5},
		{"nuvaxovid", day(2022, 2, 25), 100, 10},
		{"influvac", jan(1), 100, 0},
	} {
		if got := ReportedPerVial(c.product, c.day, c.doses); got != c.want {
			t.Errorf("ReportedPerVial(%s, %s, %d) = %d, want %d", c.product, c.day.Format(time.DateOnly), c.doses, got, c.want)
		}
	}
}

// FuzzParseReport: whatever comes in, the parser ends, names lines that exist,
// and returns only rows within bounds with unique keys.
func FuzzParseReport(f *testing.F) {
	f.Add("date,vaccine,doses\n2021-01-08,Pfizer/BioNTech,34125\n")
	f.Add("\ufeffdate,vaccine,doses\r\n2021-01-08,\"a\nb\",-1\n2021-01-08,\"x\"\"y\",0\n")
	f.Add("date,vaccine,doses\n2021-13-08,,\n,,,\n\"")
	if b, err := os.ReadFile(shareddata.Path(f, "saxony-deliveries.csv")); err == nil {
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := parseReport(strings.NewReader(in))
		if err != nil {
			var bad ImportErrors
			if !errors.As(err, &bad) || len(bad) == 0 || len(rows) != 0 {
				t.Fatalf("rows %d with error %v", len(rows), err)
			}
			lines := strings.Count(in, "\n") + 1
			for _, l := range bad {
				if l.Line < 1 || l.Line > lines || lineErrorText[l.Key] == "" {
					t.Errorf("%+v in a text of %d lines", l, lines)
				}
			}
			return
		}
		seen := map[string]bool{}
		for _, r := range rows {
			key := fmt.Sprint(r.day, r.vaccine)
			if seen[key] || r.vaccine == "" || r.doses > maxRowDoses || r.doses < -maxRowDoses || r.line < 2 {
				t.Errorf("row %+v", r)
			}
			seen[key] = true
		}
	})
}
