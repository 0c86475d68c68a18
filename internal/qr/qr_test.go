package qr

import (
	"bytes"
	"errors"
	"image"
	_ "image/png"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"rsc.io/qr/coding"
)

func read(t testing.TB, png []byte) string {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	bmp, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	res, err := qrcode.NewQRCodeReader().Decode(bmp, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		t.Fatalf("reader: %v", err)
	}
	return res.GetText()
}

func randomAlpha(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

// An independent reader must read every size, level and mode.
func TestReadBack(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	masks := map[int]bool{}
	for level := L; level <= H; level++ {
		for _, n := range []int{1, 2, 17, 44, 120, 333, 500, 577, 900, 1500} {
			for _, text := range []string{randomAlpha(r, n), strings.Repeat("grüße ", n/6+1)} {
				c, err := Encode(text, level)
				if errors.Is(err, ErrTooLong) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				masks[c.Mask()] = true
				if got := read(t, c.PNG(4)); got != text {
					t.Fatalf("level %d, %d characters, version %d, mask %d: read %q", level, len(text), c.Version(), c.Mask(), got)
				}
			}
		}
	}
	for scale := -1; scale < 12; scale++ {
		c, err := Encode("SCALE", M)
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := image.Decode(bytes.NewReader(c.PNG(scale)))
		if want := max(1, scale) * 29; err != nil || img.Bounds().Dx() != want || img.Bounds().Dy() != want {
			t.Errorf("scale %d: %v, %v", scale, img.Bounds(), err)
		}
	}
	if len(masks) < 4 {
		t.Errorf("only masks %v were ever chosen", masks)
	}
	if _, err := Encode(strings.Repeat("A", 4297), L); !errors.Is(err, ErrTooLong) {
		t.Errorf("4,297 characters: %v", err)
	}
	if c, err := Encode(strings.Repeat("A", 4296), L); err != nil || c.Version() != 40 {
		t.Errorf("4,296 characters: %v", err)
	}
}

// slowPenalty is the standard's text word by word, module by module.
func slowPenalty(c *Code) int {
	n := c.Size()
	score, dark := 0, 0
	for _, at := range []func(i, j int) bool{func(i, j int) bool { return c.Black(j, i) }, func(i, j int) bool { return c.Black(i, j) }} {
		for i := range n {
			run := 1
			for j := 1; j <= n; j++ {
				if j < n && at(i, j) == at(i, j-1) {
					run++
					continue
				}
				if run >= 5 {
					score += n1 + run - 5
				}
				run = 1
			}
			for j := 0; j+11 <= n; j++ {
				var b strings.Builder
				for k := range 11 {
					b.WriteByte("01"[map[bool]int{true: 1}[at(i, j+k)]])
				}
				if s := b.String(); s == "10111010000" || s == "00001011101" {
					score += n3
				}
			}
		}
	}
	for y := range n {
		for x := range n {
			if c.Black(x, y) {
				dark++
			}
			if x+1 < n && y+1 < n && c.Black(x, y) == c.Black(x+1, y) && c.Black(x, y) == c.Black(x, y+1) && c.Black(x, y) == c.Black(x+1, y+1) {
				score += n2
			}
		}
	}
	off := dark*100 - 50*n*n
	if off < 0 {
		off = -off
	}
	return score + n4*(off/(5*n*n))
}

// The chosen mask is the one the standard's rules choose, and the picture is
// the one coding makes with that mask.
func TestMaskIsBest(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{5, 40, 200, 560, 900} {
		text := randomAlpha(r, n)
		c, err := Encode(text, Q)
		if err != nil {
			t.Fatal(err)
		}
		best, lowest := -1, 1<<30
		for m := range 8 {
			p, err := coding.NewPlan(coding.Version(c.Version()), coding.Q, coding.Mask(m))
			if err != nil {
				t.Fatal(err)
			}
			want, err := p.Encode(coding.Alpha(text))
			if err != nil {
				t.Fatal(err)
			}
			other := &Code{size: c.size, rows: make([]row, c.size)}
			for y := range c.size {
				for x := range c.size {
					if want.Black(x, y) {
						other.rows[y].set(x)
					}
				}
			}
			if m == c.Mask() {
				for y := range c.rows {
					if c.rows[y] != other.rows[y] {
						t.Fatalf("%d characters: row %d differs from the reference", n, y)
					}
				}
			}
			if s := slowPenalty(other); s < lowest {
				best, lowest = m, s
			}
		}
		if best != c.Mask() {
			t.Errorf("%d characters: mask %d chosen, %d is best", n, c.Mask(), best)
		}
	}
}

// Every version and level is drawn as rsc.io/qr draws it with the same mask.
func TestEveryVersion(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for level := L; level <= H; level++ {
		for v := 1; v <= maxVersion; v++ {
			if got, want := dataWords(v, level), coding.Version(v).DataBytes(coding.Level(level)); got != want {
				t.Fatalf("version %d, level %d: %d bytes of data, want %d", v, level, got, want)
			}
			for _, alpha := range []bool{true, false} {
				n := dataWords(v, level)
				for bitLen(n, alpha, v) > 8*dataWords(v, level) {
					n--
				}
				n -= r.IntN(2)
				text := randomAlpha(r, n)
				var want coding.Encoding = coding.Alpha(text)
				if !alpha {
					text = "a" + text[min(1, len(text)):]
					want = coding.String(text)
				}
				c, err := Encode(text, level)
				if err != nil {
					t.Fatal(err)
				}
				p, err := coding.NewPlan(coding.Version(c.Version()), coding.Level(level), coding.Mask(c.Mask()))
				if err != nil {
					t.Fatal(err)
				}
				other, err := p.Encode(want)
				if err != nil {
					t.Fatal(err)
				}
				for y := range c.size {
					for x := range c.size {
						if c.Black(x, y) != other.Black(x, y) {
							t.Fatalf("version %d, level %d: module %d, %d differs", v, level, x, y)
						}
					}
				}
			}
		}
	}
}

// The blocks of Rects are the dark modules, each once.
func TestRects(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{5, 100, 560, 1500} {
		c, err := Encode(randomAlpha(r, n), Q)
		if err != nil {
			t.Fatal(err)
		}
		times := map[[2]int]int{}
		for _, b := range c.Rects(nil) {
			for y := range int(b.H) {
				for x := range int(b.W) {
					times[[2]int{int(b.X) + x, int(b.Y) + y}]++
				}
			}
		}
		for y := range c.size {
			for x := range c.size {
				if want := map[bool]int{true: 1}[c.Black(x, y)]; times[[2]int{x, y}] != want {
					t.Fatalf("module %d, %d is drawn %d times, want %d", x, y, times[[2]int{x, y}], want)
				}
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	text := randomAlpha(rand.New(rand.NewPCG(5, 6)), 560)
	for b.Loop() {
		if _, err := Encode(text, Q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPNG(b *testing.B) {
	c, err := Encode(randomAlpha(rand.New(rand.NewPCG(5, 6)), 560), Q)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.PNG(8)
	}
}
