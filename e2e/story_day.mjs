// The story on the day of the appointments: doses, certificates, figures.
import { assert, check, desk, ok, person, phone, run, shoot } from './lib.mjs';
import { certificate, logIn } from './story/citizen.mjs';
import { go, recall, remember, staffLogin, text, visit } from './story/hands.mjs';
import { byCode, byName, dose, facility, plan, walkIn } from './story/site.mjs';

const walker = { family: 'Übergang', given: 'Ottilie', sex: 'female', day: '30', month: '9', year: '1931', email: 'ottilie@example.org' };
const resident = { family: 'Sonnenschein', given: 'Friedrich', sex: 'male', day: '1', month: '1', year: '1929' };

await run(async (browser) => {
  const facts = recall();
  const { erika, karl } = facts;

  const site = await person(browser, 'centre', { viewport: { width: 800, height: 1100 } });
  await staffLogin(site, 'zentrum');
  await byCode(site, erika.code);
  await dose(site, erika);
  await byName(site, karl);
  await dose(site, karl);
  await walkIn(site, walker);

  const dispatcher = await person(browser, 'dispatcher', { viewport: desk });
  await staffLogin(dispatcher, 'leitstelle');
  await plan(dispatcher, { day: '2021-01-12', time: '10:00' });
  const team = await person(browser, 'team', { viewport: phone });
  await staffLogin(team, 'team');
  await facility(team, resident);

  const a = await person(browser, 'Erika', { viewport: phone });
  await logIn(a, erika);
  erika.certificate = await certificate(a, erika);
  const b = await person(browser, 'Karl without JavaScript', { viewport: phone, javaScript: false });
  await logIn(b, karl);
  karl.certificate = await certificate(b, karl);

  // The language is remembered, on other pages and at the next visit.
  await go(a, 'button[name=lang][value=en]');
  for (const [path, label] of [['/my-case', 'case, in English'], ['/certificates', 'certificate, in English'], ['/appointments', 'appointments, in English'], ['/', 'start, in English']]) {
    await visit(a, path, label);
    assert(await a.page.locator('html').getAttribute('lang') === 'en', `${path} is not in English`);
  }
  const again = await a.context.newPage();
  await again.goto('/login');
  assert(await again.locator('html').getAttribute('lang') === 'en', 'the language is forgotten in a new window');
  ok('the language is remembered');

  const admin = await person(browser, 'administrator', { viewport: desk });
  await staffLogin(admin, 'admin');
  await visit(admin, '/admin', 'overview');
  // Three doses at the centre, one at the facility; the walk-in and the resident
  // have no case, but the two citizens have certificates.
  const rows = await admin.page.locator('main tr').evaluateAll((list) => list.map((r) => [...r.cells].map((c) => c.innerText.trim()).join(' | ')));
  assert(rows.some((r) => /^Comirnaty.* \| 4 \| 0 \| 4$/.test(r)), `the overview does not count four first doses of Comirnaty:\n${rows.join('\n')}`);
  assert(/MUSTER/.test(await text(admin, 'main')), 'the overview does not say MUSTER');
  await shoot(admin, 'overview');
  ok('the overview shows the figures of the day');
  remember(facts);
});
