// A citizen registers, books both appointments, and later fetches the certificate.
import { readFileSync, writeFileSync } from 'node:fs';
import { assert, check, ok, shoot } from '../lib.mjs';
import { at, choose, codes, field, flat, go, mails, paper, readCodes, submit, text, tick, touch, type, until, visit, words } from './hands.mjs';

const nextButton = 'button.kern-btn--primary';

// register answers the five steps, with a mistake on the way, and returns the
// login data.
export async function register(p, who) {
  await at(p, '/register');
  await check(p, 'register: group');
  await choose(p, { who: 'self', group: 'covid-19/s2-age' });
  await tick(p, 'proof_ready');
  await submit(p, '/register', nextButton);

  await at(p, /^\/register\/[\w-]+\/2$/);
  await check(p, 'register: person');
  await choose(p, { sex: who.sex });
  const typed = { family_name: who.family, given_name: who.given, birth_day: '31', birth_month: '2', birth_year: who.year };
  await type(p, typed);
  await submit(p, '/register', nextButton);
  await at(p, /\/2$/);
  await check(p, 'register: a day that does not exist');
  assert(await p.page.locator('#errors a').count() === 1, `${p.name}: one mistake is not one entry of the summary`);
  for (const [name, value] of Object.entries(typed)) {
    assert(await field(p, name) === value, `${p.name}: ${name} is lost: ${await field(p, name)}`);
  }
  assert(await p.page.locator(`[name=sex][value=${who.sex}]`).isChecked(), `${p.name}: the sex is lost`);
  await type(p, { birth_day: who.day, birth_month: who.month });
  await submit(p, '/register', nextButton);

  await at(p, /\/3$/);
  await check(p, 'register: earlier vaccinations');
  await choose(p, { prior: 'none' });
  await submit(p, '/register', nextButton);

  await at(p, /\/4$/);
  await check(p, 'register: contact');
  await type(p, { email: who.email, phone: who.phone, street: who.street, postcode: who.postcode, city: who.city });
  await submit(p, '/register', nextButton);

  await at(p, /\/5$/);
  await check(p, 'register: check the answers');
  const answers = await text(p, 'main');
  for (const value of [who.family, who.given, who.email, who.city]) {
    assert(answers.includes(value), `${p.name}: the answers do not show ${value}`);
  }
  await submit(p, '/register', nextButton);

  await at(p, /\/done$/);
  await check(p, 'login data');
  const login = { caseNumber: await text(p, '#case-number'), secret: await text(p, '#secret-shown') };
  const sheet = words(await paper(p, await p.page.locator('a[href$="/login-data.pdf"]').getAttribute('href'), `${who.file}-login.pdf`));
  for (const value of [login.caseNumber, login.secret, who.family]) {
    assert(flat(sheet).includes(value), `${p.name}: the printed login data lack ${value}:\n${sheet}`);
  }
  await type(p, { secret: 'nicht das Richtige' });
  await submit(p, '/register', nextButton);
  await check(p, 'login data: mistyped');
  assert(await text(p, '#secret-shown') === login.secret, `${p.name}: the login data are gone after a mistake`);
  await type(p, { secret: login.secret.toLowerCase() });
  await submit(p, '/register', nextButton);
  assert(!p.page.url().includes('/done'), `${p.name}: the secret is not taken`);
  await until('the confirmation of the registration is in the mailbox', async () => (await mails(p, who.email)).length > 0);
  ok(`${p.name} is registered`);
  return login;
}

export async function logIn(p, who) {
  await visit(p, '/login', 'login');
  await type(p, { case_number: who.caseNumber, secret: who.secret });
  await submit(p, '/login', nextButton);
  await at(p, '/my-case');
}

// toTimes goes from the case to the times of Leipzig on a day (yyyy-mm-dd); wait
// is what comes between, when others want to go there, too.
export async function toTimes(p, day, wait = async () => {}) {
  await visit(p, '/my-case', 'case without appointments');
  await go(p, 'section:has(#next-step) a.kern-btn--primary');
  await at(p, '/appointments');
  await check(p, 'centres');
  await type(p, { postcode: '04109' });
  await submit(p, '/appointments/near');
  const first = p.page.locator('ul.centre-list a.kern-btn--primary').first();
  assert((await first.getAttribute('href')) === '/appointments/at/leipzig', `${p.name}: Leipzig is not the nearest to 04109`);
  await go(p, first);
  await wait();
  await at(p, '/appointments/at/leipzig');
  await go(p, `.day-strip a[href$="day=${day}"]`);
  await check(p, 'times');
}

// pick chooses the nth series of the day and returns how it is written.
export async function pick(p, n) {
  const choice = p.page.locator('input[name=slots]').nth(n);
  const label = p.page.locator(`label[for="${await choice.getAttribute('id')}"]`);
  const part = p.page.locator('details').filter({ has: label });
  if (await part.getAttribute('open') === null) await touch(p, part.locator('summary'));
  await touch(p, choice);
  const times = await label.locator('.choice__time').allInnerTexts();
  assert(times.length === 2, `${p.name}: the choice shows ${times.length} appointments, not both`);
  return times;
}

export async function hold(p) {
  await submit(p, '/appointments/hold', nextButton);
}

// confirm makes what is held one's own and takes the papers.
export async function confirm(p, who) {
  await at(p, '/appointments/held');
  await check(p, 'held');
  assert(await p.page.locator('.panel--yours').count() === 0, `${p.name}: what is only held looks like one's own`);
  const visits = await p.page.locator('.visit__time').allInnerTexts();
  assert(visits.length === 2, `${p.name} holds ${visits.length} appointments`);
  await submit(p, '/appointments/confirm');
  await at(p, '/appointments');
  await check(p, 'yours');
  assert(await p.page.locator('.panel--yours').isVisible(), `${p.name}: no panel says that it is hers`);
  assert(await p.page.locator('.panel--taken').count() === 0, `${p.name}: something says taken`);
  const reference = await text(p, '.panel--yours dd.code');

  const pdf = await paper(p, '/appointments/confirmation.pdf', `${who.file}-confirmation.pdf`);
  const sheet = flat(words(pdf));
  for (const value of [...visits, reference, who.family]) {
    assert(sheet.includes(flat(value)), `${p.name}: the confirmation lacks ${value}: ${sheet}`);
  }
  const [code] = codes(pdf);
  assert(code.replaceAll('-', '').includes(reference.replace(/\W/g, '')), `${p.name}: the confirmation's QR code says ${code}, not ${reference}`);
  const calendar = readFileSync(await paper(p, '/appointments/calendar.ics', `${who.file}.ics`), 'utf8');
  assert(calendar.split('BEGIN:VEVENT').length === 3 && calendar.includes('TZID=Europe/Berlin'), `${p.name}: the calendar has not both appointments:\n${calendar}`);

  const sent = await until('the confirmation is in the mailbox', async () => (await mails(p, who.email)).find((m) => m.text.includes(reference)));
  assert(sent.attachments.length === 2, `${p.name}: the message carries ${sent.attachments}`);
  await visit(p, `/dev/mailbox/${sent.id}`, 'mailbox: confirmation');
  await visit(p, '/my-case', 'case with appointments');
  ok(`${p.name} has both appointments: ${visits.join(' and ')}`);
  return { reference, visits, code };
}

// certificate waits for the worker and downloads text, picture and paper.
export async function certificate(p, who) {
  await until('the certificate is in the case', async () => {
    await p.page.goto('/certificates');
    return p.page.locator('a[href$="/certificate.pdf"]').count();
  }, 40_000);
  await check(p, 'certificate');
  assert(/MUSTER/.test(await text(p, 'main')), `${p.name}: the page does not say MUSTER`);
  assert(await p.page.locator('img.qr-large').evaluate((i) => i.complete && i.naturalWidth > 0), `${p.name}: no picture of the code`);
  const files = {};
  for (const [kind, name] of [['pdf', 'certificate.pdf'], ['png', 'qr.png'], ['txt', 'hc1.txt']]) {
    const link = p.page.locator(`a[href$="/${name}"]`);
    const [file] = await Promise.all([p.page.waitForEvent('download'), link.click()]);
    files[kind] = `${who.file}-certificate.${kind}`;
    await file.saveAs(`${process.env.STORY}/${files[kind]}`);
  }
  await wallet(p, `${process.env.STORY}/${files.txt}`);
  await until('a message tells of the certificate', async () => (await mails(p, who.email)).some((m) => m.kind === 'certificate.ready'));
  await visit(p, '/my-case', 'case with certificate');
  ok(`${p.name} has a certificate`);
  return files;
}

// wallet passes the certificate to an app: by the phone's own sharing and by the
// clipboard, or, without JavaScript, by picture and text.
async function wallet(p, file) {
  const said = readFileSync(file, 'utf8');
  if (p.javaScript) {
    await p.context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await p.page.addInitScript(() => { // a browser without a phone has no sharing of its own
      navigator.canShare = ({ files }) => files.length === 1 && files[0].type === 'image/png';
      navigator.share = async ({ files: [f] }) => { window.shared = { name: f.name, type: f.type, bytes: [...new Uint8Array(await f.arrayBuffer())] }; };
    });
  }
  await go(p, 'a[href$="/wallet"]');
  await check(p, 'wallet');
  await shoot(p, p.javaScript ? 'wallet' : 'wallet-plain');
  assert(await p.page.locator('img.qr-large').evaluate((i) => i.complete && i.naturalWidth > 0), `${p.name}: no picture of the code`);
  assert(await p.page.inputValue('#hc1') === said, `${p.name}: the page for apps says something else than the file`);
  const link = await p.page.getByRole('link', { name: /\/wallet$/ }).getAttribute('href');
  assert(new URL(link).pathname === new URL(p.page.url()).pathname && !link.includes('HC1'), `${p.name}: the link is ${link}`);
  for (const button of ['#share', '#copy']) assert(await p.page.locator(button).isVisible() === p.javaScript, `${p.name}: ${button} is there, or not`);
  if (p.javaScript) {
    await p.page.click('#copy');
    await p.page.getByText('Der Text ist kopiert.').waitFor();
    assert(await p.page.evaluate(() => navigator.clipboard.readText()) === said, `${p.name}: something else is copied`);
    await p.page.click('#share');
    await p.page.waitForFunction(() => window.shared);
    const shared = await p.page.evaluate(() => window.shared);
    assert(/^impfzertifikat-.*\.png$/i.test(shared.name) && shared.type === 'image/png', `${p.name} shares ${shared.name}, ${shared.type}`);
    writeFileSync(`${file}-shared.png`, Buffer.from(shared.bytes));
    assert(readCodes(`${file}-shared.png`)[0] === said, `${p.name}: the shared picture says something else`);
  } else {
    const [picture] = await Promise.all([p.page.waitForEvent('download'), p.page.click('a[download][href$="/qr.png"]')]);
    await picture.saveAs(`${file}-saved.png`);
    assert(readCodes(`${file}-saved.png`)[0] === said, `${p.name}: the picture says something else`);
  }
  ok(`${p.name} passes the certificate to an app`);
}

// byPhone has an agent register somebody and returns the login data.
export async function byPhone(agent, { family, birth, ...contact }) {
  const sid = (await agent.context.cookies()).find((c) => c.name === 'sid').value;
  const answer = await agent.context.request.post('/api/v1/hotline/persons', {
    headers: { Authorization: `Bearer ${sid}` },
    data: {
      key: crypto.randomUUID(),
      registration: {
        programme: 'covid-19', group: 's2-age', proof_ready: true, family_name: family, given_name: 'Erika', birth,
        sex: 'female', address: { street: 'Weg 1', postcode: '04109', city: 'Leipzig' }, ...contact,
      },
    },
  });
  assert(answer.ok(), `registering answers ${answer.status()}: ${await answer.text()}`);
  const known = await answer.json();
  return { family, caseNumber: known.case_number, secret: known.secret };
}
