// Follows the line: asks for the public snapshot as often as it advises, works
// out place and estimate from it, and tells when it is one's turn. Everything
// here also works without a script, by reloading the page.
"use strict";
(() => {
  const lang = document.documentElement.lang || "de";
  const number = new Intl.NumberFormat(lang);
  const byId = (id) => document.getElementById(id);
  const show = (id, on) => { const e = byId(id); if (e) e.hidden = !on; };

  const line = byId("wr-line");
  if (line && line.dataset.state) follow(line.dataset);
  const figures = byId("wr-figures");
  if (figures) watch(figures);

  function follow(d) {
    const index = Number(d.index), epoch = Number(d.epoch);
    const STUCK = 0.05;
    let wasTurn = !byId("wr-turn").hidden;
    let said = 0, saidAhead = -1, lowest = Infinity, failures = 0, timer = 0;

    // As estimate.go: whole minutes, then fives, then quarters of an hour.
    const round = (m) => {
      const step = m > 60 ? 15 : m > 10 ? 5 : 1;
      return Math.max(1, Math.ceil(m / step) * step);
    };
    const unit = (n, one, many) => n === 1 ? "1 " + one : n + " " + many;
    const duration = (n) => {
      if (n < 120) return unit(n, d.minute, d.minutes);
      const m = n % 60, h = unit(Math.floor(n / 60), d.hour, d.hours);
      return m ? h + " " + unit(m, d.minute, d.minutes) : h;
    };
    const estimate = (ahead, pace) => {
      const low = pace.fast > STUCK ? round(ahead / pace.fast) : 0;
      const high = pace.slow > STUCK ? Math.max(round(ahead / pace.slow), low) : 0;
      return { low, high };
    };
    const words = ({ low, high }) => {
      if (!low) return d.unknown;
      if (!high) return d.least.replace("{low}", duration(low));
      if (low === high) return d.about.replace("{low}", duration(low));
      return d.range.replace("{low}", high < 120 ? String(low) : duration(low)).replace("{high}", duration(high));
    };
    const aheadOf = (s) => {
      if (index <= s.serving) return 0;
      let n = index - s.serving - 1;
      for (const [first, last] of s.gaps) n -= Math.max(0, Math.min(last, index - 1) - Math.max(first, s.serving + 1) + 1);
      return n;
    };

    function draw(s) {
      const open = s.phase === "open" && !s.trouble;
      const turn = open && index <= s.serving;
      show("wr-trouble", s.trouble);
      show("wr-paused", s.phase === "paused");
      show("wr-prequeue", s.phase === "pre-queue");
      show("wr-closed", s.phase === "closed" || s.phase === "scheduled");
      const message = s.message[lang] || s.message.de || "";
      if (byId("wr-message-text").textContent !== message) byId("wr-message-text").textContent = message;
      show("wr-message", message !== "");
      show("wr-turn", turn);
      show("wr-wait", !turn);

      const still = s.trouble || s.phase === "paused" || s.phase === "closed"; // nobody can say how long
      const ahead = aheadOf(s), e = still ? { low: 0, high: 0 } : estimate(ahead, s.pace), text = words(e);
      byId("wr-ahead").textContent = number.format(ahead);
      byId("wr-estimate").textContent = text;
      const best = e.high || Infinity;
      show("wr-rises", best > lowest);
      lowest = Math.min(lowest, best);

      if (turn !== wasTurn) {
        byId("wr-title").textContent = turn ? d.titleTurn : d.titleWait;
        document.title = (turn ? d.titleTurn : d.titleWait) + document.title.slice(document.title.indexOf(" – "));
        wasTurn = turn;
        if (turn) { say(d.sayTurn); return ahead; }
      }
      // Read aloud only what matters, and not more often than once a minute.
      const now = Date.now();
      if (!turn && now - said > 60000 && (saidAhead < 0 || Math.abs(saidAhead - ahead) >= saidAhead / 10)) {
        if (saidAhead >= 0) say(d.say.replace("{ahead}", number.format(ahead)).replace("{wait}", text));
        said = now; saidAhead = ahead;
      }
      return ahead;
    }

    function say(text) { byId("wr-say").textContent = text; said = Date.now(); }

    // As estimate.go: a third of the shortest time it can take, within the advice.
    function after(s, ahead) {
      if (s.pace.fast <= STUCK) return s.poll.far;
      return Math.min(s.poll.far, Math.max(s.poll.near, ahead / s.pace.fast * 20));
    }

    async function poll() {
      let seconds = 10, spread = 0.3;
      try {
        const r = await fetch(d.state, { cache: "no-cache", credentials: "omit" });
        if (!r.ok) throw new Error(String(r.status));
        const s = await r.json();
        if (s.epoch !== epoch) {
          // A new line has begun: the page explains it, not everybody in one moment.
          setTimeout(() => location.reload(), Math.random() * 20000);
          return;
        }
        failures = 0;
        seconds = after(s, draw(s));
        spread = s.poll.spread;
      } catch {
        failures++;
        seconds = Math.min(60, 5 * 2 ** failures);
        if (failures > 1) show("wr-trouble", true);
      }
      schedule(seconds * (1 + spread * (2 * Math.random() - 1)));
    }

    function schedule(seconds) {
      clearTimeout(timer);
      timer = setTimeout(poll, seconds * 1000);
    }

    // Who comes back to the page sees at once how it stands.
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") schedule(0.2 + Math.random());
    });
    schedule(1 + 2 * Math.random());
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
