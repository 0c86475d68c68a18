// The first of the month after issuer.mjs: the pharmacy opens its statement, saves PDF,
// CSV and proofs, follows a leaf into the log; the administration sees all of them.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert, check, desk, download, ok, person, run, shoot } from './lib.mjs';
import { folder, go, recall, text, until, visit } from './story/hands.mjs';
import { logIn, plugAgain } from './story/key.mjs';

const main = (p) => text(p, 'main');

async function look(p, name) {
  await check(p, name);
  await shoot(p, name);
}

// save presses a link to a file and keeps what comes.
async function save(p, link, name) {
  copyFileSync(await download(p, p.page.locator('main dl a', { hasText: link })), join(folder, name));
}

// inEnglish presses the button of the other language.
async function inEnglish(p) {
  await go(p, p.page.locator('button[name=lang][value=en]'));
  assert(await p.page.locator('html').getAttribute('lang') === 'en', `${p.page.url()} is not in English`);
}

run(async (browser) => {
  const olga = await person(browser, 'Olga', { viewport: desk });
  const emil = await person(browser, 'Emil', { viewport: desk });
  await plugAgain(olga, recall().key);
  await visit(olga, '/staff/login');
  await go(olga, olga.page.locator('form[data-passkey=touch] button'));
  await until('the statement is there', async () => {
    await olga.page.goto('/issuer/statements');
    return await olga.page.locator('main tbody tr').count() === 1;
  }, 60_000);
  assert(/Juni 2021[^]*2021-06-\d{5}[^]*12,00 €/.test(await main(olga)), await main(olga));
  await look(olga, 'statements');

  await go(olga, olga.page.locator('main tbody a', { hasText: 'Juni 2021' }));
  assert(/Zertifikat zur eigenen Impfung\s+2\s+6,00 €\s+12,00 €/.test(await main(olga)), await main(olga));
  await look(olga, 'statement');
  for (const [link, name] of [['PDF', 'statement.pdf'], ['CSV', 'lines.csv'], ['Nachweise', 'proofs.json']]) await save(olga, link, name);
  await go(olga, olga.page.locator('#lines-h ~ div tbody a').first());
  assert(/Dieser Eintrag steht im Protokoll/.test(await main(olga)), await main(olga));
  await olga.page.locator('main details summary').first().click();
  await look(olga, 'leaf');
  ok('the pharmacy has its statement, its files and a proof');
  await inEnglish(olga);
  await check(olga, 'a leaf of a statement, in English');
  await visit(olga, '/issuer/statements', 'statements, in English');

  await logIn(emil, 'admin2');
  await visit(emil, '/admin/statements');
  assert(/Juni 2021[^]*Apotheke MUSTER Leipzig[^]*12,00 €[^]*CoronaImpfV/.test(await main(emil)), await main(emil));
  await emil.page.locator('summary', { hasText: 'Vergütung eintragen' }).click();
  await look(emil, 'admin');
  await go(emil, emil.page.locator('main tbody a', { hasText: /^2021-06-/ }).first());
  await check(emil, 'a statement, for the administration');
  await visit(emil, '/admin/statements');
  await inEnglish(emil);
  await check(emil, 'statements of issuers, in English');
  ok('the administration sees it');
});
