// A pharmacy from the claim of its entry to its first certificate, through a stop of
// issuing, and back: letter, key, two administrators, touch, certificate; the stop, the
// notice, the record that waits, the return of the cohort, the certificate that comes.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { assert, check, desk, ok, person, run, shoot } from './lib.mjs';
import { choose, folder, go, remember, submit, text, type, until, visit } from './story/hands.mjs';
import { approve, enrolFirst, kept, logIn, plug } from './story/key.mjs';

const entry = '300000002'; // Apotheke MUSTER Leipzig in the demo registry
const main = (p) => text(p, 'main');

// fetched takes a file from within the page: Playwright's own requests share no cookies
// with pages of localhost.
async function fetched(p, path, name) {
  const body = await p.page.evaluate(async (from) => {
    const answer = await fetch(from);
    if (!answer.ok) throw new Error(`${from} answers ${answer.status}`);
    let out = '';
    for (const b of new Uint8Array(await answer.arrayBuffer())) out += String.fromCharCode(b);
    return btoa(out);
  }, path);
  const file = join(folder, name);
  writeFileSync(file, Buffer.from(body, 'base64'));
  return { file, bytes: Buffer.from(body, 'base64') };
}

// unzipped returns the files of a zip archive that end with a suffix.
function unzipped(zip, suffix) {
  const files = [];
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = zip.readUInt32LE(end + 16);
  for (let n = zip.readUInt16LE(end + 10); n > 0; n--) {
    const [method, size, name, extra, comment, local] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 20), zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32), zip.readUInt32LE(at + 42)];
    if (zip.toString('utf8', at + 46, at + 46 + name).endsWith(suffix)) {
      const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const raw = zip.subarray(from, from + size);
      files.push(method === 8 ? inflateRawSync(raw) : raw);
    }
    at += 46 + name + extra + comment;
  }
  return files;
}

// look examines a page and takes its picture.
async function look(p, name, label = name) {
  await check(p, label);
  await shoot(p, name);
}

async function issue(p, family, shots) {
  await visit(p, '/issuer/issue');
  if (shots) await look(p, 'choose');
  await go(p, 'main a[href="/issuer/issue/given"]');
  await type(p, { family_name: family, given_name: 'Erika', birth_day: '12', birth_month: '8', birth_year: '1964' });
  await choose(p, { dose: 'first' });
  if (shots) await look(p, 'form');
  await submit(p, '/issuer/issue/given/check');
  if (shots) await look(p, 'answers');
  await go(p, p.page.locator('main form[action="/issuer/issue/given"] button'));
  return /\/issuer\/issued\//.test(p.page.url());
}

run(async (browser) => {
  const ada = await person(browser, 'Ada', { viewport: desk });
  const emil = await person(browser, 'Emil', { viewport: desk });
  const olga = await person(browser, 'Olga', { viewport: desk });
  const ida = await person(browser, 'Ida', { viewport: desk });
  const citizen = await person(browser, 'Citizen');
  for (const [p, login] of [[ada, 'admin'], [emil, 'admin2']]) {
    await plug(p);
    await visit(p, '/staff/login');
    await logIn(p, login);
    await enrolFirst(p, login);
  }
  await visit(ada, '/admin/registry');
  await submit(ada, '/admin/registry/pull');

  // The claim, and the letter to the registry's address.
  await plug(olga);
  await visit(olga, '/issuer/apply');
  await look(olga, 'apply');
  await type(olga, { entry, name: 'Olga Offizin', email: 'olga@example.org' });
  await submit(olga, '/issuer/apply');
  await logIn(ida, 'admin3');
  await until('the letter is in the print queue', async () => {
    await ida.page.goto('/hotline/letters');
    return ida.page.locator('form[action="/hotline/letters/take"] button').isEnabled();
  });
  await submit(ida, '/hotline/letters/take');
  const { bytes } = await fetched(ida, await ida.page.locator('a[href$="/letters.zip"]').first().getAttribute('href'), 'letters.zip');
  const codes = unzipped(bytes, '.pdf').map((pdf) => {
    const file = join(folder, 'letter.pdf');
    writeFileSync(file, pdf);
    const found = execFileSync('pdftotext', [file, '-'], { encoding: 'utf8' }).match(/\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){4}\b/);
    return found && found[0];
  }).filter(Boolean);
  assert(codes.length === 1, `${codes.length} letters with a code`);
  ok('the letter with the code is printed');

  // The code, the key, and two administrators.
  await visit(olga, '/issuer/apply/code');
  await type(olga, { entry, code: codes[0], name: 'Olga Offizin', email: 'olga@example.org' });
  await go(olga, olga.page.locator('form[action="/issuer/apply/code"] button[value=prove], form[action="/issuer/apply/code"] button').first());
  await look(olga, 'proven');
  const [login, code] = await olga.page.locator('main dd.code').allInnerTexts();
  await visit(olga, '/staff/key');
  await type(olga, { login: login.trim(), code: code.trim(), key_name: 'Offizin' });
  await go(olga, olga.page.locator('form[data-passkey] button'));
  await visit(ada, '/admin/issuers');
  await go(ada, ada.page.locator('main a', { hasText: 'Apotheke MUSTER Leipzig' }));
  await type(ada, { why: 'Eintrag und Anruf geprüft' });
  await go(ada, ada.page.locator('form[action$="/propose"] button'));
  const proposal = await ada.page.locator('main a[href^="/admin/approvals/"]').first().getAttribute('href').catch(() => new URL(ada.page.url()).pathname);
  for (const p of [ada, emil]) await approve(p, proposal);
  assert(/Die Änderung gilt/.test(await main(emil)), await main(emil));
  ok('two administrators have activated the pharmacy');

  // Log-in, vaccine, touch, first certificate.
  await visit(olga, '/staff/login');
  await go(olga, olga.page.locator('form[data-passkey=touch] button'));
  await visit(olga, '/issuer');
  assert(/Zertifikate können ausgestellt werden/.test(await main(olga)), await main(olga));
  await olga.page.locator('summary', { hasText: 'Eingang erklären' }).click();
  await olga.page.locator('form[action="/issuer/receipts"] [name=product]').selectOption('comirnaty');
  await type(olga, { lot: 'EX3599', doses: '12', received: '2021-06-14' });
  await submit(olga, '/issuer/receipts');
  await look(olga, 'green');
  assert(await issue(olga, 'Müßiggang', true), await main(olga));
  await until('the certificate is ready', async () => { await olga.page.reload(); return /Das Zertifikat ist fertig/.test(await main(olga)); }, 60_000);
  await look(olga, 'ready');
  const issued = new URL(olga.page.url()).pathname;
  await fetched(olga, `${issued}/certificate.pdf`, 'issued.pdf');
  await fetched(olga, `${issued}/qr.png`, 'issued.png');
  await fetched(olga, `${issued}/hc1.txt`, 'issued.txt');
  ok('the first certificate');
  await visit(olga, '/issuer/certificates');
  await look(olga, 'certificates');
  await go(olga, olga.page.locator('tbody a').first());
  await olga.page.locator('summary').first().click();
  await look(olga, 'record');

  // The stop: everybody reads it, records are taken, certificates wait.
  await visit(ada, '/admin/stop');
  await type(ada, { kind: 'pharmacy', reason_de: 'Wir prüfen eine Sicherheitslücke.', reason_en: 'We look into a security hole.', internal: 'Hinweis von außen' });
  await submit(ada, '/admin/stop');
  await visit(olga, '/issuer');
  assert(/Das Ausstellen ist zurzeit angehalten[^]*Sicherheitslücke[^]*Wir informieren Sie/.test(await main(olga)), await main(olga));
  await look(olga, 'yellow');
  await visit(citizen, '/certificates/notice', 'the public notice');
  assert(/Sicherheitslücke/.test(await main(citizen)), await main(citizen));
  assert(await issue(olga, 'Wartemann'), await main(olga));
  await look(olga, 'waiting');
  assert(/sobald es weitergeht/.test(await main(olga)), await main(olga));
  const waits = new URL(olga.page.url()).pathname;
  ok('the record is stored, the certificate waits');

  // The return: two approve, the cohort is verified and admitted.
  await visit(ada, '/admin/stop');
  await go(ada, ada.page.locator('tbody a').first());
  const stopped = new URL(ada.page.url()).pathname;
  await type(ada, { shares: '50', budget: '5', why: 'Lücke geschlossen' });
  await go(ada, ada.page.locator('form[action$="/return"] button'));
  await visit(ada, '/admin/approvals');
  const back = await ada.page.locator('main a[href^="/admin/approvals/"]').first().getAttribute('href');
  for (const p of [ada, emil]) await approve(p, back);
  await visit(ada, stopped);
  while (await ada.page.locator('form[action$="/admit"]').count() > 0) await go(ada, ada.page.locator('form[action$="/admit"] button'));
  await look(ada, 'admitted', 'a stop, everybody is back');
  await visit(olga, waits);
  await until('the certificate that waited comes', async () => { await olga.page.reload(); return /Das Zertifikat ist fertig/.test(await main(olga)); }, 120_000);
  ok('the certificate that waited has come');
  await visit(olga, '/issuer', 'green again');
  assert(/Zertifikate können ausgestellt werden/.test(await main(olga)), await main(olga));
  await visit(ada, '/admin/issuer-rules', 'rules for all issuers');
  await visit(ada, '/admin/issuer-rules/thresholds/crowd/pharmacy', 'a threshold');
  await type(ada, { at_least: '1', why: 'zum Ausprobieren' });
  await submit(ada, '/admin/issuer-rules/thresholds/crowd/pharmacy');
  assert(!await issue(olga, 'Zuviel'), 'an issuer issues beyond its alarm');
  assert(/Ihre Stelle ist angehalten/.test(await main(olga)), await main(olga));
  await visit(olga, '/issuer', 'paused by an alarm');
  assert(/Nur Ihre Stelle ist betroffen/.test(await main(olga)), await main(olga));
  await visit(ada, '/admin/alerts');
  assert(/Alarm: Apotheke MUSTER Leipzig/.test(await main(ada)), await main(ada));
  await look(ada, 'alerts');
  ok('an alarm has paused the pharmacy, and stands before the administrators');
  await visit(olga, '/issuer/statements', 'statements, none yet');
  remember({ key: await kept(olga) });
});
