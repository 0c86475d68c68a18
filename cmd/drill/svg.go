package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// chart is a day as a picture: panels one below the other over the same time.
type chart struct {
	title, subtitle string
	seconds         int
	bands           []band // phases of the room
	marks           []band // what went wrong
	panels          []panel
	notes           []string // below
}

// band is a stretch of time with a name, in seconds.
type band struct {
	name     string
	from, to float64
}

type panel struct {
	title  string
	curves []curve
}

// style is how a curve is drawn.
type style int

const (
	area   style = iota // filled down to zero
	steps               // a line that keeps its value for a second
	dashed              // a limit
)

// curve has one value for every second.
type curve struct {
	name   string
	colour string
	style  style
	values []float64
}

// The measures of the picture, in pixels.
const (
	chartWidth  = 1120
	panelHeight = 132
	panelGap    = 44
	leftEdge    = 76
	rightEdge   = 24
	topEdge     = 150
)

// Colours that people who see no red or green can tell apart, too.
const (
	colourPeople = "#2f6db5"
	colourInside = "#0f8a7e"
	colourIn     = "#7a4fb0"
	colourPolls  = "#c7771a"
	colourLimit  = "#333333"
	colourFault  = "#c22f3d"
	colourText   = "#1f2733"
	colourQuiet  = "#66707f"
	colourGrid   = "#dfe3e9"
)

// phaseColours are the backgrounds of the phases.
var phaseColours = map[string]string{"scheduled": "#f1f3f6", "pre-queue": "#eaf1fb", "drawing": "#fbf0d9", "open": "#ffffff", "paused": "#f7e4e6", "closed": "#f1f3f6"}

// svg draws the chart.
func (c chart) svg() []byte {
	p := &paper{chart: c, bottom: topEdge + float64(len(c.panels))*(panelHeight+panelGap) - panelGap}
	height := p.bottom + 58 + 20*float64(len(c.notes))
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" font-family="'Fira Sans',system-ui,sans-serif" font-size="13" role="img">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&p.b, "<title>%s</title>\n", escape(c.title))
	fmt.Fprintf(&p.b, `<rect width="%d" height="%.0f" fill="#fff"/>`+"\n", chartWidth, height)
	p.text(leftEdge, 34, 21, "start", colourText, "600", c.title)
	p.text(leftEdge, 57, 13.5, "start", colourQuiet, "400", c.subtitle)
	p.phases()
	y := float64(topEdge)
	for _, panel := range c.panels {
		p.panel(panel, y)
		y += panelHeight + panelGap
	}
	p.faults()
	p.time()
	for i, note := range c.notes {
		p.text(leftEdge, p.bottom+58+20*float64(i), 12.5, "start", colourQuiet, "400", note)
	}
	p.b.WriteString("</svg>\n")
	return p.b.Bytes()
}

// paper is a chart that is being drawn.
type paper struct {
	chart
	b      bytes.Buffer
	bottom float64 // of the last panel
}

// x is where a moment stands.
func (p *paper) x(second float64) float64 {
	return leftEdge + second/float64(max(1, p.seconds))*(chartWidth-leftEdge-rightEdge)
}

func (p *paper) text(x, y, size float64, anchor, colour, weight, s string) {
	fmt.Fprintf(&p.b, `<text x="%.1f" y="%.1f" font-size="%g" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`+"\n", x, y, size, anchor, colour, weight, escape(s))
}

func (p *paper) line(x1, y1, x2, y2 float64, colour, more string) {
	fmt.Fprintf(&p.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" %s/>`+"\n", x1, y1, x2, y2, colour, more)
}

// phases shades the parts of the day and names them above the first panel.
func (p *paper) phases() {
	for i, b := range p.bands {
		x, w := p.x(b.from), p.x(min(b.to, float64(p.seconds)))-p.x(b.from)
		fmt.Fprintf(&p.b, `<rect x="%.1f" y="%d" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, topEdge-46, w, p.bottom-topEdge+46, phaseColours[b.name])
		p.line(x, topEdge-46, x, p.bottom, "#b9c2ce", `stroke-dasharray="2 3"`)
		// In two rows, since some phases are short.
		y := float64(topEdge - 54 - 15*(i%2))
		p.line(x, y+3, x, topEdge-46, "#b9c2ce", "")
		p.text(x+4, y, 12, "start", colourQuiet, "600", b.name)
	}
}

// faults marks what went wrong across all panels, with its number above.
func (p *paper) faults() {
	for i, m := range p.marks {
		x := p.x(m.from)
		w := max(2, p.x(m.to)-x)
		fmt.Fprintf(&p.b, `<rect x="%.1f" y="%d" width="%.1f" height="%.1f" fill="%s" fill-opacity="%s"/>`+"\n", x, topEdge-34, w, p.bottom-topEdge+34, colourFault, opacity(w))
		fmt.Fprintf(&p.b, `<circle cx="%.1f" cy="%d" r="9" fill="%s"/>`+"\n", x+w/2, topEdge-34, colourFault)
		p.text(x+w/2, topEdge-29.8, 12, "middle", "#fff", "700", strconv.Itoa(i+1))
	}
}

// opacity lets a moment be a strong line and a while a light field.
func opacity(width float64) string {
	if width < 4 {
		return "0.75"
	}
	return "0.13"
}

// time writes the axis below the last panel.
func (p *paper) time() {
	step := 10
	for p.seconds/step > 14 {
		switch {
		case step < 20:
			step = 20
		case step < 30:
			step = 30
		case step < 60:
			step = 60
		default:
			step += 60
		}
	}
	for s := 0; s <= p.seconds; s += step {
		x := p.x(float64(s))
		p.line(x, p.bottom, x, p.bottom+5, colourQuiet, "")
		p.text(x, p.bottom+20, 12, "middle", colourQuiet, "400", strconv.Itoa(s)+" s")
	}
}

// panel draws one panel with its axis, curves and legend.
func (p *paper) panel(d panel, top float64) {
	high := 0.0
	for _, c := range d.curves {
		for _, v := range c.values {
			high = max(high, v)
		}
	}
	high, step := axis(high)
	y := func(v float64) float64 { return top + panelHeight - v/high*panelHeight }
	p.text(leftEdge, top-9, 13.5, "start", colourText, "600", d.title)
	for v := 0.0; v <= high+step/2; v += step {
		p.line(leftEdge, y(v), chartWidth-rightEdge, y(v), colourGrid, "")
		p.text(leftEdge-8, y(v)+4, 11.5, "end", colourQuiet, "400", thousands(v))
	}
	for _, c := range d.curves {
		p.curve(c, y)
	}
	p.line(leftEdge, y(0), chartWidth-rightEdge, y(0), colourQuiet, "")
	x := float64(chartWidth - rightEdge)
	for i := len(d.curves) - 1; i >= 0; i-- {
		c := d.curves[i]
		p.text(x, top-9, 12, "end", colourText, "400", c.name)
		x -= 6.6*float64(len(c.name)) + 26
		switch c.style {
		case area:
			fmt.Fprintf(&p.b, `<rect x="%.1f" y="%.1f" width="17" height="10" rx="2" fill="%s" fill-opacity="0.55"/>`+"\n", x, top-18, c.colour)
		case dashed:
			p.line(x, top-13, x+17, top-13, c.colour, `stroke-width="1.6" stroke-dasharray="5 4"`)
		default:
			p.line(x, top-13, x+17, top-13, c.colour, `stroke-width="2"`)
		}
		x -= 18
	}
}

func (p *paper) curve(c curve, y func(float64) float64) {
	var d strings.Builder
	for i, v := range c.values {
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		if c.style == area { // through the middle of the second
			fmt.Fprintf(&d, "%s%.1f %.1f", verb, p.x(float64(i)+0.5), y(v))
			continue
		}
		fmt.Fprintf(&d, "%s%.1f %.1fH%.1f", verb, p.x(float64(i)), y(v), p.x(float64(i+1)))
	}
	n := float64(len(c.values))
	switch c.style {
	case area:
		if n == 0 {
			return
		}
		fmt.Fprintf(&p.b, `<path d="%sL%.1f %.1fL%.1f %.1fZ" fill="%s" fill-opacity="0.28"/>`+"\n", d.String(), p.x(n-0.5), y(0), p.x(0.5), y(0), c.colour)
		fmt.Fprintf(&p.b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.6" stroke-linejoin="round"/>`+"\n", d.String(), c.colour)
	case dashed:
		fmt.Fprintf(&p.b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-dasharray="5 4"/>`+"\n", d.String(), c.colour)
	default:
		fmt.Fprintf(&p.b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.6" stroke-linejoin="round"/>`+"\n", d.String(), c.colour)
	}
}

// axis returns a round number not below high and the distance of its grid lines.
func axis(high float64) (top, step float64) {
	if high <= 0 {
		return 1, 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(high/4)))
	step = 10 * unit
	for _, s := range []float64{1, 2, 2.5, 5} {
		if s*unit*4 >= high {
			step = s * unit
			break
		}
	}
	step = max(step, 1)
	return step * math.Ceil(high/step), step
}

// thousands writes a whole number with thin spaces.
func thousands(v float64) string {
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if v != math.Trunc(v) {
		return s
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // into memory: cannot fail
	return b.String()
}
