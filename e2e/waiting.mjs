// The waiting list and a shortfall in the browser: what one citizen gives back is
// offered to another who waits, on a phone and without JavaScript; then the day
// closes and the administrator moves them.
import { assert, check, desk, fitsPhone, ok, person, run } from './lib.mjs';
import { byPhone, logIn } from './story/citizen.mjs';
import { at, go, mails, staffLogin, submit, text, touch, type, until, visit } from './story/hands.mjs';

await run(async (browser) => {
  const agent = await person(browser, 'agent', { viewport: desk });
  await staffLogin(agent, 'agent');
  const gives = await person(browser, 'gives back');
  await logIn(gives, await byPhone(agent, { family: 'Anders', birth: '1930-01-02', email: 'anders@example.org' }));
  const waits = await person(browser, 'waits', { javaScript: false });
  await logIn(waits, await byPhone(agent, { family: 'Becker', birth: '1930-02-02', email: 'becker@example.org' }));

  // Who waits says what would do.
  await visit(waits, '/appointments/waiting');
  await check(waits, 'waiting list');
  await submit(waits, '/appointments/waiting');
  assert(/mindestens ein Impfzentrum/.test(await text(waits, 'main')), 'no centre is not refused');
  await check(waits, 'waiting list, refused');
  await type(waits, { within: '15', notice: '0' });
  await submit(waits, '/appointments/waiting');
  assert(/Sie stehen auf der Warteliste/.test(await text(waits, 'main')), 'not on the list');
  await check(waits, 'waiting list, entered');
  await fitsPhone(waits, 'waiting list, entered');
  ok('on the waiting list');

  // The other one books and gives back: nobody else can have it, the list is asked.
  await visit(gives, '/appointments/at/leipzig');
  await go(gives, gives.page.locator('.day-strip a').last());
  await gives.page.locator('input[name=slots]').first().check();
  await submit(gives, '/appointments/hold');
  await submit(gives, '/appointments/confirm');
  await visit(gives, '/appointments/cancel');
  await submit(gives, '/appointments/cancel');
  const mail = await until('an offer is sent', async () => (await mails(agent, 'becker@example.org')).find((m) => m.kind === 'booking.offer'));
  const link = mail.text.match(/\/offers\/[\w-]{43}/)[0];
  await visit(waits, '/appointments/waiting');
  await check(waits, 'waiting list, an offer');
  await visit(agent, '/hotline/offers');
  await check(agent, 'offers at the desk');
  await fitsPhone(agent, 'offers at the desk');

  // The link needs no login and tells nothing but the offer.
  const anybody = await person(browser, 'link', { javaScript: false });
  await visit(anybody, link);
  await check(anybody, 'offer');
  await fitsPhone(anybody, 'offer');
  assert(!/Becker/.test(await text(anybody, 'main')), 'the offer names the person');
  await go(anybody, 'button[value=accept]');
  await check(anybody, 'offer, accepted');
  assert(/Die Termine gehören Ihnen/.test(await text(anybody, 'main')), 'not booked');
  await visit(waits, '/appointments');
  const booked = await text(waits, '.visit__time');
  ok('an offer is accepted by its link');

  const admin = await person(browser, 'admin', { viewport: desk });
  await staffLogin(admin, 'admin');
  await visit(admin, '/admin/waiting');
  await check(admin, 'waiting list, administration');
  await fitsPhone(admin, 'waiting list, administration');

  // The day closes: nothing happens to anybody until the administrator confirms.
  const months = ['Januar', 'Februar', 'März', 'April', 'Mai', 'Juni', 'Juli', 'August', 'September', 'Oktober', 'November', 'Dezember'];
  const [, d, month, year] = booked.match(/(\d+)\. (\S+) (\d{4})/);
  const closed = `${year}-${String(months.indexOf(month) + 1).padStart(2, '0')}-${d.padStart(2, '0')}`;
  await visit(admin, '/admin/centres/leipzig');
  const form = admin.page.locator('form[action$="/exceptions"]');
  await form.locator('input[name=day]').fill(closed);
  await form.locator('input[name=reason]').fill('Wasserschaden');
  await go(admin, form.locator('button').first());
  await until('the shortfall is named', async () => {
    await visit(admin, '/admin/shortfall');
    return admin.page.locator('a[href^="/admin/shortfall/"]').count();
  });
  await check(admin, 'shortfall');
  await go(admin, 'a[href^="/admin/shortfall/"]');
  await check(admin, 'people concerned');
  const page = new URL(admin.page.url()).pathname;
  await touch(admin, admin.page.locator('form[action$="/propose"] button'));
  await until('there is a proposal', async () => {
    await visit(admin, page);
    return admin.page.locator('form[action$="/confirm"]').count();
  });
  await check(admin, 'proposals');
  await fitsPhone(admin, 'proposals');
  await visit(waits, '/appointments');
  assert(await text(waits, '.visit__time') === booked, 'moved before it was confirmed');
  await go(admin, 'form[action$="/confirm"] button');
  await until('the person is told', async () => (await mails(agent, 'becker@example.org')).find((m) => m.kind === 'booking.moved'));
  await visit(waits, '/appointments');
  assert(await text(waits, '.visit__time') !== booked, 'not moved');
  await visit(admin, page);
  assert(/umgebucht, benachrichtigt/.test(await text(admin, 'main')), 'the list does not say so');
  await check(admin, 'proposals, confirmed');
  ok('a shortfall is moved in one go');
});
