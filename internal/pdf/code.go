package pdf

import (
	"strconv"

	"impfportal/internal/qr"
)

func (q QR) draw(w *writer, x, width float64) {
	w.ensure(q.Size + lineHeight(w.small()))
	left := x
	switch q.Align {
	case "C":
		left += (width - q.Size) / 2
	case "R":
		left += width - q.Size
	}
	alt := q.Alt
	if alt == "" {
		alt = w.words("QR-Code", "QR code")
		if q.Caption != "" {
			alt += ": " + q.Caption
		}
	}
	if w.mark != "" { // nothing grey between the modules
		w.box(left, w.y, q.Size, q.Size, 255)
	}
	figure := &elem{role: "Figure", alt: oneLine(alt), box: &[4]float64{left / ptToMM, (pageHeight - w.y - q.Size) / ptToMM, (left + q.Size) / ptToMM, (pageHeight - w.y) / ptToMM}}
	w.inside(figure, func() {
		switch {
		case w.dry:
		case q.Slot.Name != "":
			w.reserve(slot{name: q.Slot.Name, x: left, y: w.y, code: &q})
		default:
			code, err := qr.Encode(q.Text, q.Level)
			if err != nil {
				w.fail(err)
				return
			}
			w.enter()
			w.page.buf = appendCode(w.page.buf, code, left, w.y, q.Size, q.Side)
		}
	})
	w.y += q.Size
	if q.Caption != "" {
		w.font(regular, w.small())
		w.in("P", func() {
			for _, l := range w.wrap(q.Caption, width) {
				w.line(x, width, l, q.Align)
			}
		})
	}
	w.y += 2 * w.scale()
}

// small numbers as the path of a QR code needs them, with a space behind.
var smallNumbers = func() (t [256]string) {
	for i := range t {
		t[i] = strconv.Itoa(i) + " "
	}
	return t
}()

// appendCode draws a code into the box at x, y as one path in units of its
// modules: rectangles that are filled together leave no seams between them.
func appendCode(b []byte, code *qr.Code, x, y, box, side float64) []byte {
	unit := side / float64(code.Size())
	if side == 0 {
		unit = box / float64(code.Size()+2*qr.QuietZone)
	}
	margin := (box - unit*float64(code.Size())) / 2
	fine := func(mm float64) { b = append(strconv.AppendFloat(b, mm/ptToMM, 'f', 5, 64), ' ') }
	b = append(b, "q 0 g "...)
	fine(unit)
	b = append(b, "0 0 "...)
	fine(-unit)
	fine(x + margin)
	fine(pageHeight - y - margin)
	b = append(b, "cm\n"...)
	var room [4096]qr.Rect
	for _, r := range code.Rects(room[:0]) {
		b = append(b, smallNumbers[r.X]...)
		b = append(b, smallNumbers[r.Y]...)
		b = append(b, smallNumbers[r.W]...)
		b = append(b, smallNumbers[r.H]...)
		b = append(b, "re\n"...)
	}
	return append(b, "f Q\n"...)
}
