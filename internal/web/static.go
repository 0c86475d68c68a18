package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gofiber/fiber/v2"

	"impfportal/web"
)

// static serves the embedded files under /static/{version}/{name}. The version
// is a hash over all of them, so browsers keep them for a year.
type static struct {
	version string
	files   map[string]staticFile
}

type staticFile struct {
	contentType string
	body, gz    []byte
}

func loadStatic() (*static, error) {
	s := &static{files: map[string]staticFile{}}
	h := sha256.New()
	for _, root := range []struct {
		fs     fs.FS
		folder string
	}{{web.Files, "static"}, {web.Dist(), "."}} {
		err := fs.WalkDir(root.fs, root.folder, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(path.Base(p), ".") || strings.HasSuffix(p, ".gz") || strings.HasSuffix(p, ".br") {
				return err
			}
			b, err := fs.ReadFile(root.fs, p)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(p, root.folder+"/")
			ct := mime.TypeByExtension(path.Ext(name))
			if path.Ext(name) == ".js" || path.Ext(name) == ".mjs" {
				ct = "text/javascript; charset=utf-8"
			}
			if ct == "" {
				ct = "application/octet-stream"
			}
			f := staticFile{contentType: ct, body: b}
			if strings.HasPrefix(ct, "text/") || strings.Contains(ct, "svg") {
				if f.gz, err = compress(b); err != nil {
					return err
				}
			}
			s.files[name] = f
			fmt.Fprintf(h, "%s %d\n", name, len(b))
			h.Write(b)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("static files: %w", err)
		}
	}
	s.version = hex.EncodeToString(h.Sum(nil)[:6])
	if err := web.CheckDist(); err != nil {
		slog.Warn(err.Error())
	}
	return s, nil
}

func compress(b []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // writes the rest
		return nil, err
	}
	return buf.Bytes(), nil
}

func (s *static) path(name string) string { return "/static/" + s.version + "/" + name }

func (s *static) has(name string) bool { _, ok := s.files[name]; return ok }

func (s *static) serve(c *fiber.Ctx) error {
	f, ok := s.files[c.Params("*")]
	if !ok {
		return NotFound()
	}
	c.Set(fiber.HeaderContentType, f.contentType)
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	if c.Params("version") == s.version {
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	} else {
		c.Set(fiber.HeaderCacheControl, "public, max-age=60")
	}
	if f.gz != nil && strings.Contains(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		return c.Status(http.StatusOK).Send(f.gz)
	}
	return c.Send(f.body)
}
