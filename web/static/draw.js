// Recomputes places that were drawn by lot, in the browser, from what draw.json
// and the room's snapshot publish: the same as the Go package waitingroom/draw,
// whose comments explain it. The waiting page uses impfDraw.place; the page
// "check my place" is served by the second half of this file.
"use strict";
globalThis.impfDraw = (() => {
  const ROUNDS = 128;

  // SHA-256 (FIPS 180-4). crypto.subtle answers only later and only on https;
  // 128 short hashes are done in a moment.
  const K = new Uint32Array(64);
  const START = new Uint32Array(8);
  {
    // The constants are the first bits of the roots of the first primes.
    const first32 = (x) => Math.floor((x - Math.floor(x)) * 0x100000000);
    let n = 0;
    for (let p = 2; n < 64; p++) {
      let prime = true;
      for (let i = 2; i * i <= p; i++) if (p % i === 0) prime = false;
      if (!prime) continue;
      if (n < 8) START[n] = first32(Math.sqrt(p));
      K[n++] = first32(Math.cbrt(p));
    }
  }
  const W = new Uint32Array(64);
  function sha256(bytes) {
    const size = bytes.length;
    const data = new Uint8Array(Math.ceil((size + 9) / 64) * 64);
    data.set(bytes);
    data[size] = 0x80;
    const view = new DataView(data.buffer);
    view.setUint32(data.length - 8, Math.floor(size / 0x20000000));
    view.setUint32(data.length - 4, size * 8);
    const h = START.slice();
    const rot = (x, n) => (x >>> n) | (x << (32 - n));
    for (let at = 0; at < data.length; at += 64) {
      for (let i = 0; i < 16; i++) W[i] = view.getUint32(at + 4 * i);
      for (let i = 16; i < 64; i++) {
        const a = W[i - 15], b = W[i - 2];
        W[i] = W[i - 16] + W[i - 7] + (rot(a, 7) ^ rot(a, 18) ^ (a >>> 3)) + (rot(b, 17) ^ rot(b, 19) ^ (b >>> 10));
      }
      let [a, b, c, d, e, f, g, k] = h;
      for (let i = 0; i < 64; i++) {
        const t1 = (k + (rot(e, 6) ^ rot(e, 11) ^ rot(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + W[i]) | 0;
        const t2 = ((rot(a, 2) ^ rot(a, 13) ^ rot(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        k = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
      }
      [a, b, c, d, e, f, g, k].forEach((x, i) => { h[i] += x; });
    }
    const out = new Uint8Array(32);
    h.forEach((x, i) => new DataView(out.buffer).setUint32(4 * i, x));
    return out;
  }

  function hmac(key, message) { // keys of at most 64 bytes
    const pad = (x) => Uint8Array.from({ length: 64 }, (_, i) => (key[i] || 0) ^ x);
    return sha256(join(pad(0x5c), sha256(join(pad(0x36), message))));
  }

  const join = (...parts) => Uint8Array.from(parts.flatMap((p) => [...p]));
  const utf8 = (text) => new TextEncoder().encode(text);
  const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  const unhex = (text) => Uint8Array.from(text.match(/../g) || [], (p) => parseInt(p, 16));
  const number64 = (n) => [0, 0, 0, ...[4, 3, 2, 1, 0].map((i) => Math.floor(n / 256 ** i) % 256)];

  // permutation returns the swap-or-not shuffle of 0..n-1 as a function.
  function permutation(key, n) {
    const offset = [];
    for (let r = 0; r < ROUNDS; r++) {
      const h = sha256(join(key, [0x4b, r]));
      offset.push(Number(BigInt("0x" + hex(h.slice(0, 16))) % BigInt(n)));
    }
    return (x) => {
      for (let r = 0; r < ROUNDS; r++) {
        const partner = (offset[r] + n - x) % n;
        const larger = Math.max(x, partner);
        const block = sha256(join(key, [0x42, r], number64(Math.floor(larger / 256))));
        if ((block[Math.floor((larger % 256) / 8)] >> (larger % 8)) & 1) x = partner;
      }
      return x;
    };
  }

  let kept = null; // the last draw asked for: its offsets need not be made again

  // place returns the place of a ticket, 1 to tickets, or 0 when its index did
  // not take part or nothing is revealed yet. draw has tickets, last_index, gaps
  // (first and last index of each), key (hexadecimal).
  function place(draw, index) {
    if (!draw || !draw.key || !(index >= 1 && index <= draw.last_index) || !Number.isInteger(index)) return 0;
    const n = draw.tickets;
    let rank = index - 1, held = true;
    for (const [first, last] of draw.gaps || []) {
      if (last < index) rank -= last - first + 1;
      else if (first <= index) held = false;
    }
    if (n < 1) return held ? 0 : 1;
    if (!held) rank = index % n;
    if (rank >= n) return 0;
    const name = draw.key + "/" + n;
    if (!kept || kept.name !== name) kept = { name, shuffle: permutation(unhex(draw.key), n) };
    return kept.shuffle(rank) + 1;
  }

  const lines = (what, pairs) => utf8("impfportal draw " + what + " 1\n" + pairs.map(([k, v]) => k + "=" + v + "\n").join(""));

  // verify recomputes commitment and key of the attempt that holds, and returns
  // what does not hold: [] is good. Signatures are left to drill verify-draw.
  function verify(p) {
    const a = p.attempts[p.attempts.length - 1];
    if (!p.draw || !a.seed) return ["not revealed"];
    const wrong = [], d = p.draw, seed = unhex(a.seed), s = JSON.parse(a.statement);
    const subject = [["room", p.room], ["epoch", p.epoch], ["attempt", a.attempt]];
    if (hex(sha256(join(lines("commitment", subject), seed))) !== a.commitment) wrong.push("commitment");
    const gaps = d.gaps.map(([x, y]) => x + "-" + y).join(",");
    const text = lines("key", [...subject, ["tickets", d.tickets], ["last_index", d.last_index], ["gaps", gaps],
      ["beacon", a.beacon], ["name", a.name], ["value", a.value]]);
    if (hex(hmac(seed, text)) !== d.key || a.key !== d.key) wrong.push("key");
    if (a.beacon === "drand" && hex(sha256(unhex(a.proof))) !== a.value) wrong.push("beacon");
    const said = [s.room, s.epoch, s.attempt, s.commitment, s.beacon, s.name, s.tickets, s.last_index, JSON.stringify(s.gaps)];
    const shown = [p.room, p.epoch, a.attempt, a.commitment, a.beacon, a.name, d.tickets, d.last_index, JSON.stringify(d.gaps)];
    if (said.some((x, i) => x !== shown[i])) wrong.push("statement");
    return wrong;
  }

  // number reads a number as people copy it from the portal, with or without
  // thousands separators, and returns 0 when it is none: the same inputs that
  // parseIndex of the Go package waitingroom takes.
  function number(text) {
    const t = text.replace(/^[ \t\r\n\u00a0\u202f]+|[ \t\r\n\u00a0\u202f]+$/g, "");
    const grouped = /^[0-9]{1,3}([.,' \u2019\u00a0\u2009\u202f])[0-9]{3}(?:\1[0-9]{3})*$/;
    const digits = grouped.test(t) ? t.replace(/[^0-9]/g, "") : t;
    return /^[0-9]{1,15}$/.test(digits) ? Number(digits) : 0;
  }

  return { place, verify, number, sha256, hex };
})();

// The page "check my place": the browser fetches draw.json and recomputes.
if (typeof document !== "undefined") {
  const box = document.getElementById("draw-check");
  const form = document.getElementById("draw-form");
  if (box && form) {
    const impfDraw = globalThis.impfDraw;
    const part = (id) => document.getElementById(id);
    const boxes = { place: "draw-good", none: "draw-bad", wrong: "draw-wrong" };
    const show = (kind, text) => {
      for (const [k, id] of Object.entries(boxes)) {
        if (k === kind) part(id).querySelector("[data-text]").textContent = text;
        part(id).hidden = k !== kind;
      }
    };

    // forget takes away what was said about the number before.
    const forget = () => {
      const input = form.elements.index;
      part("errors")?.remove();
      part("index-error")?.remove();
      input.removeAttribute("aria-invalid");
      if (part("index-hint")) input.setAttribute("aria-describedby", "index-hint");
      else input.removeAttribute("aria-describedby");
      for (const e of [input, input.parentElement]) {
        e.classList.remove("kern-form-input__input--error", "kern-form-input--error");
      }
    };

    // answer returns which box fits a number, and its text.
    const answer = (p, index) => {
      const print = new Intl.NumberFormat(document.documentElement.lang || "de");
      const fill = (kind, values) => [kind, box.dataset[kind].replace(/\{(\w+)\}/g, (_, name) => values[name])];
      let wrong = ["draw.json"], place = 0;
      try {
        wrong = impfDraw.verify(p);
        place = impfDraw.place(p.draw, index);
      } catch { /* what cannot be computed does not fit together */ }
      if (wrong.length) return fill("wrong", { what: wrong.join(", ") });
      if (!place) return fill("none", { index: print.format(index) });
      return fill("place", { index: print.format(index), place: print.format(place), tickets: print.format(p.draw.tickets) });
    };

    let asked = 0; // only the last question is answered
    // recompute answers in the page; it returns false when draw.json does not come.
    const recompute = async (index) => {
      const mine = ++asked;
      let p;
      try {
        const got = await fetch(box.dataset.json, { headers: { Accept: "application/json" } });
        if (!got.ok) return mine !== asked;
        p = await got.json();
      } catch {
        return mine !== asked;
      }
      if (mine !== asked) return true;
      forget();
      if (part("draw-server")) part("draw-server").hidden = true;
      show(...answer(p, index));
      part("draw-command").textContent = " " + index;
      return true;
    };

    form.addEventListener("submit", async (event) => {
      const index = impfDraw.number(form.elements.index.value);
      if (!index) return; // the server tells what is wrong
      event.preventDefault();
      if (!await recompute(index)) form.submit(); // the server's page does the same
    });

    // The address came with a number: the server has answered, the browser
    // checks. Without draw.json the server's answer stays.
    const index = impfDraw.number(form.elements.index.value);
    if (part("draw-server") && index) recompute(index);
  }

  // An address that the portal does not know is the one this page came from.
  const file = document.getElementById("draw-file");
  if (file && file.textContent.startsWith("/")) file.textContent = location.origin + file.textContent;
}
