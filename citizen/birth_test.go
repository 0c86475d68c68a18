package citizen

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestParsePartialDate(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]PartialDate{
		"1950": {1950, 0, 0}, "1950-03": {1950, 3, 0}, "1950-03-14": {1950, 3, 14}, "2000-02-29": {2000, 2, 29}, " 1950 ": {1950, 0, 0},
	} {
		if got, err := ParsePartialDate(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "50", "1950-3", "1950-13", "1950-00", "1950-02-30", "1900-02-29", "1950-04-31", "1950-03-00", "0000", "1950-03-14-01",
		"14.03.1950", "1950-xx", "19５0", "-1950", "1950-03-14T00:00", "99999",
	} {
		if got, err := ParsePartialDate(s); !errors.Is(err, ErrDate) {
			t.Errorf("%q was taken as %v", s, got)
		}
	}
}

func TestPartialDateBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d                PartialDate
		earliest, latest string
	}{
		{PartialDate{1950, 0, 0}, "1950-01-01", "1950-12-31"},
		{PartialDate{1952, 2, 0}, "1952-02-01", "1952-02-29"},
		{PartialDate{1950, 12, 0}, "1950-12-01", "1950-12-31"},
		{PartialDate{1950, 3, 14}, "1950-03-14", "1950-03-14"},
	} {
		if e, l := c.d.Earliest().Format(time.DateOnly), c.d.Latest().Format(time.DateOnly); e != c.earliest || l != c.latest {
			t.Errorf("%v: %s to %s", c.d, e, l)
		}
	}
	if !(PartialDate{1950, 0, 0}).Compatible(PartialDate{1950, 3, 14}) || (PartialDate{1950, 3, 0}).Compatible(PartialDate{1950, 4, 1}) {
		t.Error("compatible")
	}
}

func TestPartialDateJSON(t *testing.T) {
	t.Parallel()
	type holder struct{ D PartialDate }
	for _, d := range []PartialDate{{}, {1950, 0, 0}, {1950, 3, 0}, {1950, 3, 14}} {
		b, err := json.Marshal(holder{d})
		if err != nil {
			t.Fatal(err)
		}
		var got holder
		if err := json.Unmarshal(b, &got); err != nil || got.D != d {
			t.Errorf("%s: %v, %v", b, got, err)
		}
	}
}

func TestTypedDate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		day, month, year, want, key string
	}{
		{"14", "3", "1950", "1950-03-14", ""},
		{"14.", "03.", "1950", "1950-03-14", ""},
		{"", "3", "1950", "1950-03", ""},
		{"", "", "1950", "1950", ""},
		{"0", "00", "1950", "1950", ""},
		{"１４", "3", "1950", "1950-03-14", ""},
		{"", "", "", "", ""},
		{"31", "2", "1950", "", "date_impossible"},
		{"29", "2", "2021", "", "date_impossible"},
		{"1", "13", "1950", "", "date_impossible"},
		{"32", "1", "1950", "", "date_impossible"},
		{"14", "", "1950", "", "date_month_missing"},
		{"14", "3", "", "", "date_year"},
		{"14", "3", "50", "", "date_year"},
		{"14", "März", "1950", "", "date_digits"},
		{"-1", "3", "1950", "", "date_digits"},
		{"99999", "3", "1950", "", "date_digits"},
		{"<b>", "", "", "", "date_digits"},
	} {
		d, key := typedDate(c.day, c.month, c.year)
		if d.String() != c.want || key != c.key {
			t.Errorf("%q %q %q: %q, %q", c.day, c.month, c.year, d, key)
		}
	}
}

func FuzzPartialDate(f *testing.F) {
	f.Add("1950-03-14")
	f.Add("1950")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParsePartialDate(s)
		if err != nil {
			return
		}
		if again, err := ParsePartialDate(d.String()); err != nil || again != d {
			t.Fatalf("%q does not read back: %v, %v", d, again, err)
		}
		if d.Latest().Before(d.Earliest()) || d.Latest().Year() != d.Year {
			t.Fatalf("%v: %v to %v", d, d.Earliest(), d.Latest())
		}
	})
}

func FuzzTypedDate(f *testing.F) {
	f.Add("14", "3", "1950")
	f.Fuzz(func(t *testing.T, day, month, year string) {
		if d, key := typedDate(day, month, year); key == "" && !d.IsZero() && !d.exists() {
			t.Fatalf("%q %q %q gave %v", day, month, year, d)
		}
	})
}
