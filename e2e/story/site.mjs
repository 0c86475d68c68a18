// The day of the appointments: a centre and a mobile team give the doses.
import { assert, check, ok } from '../lib.mjs';
import { at, choose, go, submit, text, tick, type, visit } from './hands.mjs';

const record = 'button.kern-btn--primary';

// byCode checks somebody in as the scanner does: it types the code, and Enter.
export async function byCode(p, code) {
  await visit(p, '/site', 'site: the day');
  assert(await p.page.locator('#code').evaluate((e) => e === document.activeElement), 'the field for the scanner has not the focus');
  await p.page.keyboard.type(code);
  await Promise.all([p.page.waitForNavigation(), p.page.keyboard.press('Enter')]);
}

// byName checks somebody in who has no paper.
export async function byName(p, who) {
  await visit(p, '/site');
  await p.page.locator('form[action="/site/check-in"] summary').click();
  await type(p, { family_name: who.family, birth_day: who.day, birth_month: who.month, birth_year: who.year });
  await submit(p, '/site/check-in', record);
  if (new URL(p.page.url()).pathname === '/site/check-in') { // the name has to be pointed at
    await check(p, 'site: found by name');
    await submit(p, '/site/appointments/');
  }
}

// dose records the dose on the card of somebody who is here.
export async function dose(p, who) {
  await at(p, /^\/site\/appointments\//);
  await check(p, 'site: card');
  assert((await text(p, 'h1')).includes(who.family), `the card is that of ${await text(p, 'h1')}`);
  await submit(p, '/site/appointments/', record);
  await check(p, 'site: no consent, no dose');
  assert(await p.page.locator('#errors').count() === 1, 'a dose without consent is recorded');
  await tick(p, 'consent');
  assert(await p.page.locator('[name=lot]').inputValue() !== '', 'no lot is preselected');
  await submit(p, '/site/appointments/', record);
  await at(p, /^\/site\/records\//);
  await check(p, 'site: given');
  assert(await p.page.locator('.panel--yours').isVisible(), 'the page does not say that the dose is recorded');
  ok(`${who.given} ${who.family} got a dose of lot ${(await p.page.locator('.panel--yours dd').allInnerTexts())[2]}`);
}

// walkIn vaccinates somebody who never registered.
export async function walkIn(p, who) {
  await visit(p, '/site');
  await go(p, 'main a[href="/site/walk-in"]');
  await check(p, 'site: walk-in');
  await type(p, { family_name: who.family, given_name: who.given, birth_day: who.day, birth_month: who.month, birth_year: who.year, email: who.email });
  await choose(p, { sex: who.sex, dose_number: '1' });
  await tick(p, 'consent');
  await submit(p, '/site/walk-in', record);
  await at(p, /^\/site\/records\//);
  await visit(p, '/site', 'site: the day, with doses given');
  const list = await text(p, 'section:has(> #list), div:has(> #list)');
  assert(list.includes(who.family), 'the walk-in is not on the list of the day');
  ok(`${who.given} ${who.family} walked in and got a dose`);
}

// plan enters a facility visit, gives it to team 1, throws away what stayed in its box
// overnight, and loads a vial.
export async function plan(p, { day, time }) {
  await visit(p, '/teams', 'dispatch: board');
  await go(p, 'main a[href="/teams/visits/new"]');
  await check(p, 'dispatch: new visit');
  const facility = await p.page.locator('[name=facility] option').filter({ hasText: 'Lindenhof' }).getAttribute('value');
  await type(p, { facility, day, time, people: '6', product: 'comirnaty', centre: 'leipzig' });
  await submit(p, '/teams/visits', record);
  await at(p, /^\/teams\/visits\/[\w-]+$/);
  await check(p, 'dispatch: visit');
  const team = await p.page.locator('[name=team] option').filter({ hasText: 'Team 1' }).getAttribute('value');
  await type(p, { team });
  await submit(p, '/teams/visits/', record);
  await go(p, 'main form[action$="/discard-vials"] button');
  await p.page.locator('form[action$="/load"] [name=vials]').fill('1');
  await go(p, 'main form[action$="/load"] button');
  await check(p, 'dispatch: visit with a vial');
  ok('a visit is planned, given to team 1 and has a vial');
}

// facility records a dose on the telephone of the team.
export async function facility(p, who) {
  await visit(p, '/teams/today', 'team: today');
  await go(p, p.page.locator('main a[href^="/teams/today/"]').filter({ hasText: 'Lindenhof' }));
  await check(p, 'team: stop');
  await submit(p, '/teams/today/');
  await check(p, 'team: under way');
  const form = p.page.locator('form[action$="/dose"]');
  await type(p, { family_name: who.family, given_name: who.given, birth_day: who.day, birth_month: who.month, birth_year: who.year });
  await choose(p, { sex: who.sex, dose_number: '1' });
  await tick(p, 'consent');
  await go(p, form.locator('button.kern-btn--block'));
  await check(p, 'team: dose given');
  assert((await text(p, 'main ol')).includes(who.family), 'the dose is not on the list of the stop');
  await go(p, 'form[action$="/finish"] button');
  await check(p, 'team: done');
  ok(`${who.given} ${who.family} got a dose at the facility`);
}
