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

// The page "check my place", with as much of a browser as it needs. It runs the
// script, then sends the form once for each number.
async function page(answer, { value = '', server = false, failed = false, file = '/rooms/x/draw.json?epoch=1' }, ...numbers) {
  let handler, pending = 0;
  const shown = { asked: [] }, gone = [];
  const element = (id, rest) => ({
    id, hidden: false, textContent: '', classes: new Set(), attributes: {},
    classList: { remove: (...names) => names.forEach((n) => elements.index.classes.delete(n)) },
    remove() { gone.push(id); delete elements[id]; },
    removeAttribute(name) { delete this.attributes[name]; },
    setAttribute(name, to) { this.attributes[name] = to; },
    ...rest,
  });
  const part = (id) => element(id, { hidden: true, querySelector: () => ({ set textContent(text) { shown[id] = text; } }) });
  const elements = {};
  elements.index = element('index', { value, parentElement: element('field') });
  elements['index-hint'] = element('index-hint');
  Object.assign(elements, {
    'draw-check': { dataset: { json: '/draw.json', place: '{index} has {place} of {tickets}', none: 'none {index}', wrong: 'wrong {what}' } },
    'draw-form': { elements: { index: elements.index }, addEventListener: (_, fn) => { handler = fn; }, submit: () => { shown.submitted = true; } },
    'draw-good': part('good'), 'draw-bad': part('bad'), 'draw-wrong': part('wrong'),
    'draw-file': element('draw-file', { textContent: file }), 'draw-command': element('draw-command'),
  });
  if (server) elements['draw-server'] = element('draw-server');
  if (failed) {
    for (const id of ['errors', 'index-error']) elements[id] = element(id);
    elements.index.attributes = { 'aria-invalid': 'true', 'aria-describedby': 'index-hint index-error' };
    elements.index.classes.add('kern-form-input__input--error').add('kern-form-input--error');
  }
  const context = vm.createContext({
    document: { documentElement: { lang: 'de' }, getElementById: (id) => elements[id] ?? null },
    fetch: async (address) => { pending++; shown.asked.push(address); return answer(pending); }, Intl, TextEncoder, URL,
    location: { origin: 'https://here.test' },
  });
  vm.runInContext(readFileSync(script, 'utf8'), context);
  await new Promise((done) => { setTimeout(done, 20); });
  let prevented = false;
  for (const number of numbers) {
    elements.index.value = number;
    prevented = false;
    await handler({ preventDefault: () => { prevented = true; } });
  }
  return {
    ...shown, prevented, gone, field: elements.index, file: elements['draw-file'].textContent, command: elements['draw-command'].textContent,
    open: ['draw-good', 'draw-bad', 'draw-wrong', 'draw-server'].filter((id) => elements[id] && !elements[id].hidden),
  };
}
const json = (p) => () => ({ ok: true, json: async () => structuredClone(p) });
const first = known.published.draw;
const changed = { ...known.published, draw: { ...first, tickets: 110 } };
const good = `120 has ${place(first, 120)} of 109`;

let seen = await page(json(known.published), {}, ' 120 ');
assert.equal(seen.good, good);
assert.deepEqual([seen.prevented, seen.asked, seen.open, seen.command], [true, ['/draw.json'], ['draw-good'], ' 120']);
assert.equal(seen.file, 'https://here.test/rooms/x/draw.json?epoch=1');
assert.equal((await page(json(known.published), { file: 'https://portal.test/draw.json' })).file, 'https://portal.test/draw.json');
seen = await page(json(known.published), {}, '5.000');
assert.deepEqual([seen.bad, seen.open], ['none 5.000', ['draw-bad']]);

// What does not fit together is not said to be a number that did not take part.
seen = await page(json(changed), {}, '120');
assert.deepEqual([seen.wrong, seen.bad, seen.open], ['wrong key, statement', undefined, ['draw-wrong']]);
seen = await page(json({ ...known.published, attempts: [{ seed: '00', statement: 'x' }] }), {}, '120');
assert.deepEqual([seen.wrong, seen.submitted, seen.open], ['wrong draw.json', undefined, ['draw-wrong']]);

// An answer takes away errors and answers from before.
seen = await page(json(known.published), { failed: true, value: 'abc' }, '120');
assert.deepEqual([seen.open, seen.gone, seen.field.attributes, seen.field.classes.size], [['draw-good'], ['errors', 'index-error'], { 'aria-describedby': 'index-hint' }, 0]);
seen = await page((n) => json(n === 1 ? changed : known.published)(), {}, '120', '5000', '120');
assert.deepEqual([seen.open, seen.good], [['draw-good'], good]);

// The address came with a number: the browser answers instead of the server,
// which is not asked again when draw.json does not come.
seen = await page(json(known.published), { server: true, value: '120' });
assert.deepEqual([seen.open, seen.good, seen.command], [['draw-good'], good, ' 120']);
seen = await page(json(changed), { server: true, value: '120' });
assert.deepEqual(seen.open, ['draw-wrong']);
for (const none of [() => ({ ok: false, status: 503 }), () => { throw new Error('offline'); }]) {
  seen = await page(none, { server: true, value: '120' });
  assert.deepEqual([seen.open, seen.submitted], [['draw-server'], undefined]);
  assert.ok((await page(none, {}, '1')).submitted);
}
assert.deepEqual((await page(json(known.published), { value: '120' })).asked, [], 'a number that is only suggested');

// The server tells what is no number.
for (const bad of ['x', '', '2e0', '0x2', '1.5', '-1', '0']) {
  seen = await page(json(known.published), {}, bad);
  assert.deepEqual([seen.prevented, seen.asked], [false, []], bad);
}
