package waitingroom

import (
	"encoding/json"
	"html/template"
	"math"
	"strconv"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// This file words what the waiting page tells. The page's script says the same
// with the texts of [tongue.script]: the catalogue is the only place of words.

// tongue speaks one language.
type tongue struct {
	lang string
	t    func(key string, args ...any) string
}

func tongueOf(c *web.Ctx) tongue { return tongue{c.Lang, c.T} }

// count says a text with a number of things.
func (w tongue) count(key string, n int64) string {
	return w.t(key, "Count", n, "N", web.FormatNumber(w.lang, n))
}

// clock writes a time of day, "14:00 Uhr".
func (w tongue) clock(at time.Time) string { return web.FormatClock(w.lang, at) }

// when writes a moment as people say it: "heute um 14:00 Uhr".
func (w tongue) when(at, now time.Time) string {
	switch clock.Day(at).Sub(clock.Day(now)) {
	case 0:
		return w.t("waitingroom.when.today", "Clock", w.clock(at))
	case 24 * time.Hour:
		return w.t("waitingroom.when.tomorrow", "Clock", w.clock(at))
	}
	return w.t("waitingroom.when.day", "Date", web.FormatDate(w.lang, at.In(clock.Berlin)), "Clock", w.clock(at))
}

// countdown says how long it is until a moment, no finer than calm allows.
func (w tongue) countdown(until time.Duration) string {
	minutes := int(math.Ceil(until.Minutes()))
	switch {
	case until <= 0:
		return w.t("waitingroom.countdown.now")
	case minutes == 1:
		return w.t("waitingroom.countdown.minute")
	case minutes < 120:
		return w.t("waitingroom.countdown.exact", "Time", duration(w.t, minutes))
	case until < 48*time.Hour:
		return w.t("waitingroom.countdown.about", "Time", unit(w.t, (minutes+30)/60, "waitingroom.unit.hour", "waitingroom.unit.hours"))
	}
	return w.t("waitingroom.countdown.about", "Time", unit(w.t, int(until.Hours()+12)/24, "waitingroom.unit.day", "waitingroom.unit.days"))
}

// waitText is an estimate in words.
type waitText struct {
	Low, High string // durations
	Kind      string // "range", "one", "least", "unknown"
}

// waitFor tells how long ahead people will take.
func waitFor(t func(key string, args ...any) string, ahead int64, pace Pace) waitText {
	return waitOf(t, EstimateFor(ahead, pace))
}

func waitOf(t func(key string, args ...any) string, e Estimate) waitText {
	w := waitText{Low: duration(t, e.Low), High: duration(t, e.High), Kind: "range"}
	switch {
	case e.Low == 0:
		w.Kind = "unknown"
	case e.High == 0:
		w.Kind = "least"
	case e.Low == e.High:
		w.Kind = "one"
	case e.High < 120:
		w.Low = strconv.Itoa(e.Low) // "10 bis 20 Minuten"
	}
	return w
}

// duration writes whole minutes: "35 Minuten", "2 Stunden 15 Minuten".
func duration(t func(key string, args ...any) string, n int) string {
	if n < 120 {
		return unit(t, n, "waitingroom.unit.minute", "waitingroom.unit.minutes")
	}
	text := unit(t, n/60, "waitingroom.unit.hour", "waitingroom.unit.hours")
	if m := n % 60; m > 0 {
		text += " " + unit(t, m, "waitingroom.unit.minute", "waitingroom.unit.minutes")
	}
	return text
}

func unit(t func(key string, args ...any) string, n int, one, many string) string {
	if n == 1 {
		return "1 " + t(one)
	}
	return strconv.Itoa(n) + " " + t(many)
}

// places compares what is left behind the room with the people who want it;
// "" when nobody knows what is left. view is that of somebody with a place.
func (w tongue) places(st State, view string, ahead, here int64) string {
	if st.Left == nil || view == viewTurn || view == viewShut {
		return ""
	}
	left := *st.Left
	if left <= 0 {
		return w.t("waitingroom.places.none")
	}
	people, first, verdict := ahead, "waitingroom.places.ahead", "enough"
	if view == viewPreQueue || view == viewDrawing {
		people, first, verdict = here, "waitingroom.places.here", "enough_all"
	}
	if people > left || people == left && first == "waitingroom.places.ahead" {
		verdict = map[string]string{"enough": "fewer", "enough_all": "fewer_all"}[verdict]
	}
	return w.count("waitingroom.places.free", left) + " " + w.count(first, people) + " " + w.t("waitingroom.places."+verdict)
}

// scriptTexts are the texts of the page's script; {x} is filled in there.
var scriptTexts = map[string][]any{
	"tab.waiting": {"N", "{n}"}, "tab.next": nil, "tab.turn": nil, "tab.pre-queue": nil, "tab.drawing": nil, "tab.shut": nil, "tab.paused": nil,
	"tab.trouble": nil, "tab.void": nil, "next.called": nil, "next.called_trouble": nil,
	"wait.range": {"Low", "{low}", "High", "{high}"}, "wait.one": {"Low", "{low}"}, "wait.least": {"Low", "{low}"}, "wait.unknown": nil,
	"unit.minute": nil, "unit.minutes": nil, "unit.hour": nil, "unit.hours": nil, "unit.day": nil, "unit.days": nil,
	"when.today": {"Clock", "{clock}"}, "when.tomorrow": {"Clock", "{clock}"}, "when.day": {"Date", "{date}", "Clock", "{clock}"},
	"form.clock": nil, "form.date": nil,
	"countdown.now": nil, "countdown.minute": nil, "countdown.exact": {"Time", "{time}"}, "countdown.about": {"Time", "{time}"},
	"opens": {"When", "{when}"}, "drawing.due": {"When", "{when}"}, "drawing.late": {"When", "{when}"}, "drawing.since": {"When", "{when}"},
	"ends.line": {"When", "{when}"}, "ends.closes": {"When", "{when}"},
	"places.none": nil, "places.enough": nil, "places.fewer": nil, "places.enough_all": nil, "places.fewer_all": nil,
	"say": {"Ahead", "{ahead}", "Wait", "{wait}"}, "say.turn": nil, "say.drawing": nil, "say.drawn": {"Ahead", "{ahead}", "Wait", "{wait}"},
	"say.paused": nil, "say.resumed": nil, "say.shut": nil, "say.knock.full": nil, "say.knock.busy": nil, "say.new": nil,
	"knock.full": nil, "knock.busy": nil, "knock.tired": nil,
}

// scriptCounts are those with a number of things.
var scriptCounts = []string{"places.free", "places.ahead", "places.here", "here", "people"}

// script returns the texts of the page's script.
func (w tongue) script() map[string]string {
	out := make(map[string]string, len(scriptTexts)+2*len(scriptCounts))
	for key, args := range scriptTexts {
		out[key] = w.t("waitingroom."+key, args...)
	}
	for _, key := range scriptCounts {
		out[key+".one"] = w.t("waitingroom."+key, "Count", 1, "N", "{n}")
		out[key+".other"] = w.t("waitingroom."+key, "Count", 2, "N", "{n}")
	}
	return out
}

// pageTexts returns them as the attribute data-texts, made once per language.
func (s *Service) pageTexts(say tongue) (template.HTMLAttr, error) {
	if made, ok := s.texts.Load(say.lang); ok {
		return made.(template.HTMLAttr), nil
	}
	texts, err := json.Marshal(say.script())
	if err != nil {
		return "", err
	}
	attr := template.HTMLAttr(`data-texts="` + template.HTMLEscapeString(string(texts)) + `"`) //nolint:gosec // escaped
	s.texts.Store(say.lang, attr)
	return attr, nil
}
