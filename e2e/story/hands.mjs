// What all chapters of the story do: type into fields by their names, press, and
// look at what came; papers; how staff log in.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert, check } from '../lib.mjs';

// folder is where the chapters leave what later ones need: facts and papers.
export const folder = process.env.STORY;

// type fills fields by their names: {given_name: 'Erika'}.
export async function type(p, values) {
  for (const [name, value] of Object.entries(values)) {
    const field = p.page.locator(`main [name="${name}"]:not([type=hidden])`);
    if (await field.first().evaluate((e) => e.tagName) === 'SELECT') await field.selectOption(value);
    else await field.fill(value);
  }
}

// choose picks radio buttons by name and value.
export async function choose(p, values) {
  for (const [name, value] of Object.entries(values)) {
    await touch(p, p.page.locator(`main input[type=radio][name="${name}"][value="${value}"]`));
  }
}

export async function tick(p, name) {
  await touch(p, p.page.locator(`main input[type=checkbox][name="${name}"]`));
}

// touch clicks. Without JavaScript Playwright waits for ever when something moves
// on the page (its clock is a script too), so there the keyboard does it.
export async function touch(p, locator) {
  if (p.javaScript) return locator.click();
  const key = await locator.evaluate((e) => (e.tagName === 'INPUT' ? 'Space' : 'Enter'));
  return locator.press(key);
}

// go presses or follows and waits until the next page is there.
export async function go(p, target) {
  const locator = typeof target === 'string' ? p.page.locator(target).first() : target;
  await Promise.all([p.page.waitForNavigation(), touch(p, locator)]);
}

// submit presses the first button of the form that posts to this address.
export async function submit(p, action, button = 'button') {
  await go(p, p.page.locator(`main form[action^="${action}"]`).locator(button).first());
}

export async function visit(p, path, label) {
  await p.page.goto(path);
  if (label) await check(p, label);
}

export async function text(p, selector) {
  return (await p.page.locator(selector).first().innerText()).trim();
}

export async function at(p, path) {
  const here = new URL(p.page.url()).pathname;
  assert(typeof path === 'string' ? here === path : path.test(here), `${p.name} is at ${here}, not at ${path}`);
}

// field returns what a field holds.
export async function field(p, name) {
  return p.page.locator(`main [name="${name}"]`).first().inputValue();
}

// until asks until the condition holds.
export async function until(what, condition, limit = 20_000) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert(Date.now() < end, `after ${limit / 1000} s still not: ${what}`);
    await new Promise((next) => { setTimeout(next, 100); });
  }
}

// paper downloads with the person's cookies and returns the file.
export async function paper(p, path, name) {
  const answer = await p.context.request.get(path);
  assert(answer.ok(), `${p.name}: ${path} answers ${answer.status()}`);
  const file = join(folder, name);
  writeFileSync(file, await answer.body());
  return file;
}

// words are the words of a PDF, as another program reads them.
export function words(pdf, ...options) {
  return execFileSync('pdftotext', ['-layout', ...options, pdf, '-'], { encoding: 'utf8' });
}

// flat makes one line of a text, so that breaks between words do not matter.
export function flat(s) { return s.replace(/\s+/g, ' '); }

// codes are the texts of the QR codes on the first page of a PDF.
export function codes(pdf) {
  const picture = pdf.replace(/\.pdf$/, '-page');
  execFileSync('pdftoppm', ['-png', '-r', '200', '-f', '1', '-singlefile', pdf, picture]);
  return readCodes(`${picture}.png`);
}

export function readCodes(png) {
  const out = execFileSync('zbarimg', ['--quiet', '--nodbus', '--raw', '-Sdisable', '-Sqrcode.enable', png], { encoding: 'utf8' });
  return out.split('\n').filter((line) => line !== '');
}

// mails are the messages that left the portal for this recipient.
export async function mails(p, to) {
  const answer = await p.context.request.get('/dev/mailbox.json');
  return (await answer.json()).filter((m) => m.to === to);
}

// codeOf is the one-time code of a demo account, as its app would show it.
async function codeOf(p, login) {
  const page = await (await p.context.request.get('/dev/logins')).text();
  const row = page.split('<tr>').find((r) => r.includes(`<th scope="row">${login}</th>`));
  assert(row, `/dev/logins does not show ${login}`);
  return row.match(/class="code">(\d{6})</)[1];
}

export const password = 'impfen-fuer-alle';

// staffLogin logs a demo account in with password and one-time code.
export async function staffLogin(p, login) {
  await visit(p, '/staff/login', 'staff login');
  await type(p, { login, password, code: await codeOf(p, login) });
  await submit(p, '/staff/login');
  assert(!p.page.url().includes('/staff/login'), `${login} cannot log in`);
}

// byKeyboard logs in without a mouse.
export async function staffLoginByKeyboard(p, login, tabTo) {
  await visit(p, '/staff/login', 'staff login');
  await tabTo(p, await text(p, 'label[for=login]'));
  await p.page.keyboard.type(login);
  await p.page.keyboard.press('Tab');
  await p.page.keyboard.type(password);
  await p.page.keyboard.press('Tab');
  await p.page.keyboard.type(await codeOf(p, login));
  await Promise.all([p.page.waitForNavigation(), p.page.keyboard.press('Enter')]);
  assert(!p.page.url().includes('/staff/login'), `${login} cannot log in by keyboard`);
}

// Facts go from one part of the story to the next in a file.
export function remember(facts) { writeFileSync(join(folder, 'facts.json'), JSON.stringify(facts, null, 1)); }
export function recall() { return JSON.parse(readFileSync(join(folder, 'facts.json'), 'utf8')); }
