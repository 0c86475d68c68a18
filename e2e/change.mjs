// Changing and coming together in the browser: one books for two, moves the second
// appointment, then both to another centre, gives one back and books it again; on a
// phone, with JavaScript and without it.
import { assert, check, desk, fitsPhone, ok, person, run } from './lib.mjs';
import { byPhone, hold, logIn, pick } from './story/citizen.mjs';
import { at, go, staffLogin, submit, text, touch, type, visit } from './story/hands.mjs';

const times = (p) => p.page.locator('.panel--yours .visit__time').allInnerTexts();

// take chooses the nth time of a change and returns how it is written.
async function take(p, what, n) {
  await check(p, `change: ${what}`);
  await fitsPhone(p, `change: ${what}`);
  const choice = p.page.locator('input[name=slots]').nth(n);
  const label = p.page.locator(`label[for="${await choice.getAttribute('id')}"]`);
  const chosen = await label.locator('.choice__time strong').allInnerTexts();
  await touch(p, choice);
  await submit(p, '/appointments/change/check', 'button.kern-btn--primary');
  await check(p, `change: ${what}, to be checked`);
  assert(/noch nicht fest/.test(await text(p, 'main')), `${p.name}: nothing says that it is not certain yet`);
  await submit(p, '/appointments/change');
  await at(p, '/appointments');
  return chosen;
}

async function through(p, second) {
  await visit(p, '/appointments/together', 'together');
  await type(p, { case_number: second.caseNumber, secret: 'AAAA-AAAA' });
  await submit(p, '/appointments/together');
  await check(p, 'together, mistyped');
  assert(await p.page.locator('main [name=case_number]').inputValue() === second.caseNumber, `${p.name}: the case number is lost`);
  await type(p, { secret: second.secret });
  await submit(p, '/appointments/together');
  await at(p, '/appointments');
  assert((await text(p, 'main')).includes(second.caseNumber), `${p.name}: nothing says for whom`);
  await go(p, 'ul.centre-list a.kern-btn--primary');
  if (p.page.url().includes('/rooms/')) await submit(p, '/rooms/');
  await pick(p, 2);
  await hold(p);
  await at(p, '/appointments/held');
  await check(p, 'held for two');
  assert(!(await text(p, 'main')).includes(second.family), `${p.name}: a name is shown`);
  await submit(p, '/appointments/confirm');
  await at(p, '/appointments');
  const [first] = await times(p);
  ok(`${p.name}: booked for two`);

  await visit(p, '/appointments/change', 'change');
  await go(p, 'main a[href="/appointments/change/2"]');
  const [hour] = await take(p, 'second', 3);
  let now = await times(p);
  assert(now[0] === first && now[1].includes(hour.replace(' Uhr', '')), `${p.name}: ${now}, wanted the second at ${hour}`);
  const reference = await text(p, '.panel--yours dd.code');

  await visit(p, '/appointments/change/all');
  await type(p, { centre: 'borna' });
  await go(p, p.page.locator('main form[action$="/change/all"] button'));
  await take(p, 'all, elsewhere', 1);
  assert(/Borna/.test(await text(p, '.panel--yours')), `${p.name}: they are not in Borna`);
  assert(await text(p, '.panel--yours dd.code') === reference, `${p.name}: another number`);
  ok(`${p.name}: moved`);

  await visit(p, '/appointments/cancel', 'cancel');
  await go(p, p.page.locator('main form[action="/appointments/cancel"]').nth(1).locator('button'));
  await at(p, '/appointments');
  assert((await times(p)).length === 1, `${p.name}: not one is left`);
  await check(p, 'one given back');
  await go(p, 'main a[href="/appointments/change/2"]');
  await take(p, 'second, again', 0);
  now = await times(p);
  assert(now.length === 2, `${p.name} has ${now}`);
  ok(`${p.name}: given back and booked again: ${now.join(' and ')}`);
}

await run(async (browser) => {
  const agent = await person(browser, 'agent', { viewport: desk });
  await staffLogin(agent, 'agent');
  for (const [n, javaScript] of [true, false].entries()) {
    const mine = await byPhone(agent, { family: ['Anders', 'Christ'][n], birth: `193${n}-01-02`, email: `anders${n}@example.org` });
    const second = await byPhone(agent, { family: ['Becker', 'Dachs'][n], birth: `193${n}-03-04`, email: `becker${n}@example.org` });
    const p = await person(browser, javaScript ? 'with JavaScript' : 'without JavaScript', { javaScript });
    await logIn(p, mine);
    await through(p, second);
    const other = await person(browser, 'the second person');
    await logIn(other, second);
    await visit(other, '/appointments', 'yours, booked by another');
    assert((await times(other)).length === 2, `the second person has ${await times(other)}`);
  }
});
