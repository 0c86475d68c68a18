package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"reflect"

	"github.com/gofiber/fiber/v2"
)

// Public is an answer that is the same for everybody. It is made once, compressed
// once and then only sent; its ETag follows from its bytes. It must not be altered.
type Public struct {
	body, gzipped               []byte
	etag                        string
	contentType, cachesMayServe string
}

// NewPublic makes an answer of body; cacheControl says how long a cache may serve
// it without asking.
func NewPublic(contentType, cacheControl string, body []byte) *Public {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(body) // a Buffer takes everything
	_ = w.Close()
	sum := sha256.Sum256(body)
	return &Public{body: body, gzipped: z.Bytes(), etag: `"` + hex.EncodeToString(sum[:8]) + `"`, contentType: contentType, cachesMayServe: cacheControl}
}

// Body is what is sent, uncompressed; nobody may write to it.
func (p *Public) Body() []byte { return p.body }

// Serve answers: 304 to who has it already, else the bytes, compressed where that
// is understood. No I/O, no copy.
func (p *Public) Serve(c *fiber.Ctx) error {
	h := &c.Response().Header
	h.Set(fiber.HeaderETag, p.etag)
	h.Set(fiber.HeaderCacheControl, p.cachesMayServe)
	h.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if bytes.Contains(c.Request().Header.Peek(fiber.HeaderIfNoneMatch), []byte(p.etag)) {
		c.Status(fiber.StatusNotModified)
		return nil
	}
	h.SetContentType(p.contentType)
	body := p.body
	if bytes.Contains(c.Request().Header.Peek(fiber.HeaderAcceptEncoding), []byte("gzip")) {
		h.SetContentEncoding("gzip")
		body = p.gzipped
	}
	c.Response().SetBodyRaw(body)
	return nil
}

// Published makes a JSON operation whose answer is made beforehand; Out is what
// it holds, for the API description.
func Published[Out any](summary string, fn func(ctx context.Context) (*Public, error)) *Op {
	return &Op{Summary: summary, in: reflect.TypeFor[struct{}](), out: reflect.TypeFor[Out](), status: http.StatusOK, handle: func(c *Ctx) error {
		p, err := fn(c.Std())
		if err != nil {
			return err
		}
		return p.Serve(c.Ctx)
	}}
}
