// The proof of work in front of a place in the line; see challenge_test.go.
import { assert, base, check, desk, ok, person, phone, run } from './lib.mjs';

const line = '/rooms/registration';
const say = (p) => p.page.locator('.wr-challenge-say').textContent();
const state = async (p) => {
  const widget = p.page.locator('altcha-widget .altcha');
  return await widget.count() > 0 ? widget.getAttribute('data-state') : '';
};

async function until(what, condition, limit = 60_000) {
  const end = Date.now() + limit;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`${what}: not within ${limit} ms`);
    await new Promise((r) => { setTimeout(r, 50); });
  }
}

async function ticket(p) {
  const cookie = (await p.context.cookies(base)).find((c) => c.name === 'wr_t_registration');
  if (!cookie) return null;
  // version, kind, key, length of room, room, epoch, cohort, index ... (each below 128 here)
  const raw = Buffer.from(cookie.value, 'base64url'), at = 4 + raw[3];
  return { epoch: raw[at], cohort: raw[at + 1], index: raw[at + 2] };
}

await run(async (browser) => {
  // The room follows its setting within two seconds.
  const scout = await person(browser, 'scout');
  await until('the room wants a proof', async () => {
    await scout.page.goto(line);
    return await scout.page.locator('.wr-challenge').count() > 0;
  }, 10_000);

  // A phone: it starts by itself; whoever presses early need not press again.
  const hedwig = await person(browser, 'Hedwig', { viewport: phone });
  await hedwig.page.goto(line);
  // A quick machine may be through before anybody looks.
  await until('it has begun', async () => ['verifying', 'verified'].includes(await state(hedwig)));
  const start = Date.now();
  await hedwig.page.locator('form[action$="/join"] button.kern-btn--primary').click();
  await hedwig.page.waitForURL((u) => !u.pathname.startsWith('/rooms/') || u.search.includes('answer'));
  assert(!hedwig.page.url().includes('answer=proof'), 'Hedwig is sent back for a proof');
  assert((await ticket(hedwig)).cohort === 0, 'Hedwig has no place in the line');
  await check(hedwig, 'after the proof of work');
  ok(`Hedwig pressed once and is in, ${Date.now() - start} ms later`);

  // With the keyboard and a screen reader: everything is said, nothing must be seen.
  const karl = await person(browser, 'Karl', { viewport: desk });
  await karl.page.goto(line);
  await until('it is solved', async () => /Fertig/.test(await say(karl)));
  assert(await state(karl) === 'verified', 'the widget does not know');
  await check(karl, 'the proof of work, solved');
  assert(await karl.page.locator('.wr-challenge-say').getAttribute('aria-live') === 'polite', 'nothing is read aloud');
  const box = karl.page.getByRole('checkbox');
  assert(await box.count() === 1 && await box.isChecked(), 'the checkbox has no name or is not checked');
  assert(await karl.page.locator('altcha-widget label').textContent() !== '', 'the checkbox has no label');
  await karl.page.locator('form[action$="/join"] button.kern-btn--primary').focus();
  await karl.page.keyboard.press('Enter');
  await karl.page.waitForURL((u) => !u.pathname.startsWith('/rooms/'));
  assert((await ticket(karl)).cohort === 0, 'Karl has no place in the line');
  ok('Karl passes with the keyboard');

  const mary = await person(browser, 'Mary', { locale: 'en-GB' });
  await mary.page.goto(line);
  await until('it is solved', async () => /Done/.test(await say(mary)));
  await check(mary, 'the proof of work in English');
  ok('Mary reads it in English');

  // Without JavaScript: a place behind, told kindly.
  const erna = await person(browser, 'Erna', { javaScript: false });
  await erna.page.goto(line);
  await check(erna, 'the line with a proof of work, without JavaScript');
  const words = await erna.page.locator('main').innerText();
  assert(/JavaScript ausgeschaltet/.test(words) && /0800/.test(words), `Erna is not told: ${words}`);
  await erna.page.getByRole('button', { name: 'Platz hinten in der Schlange nehmen' }).click();
  assert((await ticket(erna)).cohort === 2, 'Erna has no place behind the line');
  await check(erna, 'behind the line, without JavaScript');
  ok('Erna has a place behind the line');

  // Where it fails, the same is offered.
  const otto = await person(browser, 'Otto');
  await otto.page.route('**/challenge.json', (route) => route.fulfill({ status: 429, body: '{}' }));
  await otto.page.goto(line);
  await until('the way out', async () => await otto.page.locator('.wr-challenge-failed').isVisible());
  await check(otto, 'the proof of work that fails');
  await otto.page.getByRole('button', { name: 'Platz hinten in der Schlange nehmen' }).click();
  await until('a place', async () => await ticket(otto) !== null);
  assert((await ticket(otto)).cohort === 2, 'Otto has no place behind the line');
  ok('Otto has a place behind the line');
});
