package qr

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/zlib"
)

// PNG is the code as a picture with scale pixels a module, quiet zone included:
// one bit a pixel, and each line that repeats the one above says only that.
func (c *Code) PNG(scale int) []byte {
	scale = max(1, scale)
	side := (c.size + 2*QuietZone) * scale
	stride := 1 + (side+7)/8 // the filter's number, then the pixels
	above := make([]byte, stride)
	above[0] = 2 // filter Up: the difference to the line above, here none
	line, white := make([]byte, stride), make([]byte, stride)
	for i := 1; i < stride; i++ {
		white[i] = 0xff
	}
	var packed bytes.Buffer
	z, _ := zlib.NewWriterLevel(&packed, zlib.BestSpeed) // a level that there is
	put := func(l []byte, times int) {
		_, _ = z.Write(l) // a buffer takes everything
		for range times - 1 {
			_, _ = z.Write(above)
		}
	}
	put(white, QuietZone*scale)
	for _, r := range c.rows {
		copy(line, white)
		for x := range c.size {
			if r.has(x) {
				for i := (x + QuietZone) * scale; i < (x+QuietZone+1)*scale; i++ {
					line[1+i/8] &^= 0x80 >> (i & 7)
				}
			}
		}
		put(line, scale)
	}
	put(white, QuietZone*scale)
	_ = z.Close()
	out := append(make([]byte, 0, packed.Len()+64), "\x89PNG\r\n\x1a\n"...)
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(side)), uint32(side))
	out = appendChunk(out, "IHDR", append(head, 1, 0, 0, 0, 0)) // grey, one bit
	out = appendChunk(out, "IDAT", packed.Bytes())
	return appendChunk(out, "IEND", nil)
}

func appendChunk(b []byte, name string, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	from := len(b)
	b = append(append(b, name...), data...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}
