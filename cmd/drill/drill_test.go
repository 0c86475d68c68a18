package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFigureLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   Figure
		want []string
	}{
		{Figure{Name: "waitingroom.poll", Value: 41346.6, Unit: "polls/s", Yardstick: 40000, Ratio: 1.034}, []string{"waitingroom.poll", "41347", "polls/s", "1.03"}},
		{Figure{Name: "booking.lost", Unit: "bookings"}, []string{"booking.lost", "0", "bookings", "-"}},
		{Figure{Name: "waitingroom.active_used", Value: 0.5234, Unit: "of the bound"}, []string{"waitingroom.active_used", "0.52", "of", "the", "bound", "-"}},
		{Figure{Name: "certificate.full", Value: 59.1, Unit: "certificates/s", Ratio: 0.0041}, []string{"certificate.full", "59.10", "certificates/s", "0.0041"}},
	} {
		if got := strings.Fields(c.in.line()); strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%v: %q, want %q", c.in, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	t.Setenv("JSON", file)
	var out bytes.Buffer
	r := &Report{out: &out}
	r.add(Figure{Name: "a.b", Value: 2, Unit: "s", Yardstick: 4, Ratio: 0.5})
	r.promise(true, "kept")
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	r.promise(false, "%d too many", 3)
	if err := r.finish(); err == nil {
		t.Error("a broken promise is no error")
	}
	if !strings.Contains(out.String(), "BROKEN: 3 too many") || strings.Contains(out.String(), "kept") {
		t.Errorf("report says %q", out.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0]["name"] != "a.b" || got[0]["value"] != 2.0 || got[0]["unit"] != "s" || got[0]["yardstick"] != 4.0 || got[0]["ratio"] != 0.5 {
		t.Errorf("JSON is %s", b)
	}
}

func TestMedianAndPercentile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.in, got, c.want)
		}
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, c := range []struct {
		in    []time.Duration
		share float64
		want  time.Duration
	}{{nil, 0.99, 0}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1}, {hundred[:1], 0.5, 100}} {
		if got := percentile(c.in, c.share); got != c.want {
			t.Errorf("percentile(%d values, %v) = %d, want %d", len(c.in), c.share, got, c.want)
		}
	}
}

// The ratio is that of the rounds, so a machine that is slow in one round
// spoils nothing.
func TestInterleave(t *testing.T) {
	t.Parallel()
	n := 0.0
	speed := []float64{100, 10, 100, 90, 5}
	m, err := interleave(
		func() (float64, error) { n++; return speed[int(n)-1], nil },
		func() (float64, error) { return speed[int(n)-1] / 2, nil },
	)
	if err != nil {
		t.Fatal(err)
	}
	if m.median(0) != 90 || m.median(1) != 45 || m.ratio(1, 0) != 0.5 {
		t.Errorf("medians %v %v, ratio %v", m.median(0), m.median(1), m.ratio(1, 0))
	}
}

func TestReadHead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in       string
		status, length int
		wrong          bool
	}{
		{"usual", "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\n\r\n", 200, 12, false},
		{"any case", "HTTP/1.1 403 Forbidden\r\ncontent-LENGTH:7\r\n\r\n", 403, 7, false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, 0, false},
		{"no length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0, true},
		{"absurd length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", 0, 0, true},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", 0, 0, true},
		{"no number", "HTTP/1.1 abc OK\r\n\r\n", 0, 0, true},
		{"short", "HTTP/1.1\r\n\r\n", 0, 0, true},
		{"cut off", "HTTP/1.1 200 OK\r\nContent-Le", 0, 0, true},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", 0, 0, true},
	} {
		status, length, err := readHead(bufio.NewReader(strings.NewReader(c.in)))
		if (err != nil) != c.wrong || !c.wrong && (status != c.status || length != c.length) {
			t.Errorf("%s: %d %d %v", c.name, status, length, err)
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	if got, want := string(request("GET", "/x", "")), "GET /x HTTP/1.1\r\nHost: portal\r\n\r\n"; got != want {
		t.Errorf("%q", got)
	}
	want := "POST /x HTTP/1.1\r\nHost: portal\r\nCookie: a=b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	if got := string(request("POST", "/x", "{}", "Cookie", "a=b")); got != want {
		t.Errorf("%q", got)
	}
	if got := string(request("POST", "/x", "")); !strings.Contains(got, "Content-Length: 0\r\n") {
		t.Errorf("%q", got)
	}
}

func TestHotDay(t *testing.T) {
	t.Parallel()
	monday := time.Date(2021, 1, 11, 0, 0, 0, 0, time.UTC)
	pair := func(centre string, days int, slot int64) slotPair {
		return slotPair{centre: centre, day: monday.AddDate(0, 0, days), first: slot}
	}
	got := hotDay([]slotPair{pair("borna", 1, 1), pair("leipzig", 0, 2), pair("leipzig", 1, 3), pair("leipzig", 1, 4), pair("leipzig", 0, 5), pair("borna", 0, 6)})
	if len(got) != 2 || got[0].first != 2 || got[1].first != 5 {
		t.Errorf("hot day: %v", got)
	}
}
