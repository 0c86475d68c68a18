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
