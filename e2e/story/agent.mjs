// The hotline: a caller without e-mail, registered, booked and sent a letter.
import { assert, check, ok, tabTo } from '../lib.mjs';
import { at, choose, flat, paper, text, tick, type, until, visit, words } from './hands.mjs';

// key uses one of the keys that the buttons show. (Chromium without a window
// knows no access keys: the focus and Enter do what they would.)
async function key(p, letter) {
  const owner = p.page.locator(`[accesskey="${letter}"]`);
  assert(await owner.count() === 1, `${await owner.count()} things on the page have the key ${letter}`);
  await Promise.all([p.page.waitForNavigation(), owner.press('Enter')]);
}

// call takes a call: nobody of that name is known, so the caller is registered;
// then both appointments are booked from the hotline's quota.
export async function call(p, who, { today }) {
  await visit(p, '/hotline', 'desk');
  await type(p, { family_name: who.family, given_name: who.given, birth_day: who.day, birth_month: who.month, birth_year: who.year });
  await key(p, 's');
  await check(p, 'desk: nobody found');
  assert(await p.page.locator('main a[href^="/hotline/persons/"]').count() === 0, 'somebody is found who is not registered');

  await key(p, 'r');
  await at(p, '/hotline/register');
  await check(p, 'desk: register');
  await choose(p, { who: 'self', group: 'covid-19/s2-age', sex: who.sex, prior: 'none' });
  await tick(p, 'proof_ready');
  await type(p, { family_name: who.family, given_name: who.given, birth_day: who.day, birth_month: who.month, birth_year: who.year, city: who.city });
  await key(p, 's');
  await check(p, 'desk: address missing');
  assert(await p.page.locator('#errors a').count() > 0, 'a caller whom no letter reaches is registered');
  await type(p, { street: who.street, postcode: who.postcode });
  await key(p, 's');
  await check(p, 'desk: registered');
  [who.caseNumber, who.secret] = await p.page.locator('dd.code').allInnerTexts();
  await key(p, 'w');
  await at(p, /^\/hotline\/persons\/[\w-]+$/);
  await check(p, 'desk: case');

  await key(p, 'b');
  await at(p, /\/book$/);
  await type(p, { centre: 'leipzig' });
  await key(p, 's');
  await check(p, 'desk: book');
  const days = await p.page.locator('#day option').evaluateAll((list) => list.map((o) => o.value));
  const soonest = new Date(`${today}T00:00:00Z`);
  soonest.setUTCDate(soonest.getUTCDate() + 5);
  assert(days.length > 0 && days[0] >= soonest.toISOString().slice(0, 10), `the hotline books from ${days[0]} on: a letter needs five days`);
  // With the keyboard alone: the first offer has the focus, and is near from everywhere else.
  assert(await p.page.evaluate(() => document.activeElement.id) === 'offer-0', 'the first offer has no focus');
  const offer = p.page.locator('label[for="offer-0"]');
  const written = (await offer.innerText()).trim();
  await p.page.locator('#centre').focus();
  await tabTo(p, written);
  await p.page.keyboard.press('Space');
  assert(await p.page.locator('#offer-0').isChecked(), 'the keyboard does not choose an offer');
  await key(p, 'b');
  await at(p, /^\/hotline\/persons\/[\w-]+$/);
  await check(p, 'desk: booked');
  assert(await p.page.locator('.panel--yours').isVisible(), 'the case does not say that it is booked');
  who.reference = await text(p, '.panel--yours span.code');
  who.appointments = (await p.page.locator('.panel--yours ul li').allInnerTexts()).map((s) => s.match(/: (.*) –/)[1]);
  assert(who.appointments.length === 2, `${who.appointments.length} appointments are booked`);

  await type(p, { disposition: 'booked', text: 'Tochter rief an.' });
  await key(p, 'n');
  await check(p, 'desk: note kept');
  ok(`${who.given} ${who.family} is booked by telephone: ${who.appointments.join(' and ')}`);
}

// admit lets the person of the case in without waiting: a code to read out.
export async function admit(p) {
  await p.page.locator('[accesskey="l"]').press('Enter'); // opens the section
  await p.page.locator('form[action$="/admission"] button').press('Enter');
  await p.page.locator('#admission-code').waitFor();
  await check(p, 'desk: admission code');
  const code = await text(p, '#admission-code');
  assert(/^([0-9A-Z]{4}-){3}[0-9A-Z]{4}$/.test(code), `the admission code is ${code}`);
  await key(p, 'z');
  await at(p, /^\/hotline\/persons\/[\w-]+$/);
  ok('an admission code is made');
}

// letters takes what waits for printing, as one file.
export async function letters(p) {
  await until('the letter is in the print queue', async () => {
    await p.page.goto('/hotline/letters');
    return p.page.locator('form[action="/hotline/letters/take"] button').isEnabled();
  });
  await check(p, 'letters');
  await key(p, 's');
  await check(p, 'letters: taken');
  const zip = await paper(p, await p.page.locator('a[href$="/letters.zip"]').first().getAttribute('href'), 'letters.zip');
  await Promise.all([p.page.waitForNavigation(), p.page.locator('form[action$="/printed"] button').first().press('Enter')]);
  await check(p, 'letters: printed');
  ok('the letters are taken for printing');
  return zip;
}

// preview reads the letter as the agent sees it.
export async function preview(p, who) {
  const link = p.page.locator('a[href$="/letter.pdf"]');
  const sheet = flat(words(await paper(p, await link.getAttribute('href'), `${who.file}-preview.pdf`)));
  for (const value of [...who.appointments, who.reference, who.family]) {
    assert(sheet.includes(flat(value)), `the preview of the letter lacks ${value}: ${sheet}`);
  }
}
