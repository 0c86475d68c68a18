// The page on which anybody checks a certificate: loaded once, then without a
// connection; by picture and by text; without JavaScript by the server.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert, check, desk, launch, ok, person, phone, run, shoot } from './lib.mjs';
import { text, visit } from './story/hands.mjs';

const folder = process.env.STORY;
const file = (name) => join(folder, name);
const path = '/certificates/verify';

async function ready(p) { await p.page.waitForSelector('#verifier[data-ready=true]'); }

async function verdict(p, act) {
  await p.page.evaluate(() => document.getElementById('result').replaceChildren());
  await act();
  await p.page.waitForSelector('#result [data-verdict]');
  return p.page.locator('#result [data-verdict]').getAttribute('data-verdict');
}

const byPicture = (p, name) => verdict(p, () => p.page.setInputFiles('#picture', file(name)));

async function byText(p, words) {
  await p.page.fill('#pasted', words);
  return verdict(p, () => p.page.click('#by-text-form button'));
}

await run(async (browser) => {
  const guard = await person(browser, 'guard', { viewport: phone });
  await visit(guard, path);
  await ready(guard);
  assert(await guard.page.locator('#offline').isVisible(), 'the page does not say that it works without a connection');
  assert(/Vertrauensliste vom .*, Sperrliste vom /.test(await text(guard, '#lists')), await text(guard, '#lists'));
  await check(guard, 'verifier');
  await shoot(guard, 'start');

  // Nothing is asked of anybody while a certificate is checked, with a connection too.
  const asked = [];
  guard.page.on('request', (request) => { if (!/^(data|blob):/.test(request.url())) asked.push(request.url()); });
  assert(await byPicture(guard, 'genuine.png') === 'muster', await text(guard, '#result'));
  assert(await byText(guard, readFileSync(file('genuine.txt'), 'utf8')) === 'muster', await text(guard, '#result'));
  assert(asked.length === 0, `checking asks for ${asked.join(', ')}`);
  ok('checking sends nothing');

  await guard.context.setOffline(true);
  await guard.page.goto(path);
  await ready(guard);
  assert(await guard.page.locator('html').getAttribute('lang') === 'de', 'the kept page is in another language');
  for (const [name, want, words] of [
    ['genuine.png', 'muster', /kein gültiges Zertifikat[^]*Gabriele Musterfrau-Gößinger[^]*26\.02\.1998[^]*Comirnaty[^]*2 von 2/],
    ['revoked.png', 'revoked', /Widerrufen[^]*Musterfrau/],
    ['edited.png', 'signature', /Nicht echt/],
  ]) {
    const got = await byPicture(guard, name);
    const shown = await text(guard, '#result');
    assert(got === want && words.test(shown), `${name}: ${got}: ${shown}`);
    assert(want !== 'signature' || !/Angelika/.test(shown), 'what is not genuine is shown');
    await check(guard, `verifier: ${want}`);
    await shoot(guard, want);
  }
  assert(await byText(guard, 'guten Tag') === 'unreadable', await text(guard, '#result'));
  await guard.page.setInputFiles('#picture', { name: 'x.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
  await guard.page.getByText('Die Datei ist kein Bild').waitFor();

  // The camera: it sees an empty table, and then the code.
  const label = () => text(guard, '#camera');
  await guard.context.grantPermissions(['camera']);
  await guard.page.evaluate(() => document.getElementById('result').replaceChildren());
  await guard.page.click('#camera');
  await guard.page.waitForFunction(() => document.getElementById('video').videoWidth > 0);
  assert(await label() === 'Kamera beenden' && await guard.page.locator('#video').isVisible(), 'the camera is not shown');
  await check(guard, 'verifier: camera');
  await shoot(guard, 'camera');
  await guard.page.waitForSelector('#result [data-verdict]');
  assert(await guard.page.locator('#result [data-verdict]').getAttribute('data-verdict') === 'revoked', await text(guard, '#result'));
  assert(await label() === 'Kamera starten' && !await guard.page.locator('#video').isVisible(), 'the camera stays on');
  await guard.context.setOffline(false);
  ok('it works without a connection, with the camera too');

  const another = await launch();
  const blind = await person(another, 'without a camera');
  await visit(blind, path);
  await ready(blind);
  await blind.page.click('#camera');
  await blind.page.getByText('Die Kamera ist nicht verfügbar oder nicht erlaubt').waitFor();
  await another.close();

  // Without JavaScript the server checks the text.
  const plain = await person(browser, 'plain', { viewport: desk, javaScript: false });
  for (const [name, want] of [['genuine.txt', /MUSTER – kein gültiges Zertifikat[^]*Gabriele Musterfrau/], ['revoked.txt', /Widerrufen/], ['edited.txt', /Nicht echt/]]) {
    await visit(plain, path);
    await plain.page.fill('textarea[name=text]', readFileSync(file(name), 'utf8'));
    await plain.page.click('noscript button, form[action="/certificates/verify"] button');
    assert(want.test(await text(plain, 'main')), `${name}: ${await text(plain, 'main')}`);
  }
  await check(plain, 'verifier without JavaScript');
  await shoot(plain, 'plain');
}, { camera: file('camera.y4m') });
