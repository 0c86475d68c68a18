package web

// Texts are a bundle's texts where no request tells the language: in the
// worker, in letters and messages.
type Texts struct{ cat *catalogue }

// LoadTexts reads the texts of embedded bundles; it panics when they are
// malformed, as they are part of the program.
func LoadTexts(bundles ...Bundle) *Texts {
	cat, err := loadCatalogue(bundles)
	if err != nil {
		panic(err)
	}
	return &Texts{cat}
}

// Say returns a text in lang ("de" for a language that there is not); args
// alternate name and value.
func (t *Texts) Say(lang, key string, args ...any) string {
	if t.cat.localizers[lang] == nil {
		lang = Languages[0]
	}
	return t.cat.text(lang, key, args...)
}
