// Vaccine in the browser: an administrator on a phone without JavaScript plans and
// receives deliveries, another at a desk shares out and looks ahead, a centre confirms
// what arrived, thaws, notes and throws away; a lot is blocked; a delivery fails and an
// appointment that lived on it is moved, which the citizen changes once more.
import { assert, check, desk, fitsPhone, ok, person, run } from './lib.mjs';
import { byPhone, hold, logIn, pick } from './story/citizen.mjs';
import { choose, field, go, mails, staffLogin, submit, text, tick, type, until, visit } from './story/hands.mjs';

const primary = '.kern-btn--primary';
const main = (p) => text(p, 'main');

// api calls an operation as the person who is logged in.
async function api(p, method, path, data) {
  const sid = (await p.context.cookies()).find((c) => c.name === 'sid').value;
  const answer = await p.context.request.fetch(path, { method, data, headers: { Authorization: `Bearer ${sid}` } });
  assert(answer.ok(), `${method} ${path} answers ${answer.status()}: ${await answer.text()}`);
  return answer.status() === 204 ? null : answer.json();
}

// plan enters a delivery and returns the address of its page.
async function plan(p, delivery) {
  await visit(p, '/admin/deliveries', 'deliveries');
  await type(p, { product: 'comirnaty', note: delivery.note, ...delivery, vials: '' });
  await submit(p, '/admin/deliveries', primary);
  assert(await p.page.locator('#errors a[href="#vials"]').count() === 1, 'no number of vials is not refused');
  assert(await field(p, 'note') === delivery.note && await field(p, 'day') === delivery.day, 'what was typed is gone');
  await type(p, { vials: delivery.vials });
  await submit(p, '/admin/deliveries', primary);
  const row = p.page.locator('main tr', { hasText: delivery.note });
  return row.locator('a').first().getAttribute('href');
}

const lot = (n, number, vials) => ({ [`lot_${n}`]: number, [`expiry_${n}`]: '2021-05-31', [`vials_${n}`]: vials });

// deliveries: one with two lots to the central store, one straight to Leipzig.
async function deliveries(p) {
  const central = await plan(p, { place: 'central', day: '2021-01-12', vials: '60', note: 'Nachschub' });
  await visit(p, central, 'delivery');
  await type(p, { day: '' });
  await submit(p, `${central}/change`);
  assert(await p.page.locator('#errors a[href="#day"]').count() === 1 && await field(p, 'vials_1') === '60', 'the change is not refused at its field');
  await check(p, 'delivery, refused');
  await type(p, lot(1, 'NEU1', '40'));
  await go(p, 'button[name=more]');
  assert(await field(p, 'lot_1') === 'NEU1' && await field(p, 'vials_1') === '40', 'one more line loses what was typed');
  await type(p, lot(2, 'EX1002', '15')); // known, with another last day
  await submit(p, `${central}/receive`);
  assert(/EX1002 ist schon bekannt, aber verwendbar bis/.test(await text(p, '#errors')), 'a known lot with another last day is taken');
  assert(await p.page.locator('#errors a[href="#expiry_2"]').count() === 1, 'the error does not stand at the second lot');
  await type(p, lot(2, 'NEU2', '15'));
  await submit(p, `${central}/receive`);
  assert(/zu wenig angekommen/.test(await main(p)) && await field(p, 'rest_vials') === '5', 'the rest is not shown');
  await check(p, 'delivery, short');
  await type(p, { off_why: 'Bruch' });
  await submit(p, `${central}/write-off`);
  ok(`${p.name}: a delivery is planned and received with two lots`);

  const site = await plan(p, { place: 'centre:leipzig', day: '2021-01-12', vials: '8', note: 'Direkt' });
  const fails = await plan(p, { place: 'centre:leipzig', day: '2021-01-13', vials: '30', note: 'Kommt nicht' });
  await visit(p, fails);
  await tick(p, 'confirmed');
  await submit(p, `${fails}/change`);
  assert(/✓ zugesagt/.test(await main(p)), 'the delivery is not confirmed');
  return { site, fails };
}

// allocation: by fixed shares, while somebody else sends some away.
async function allocation(p, other) {
  await visit(p, '/admin/allocation?product=comirnaty');
  await go(p, 'main a[href^="/admin/allocation/plan"]');
  await check(p, 'allocation plan');
  await choose(p, { method: 'fixed' });
  await submit(p, '/admin/allocation/plan');
  assert(await p.page.locator('#errors a[href="#shares"]').count() === 1, 'a plan without shares is taken');
  await type(p, { weight_centre_leipzig: '3', weight_centre_dresden: '1' });
  await submit(p, '/admin/allocation/plan');
  await check(p, 'allocation by shares');
  assert(await field(p, 'vials_centre_leipzig') === '41' && await field(p, 'vials_centre_dresden') === '14', 'the 55 vials are not suggested 3 to 1');
  await type(p, { vials_centre_leipzig: '', vials_centre_dresden: '50' });
  await submit(p, '/admin/allocation/check');
  await check(p, 'allocation, to be checked');
  await go(p, 'button[formaction="/admin/allocation/edit"]');
  assert(await field(p, 'vials_centre_leipzig') === '' && await field(p, 'vials_centre_dresden') === '50', 'going back loses what was typed');
  await submit(p, '/admin/allocation/check');

  const { stock } = await api(other, 'GET', '/api/v1/stock?place=central&product=comirnaty');
  await api(other, 'POST', '/api/v1/stock/transfers', { from: 'central', to: 'centre:pirna', lot_id: stock[0].lot_id, vials: 10, why: 'Pirna hat zu wenig' });
  await submit(p, '/admin/allocation/send', primary);
  assert(/lagen 55 Flaschen im Zentrallager. Jetzt sind es 45/.test(await text(p, '#changed')), 'nothing says what has changed');
  assert(await field(p, 'vials_centre_dresden') === '50', 'what was typed is gone');
  await check(p, 'allocation, the stock has changed');
  await type(p, { vials_centre_leipzig: '30', vials_centre_dresden: '15' });
  await submit(p, '/admin/allocation/check');
  await submit(p, '/admin/allocation/send', primary);
  await check(p, 'stock');
  assert(/verteilt, Plan nach festen Anteilen/.test(await main(p)), 'the movements do not say why');
  ok('vials are shared out, and nothing typed is lost');
}

// centre: arrival, thawing, a vial that gave more, the rest.
async function centre(p, site) {
  await visit(p, '/site/stock', 'vaccine at the centre');
  await go(p, `main a[href^="/site/deliveries/"]`);
  await check(p, 'arrival');
  await type(p, { ...lot(1, 'DIREKT1', '8'), expiry_1: '2021-01-20' }); // it runs out first, so it is preselected
  await submit(p, site.replace('/admin/', '/site/'), primary);
  assert(/DIREKT1/.test(await main(p)), 'what arrived does not lie at the centre');
  const direct = await p.page.locator('[name=thaw_lot] option').filter({ hasText: 'DIREKT1' }).getAttribute('value');
  await type(p, { thaw_lot: direct, thaw_vials: '9' });
  await submit(p, '/site/stock/thaw');
  assert(await p.page.locator('#errors a[href="#thaw_vials"]').count() === 1, 'more is thawed than there is');
  await type(p, { thaw_vials: '5' });
  await submit(p, '/site/stock/thaw');
  assert(/5 Flaschen aufgetaut am Di., 12.01.2021/.test(await main(p)), 'nothing says that they are thawed');

  await visit(p, '/site/walk-in');
  await type(p, { family_name: 'Übergang', given_name: 'Ottilie', birth_day: '30', birth_month: '9', birth_year: '1931' });
  const fromDirect = await p.page.locator('[name=lot] option').filter({ hasText: 'DIREKT1' }).first().getAttribute('value');
  await type(p, { lot: fromDirect });
  await choose(p, { sex: 'female', dose_number: '1' });
  await tick(p, 'consent');
  await submit(p, '/site/walk-in', primary);

  await visit(p, '/site/stock', 'vaccine at the centre, a vial is open');
  const form = p.page.locator('form[action^="/site/stock/vials/"]');
  const gave = await form.locator('input[type=number]').getAttribute('name');
  await type(p, { [gave]: '' });
  await go(p, form.locator('button'));
  assert(await p.page.locator(`#errors a[href="#${gave}"]`).count() === 1, 'no number of doses is taken');
  await type(p, { [gave]: '6' });
  await go(p, form.locator('button'));
  assert(/Eingetragen: 1 Dosis mehr/.test(await main(p)), 'the sixth dose is no gain');
  assert(/davon 5 geöffnet/.test(await main(p)), 'five doses are not left');
  await go(p, 'form[action$="/discard"] button');
  assert(/Der Rest ist als Verwurf gebucht/.test(await main(p)), 'the rest is not thrown away');
  ok('a centre confirms an arrival, thaws, opens, gains and throws away');
}

// block: the lot that was given, with what it shows; then what else lies in Leipzig
// goes, so that appointments there live on what is to come.
async function block(p, site) {
  await visit(p, '/admin/stock?place=centre:leipzig');
  await go(p, p.page.locator('main a', { hasText: 'DIREKT1' }).first());
  await check(p, 'lot');
  await submit(p, `${new URL(p.page.url()).pathname}/block`);
  assert(await p.page.locator('#errors a[href="#why"]').count() === 1, 'a lot is blocked without a reason');
  await type(p, { why: 'Rückruf des Herstellers' });
  await submit(p, new URL(p.page.url()).pathname.replace(/\/block$/, '/block'));
  await check(p, 'lot, blocked');
  const words = await main(p);
  assert(/Gesperrt seit/.test(words) && /Rückruf des Herstellers/.test(words), 'the lot does not say that it is blocked');
  assert(/Impfzentrum Leipzig/.test(words), 'the lot does not say where it lies');
  await visit(site, '/site/stock');
  assert(/Gesperrt. Bitte nicht verimpfen/.test(await main(site)), 'the centre does not see it');
  await visit(p, '/admin/stock');
  assert(/Gesperrte Chargen/.test(await main(p)), 'the stock does not name the blocked lot');
  const { stock } = await api(p, 'GET', '/api/v1/stock?place=centre:leipzig');
  for (const s of stock.filter((x) => x.lot_number !== 'DIREKT1' && x.vials > 0 && x.product_id !== 'influvac')) {
    await api(p, 'POST', '/api/v1/stock/transfers', { from: 'centre:leipzig', to: 'centre:dresden', lot_id: s.lot_id, vials: s.vials, why: 'Dresden hat zu wenig' });
  }
  ok('a lot is blocked, and the centre sees it');
}

await run(async (browser) => {
  const slow = await person(browser, 'administrator on a phone', { javaScript: false });
  await staffLogin(slow, 'admin');
  const { site, fails } = await deliveries(slow);

  const p = await person(browser, 'administrator', { viewport: desk });
  await staffLogin(p, 'admin2');
  await allocation(p, slow);
  await visit(p, '/admin/allocation/population', 'population');
  assert(/nicht amtlich/.test(await main(p)), 'the demo\'s figures look official');

  const zentrum = await person(browser, 'centre', { viewport: { width: 800, height: 1100 } });
  await staffLogin(zentrum, 'zentrum');
  await centre(zentrum, site);
  await block(p, zentrum);

  // Somebody books what only the delivery of tomorrow carries.
  const agent = await person(browser, 'agent', { viewport: desk });
  await staffLogin(agent, 'agent');
  const who = await byPhone(agent, { family: 'Anders', birth: '1930-01-02', email: 'anders@example.org' });
  const citizen = await person(browser, 'citizen');
  await logIn(citizen, who);
  await until('Leipzig offers what will come', async () => {
    await visit(citizen, '/appointments/at/leipzig');
    const day = citizen.page.locator('.day-strip a').first();
    return await day.count() && /1[4-8]\.01\.2021/.test(await day.innerText());
  });
  await go(citizen, citizen.page.locator('.day-strip a').first());
  await pick(citizen, 0);
  await hold(citizen);
  await submit(citizen, '/appointments/confirm');
  const times = () => citizen.page.locator('.panel--yours .visit__time').allInnerTexts();
  const booked = await times();

  await visit(p, '/admin/outlook?product=comirnaty&centre=leipzig', 'outlook');
  const reserved = await p.page.locator('main tr:has(a[href="/admin/outlook?product=comirnaty&centre=leipzig"])').innerText();
  assert(/\t1\t1\t/.test(reserved), `the outlook shows of Leipzig: ${reserved}`);
  ok('the outlook shows what is booked and what is reserved for the second dose');

  // The delivery fails: nobody loses anything until an administrator has confirmed.
  await visit(slow, fails);
  await go(slow, `main a[href="${fails}/cancel"]`);
  await check(slow, 'delivery, really to be cancelled');
  assert(/[1-9]\d* gebuchten? Termine?/.test(await main(slow)), 'nothing says whom it concerns');
  await submit(slow, `${fails}/cancel`);
  assert(/Fehlmengen/.test(await main(slow)), 'nothing says where the consequences stand');
  await until('the shortfall is named', async () => {
    await visit(p, '/admin/shortfall');
    return p.page.locator('a[href="/admin/shortfall/leipzig/comirnaty"]').count();
  });
  await visit(p, '/admin/shortfall/leipzig/comirnaty');
  await submit(p, '/admin/shortfall/leipzig/comirnaty/propose');
  await until('there is a proposal', async () => {
    await visit(p, '/admin/shortfall/leipzig/comirnaty');
    return p.page.locator('form[action$="/confirm"]').count();
  });
  await visit(citizen, '/appointments');
  assert(String(await times()) === String(booked), 'moved before it was confirmed');
  await submit(p, '/admin/shortfall/leipzig/comirnaty/confirm');
  const mail = await until('the citizen is told', async () => (await mails(agent, 'anders@example.org')).find((m) => m.kind === 'booking.moved'));
  assert(/ändern|andere/.test(mail.text), `the message does not say that there is a choice: ${mail.text}`);
  await visit(citizen, '/appointments', 'yours, moved');
  const moved = await times();
  assert(moved.length === 2 && String(moved) !== String(booked), 'not moved');
  ok('a delivery fails, and the appointment it carried is moved');

  // The citizen chooses otherwise.
  await visit(citizen, '/appointments/change/all');
  await citizen.page.locator('input[name=slots]').nth(3).check();
  await submit(citizen, '/appointments/change/check', primary);
  await submit(citizen, '/appointments/change');
  const chosen = await times();
  assert(chosen.length === 2 && String(chosen) !== String(moved), 'the citizen cannot choose otherwise');
  await visit(p, '/admin/shortfall/leipzig/comirnaty');
  assert(/umgebucht/.test(await main(p)), 'the list does not say what became of them');
  ok('the citizen chooses otherwise');

  // The same pages in English.
  await go(p, 'button[name=lang][value=en]');
  for (const path of ['/admin/deliveries', '/admin/allocation', '/admin/outlook', '/site/stock?place=centre:leipzig']) await visit(p, path, `${path}, in English`);
  for (const path of [fails, '/admin/allocation/plan', '/admin/allocation/population', '/admin/stock', '/admin/shortfall/leipzig/comirnaty']) {
    await visit(p, path);
    await fitsPhone(p, `${path}, in English`);
    assert(await p.page.locator('html').getAttribute('lang') === 'en', `${path} is not in English`);
  }
});
