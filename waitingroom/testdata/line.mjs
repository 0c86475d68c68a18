// Runs the page's waitingroom.js against what the Go package answers:
// node line.mjs draw.js waitingroom.js < cases.json
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

for (const script of process.argv.slice(2)) vm.runInThisContext(readFileSync(script, 'utf8'), script);
const { impfDraw, impfLine: line } = globalThis;

JSON.parse(readFileSync(0, 'utf8')).forEach((c, i) => {
  const t = line.turn(c.state, c.cohort, c.index, impfDraw.place);
  const got = {
    known: t.known, position: t.position, ahead: t.ahead, now: t.now, view: line.view(c.state, t, c.now),
    in: Math.round(line.pollIn(c.state, t, c.now, c.luck)), late: line.late(c.state, t.position, c.grace), ...line.estimate(t.ahead, c.state.pace),
  };
  assert.ok(Math.abs(got.in - c.want.in) <= 1, `case ${i}: again in ${got.in} ms, not ${c.want.in}`);
  got.in = c.want.in;
  assert.deepEqual(got, c.want, `case ${i}: ${JSON.stringify(c)}`);
});
