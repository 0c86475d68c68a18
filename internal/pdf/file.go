package pdf

import (
	"bytes"
	"strconv"
	"sync"
	"unicode/utf16"

	"github.com/klauspost/compress/zlib"
)

const (
	bestCompression = zlib.BestCompression
	fastCompression = zlib.BestSpeed
)

var compressors [zlib.BestCompression + 1]sync.Pool

// compress appends data, compressed, to dst.
func compress(dst, data []byte, level int) []byte {
	buf := bytes.NewBuffer(dst)
	z, _ := compressors[level].Get().(*zlib.Writer)
	if z == nil {
		z, _ = zlib.NewWriterLevel(buf, level) // the level is one of ours
	} else {
		z.Reset(buf)
	}
	_, _ = z.Write(data) // a buffer takes everything
	_ = z.Close()
	compressors[level].Put(z)
	return buf.Bytes()
}

// file is a PDF under construction. Objects are numbered before they are
// written, so that they can name each other.
type file struct {
	buf    []byte
	offset []int // of object i+1
}

func newFile(size int) *file {
	// The second line tells programs that the file is binary.
	return &file{buf: append(make([]byte, 0, size), "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"...)}
}

// number takes the next object number.
func (f *file) number() int {
	f.offset = append(f.offset, 0)
	return len(f.offset)
}

// object writes an object: what is appended between the calls of object and
// end is its content.
func (f *file) object(number int) {
	f.offset[number-1] = len(f.buf)
	f.buf = append(strconv.AppendInt(f.buf, int64(number), 10), " 0 obj\n"...)
}

func (f *file) end() { f.buf = append(f.buf, "\nendobj\n"...) }

func (f *file) text(s string) { f.buf = append(f.buf, s...) }

func (f *file) int(n int) { f.buf = strconv.AppendInt(f.buf, int64(n), 10) }

func (f *file) ref(number int) {
	f.int(number)
	f.text(" 0 R")
}

func (f *file) write(number int, content string) {
	f.object(number)
	f.text(content)
	f.end()
}

// stream writes a stream object; extra are entries of its dictionary.
func (f *file) stream(number int, extra string, data []byte) {
	f.object(number)
	f.text("<<" + extra + "/Length ")
	f.int(len(data))
	f.text(">>stream\n")
	f.buf = append(f.buf, data...)
	f.text("\nendstream")
	f.end()
}

// appendEntries appends the lines of the cross-reference table for objects at
// these offsets: twenty bytes each.
func appendEntries(b []byte, offsets []int) []byte {
	for _, at := range offsets {
		line := [20]byte{0: '0', 10: ' ', 11: '0', 12: '0', 13: '0', 14: '0', 15: '0', 16: ' ', 17: 'n', 18: ' ', 19: '\n'}
		for i := 9; i >= 0; i-- {
			line[i] = byte('0' + at%10)
			at /= 10
		}
		b = append(b, line[:]...)
	}
	return b
}

// textString is a string of text for people, as UTF-16.
func textString(s string) string {
	const digits = "0123456789ABCDEF"
	b := []byte("<FEFF")
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	return string(append(b, '>'))
}

// appendNumber appends v with at most two decimals.
func appendNumber(b []byte, v float64) []byte {
	n := int64(v*100 + 0.5)
	if v < 0 {
		n = int64(v*100 - 0.5)
	}
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/100, 10)
	if n %= 100; n > 0 {
		b = append(b, '.', byte('0'+n/10))
		if n%10 > 0 {
			b = append(b, byte('0'+n%10))
		}
	}
	return b
}
