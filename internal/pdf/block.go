package pdf

import "impfportal/internal/qr"

// Block is one piece of a document's body. The set is closed.
type Block interface {
	draw(w *writer, x, width float64)
}

// Paragraph is running text. Newlines in Text are kept.
type Paragraph struct {
	Text  string
	Bold  bool
	Small bool   // 8.5 pt instead of 11 pt, for what nobody has to act on
	Align string // "L" (default), "C", "R"
	Slot  Slot
}

// Slot makes a place of a form: Form.Fill writes the text that is called Name
// there instead of the one that the block has. Room is kept for Lines lines (0
// = one); what needs more is set smaller.
type Slot struct {
	Name  string
	Lines int
}

// Heading is a heading of the second level; Top makes it the document's title,
// where the specification does not set one.
type Heading struct {
	Text string
	Top  bool
}

// Pair is a label and its value. Other is the label once more in the language
// Pairs.OtherLang.
type Pair struct {
	Key, Other, Value string
	Slot              Slot
}

// Pairs is a table of labels and values.
type Pairs struct {
	Rows      []Pair
	KeyWidth  float64 // mm; 0 = two fifths of the width
	OtherLang string
}

// Table is a table with a head line. Widths are shares of the width (any
// unit); empty = equal shares. The head is repeated after a page break.
type Table struct {
	Head    []string
	Rows    [][]string
	Widths  []float64
	Numbers int // how many of the last columns are set to the right
}

// List is a list of points.
type List struct{ Items []string }

// Note is a framed text that must not be missed.
type Note struct{ Title, Text string }

// Code is a text to be typed: a case number, a secret, a reference. It stands
// in large fixed-width letters that tell 0 from O and 1 from l.
type Code struct{ Label, Text string }

// QR is a QR code in a box of exactly Size millimetres, drawn as vectors. The
// quiet zone of four modules is part of the box.
type QR struct {
	Text  string
	Level qr.Level
	Size  float64
	// Side is the side of the code itself, in the middle of the box; 0 = as
	// large as the box allows. The quiet zone is the caller's care then.
	Side    float64
	Align   string // "L" (default), "C", "R"
	Caption string
	Alt     string // what is heard instead; "" = that there is a code, and the caption
	Slot    Slot
}

// Columns sets two lists of blocks beside each other: two languages, or text
// beside a code. The row is kept together on one page.
type Columns struct {
	Left, Right []Block
	LeftShare   float64 // 0..1 of the width; 0 = one half
	Gap         float64 // mm; 0 = 8
}

// At sets blocks at a fixed place of the present page without moving what
// follows: X and Y from the page's top left corner.
type At struct {
	X, Y, Width float64
	Height      float64 // blocks that need more are an error (ErrRoom); 0 = as much as they want
	Size        float64 // of running text, in points; 0 = as around. Everything else follows
	Blocks      []Block
}

// In says that blocks are in another language than the document.
type In struct {
	Lang   string // "de", "en"
	Blocks []Block
}

// Gap is empty space.
type Gap struct{ Height float64 }

// Rule is a thin line across.
type Rule struct{}

// PageBreak begins a new page.
type PageBreak struct{}

// Texts makes paragraphs of strings.
func Texts(paragraphs ...string) []Block {
	out := make([]Block, len(paragraphs))
	for i, p := range paragraphs {
		out[i] = Paragraph{Text: p}
	}
	return out
}
