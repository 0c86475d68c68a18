// The line: an administrator at the valve, citizens who wait.
import { assert, check, ok } from '../lib.mjs';
import { at, go, submit, text, type, until, visit } from './hands.mjs';

const valve = (room) => `/admin/rooms/${room}`;

// halt stops admissions, with a word to those who wait.
export async function halt(admin, room = 'registration') {
  await visit(admin, valve(room), 'room');
  await type(admin, { message_de: 'Es geht um 14 Uhr weiter.', message_en: 'We continue at 2 pm.' });
  await submit(admin, valve(room), 'button[value=paused]');
  await check(admin, 'room, halted');
}

// limit sets how many may be inside at once, and how many come in per minute.
export async function limit(admin, bound, rate, room = 'registration') {
  await visit(admin, valve(room));
  await type(admin, { active_bound: String(bound), rate_per_minute: String(rate) });
  await submit(admin, valve(room), 'button[value=limits]');
  assert(await admin.page.locator('[name=active_bound]').inputValue() === String(bound), 'the bound is not kept');
}

// resume lets people in again and takes the message away.
export async function resume(admin, room = 'registration') {
  await visit(admin, valve(room));
  await type(admin, { message_de: '', message_en: '' });
  await submit(admin, valve(room), 'button[value=open]');
  await check(admin, 'room, open');
}

// queueUp goes from the start page into the line.
export async function queueUp(p, { shown }) {
  await visit(p, '/', 'start');
  await until('the start page shows free places', async () => {
    await p.page.reload();
    return /\d/.test(await text(p, 'section:has(> #free-places) tbody tr td'));
  });
  await go(p, 'main a[href="/register"]');
  return stand(p, 'registration', { shown });
}

// stand takes a place in the line of a room, from a page behind it.
export async function stand(p, room, { shown }) {
  if (!p.page.url().includes('/rooms/')) { // the gate explains itself
    await check(p, 'gate');
    await go(p, `main a[href^="/rooms/${room}"]`);
  }
  await at(p, `/rooms/${room}`);
  await check(p, 'the line, before joining');
  await submit(p, `/rooms/${room}/join`);
  await at(p, `/rooms/${room}`);
  await check(p, `the line${p.javaScript ? '' : ', without JavaScript'}`);
  assert(await p.page.locator('#wr-wait').isVisible(), `${p.name} sees no place`);
  assert(/^\d+$/.test(await text(p, '#wr-ahead')), `${p.name} does not see how many are ahead`);
  const page = await text(p, 'main');
  for (const word of [/gerecht|fair/i, /nicht abgestürzt|not crashed/i, shown]) {
    assert(word.test(page), `${p.name} does not read ${word} in the line`);
  }
  // Who comes again keeps the place.
  const index = await placeOf(p);
  await p.page.reload();
  assert(await placeOf(p) === index, `${p.name} lost the place`);
  ok(`${p.name} stands in the line with number ${index}`);
  return index;
}

// placeOf is the number of the place that the page shows.
export async function placeOf(p) {
  return Number(await p.page.locator('#wr-line').getAttribute('data-index'));
}

// enter waits for one's turn, which the page says by itself: with a script, or
// by loading itself again without.
export async function enter(p, to = '/register') {
  const turn = p.page.locator('#wr-turn button');
  await turn.waitFor({ timeout: 60_000 });
  await check(p, 'the line, my turn');
  await go(p, turn);
  await at(p, to);
  ok(`${p.name} enters`);
}
