package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"
)

func TestChartIsWellFormed(t *testing.T) {
	t.Parallel()
	c := chart{
		title: "a < b & c", seconds: 30, bands: []band{{"pre-queue", 0, 10}, {"open", 10, 40}}, marks: []band{{"gone", 12, 12}, {"frozen", 15, 20}},
		panels: []panel{{"none", []curve{{"nothing", colourPeople, area, nil}}}, {"some", []curve{{"x", colourPolls, steps, []float64{0, 3, 1e6}}, {"y", colourLimit, dashed, []float64{1, 2, 3}}}}},
		notes:  []string{"1  gone"},
	}
	d := xml.NewDecoder(bytes.NewReader(c.svg()))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAxis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ high, top, step float64 }{{0, 1, 1}, {1, 1, 1}, {3, 3, 1}, {375, 400, 100}, {500, 600, 200}, {990, 1000, 250}, {1667, 2000, 500}, {48_000, 60_000, 20_000}} {
		if top, step := axis(c.high); top != c.top || step != c.step {
			t.Errorf("axis(%v) = %v, %v; want %v, %v", c.high, top, step, c.top, c.step)
		}
	}
}
