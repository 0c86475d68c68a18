package dcc

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestTransliterate(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                      "",
		"Mustermann":            "MUSTERMANN",
		"Gößinger":              "GOESSINGER",
		"Go\u0308ßinger":        "GOESSINGER", // decomposed
		"MÜLLER-LÜDENSCHEIDT":   "MUELLER<LUEDENSCHEIDT",
		"Ärgerlich":             "AERGERLICH",
		"STRAẞE":                "STRASSE",
		"d'Červenková Panklová": "DCERVENKOVA<PANKLOVA", // the schema's own examples
		"Jiřina-Maria Alena":    "JIRINA<MARIA<ALENA",
		"O’Brien":               "OBRIEN",
		"Māris Bērziņš":         "MARIS<BERZINS",
		"Łukasz Źdźbło":         "LUKASZ<ZDZBLO",
		"Šćepanović-Đorđević":   "SCEPANOVIC<DORDEVIC",
		"Krawc Měrćin ŕ":        "KRAWC<MERCIN<R", // Upper Sorbian
		"Åse Bjørnsdóttir":      "AASE<BJOERNSDOTTIR",
		"Þórður Æsir":           "THORDUR<AESIR",
		"Cœur-de-L'Aîné":        "COEUR<DE<LAINE",
		"Íñigo Núñez":           "INIGO<NUNEZ",
		"Ĳsbrand ij":            "IJSBRAND<IJ",
		"Şükrü İnönü ışık":      "SUEKRUE<INOENUE<ISIK",
		"Țepeș Ștefan":          "TEPES<STEFAN",
		"Nguyễn Thị Ánh Đào":    "NGUYEN<THI<ANH<DAO",
		"Ərəcəb":                "ARACAB",
		"Ŋutsukpui Ɛlinam":      "NUTSUKPUI<ELINAM",
		"Ħal Għargħur":          "HAL<GHARGHUR",
		"Dr. Anna  von der  Au": "DR<ANNA<VON<DER<AU",
		"Smith, Jr.":            "SMITH<JR",
		" - Anna - ":            "ANNA",
		"Anna–Maria":            "ANNA<MARIA",
		"Marie\u00a0Luise":      "MARIE<LUISE",
		"Kaʻohe":                "KAOHE",
		"ﬁlip Ｗｉｄｅ":             "FILIP<WIDE",
		"Anna 🎉 <b>":            "ANNA<B",
		"Ludwig 2":              "LUDWIG",
	} {
		got, err := Transliterate(name)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"Иван", "Παπαδόπουλος", "Anna Иванова", "山田", "محمد"} {
		if got, err := Transliterate(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	long, err := Transliterate(strings.Repeat("ÄÖ", 100))
	if err != nil || len(long) != maxName {
		t.Errorf("long name: %d, %v", len(long), err)
	}
	if got, _ := Transliterate(strings.Repeat("a", maxName-1) + " b"); got != strings.Repeat("A", maxName-1) {
		t.Errorf("a name must not end with a filler: %q", got)
	}
}

// Every Latin letter of Unicode has letters, whatever its case and accents.
func TestTransliterateAllLatin(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[A-Z]+$`)
	for r := rune(0xC0); r <= 0x24F; r++ {
		checkLetter(t, form, r)
	}
	for r := rune(0x1E00); r <= 0x1EF9; r++ {
		checkLetter(t, form, r)
	}
}

func checkLetter(t *testing.T, form *regexp.Regexp, r rune) {
	if !unicode.IsLetter(r) || strings.ContainsRune(phonetic, r) {
		return
	}
	if got, err := Transliterate("X" + string(r)); err != nil || !form.MatchString(got) {
		t.Errorf("U+%04X %c: %q, %v", r, r, got, err)
	}
}

// phonetic are the signs among the Latin letters that stand in no name: tone
// letters and those of phonetics.
const phonetic = "ƄƅƍƛƢƣƧƨƪƫƸƹƺƻƼƽƾȡȴȵȶȸȹȿɀẟ"

func FuzzTransliterate(f *testing.F) {
	f.Add("Gößinger")
	f.Add("d'Červenková")
	form := regexp.MustCompile(`^([A-Z]+(<[A-Z]+)*)?$`)
	f.Fuzz(func(t *testing.T, name string) {
		got, err := Transliterate(name)
		if err == nil && (!form.MatchString(got) || len(got) > maxName) {
			t.Fatalf("%q gave %q", name, got)
		}
	})
}

func TestDisplayName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'ß', 'z', ' ', '\u0308', '\u0323', '𝒜'})).Draw(t, "name")
		got := displayName(name)
		if utf8.RuneCountInString(got) > maxName || !norm.NFC.IsNormalString(got) || got != strings.TrimSpace(got) {
			t.Fatalf("%q gave %q", name, got)
		}
	})
	if got := displayName(strings.Repeat("x", 79) + "q\u0323\u0323"); got != strings.Repeat("x", 79) {
		t.Errorf("cut between letter and accent: %q", got)
	}
}
