// The waiting page. It follows the room's public snapshot, asking as often as
// that advises, works out place and estimate from it, and shows and hides what
// the page holds already. All words come from the page. Everything here also
// works without a script, by loading the page again.
"use strict";

// impfLine decides as estimate.go, admit.go, turn.go and http_line.go do; a test
// compares the two.
globalThis.impfLine = (() => {
  const STUCK = 0.05, LIVE = 0, DRAWN = 1, BEHIND = 2, INVITED = 3;

  const round = (m) => {
    const step = m > 60 ? 15 : m > 10 ? 5 : 1;
    return Math.max(1, Math.ceil(m / step) * step);
  };
  // estimate returns whole minutes; 0 = nobody can say.
  const estimate = (ahead, pace) => {
    const low = pace.fast > STUCK ? round(ahead / pace.fast) : 0;
    return { low, high: pace.slow > STUCK ? Math.max(round(ahead / pace.slow), low) : 0 };
  };

  // ahead returns how many people come before a position.
  const ahead = (s, pos) => {
    if (pos <= s.serving) return 0;
    let n = pos - s.serving - 1;
    for (const [first, last] of s.gaps) n -= Math.max(0, Math.min(last, pos - 1) - Math.max(first, s.serving + 1) + 1);
    return n;
  };

  // turn tells how a place stands; lot gives a drawn ticket its position.
  const turn = (s, cohort, index, lot) => {
    const open = s.phase === "open" && !s.trouble, behind = s.behind_serving || 0;
    if (cohort === BEHIND) {
      const before = Math.max(0, index - behind - 1) + (index > behind ? s.waiting : 0);
      return { known: true, position: 0, ahead: before, now: open && index <= behind };
    }
    if (cohort === INVITED) return { known: true, position: 0, ahead: 0, now: open };
    const position = cohort === DRAWN ? (s.draw && s.draw.key ? lot(s.draw, index) : 0) : index;
    if (!position) return { known: false, position: 0, ahead: 0, now: false };
    return { known: true, position, ahead: ahead(s, position), now: open && position <= s.serving };
  };

  const time = (text) => (text ? Date.parse(text) : 0);

  // view says what is shown to somebody who has a place; now is in milliseconds.
  const view = (s, t, now) => {
    if (t.now) return "turn";
    if (s.phase === "closed" || s.phase === "scheduled") return "shut";
    if (s.phase === "pre-queue") return s.draw && s.opens_at && now >= time(s.opens_at) ? "drawing" : "pre-queue";
    return t.known ? "waiting" : "drawing";
  };

  const pollAfter = (n, pace, poll) => {
    if (pace.fast <= STUCK) return poll.far;
    return Math.trunc(Math.min(poll.far, Math.max(poll.near, n / pace.fast * 20)));
  };

  // pollIn returns after how many milliseconds to look again; luck is random, at
  // least 0 and below 1.
  const pollIn = (s, t, now, luck) => {
    let moment = s.phase === "pre-queue" ? time(s.opens_at) : 0;
    if ((s.phase === "pre-queue" || s.phase === "drawing") && s.draw) moment = Math.max(moment, time(s.draw.beacon_due));
    let seconds = s.poll.far, window = s.poll.wake || 0;
    if (t.known) {
      const after = pollAfter(t.ahead, s.pace, s.poll);
      window = Math.min(window, after);
      if (s.phase !== "pre-queue" || !s.opens_at) seconds = after;
    }
    const ms = seconds * (1 + s.poll.spread * (2 * luck - 1)) * 1000, until = moment - now;
    return moment && until > 0 && ms > until ? until + 1000 + luck * window * 1000 : ms;
  };

  // late reports whether a place was invited longer ago than grace (seconds).
  const late = (s, position, grace) => s.pace.fast > STUCK && (s.serving - position) / s.pace.fast > grace / 60;

  // called reports whether a place was in turn already in a line that stands still.
  const called = (s, t, cohort, index) => {
    if (!t.known || t.now || cohort === INVITED) return false;
    return cohort === BEHIND ? index <= (s.behind_serving || 0) : t.position <= s.serving;
  };

  return { estimate, ahead, turn, view, called, pollIn, late, time, LIVE, DRAWN, BEHIND, INVITED };
})();

if (typeof document !== "undefined") (() => {
  const lang = document.documentElement.lang || "de";
  const number = new Intl.NumberFormat(lang);
  const byId = (id) => document.getElementById(id);
  const show = (id, on) => { const e = byId(id); if (e) e.hidden = !on; };
  const put = (id, text) => { const e = byId(id); if (e && e.textContent !== text) e.textContent = text; };

  const page = byId("wr-line");
  if (page && page.dataset.snapshot) follow(page.dataset);
  const figures = byId("wr-figures");
  if (figures) watch(figures);

  function follow(d) {
    const line = globalThis.impfLine, texts = JSON.parse(d.texts), stateURL = `/rooms/${d.room}/state.json`;
    const live = d.live === "true", index = Number(d.index), cohort = Number(d.cohort), grace = Number(d.grace);
    const shift = Number(d.now) - Date.now(); // the room's clock; the browser's may be wrong
    const clock = () => Date.now() + shift;
    const place = (draw, i) => (globalThis.impfDraw ? globalThis.impfDraw.place(draw, i) : 0);
    const site = document.title.slice(document.title.lastIndexOf(" – "));
    let s = JSON.parse(d.snapshot);
    const plan = (x) => [x.prequeue_from, x.opens_at].join();
    const epoch = s.epoch, phase = s.phase, planned = plan(s);
    let shown = d.view, wasPhase = phase, opensAt = s.opens_at, timer = 0, next = 0, flip = 0, failures = 0, polled = Date.now();
    let lowest = Infinity, said = 0, saidAhead = -1, pending = null, spoken = null, knocking = false, knocked = "";

    // --- words, as line_words.go ---
    const fill = (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));
    const count = (key, n) => fill(`${key}.${n === 1 ? "one" : "other"}`, { n: number.format(n) });
    const unit = (n, one, many) => `${n} ${texts[`unit.${n === 1 ? one : many}`]}`;
    const duration = (n) => {
      if (n < 120) return unit(n, "minute", "minutes");
      const m = n % 60, h = unit(Math.floor(n / 60), "hour", "hours");
      return m ? `${h} ${unit(m, "minute", "minutes")}` : h;
    };
    const wait = ({ low, high }) => {
      if (!low) return texts["wait.unknown"];
      if (!high) return fill("wait.least", { low: duration(low) });
      if (low === high) return fill("wait.one", { low: duration(low) });
      return fill("wait.range", { low: high < 120 ? String(low) : duration(low), high: duration(high) });
    };
    const parts = (ms, options) => Object.fromEntries(new Intl.DateTimeFormat(lang === "en" ? "en-GB" : lang, { timeZone: "Europe/Berlin", ...options })
      .formatToParts(ms).map((p) => [p.type, p.value]));
    const dayOf = (ms) => { const p = parts(ms, { year: "numeric", month: "2-digit", day: "2-digit" }); return Date.UTC(p.year, p.month - 1, p.day); };
    const when = (ms) => {
      const p = parts(ms, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
      const time = fill("form.clock", { time: `${p.hour}:${p.minute}` });
      const days = (dayOf(ms) - dayOf(clock())) / 86400000;
      if (days === 0) return fill("when.today", { clock: time });
      if (days === 1) return fill("when.tomorrow", { clock: time });
      return fill("when.day", { clock: time, date: fill("form.date", parts(ms, { weekday: "long", day: "numeric", month: "long", year: "numeric" })) });
    };
    const countdown = (ms) => {
      const minutes = Math.ceil(ms / 60000);
      if (ms <= 0) return texts["countdown.now"];
      if (minutes === 1) return texts["countdown.minute"];
      if (minutes < 120) return fill("countdown.exact", { time: duration(minutes) });
      if (ms < 48 * 3600000) return fill("countdown.about", { time: unit(Math.floor((minutes + 30) / 60), "hour", "hours") });
      return fill("countdown.about", { time: unit(Math.floor((Math.floor(ms / 3600000) + 12) / 24), "day", "days") });
    };
    const here = () => (cohort <= line.DRAWN ? Math.max(s.issued, index) : s.issued);
    const places = (v, ahead) => {
      if (s.left === undefined || s.left === null || v === "turn" || v === "shut") return "";
      if (s.left <= 0) return texts["places.none"];
      const all = v === "pre-queue" || v === "drawing", people = all ? here() : ahead;
      const fewer = people > s.left || people === s.left && !all;
      return `${count("places.free", s.left)} ${count(all ? "places.here" : "places.ahead", people)} ${texts[`places.${fewer ? "fewer" : "enough"}${all ? "_all" : ""}`]}`;
    };

    // --- read aloud: what matters, at most once a minute; one's turn at once ---
    // text is a function where it tells numbers: what is said late is true then, and
    // what is no longer true is taken away.
    const say = (text, now) => {
      const wait = said + 60000 - Date.now();
      if (wait > 0 && !now) {
        if (!pending) setTimeout(() => { const t = pending; pending = null; if (t) say(t, true); }, wait);
        pending = text; // the latest counts
        return;
      }
      pending = null;
      said = Date.now();
      spoken = typeof text === "function" ? text : null;
      put("wr-say", spoken ? spoken() : text);
    };

    const tab = (text) => { document.title = text + site; };
    const views = (v) => { for (const e of page.querySelectorAll("[data-on]")) e.hidden = !e.dataset.on.split(" ").includes(v); page.dataset.view = v; };

    // --- opening ---
    function tick() {
      const now = clock(), opens = line.time(s.opens_at);
      if (opens) {
        put("wr-opens", fill("opens", { when: when(opens) }));
        put("wr-countdown", countdown(opens - now));
        show("wr-countdown", true);
      }
      const from = line.time(s.prequeue_from) || (s.phase === "scheduled" ? opens : 0);
      clearTimeout(flip);
      if (from && from - now < 24 * 3600000) flip = setTimeout(begun, Math.max(0, from - now) + 500 + Math.random() * 2500);
      if (live) draw();
    }

    // The moment has come at which places can be taken: no need to ask for that.
    function begun() {
      if (shown === "new") return;
      shown = "new";
      views("new");
      tab(live ? texts["tab.void"] : byId("wr-new-title").textContent);
      say(texts["say.new"], true);
    }

    // --- the place ---
    function draw() {
      if (shown === "new") return;
      const now = clock(), t = line.turn(s, cohort, index, place), v = line.view(s, t, now);
      const m = s.message || {}, spokenIn = [lang, "de", "en"].find((l) => m[l]), message = spokenIn ? m[spokenIn] : "";
      put("wr-message-text", message);
      byId("wr-message-text").lang = spokenIn || lang;
      show("wr-message", message !== "");
      show("wr-trouble", s.trouble || failures > 1);
      show("wr-paused", s.phase === "paused");
      put("wr-here", count("here", here()));

      const still = s.trouble || s.phase !== "open" || !t.known;
      const e = still ? { low: 0, high: 0 } : line.estimate(t.ahead, s.pace), text = wait(e), ahead = number.format(t.ahead);
      put("wr-ahead", ahead);
      put("wr-estimate", text);
      if (t.position) {
        put("wr-place", number.format(t.position));
        put("wr-kept-place", number.format(t.position));
      }
      show("wr-kept-box", t.position > 0);
      const moves = s.phase === "open" && !s.trouble && failures < 2, called = line.called(s, t, cohort, index);
      show("wr-next", moves && t.ahead === 0);
      if (called) put("wr-called", texts[s.phase === "paused" ? "next.called" : "next.called_trouble"]);
      show("wr-called", called);
      show("wr-ahead-box", !called);
      show("wr-estimate-box", !called);
      show("wr-after", s.phase === "drawing");
      show("wr-rises", e.high > lowest);
      if (e.high) lowest = Math.min(lowest, e.high);
      const left = places(v, t.ahead);
      put("wr-places", left);
      show("wr-places-box", left !== "");
      ends(v, e, t.ahead, now);
      due(now);
      if (t.now && cohort <= line.DRAWN) {
        const late = line.late(s, t.position, grace);
        show("wr-in-time", !late);
        show("wr-late", late);
      }

      if (v !== shown) {
        const before = shown;
        shown = v;
        views(v);
        const answer = byId("wr-answer");
        if (answer) answer.hidden = true; // it spoke of how it was before
        if (v === "turn") say(texts["say.turn"], true);
        else if (v === "drawing") say(texts["say.drawing"]);
        else if (v === "shut") say(texts["say.shut"]);
        else if (before === "turn") say(s.phase === "paused" ? `${texts["say.paused"]} ${texts["next.called"]}` : texts["next.called_trouble"], true);
        else if (v === "waiting" && (before === "drawing" || before === "pre-queue")) { say(numbers("say.drawn")); saidAhead = t.ahead; }
      } else if (s.phase !== wasPhase && v === "waiting") {
        if (s.phase === "paused") say(called ? `${texts["say.paused"]} ${texts["next.called"]}` : texts["say.paused"]);
        else if (wasPhase === "paused") say(texts["say.resumed"]);
      } else if (v === "waiting" && s.phase === "open" && Date.now() - said > 60000 && (saidAhead < 0 || Math.abs(saidAhead - t.ahead) >= saidAhead / 10)) {
        if (saidAhead >= 0) say(numbers("say"));
        saidAhead = t.ahead;
      }
      wasPhase = s.phase;
      if (spoken && byId("wr-say").textContent !== spoken()) {
        spoken = null;
        put("wr-say", "");
      }
      if (v !== "waiting") tab(texts[`tab.${v}`]);
      else tab(s.phase === "paused" ? texts["tab.paused"] : t.ahead ? fill("tab.waiting", { n: ahead }) : texts[moves ? "tab.next" : s.phase === "open" || s.trouble ? "tab.trouble" : "tab.drawing"]);
      return t;
    }

    // numbers tells how the place stands at the moment of saying it; "" when it does
    // not wait any more.
    const numbers = (key) => () => {
      const t = line.turn(s, cohort, index, place);
      if (shown !== "waiting" || line.view(s, t, clock()) !== "waiting" || s.phase !== "open" || s.trouble) return "";
      return fill(key, { ahead: count("people", t.ahead), wait: wait(line.estimate(t.ahead, s.pace)) });
    };

    function ends(v, e, ahead, now) {
      const newLine = line.time(s.prequeue_from), closes = s.phase === "open" || s.phase === "paused" ? line.time(s.closes_at) : 0;
      const end = Math.min(newLine || Infinity, closes || Infinity);
      put("wr-ends-line", newLine ? fill("ends.line", { when: when(newLine) }) : "");
      put("wr-ends-closes", closes ? fill("ends.closes", { when: when(closes) }) : "");
      show("wr-ends-line", newLine > 0);
      show("wr-ends-closes", closes > 0);
      show("wr-ends-short", v === "waiting" && s.phase === "open" && end < Infinity && ahead > 0 && (!e.high || e.high * 60000 > end - now));
      show("wr-ends", end < Infinity);
    }

    function due(now) {
      const at = s.draw ? line.time(s.draw.beacon_due) : 0, late = at > 0 && now - at > 60000;
      put("wr-due", at ? fill(late ? "drawing.late" : "drawing.due", { when: when(at) }) : "");
      show("wr-overdue", late);
      if (!byId("wr-since")?.textContent && opensAt) put("wr-since", fill("drawing.since", { when: when(line.time(opensAt)) }));
    }

    // --- asking ---
    async function poll() {
      let ms;
      polled = Date.now();
      try {
        const r = await fetch(stateURL, { cache: "no-cache", credentials: "omit" });
        if (!r.ok) throw new Error(String(r.status));
        const news = await r.json();
        if (news.epoch !== epoch || !live && (news.phase !== phase || plan(news) !== planned)) {
          again();
          return;
        }
        failures = 0;
        s = news;
        opensAt = s.opens_at || opensAt;
        if (shown === "new") return;
        tick();
        ms = live ? line.pollIn(s, line.turn(s, cohort, index, place), clock(), Math.random()) : quiet();
      } catch {
        failures++;
        if (failures > 1) show("wr-trouble", true);
        // Who asks seldom goes on asking seldom: a portal that comes back is not overrun.
        const advised = live ? line.pollIn(s, line.turn(s, cohort, index, place), clock(), Math.random()) : quiet();
        ms = Math.max(advised, Math.min(60000, 5000 * 2 ** failures) * (0.7 + 0.6 * Math.random()));
      }
      schedule(ms);
    }

    // Who has no place is not counted by anybody, and asks now and then.
    const quiet = () => (s.phase === "scheduled" ? 300000 : 90000) * (0.7 + 0.6 * Math.random());

    // A new line, or another phase for somebody without a place: the page explains
    // it. Browsers come here one after the other, as they ask.
    const again = () => location.replace(d.here);

    function schedule(ms) {
      clearTimeout(timer);
      next = Date.now() + ms;
      timer = setTimeout(poll, Math.max(ms, 500));
    }

    // Who comes back to the page sees at once how it stands.
    const back = () => {
      if (document.visibilityState === "visible" && Date.now() - polled > 3000 && next - Date.now() > 2000) schedule(500 + 1500 * Math.random());
    };
    document.addEventListener("visibilitychange", back);
    window.addEventListener("pageshow", (event) => { if (event.persisted) back(); });

    // --- the door: who finds it full need not press again and again ---
    const form = byId("wr-enter");
    if (form) form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!knocking) knock(form, Date.now());
    });

    async function knock(form, began) {
      knocking = true;
      let out;
      try {
        const r = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { Accept: "application/json" } });
        out = r.ok ? await r.json() : null;
      } catch { out = { verdict: "", ask_again_seconds: 5 }; } // the network: try again
      if (out && out.verdict === "in") { location.assign(form.elements.to.value); return; }
      if (!out || out.verdict === "wait" || out.verdict === "shut") {
        knocking = false;
        if (out) { show("wr-knock", false); schedule(500); } else form.submit(); // the server explains it
        return;
      }
      const tired = Date.now() - began > 15 * 60000; // nobody may be there any more
      if (out.verdict) put("wr-knock", texts[tired ? "knock.tired" : `knock.${out.verdict}`]);
      const first = byId("wr-knock").hidden;
      if (out.verdict && (first || out.verdict !== knocked)) say(texts[`say.knock.${out.verdict}`], first);
      knocked = out.verdict || knocked;
      show("wr-knock", byId("wr-knock").textContent !== "");
      if (tired) { knocking = false; return; }
      setTimeout(() => knock(form, began), out.ask_again_seconds * 1000 * (0.8 + 0.4 * Math.random()));
    }

    // One press is enough.
    for (const f of page.querySelectorAll("form.wr-join")) {
      let sent = 0;
      f.addEventListener("submit", (event) => {
        if (Date.now() - sent < 5000) event.preventDefault();
        else setTimeout(() => { if (!event.defaultPrevented) sent = Date.now(); }, 0); // a proof of work may come first
      });
    }

    tick();
    setInterval(tick, 20000);
    schedule(live ? line.pollIn(s, line.turn(s, cohort, index, place), clock(), Math.random()) : quiet());
  }

  function watch(section) {
    const tick = async () => {
      try {
        const r = await fetch(section.dataset.url, { cache: "no-store", headers: { Accept: "application/json" } });
        if (r.ok) {
          const f = await r.json();
          for (const e of section.querySelectorAll("[data-figure]")) e.textContent = number.format(f[e.dataset.figure]);
        }
      } catch { /* the next round tries again */ }
      setTimeout(tick, document.visibilityState === "visible" ? 2000 : 20000);
    };
    setTimeout(tick, 2000);
  }
})();
