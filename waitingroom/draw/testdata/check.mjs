// Runs the browser's draw.js against the answers of the Go package:
// node check.mjs draw.js known.json
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

const [script, file] = process.argv.slice(2);
vm.runInThisContext(readFileSync(script, 'utf8'), script);
const { place, verify, sha256, hex } = globalThis.impfDraw;

for (let n = 0; n < 200; n++) {
  const b = randomBytes(n);
  assert.equal(hex(sha256(b)), createHash('sha256').update(b).digest('hex'), `SHA-256 of ${n} bytes`);
}

const known = JSON.parse(readFileSync(file, 'utf8'));
for (const d of known.draws) {
  for (const [index, want] of Object.entries(d.places)) {
    assert.equal(place(d, Number(index)), want, `place of ${index} among ${d.tickets}`);
  }
}
for (const none of [null, {}, { ...known.draws[4], key: '' }]) assert.equal(place(none, 1), 0);
assert.equal(place(known.draws[4], 1.5), 0);
assert.equal(place(known.draws[4], NaN), 0);

const copy = () => structuredClone(known.published);
assert.deepEqual(verify(copy()), []);
const lies = {
  commitment: (p, a) => { a.seed = a.commitment; },
  key: (p) => { p.draw.key = p.attempts[1].commitment; },
  'key of the attempt': (p, a) => { a.key = a.commitment; },
  tickets: (p) => { p.draw.tickets++; },
  value: (p, a) => { a.value = a.commitment; },
  proof: (p, a) => { a.proof = a.signature; },
  room: (p) => { p.room = 'x'; },
  gaps: (p) => { p.draw.gaps = []; },
  'not revealed': (p, a) => { delete a.seed; },
};
for (const [name, lie] of Object.entries(lies)) {
  const p = copy();
  lie(p, p.attempts[1]);
  assert.notDeepEqual(verify(p), [], name);
}

// The page "check my place", with as much of a browser as it needs.
async function page(answer, index) {
  let handler;
  const shown = {};
  const part = (id) => ({ hidden: true, querySelector: () => ({ set textContent(text) { shown[id] = text; } }) });
  const elements = {
    'draw-check': { dataset: { json: '/draw.json', place: '{index} has {place} of {tickets}', none: 'none {index}', wrong: 'wrong {what}' } },
    'draw-form': { elements: { index: { value: index } }, addEventListener: (_, fn) => { handler = fn; }, submit: () => { shown.submitted = true; } },
    'draw-server': { hidden: false }, 'draw-good': part('good'), 'draw-bad': part('bad'),
  };
  const context = vm.createContext({
    document: { documentElement: { lang: 'de' }, getElementById: (id) => elements[id] },
    fetch: async (address) => { shown.asked = address; return answer(); }, Intl, TextEncoder, URL,
  });
  vm.runInContext(readFileSync(script, 'utf8'), context);
  let prevented = false;
  await handler({ preventDefault: () => { prevented = true; } });
  return { ...shown, prevented, hidden: Object.fromEntries(Object.entries(elements).map(([id, e]) => [id, e.hidden])) };
}
const json = (p) => () => ({ ok: true, json: async () => structuredClone(p) });
const first = known.published.draw;
let seen = await page(json(known.published), ' 120 ');
assert.equal(seen.good, `120 has ${place(first, 120)} of 109`);
assert.ok(seen.prevented && seen.asked === '/draw.json' && seen.hidden['draw-server'] && !seen.hidden['draw-good'] && seen.hidden['draw-bad']);
seen = await page(json(known.published), '5000');
assert.equal(seen.bad, 'none 5.000');
seen = await page(json({ ...known.published, draw: { ...first, tickets: 110 } }), '120');
assert.equal(seen.bad, 'wrong key, statement');
assert.ok((await page(() => ({ ok: false, status: 503 }), '1')).submitted);
assert.ok((await page(() => { throw new Error('offline'); }, '1')).submitted);
assert.ok(!(await page(json(known.published), 'x')).prevented);
