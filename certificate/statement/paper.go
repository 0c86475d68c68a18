package statement

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"impfportal/internal/pdf"
	"impfportal/internal/web"
)

var texts = web.LoadTexts(Assets)

func say(lang, key string, args ...any) string { return texts.Say(lang, "statement."+key, args...) }

// printMost is how many leaves the paper lists; what has more is listed by the CSV,
// whose hash the paper names.
const printMost = 1000

var monthNames = map[string][]string{
	"de": {"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"},
}

// monthName is "Juni 2021", "June 2021".
func monthName(lang string, month time.Time) string {
	if names, ok := monthNames[lang]; ok {
		return fmt.Sprintf("%s %d", names[month.Month()-1], month.Year())
	}
	return month.Format("January 2006")
}

// money is an amount of cents as people read it.
func money(lang string, cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "−", -cents
	}
	whole, point := web.FormatNumber(lang, cents/100), ","
	if lang == "en" {
		return fmt.Sprintf("%s€%s.%02d", sign, whole, cents%100)
	}
	return fmt.Sprintf("%s%s%s%02d €", sign, whole, point, cents%100)
}

// sum is how often an item occurs at one price.
type sum struct {
	Item  string
	Cents int // each
	Count int
}

// Total is what they are worth together.
func (s sum) Total() int64 { return int64(s.Cents) * int64(s.Count) }

// sums adds lines up, in the order of Items and of their prices.
func sums(lines []Line) (out []sum) {
	type key struct {
		item  string
		cents int
	}
	count := map[key]int{}
	for _, l := range lines {
		count[key{l.Item, l.Cents}]++
	}
	for _, item := range Items {
		from := len(out)
		for k, n := range count {
			if k.item == item {
				out = append(out, sum{item, k.cents, n})
			}
		}
		part := out[from:]
		for i := range part {
			for j := i; j > 0 && part[j].Cents > part[j-1].Cents; j-- {
				part[j], part[j-1] = part[j-1], part[j]
			}
		}
	}
	return out
}

// paper is the statement as a letter.
func (s *Service) paper(b *made, m Month) ([]byte, error) {
	lang := b.party.Lang
	if lang != "en" {
		lang = "de"
	}
	name := b.Name
	if name == "" {
		name = say(lang, "unknown")
	}
	month := monthName(lang, b.Month)
	to := append([]string{name}, b.party.Address...)
	info := []pdf.Pair{
		{Key: say(lang, "number"), Value: b.No()},
		{Key: say(lang, "month"), Value: month},
		{Key: say(lang, "pseudonym"), Value: b.Issuer},
	}
	blocks := []pdf.Block{
		pdf.Paragraph{Text: say(lang, "pdf.text", "Name", name, "Month", month, "From", web.FormatNumber(lang, m.From), "To", web.FormatNumber(lang, m.Last()))},
		table(lang, b.lines),
		pdf.Paragraph{Text: say(lang, "total") + ": " + money(lang, b.Cents), Bold: true},
		pdf.Paragraph{Text: say(lang, "pdf.tariff"), Small: true},
	}
	if b.party.Kind == "centre" || b.party.Kind == "mobile" {
		blocks = append(blocks, pdf.Paragraph{Text: say(lang, "pdf.own"), Small: true})
	}
	blocks = append(blocks, s.howToVerify(lang, b, m)...)
	blocks = append(blocks, pdf.PageBreak{}, pdf.Heading{Text: say(lang, "pdf.leaves")})
	if len(b.lines) > printMost {
		blocks = append(blocks, pdf.Paragraph{Text: say(lang, "pdf.many", "Most", web.FormatNumber(lang, printMost))})
	}
	blocks = append(blocks, pdf.Paragraph{Text: say(lang, "pdf.short"), Small: true}, leaves(lang, b.lines[:min(printMost, len(b.lines))]))
	return pdf.Letter(pdf.LetterSpec{
		Lang: lang, Created: b.MadeAt, Sender: s.Sender, Recipient: to, Info: info, Date: web.FormatDate(lang, b.MadeAt), Mark: s.Mark,
		Subject: say(lang, "pdf.subject", "Month", month), Blocks: blocks,
	})
}

func table(lang string, lines []Line) pdf.Table {
	t := pdf.Table{Head: []string{say(lang, "item"), say(lang, "count"), say(lang, "each"), say(lang, "sum")}, Widths: []float64{5, 1.3, 1.6, 1.8}, Numbers: 3}
	for _, p := range sums(lines) {
		t.Rows = append(t.Rows, []string{say(lang, "item."+p.Item), web.FormatNumber(lang, p.Count), p.Each(lang), p.Money(lang)})
	}
	return t
}

func leaves(lang string, lines []Line) pdf.Table {
	t := pdf.Table{
		Head: []string{say(lang, "index"), say(lang, "day"), say(lang, "item"), say(lang, "digest"), say(lang, "sum")}, Widths: []float64{1.5, 1.6, 4.2, 2.4, 1.5}, Numbers: 1,
	}
	for _, l := range lines {
		t.Rows = append(t.Rows, []string{strconv.FormatInt(l.Index, 10), l.Day.Format("02.01.2006"), l.Text(lang), short(l.Digest), l.Money(lang)})
	}
	return t
}

// reasons are those of revocations that have a text.
var reasons = []string{"corrected", "record-void", "fraud", "compromise", "lot", "holder"}

func reason(lang, code string) string {
	for _, r := range reasons {
		if r == code {
			return say(lang, "reason."+code)
		}
	}
	return code
}

// short is the beginning of a digest, enough to find it.
func short(digest []byte) string {
	h := hex.EncodeToString(digest)
	return h[:min(16, len(h))]
}

// howToVerify names what the statement was made of, and how anybody can check it.
func (s *Service) howToVerify(lang string, b *made, m Month) []pdf.Block {
	var root tlog.Hash
	copy(root[:], m.Root)
	origin, _, _ := strings.Cut(string(m.Note), "\n")
	rows := []pdf.Pair{
		{Key: say(lang, "pdf.origin"), Value: origin},
		{Key: say(lang, "pdf.size"), Value: strconv.FormatInt(m.Size, 10)},
		{Key: say(lang, "pdf.root"), Value: root.String()},
		{Key: say(lang, "pdf.csv"), Value: hex.EncodeToString(b.CSVSHA256)},
	}
	return []pdf.Block{
		pdf.Heading{Text: say(lang, "pdf.verify")},
		pdf.Pairs{Rows: rows, KeyWidth: 45},
		pdf.Paragraph{Text: say(lang, "pdf.how", "URL", s.BaseURL, "No", b.No()), Small: true},
	}
}
