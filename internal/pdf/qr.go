package pdf

import (
	"errors"
	"sync"

	"rsc.io/qr"
	"rsc.io/qr/coding"
)

// Level is a QR code's error correction: how much of it may be damaged.
type Level int

// The levels of ISO/IEC 18004.
const (
	LevelL Level = iota // about 7 %
	LevelM              // about 15 %
	LevelQ              // about 25 %
	LevelH              // about 30 %
)

// QuietZone is the white margin, in modules, that a reader needs around a code.
const QuietZone = 4

// ErrTooLong says that a text has no room in the largest QR code.
var ErrTooLong = errors.New("pdf: text too long for a QR code")

// QRCode is a QR code as a matrix of modules, quiet zone not included.
type QRCode struct{ code *coding.Code }

// Size is the number of modules on a side, without the quiet zone.
func (q *QRCode) Size() int { return q.code.Size }

// Black tells whether the module in column x, row y is dark.
func (q *QRCode) Black(x, y int) bool { return q.code.Black(x, y) }

// PNG is the code as a picture with scale pixels a module, quiet zone included.
func (q *QRCode) PNG(scale int) []byte {
	c := qr.Code{Bitmap: q.code.Bitmap, Size: q.code.Size, Stride: q.code.Stride, Scale: max(1, scale)}
	return c.PNG()
}

type planKey struct {
	v coding.Version
	l coding.Level
}

// plans keeps the layout of each version and level: making one costs ten times
// as much as filling it.
var plans sync.Map // planKey -> *coding.Plan

// MakeQR encodes text in the smallest version that holds it, in the
// alphanumeric mode where the text allows it (as the EU certificate's base45
// does).
func MakeQR(text string, level Level) (*QRCode, error) {
	l := coding.Level(level)
	var enc coding.Encoding = coding.String(text)
	if coding.Num(text).Check() == nil {
		enc = coding.Num(text)
	} else if coding.Alpha(text).Check() == nil {
		enc = coding.Alpha(text)
	}
	for v := coding.Version(coding.MinVersion); v <= coding.MaxVersion; v++ {
		if enc.Bits(v) > v.DataBytes(l)*8 {
			continue
		}
		plan, err := planFor(planKey{v, l})
		if err != nil {
			return nil, err
		}
		code, err := plan.Encode(enc)
		if err != nil {
			return nil, err
		}
		return &QRCode{code}, nil
	}
	return nil, ErrTooLong
}

func planFor(k planKey) (*coding.Plan, error) {
	if p, ok := plans.Load(k); ok {
		return p.(*coding.Plan), nil
	}
	p, err := coding.NewPlan(k.v, k.l, 0)
	if err != nil {
		return nil, err
	}
	got, _ := plans.LoadOrStore(k, p)
	return got.(*coding.Plan), nil
}
