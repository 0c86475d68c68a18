// What every browser test needs: a Chromium, pages that watch themselves, the
// accessibility check, screenshots, the keyboard.
//
// A test prints one line for each thing it has seen ("ok ..."); the first thing
// that is wrong throws, with screenshots of every open page in e2e/screenshots.
import AxeBuilder from '@axe-core/playwright';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const base = process.env.BASE_URL;
const here = dirname(fileURLToPath(import.meta.url));
const screenshots = process.env.SCREENSHOTS || join(here, 'screenshots');

// The widths at which pages are looked at: a phone, a desk.
export const phone = { width: 360, height: 740 };
export const desk = { width: 1280, height: 900 };

export function ok(what) { console.log(`ok ${what}`); }

export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('/bin/sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    } catch { /* the next name */ }
  }
  throw new Error('Chromium is not installed; scripts/setup.sh test installs it');
}

// launch starts Chromium, which talks to nobody but the portal. camera is a film
// (Y4M) that its camera shows, to whoever asks; without one it has none.
export async function launch(camera) {
  return chromium.launch({
    executablePath: findChromium(),
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      ...(camera ? ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${camera}`] : []),
    ],
  });
}

const people = []; // every person opened, for the screenshots of a failure
const examined = new Set(); // the labels of the pages that axe has seen

// person opens a browser of one user: a context with cookies of its own and a
// page. Errors of scripts, violations of the content security policy, requests
// to other hosts and answers of 500 and above fail the test: see check.
export async function person(browser, name, { javaScript = true, viewport = phone, locale = 'de-DE' } = {}) {
  const context = await browser.newContext({
    baseURL: base, javaScriptEnabled: javaScript, viewport, locale, timezoneId: 'Europe/Berlin', acceptDownloads: true,
  });
  context.setDefaultTimeout(60_000); // a busy machine is no failure
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    // The browser reports every answer of 400 and above as an error; refusals are part of the story.
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) wrong.push(`console: ${message.text()}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 500) wrong.push(`${response.status()} from ${response.request().method()} ${response.url()}`);
    if (response.status() === 404 && response.request().resourceType() !== 'document') wrong.push(`404: ${response.url()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(base) && !/^(data|blob|about):/.test(request.url())) wrong.push(`request to another host: ${request.url()}`);
  });
  const p = { name, context, page, wrong, javaScript, seen: new Set() };
  people.push(p);
  return p;
}

// check looks at the page that the person is on: nothing went wrong, axe finds
// no violation, it fits 360 px, it has one h1, a title and a language. A page
// is checked once for each person and label; axe, which takes a second, has one
// look at it for all of them.
export async function check(p, label) {
  assertNothingWrong(p, label);
  if (p.seen.has(label)) return;
  p.seen.add(label);

  const facts = await p.page.evaluate(() => ({
    h1: document.querySelectorAll('h1').length,
    title: document.title.trim(),
    lang: document.documentElement.lang,
    main: document.querySelectorAll('main').length,
  })).catch((error) => { throw new Error(`${label}: the page cannot be read: ${error.message}`); });
  assert(facts.h1 === 1, `${label}: ${facts.h1} h1 elements`);
  assert(facts.main === 1, `${label}: ${facts.main} main elements`);
  assert(facts.title !== '', `${label}: no title`);
  assert(facts.lang !== '', `${label}: no lang attribute`);

  const first = !examined.has(label);
  examined.add(label);
  if (first) await accessible(p, label);
  await fitsPhone(p, label);
  assertNothingWrong(p, label);
  ok(`${p.name}: ${label}: ${first ? 'accessible, ' : ''}fits 360 px`);
}

function assertNothingWrong(p, label) {
  assert(p.wrong.length === 0, `${p.name}: ${label}: ${p.wrong.join('; ')}`);
}

// accessible fails on any violation of WCAG 2.1 AA or of axe's good practice.
export async function accessible(p, label) {
  const page = p.javaScript ? p.page : await twin(p);
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'])
    .setLegacyMode(true) // everything in the page itself, no frame of another origin
    .analyze();
  if (page !== p.page) await page.context().close();
  const found = violations.map((v) => `${v.id} (${v.help}): ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`);
  assert(found.length === 0, `${p.name}: ${label}: axe finds ${found.join('; ')}`);
}

// twin opens what a person without JavaScript sees once more, with JavaScript,
// which axe needs; the scripts of the page stay off.
async function twin(p) {
  const context = await p.context.browser().newContext({ viewport: p.page.viewportSize(), storageState: await p.context.storageState() });
  const page = await context.newPage();
  const url = p.page.url();
  const body = await p.page.content();
  await page.route(url, (route) => route.fulfill({
    contentType: 'text/html; charset=utf-8', headers: { 'Content-Security-Policy': "script-src 'none'" }, body,
  }), { times: 1 });
  await page.goto(url);
  return page;
}

// resize changes the size of the page and waits until it is drawn so: a click
// meanwhile could go down on a button and come up beside it.
async function resize(p, size) {
  await p.page.setViewportSize(size);
  if (p.javaScript) await p.page.evaluate(() => new Promise((drawn) => { requestAnimationFrame(() => requestAnimationFrame(drawn)); }));
}

// fitsPhone fails when the page is wider than a phone of 360 px.
export async function fitsPhone(p, label) {
  const before = p.page.viewportSize();
  await p.page.setViewportSize(phone);
  const wide = await p.page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return null;
    const culprits = [...document.querySelectorAll('body *')]
      .filter((e) => e.getBoundingClientRect().right > room + 1 && !e.closest('[role=region][tabindex]'))
      .slice(0, 3).map((e) => e.outerHTML.slice(0, 120));
    return `${document.documentElement.scrollWidth} px: ${culprits.join(' | ')}`;
  });
  await resize(p, before);
  assert(wide === null, `${p.name}: ${label}: wider than 360 px (${wide})`);
}

// shoot stores what the page looks like, on a phone and at a desk.
export async function shoot(p, name) {
  mkdirSync(screenshots, { recursive: true });
  const before = p.page.viewportSize();
  for (const size of [phone, desk]) {
    await p.page.setViewportSize(size);
    await p.page.screenshot({ path: join(screenshots, `${name}-${size.width}.png`), fullPage: true });
  }
  await resize(p, before);
}

// fill fills fields by their visible labels: {'Vorname': 'Erika'}. So every field
// that a test uses has a label.
export async function fill(p, values) {
  for (const [label, value] of Object.entries(values)) {
    await p.page.getByLabel(label, { exact: true }).fill(value);
  }
}

export async function press(p, name) {
  await p.page.getByRole('button', { name }).click();
}

export async function follow(p, name) {
  await p.page.getByRole('link', { name }).first().click();
}

// tabTo moves the focus with the tab key alone until an element with that
// accessible text has it, as a person without a mouse does.
export async function tabTo(p, text, limit = 80) {
  const passed = [];
  for (let i = 0; i < limit; i++) {
    await p.page.keyboard.press('Tab');
    const at = await p.page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const label = e.labels?.length ? [...e.labels].map((l) => l.innerText).join(' ') : '';
      const name = (e.getAttribute('aria-label') || label || e.innerText || e.value || '').trim();
      const style = getComputedStyle(e);
      const shown = e.matches(':focus-visible') && (style.outlineStyle !== 'none' || style.boxShadow !== 'none' || e.tagName === 'INPUT');
      return { name, shown };
    });
    if (!at) continue;
    passed.push(at.name);
    if (at.name.includes(text)) {
      assert(at.shown, `the focus on "${text}" cannot be seen`);
      return;
    }
  }
  throw new Error(`the tab key does not reach "${text}"; it passed ${passed.join(', ')}`);
}

// download clicks and returns the path of the file that comes.
export async function download(p, locator) {
  const [file] = await Promise.all([p.page.waitForEvent('download'), locator.click()]);
  return file.path();
}

// run starts the browser (see launch), walks the story, and ends the process. On failure the
// screenshots show what each person saw.
export async function run(story, { camera } = {}) {
  assert(base, 'BASE_URL is not set: start the browser tests with `make test`');
  const browser = await launch(camera);
  try {
    await story(browser);
    for (const p of people) assertNothingWrong(p, 'at the end');
    ok('everything');
  } catch (error) {
    console.error(`FAILED ${error.stack || error}`);
    mkdirSync(screenshots, { recursive: true });
    for (const p of people) {
      console.error(`  ${p.name} is at ${p.page.url()}${p.wrong.length ? ` (${p.wrong.join('; ')})` : ''}`);
      const path = join(screenshots, `failed-${p.name.replace(/\W+/g, '_')}.png`);
      await p.page.screenshot({ path, fullPage: true, timeout: 5000 }).then(() => console.error(`  see ${path}`), () => {});
    }
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
