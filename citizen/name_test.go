package citizen

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestMatchName(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"Müller", "Mueller", "Mu\u0308ller", "MÜLLER", " müller ", "MUELLER"},
		{"Weiß", "Weiss", "WEISS", "WEIẞ"},
		{"Karl-Heinz", "Karl Heinz", "KarlHeinz", "karl\u2010heinz"},
		{"Dvořák", "Dvorak", "DVORA\u0301K"},
		{"Łukasz", "Lukasz"},
		{"Đorđević", "Dordevic"},
		{"Šćepanović", "Scepanovic"},
		{"Kśišćan", "Ksiscan"},
		{"Źěwić", "Zewic"}, // Sorbian
		{"Иванов", "Ivanov", "ИВАНОВ"},
		{"Щербакова", "Shcherbakova"},
		{"Søren", "Soeren"},
		{"O'Neill", "O\u2019Neill", "ONeill"},
		{"Özdemir", "Oezdemir"},
		{"Æsir", "Aesir"},
	} {
		for _, s := range same[1:] {
			if matchName(s) != matchName(same[0]) {
				t.Errorf("%q is %q, %q is %q", s, matchName(s), same[0], matchName(same[0]))
			}
		}
	}
	for _, d := range [][2]string{{"Müller", "Möller"}, {"Meier", "Meyer"}, {"Schmidt", "Schmitt"}, {"محمد", "أحمد"}, {"Anna", "Anna Maria"}} {
		if matchName(d[0]) == matchName(d[1]) {
			t.Errorf("%q and %q are told to be one", d[0], d[1])
		}
	}
	if matchName("محمد") == "" || matchName("李") == "" {
		t.Error("letters of other scripts must count")
	}
}

// names that exist, and what is refused with which message.
func TestNameProblem(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "Müller", "O'Neill", "von der Leyen", "Müller-Lüdenscheidt", "d'Arc", "Jr.", "Nguyễn", "Þórsdóttir", "Kśišćan", "محمد", "李小龍",
		"Мария", "Σωκράτης", "Marcel·lí", strings.Repeat("a", 100), strings.Repeat("é", 100), "Ng", "Y",
	} {
		if key, _ := nameProblem(tidy(s)); key != "" {
			t.Errorf("%q: %s", s, key)
		}
	}
	for s, want := range map[string]string{
		strings.Repeat("a", 101): "too_long", strings.Repeat("Abcdefghij", 20): "too_long",
		"Anna 😀": "emoji", "👨‍👩‍👧": "emoji", "Müller❤️": "emoji", "🇩🇪": "emoji", "A👍🏽": "emoji", "☎": "emoji", "1️⃣": "digit",
		"<b>Anna</b>": "character", "Anna & Otto": "character", "a@b": "character", "{{.}}": "character", "%00": "character", "a\\b": "character",
		"Anna\u0007": "control", "A\x00": "control", "A\ufffd": "control", "A\ue000": "control",
		"Anna2": "digit", "٣": "digit", "-": "no_letters", "...": "no_letters",
		"Z" + strings.Repeat("\u0335", 200): "too_many_marks",
	} {
		if key, _ := nameProblem(tidy(s)); key != want {
			t.Errorf("%q: %q, want %q", s, key, want)
		}
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"  Anna \t Maria\n": "Anna Maria", "Mu\u0308ller": "Müller", "A\u202ennA": "AnnA", "A\u200bB": "AB", "A\u00adB": "AB",
		"O\u2019Neill": "O'Neill", "Karl\u2011Heinz": "Karl-Heinz", "\ufeffAnna": "Anna", "A\u00a0B": "A B", "A\xffB": "A\ufffdB",
	} {
		if got := tidy(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"Müller", "Mu\u0308ller", "😀", "<b>", "\x00\xff", "Z\u0335\u0335"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := tidy(s)
		if !utf8.ValidString(a) || !norm.NFC.IsNormalString(a) {
			t.Fatalf("%q: %q is not valid NFC", s, a)
		}
		if key, _ := nameProblem(a); key == "" {
			if strings.ContainsAny(a, "<>&\"\x00\n") || len(a) > 4*maxName {
				t.Fatalf("%q was taken as a name", a)
			}
			if again := tidy(a); again != a {
				t.Fatalf("%q becomes %q", a, again)
			}
		}
		if matchName(strings.ToUpper(a)) == "" && matchName(a) != "" && strings.EqualFold(strings.ToUpper(a), a) {
			t.Fatalf("%q loses its letters in capitals", a)
		}
		_, _ = addressProblem(a)
	})
}
