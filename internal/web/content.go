package web

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"sync"
)

// content is what pages are made of: texts, templates, static files. It depends on
// the bundles alone and never changes, so that applications share it.
type content struct {
	cat    *catalogue
	static *static
	pages  map[string]*pageSet // by language
}

// contents keeps what was made, by the digest of its bundles: a program has one
// application, its tests hundreds, and templates are parsed and texts said once.
var contents sync.Map // [sha256.Size]byte -> func() (*content, error)

// loadContent fails when a template or a text is wrong.
func loadContent(bundles []Bundle) (*content, error) {
	digest, err := digestOf(bundles)
	if err != nil {
		return nil, err
	}
	load, _ := contents.LoadOrStore(digest, sync.OnceValues(func() (*content, error) { return newContent(bundles) }))
	return load.(func() (*content, error))()
}

func newContent(bundles []Bundle) (k *content, err error) {
	k = &content{}
	if k.cat, err = loadCatalogue(bundles); err != nil {
		return nil, err
	}
	if k.static, err = loadStatic(); err != nil {
		return nil, err
	}
	if k.pages, err = k.loadPages(bundles); err != nil {
		return nil, err
	}
	return k, nil
}

// digestOf is the digest of the bundles' names and files.
func digestOf(bundles []Bundle) (digest [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, b := range bundles {
		fmt.Fprintf(h, "bundle %q\n", b.Name)
		err := fs.WalkDir(b.FS, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := fs.ReadFile(b.FS, path)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%q %d\n", path, len(raw))
			h.Write(raw)
			return nil
		})
		if err != nil {
			return digest, fmt.Errorf("files of %s: %w", b.Name, err)
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
