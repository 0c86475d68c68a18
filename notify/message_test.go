package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSegments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want Size
	}{
		"empty":                      {"", Size{"gsm7", 0, 0}},
		"German is GSM":              {"Grüße aus Köln: ÄÖÜäöüß", Size{"gsm7", 23, 1}},
		"one full part":              {strings.Repeat("a", 160), Size{"gsm7", 160, 1}},
		"one too many":               {strings.Repeat("a", 161), Size{"gsm7", 161, 2}},
		"two full parts":             {strings.Repeat("a", 306), Size{"gsm7", 306, 2}},
		"three":                      {strings.Repeat("a", 307), Size{"gsm7", 307, 3}},
		"euro counts twice":          {strings.Repeat("€", 80), Size{"gsm7", 160, 1}},
		"escape is not split":        {strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), Size{"gsm7", 306, 3}},
		"Sorbian is UCS-2":           {"Budyšin", Size{"ucs2", 7, 1}},
		"ucs2 full":                  {strings.Repeat("ř", 70), Size{"ucs2", 70, 1}},
		"ucs2 two":                   {strings.Repeat("ř", 71), Size{"ucs2", 71, 2}},
		"surrogate pair":             {"😀", Size{"ucs2", 2, 1}},
		"surrogate pair not split":   {strings.Repeat("ř", 66) + "😀" + strings.Repeat("ř", 66), Size{"ucs2", 134, 3}},
		"backtick is not in the set": {"`", Size{"ucs2", 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Segments(c.text); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSegmentsAlwaysEnough(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := Segments(rapid.StringOf(rapid.RuneFrom([]rune("aä€ř😀[ "))).Draw(rt, "text"))
		room := map[string][2]int{"gsm7": {160, 153}, "ucs2": {70, 67}}[s.Coding]
		switch {
		case s.Units == 0 && s.Parts == 0, s.Parts == 1 && s.Units <= room[0]:
		case s.Parts > 1 && s.Units > room[0] && s.Units <= s.Parts*room[1]:
		default:
			rt.Fatalf("%+v", s)
		}
	})
}

func TestSMSText(t *testing.T) {
	t.Parallel()
	got := smsText(" „Termin“ – 14:00\u00a0Uhr…\x00\r\nMüller\u2011Łučina ")
	if want := "\"Termin\" - 14:00 Uhr...\nMüller-Łučina"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCanText(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]bool{
		"+4915123456789": true, "+436641234567": true, "+49341123456": false, "+498000899089": false,
		"": false, "015123456789": false, "+49151": false, "+4915123456789\r\nBcc: x": false,
	} {
		if got := CanText(number); got != want {
			t.Errorf("%q: %v", number, got)
		}
	}
}

func TestCleanEmail(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"a@example.org": true, "Ä.b@example.org": true, "": false, "a@example.org\r\nBcc: b@example.org": false,
		"A <a@example.org>": false, "a@example.org, b@example.org": false, "a@example.org;b@example.org": false,
		"not an address": false, strings.Repeat("a", 250) + "@example.org": false,
	} {
		if _, got := cleanEmail(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestAddressLines(t *testing.T) {
	t.Parallel()
	a := Address{Name: "Jan  Kowalski", Street: "ul. Łódzka 5\nBcc: x", Postcode: "59-900", City: "Zgorzelec", Country: "Polen"}
	if got := strings.Join(a.Lines(), "|"); got != "Jan Kowalski|ul. Łódzka 5 Bcc: x|59-900 Zgorzelec|POLEN" {
		t.Error(got)
	}
	a.Country = "DE"
	if got := a.Lines(); len(got) != 3 {
		t.Error(got)
	}
}

func TestWays(t *testing.T) {
	t.Parallel()
	post := &Address{Name: "A B", Street: "C 1", Postcode: "01067", City: "Dresden"}
	full := Message{Subject: "s", Text: "t", SMS: "m"}
	byPost := full
	byPost.ByPost = true
	for name, c := range map[string]struct {
		to   Recipient
		m    Message
		want string
	}{
		"both":                        {Recipient{Email: "a@example.org", Phone: "+4915123456789", Postal: post}, full, "email sms"},
		"landline gets no SMS":        {Recipient{Email: "a@example.org", Phone: "+49341123456"}, full, "email"},
		"mobile only":                 {Recipient{Phone: "+4915123456789"}, full, "sms"},
		"only postal":                 {Recipient{Postal: post}, full, "letter"},
		"landline and postal":         {Recipient{Phone: "+49341123456", Postal: post}, full, "letter"},
		"nothing":                     {Recipient{}, full, "none"},
		"half an address":             {Recipient{Postal: &Address{Name: "A", Postcode: "01067"}}, full, "none"},
		"all":                         {Recipient{Email: "a@example.org", Phone: "+4915123456789", Postal: post}, byPost, "email sms letter"},
		"by post, no address":         {Recipient{Email: "a@example.org"}, byPost, "email none"},
		"no SMS text":                 {Recipient{Phone: "+4915123456789", Postal: post}, Message{Text: "t"}, "letter"},
		"letter alone":                {Recipient{Email: "a@example.org", Postal: post}, Message{Letter: []byte("%PDF"), ByPost: true}, "letter"},
		"a letter of nothing is none": {Recipient{Postal: post}, Message{SMS: "x"}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, err := ways(c.to, c.m)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range list {
				got = append(got, w.channel)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
	_, err := ways(Recipient{Phone: "+4915123456789"}, Message{SMS: strings.Repeat("x", 1601)})
	if !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v", err)
	}
}

// Nothing that people type can add a header or a recipient to an e-mail.
func TestHeaderInjection(t *testing.T) {
	t.Parallel()
	o := smtpOutside{from: "Impfportal <termin@example.org>"}
	rapid.Check(t, func(rt *rapid.T) {
		evil := rapid.SampledFrom([]string{"\r\nBcc: evil@example.com", "\nX-Evil: 1", "\u2028", "\x00", "\r", ""}).Draw(rt, "evil")
		m := content{
			Email: "a@example.org", Subject: "Termin" + evil + rapid.String().Draw(rt, "subject"), Text: "Text\r\n.\r\nQUIT\r\n", Lang: "de" + evil,
			Attachments: []Attachment{{Name: "x" + evil + ".pdf", ContentType: "application/pdf" + evil, Body: []byte("x")}},
		}
		msg, err := o.build("id", m, time.Unix(0, 0))
		if err != nil {
			rt.Fatal(err)
		}
		var b strings.Builder
		if _, err := msg.WriteTo(&b); err != nil {
			rt.Fatal(err)
		}
		for line := range strings.SplitSeq(b.String(), "\n") {
			if strings.HasPrefix(line, "Bcc:") || strings.HasPrefix(line, "X-Evil") {
				rt.Fatalf("injected header %q", line)
			}
		}
		if to := msg.GetToString(); len(to) != 1 {
			rt.Fatal(to)
		}
	})
	if _, err := o.build("id", content{Email: "a@example.org\r\nRCPT TO:<b@example.org>"}, time.Unix(0, 0)); err == nil {
		t.Error("an address with a line break was accepted")
	}
}
