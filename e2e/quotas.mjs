// Quotas in the browser: an administrator without JavaScript on a phone and one
// with it at a desk set a day, are refused below what is taken, copy the week,
// move free places, undo, and set releases, contingents and openings.
import { assert, check, desk, fitsPhone, ok, person, run } from './lib.mjs';
import { go, staffLogin, submit, text, type, until, visit } from './story/hands.mjs';

const centre = 'leipzig';

// cell is what a channel has of the day in the given row (0 = the standing quotas).
const cell = (p, row, column) => text(p, `.quota-week tbody tr:nth-child(${row + 1}) > :nth-child(${column + 1})`);

async function thisWeek(p) {
  await visit(p, `/admin/quotas?centre=${centre}`);
  await go(p, p.page.locator('nav.buttons a').last()); // next week: nothing of it is past
  return new URL(p.page.url()).searchParams.get('from');
}

async function through(p) {
  const from = await thisWeek(p);
  await check(p, 'quotas');
  await fitsPhone(p, 'quotas');
  assert(/70 %/.test(await cell(p, 0, 1)), `the default is ${await cell(p, 0, 1)}`);

  // One day: fixed places for the hotline, a reserve.
  await go(p, p.page.locator('.quota-week tbody tr:nth-child(2) th a'));
  await check(p, 'quotas of a day');
  await type(p, { places_hotline: '12', day_web: '80', day_hotline: '0', day_reserve: '10' });
  await submit(p, '/admin/quotas/day');
  assert(/90 statt 100 Prozent/.test(await text(p, 'main')), 'a sum of 90 is not refused');
  assert(await p.page.locator('[name=places_hotline]').inputValue() === '12', 'what was typed is gone');
  await check(p, 'quotas of a day, refused');
  await type(p, { day_reserve: '20' });
  await submit(p, '/admin/quotas/day');
  assert(/12 Plätze/.test(await cell(p, 1, 2)) && /20 %/.test(await cell(p, 1, 4)), `the exception shows ${await cell(p, 1, 2)}`);
  ok(`${p.name}: a day has an exception`);

  // The week, copied.
  await type(p, { weeks: '2' });
  await submit(p, '/admin/quotas/copy');
  await check(p, 'quotas, copy');
  assert(await p.page.locator('main tbody tr').count() === 2, 'two days should change');
  await submit(p, '/admin/quotas/copy');
  await visit(p, `/admin/quotas?centre=${centre}&from=${from}`);
  await submit(p, '/admin/quotas/undo');
  await submit(p, '/admin/quotas/undo');
  assert(!/12 Plätze/.test(await cell(p, 1, 2)), 'the exception is still there');
  ok(`${p.name}: a week is copied and undone`);

  // Free places, moved by hand.
  await until('places of the web', async () => {
    await visit(p, `/admin/quotas?centre=${centre}&from=${from}`);
    return /[1-9]\d* frei/.test(await cell(p, 1, 1)) && !/[1-9]\d* frei/.test(await cell(p, 1, 4));
  });
  await type(p, { shift_places: '9999', shift_from: 'web', shift_to: 'reserve' });
  await submit(p, '/admin/quotas/shift');
  assert(/sind über Internet nur/.test(await text(p, '#errors')), 'more than is free is moved');
  await check(p, 'quotas, refused');
  await type(p, { shift_places: '3' });
  await submit(p, '/admin/quotas/shift');
  assert(/0 von 3 vergeben, 3 frei/.test(await cell(p, 1, 4)), `the reserve has ${await cell(p, 1, 4)}`);
  await submit(p, '/admin/quotas/undo');
  assert(/0 von 0 vergeben/.test(await cell(p, 1, 4)), `the reserve has ${await cell(p, 1, 4)} after the undo`);
  ok(`${p.name}: free places move and come back`);
  return from;
}

await run(async (browser) => {
  const slow = await person(browser, 'administrator on a phone', { javaScript: false });
  await staffLogin(slow, 'admin');
  await through(slow);

  const p = await person(browser, 'administrator', { viewport: desk });
  await staffLogin(p, 'admin2');
  const from = await through(p);

  // The other one changes something: the page shows it by itself.
  await visit(slow, `/admin/quotas/day?centre=${centre}&from=${from}&day=${from}`);
  await type(slow, { places_hotline: '7', day_web: '100', day_hotline: '0' });
  await submit(slow, '/admin/quotas/day');
  await until('the figures renew themselves', async () => /7 Plätze/.test(await cell(p, 1, 2)));
  ok('the figures renew themselves');

  await visit(p, `/admin/quotas/rules?centre=${centre}`);
  await check(p, 'releases and groups');
  await type(p, { release_days: '3', release_time: '18:00' });
  await submit(p, '/admin/quotas/release', '.kern-btn--primary');
  assert(/Telefon an Internet: 3 Tage vor dem Termin um 18:00 Uhr/.test(await text(p, 'main')), 'no release');
  await type(p, { kept_number: '10', kept_last: from, kept_until_day: from, kept_until_time: '12:00' });
  await submit(p, '/admin/quotas/contingent', '.kern-btn--primary');
  assert(/Jetzt beenden/.test(await text(p, 'main')), 'no contingent');
  await check(p, 'releases and groups, set');
  await fitsPhone(p, 'releases and groups, set');
  await submit(p, '/admin/quotas/contingent');

  await visit(p, '/admin/booking-settings');
  await check(p, 'booking windows');
  await p.page.locator('#opening_day_1').check();
  await type(p, { stage_time_1: '08:00', stage_percent_1: '50', stage_time_2: '18:00', stage_percent_2: '100' });
  await submit(p, '/admin/booking-settings/opening', '.kern-btn--primary');
  assert(/50 % um 08:00 Uhr, 100 % um 18:00 Uhr/.test(await text(p, 'main')), 'no opening');
  await check(p, 'booking windows, set');
  await fitsPhone(p, 'booking windows, set');
  await submit(p, '/admin/booking-settings/opening');
  ok('releases, contingents and openings');
});
