// The waiting page through a whole opening, with JavaScript and without: planned,
// pre-queue, draw, line, turn, inside. See opening_test.go.
import { accessible, assert, base, check, desk, ok, person, phone, run, shoot } from './lib.mjs';
import { go, staffLogin, submit, text, touch, type, until } from './story/hands.mjs';

const room = 'registration', line = `/rooms/${room}`;
const view = (p) => p.page.locator('#wr-line').getAttribute('data-view');
const title = (p) => p.page.title();

// look holds a phase against the rules at both widths.
async function look(p, label) {
  await check(p, label); // at 360 px
  if (p.javaScript) {
    await p.page.setViewportSize(desk);
    await accessible(p, `${label}, at a desk`);
    await p.page.setViewportSize(phone);
  }
  if (process.env.PICTURES) await shoot(p, label.replace(/\W+/g, '-'));
}

// call uses the administration's API with the administrator's session.
async function call(admin, method, path, body) {
  const answer = await admin.page.evaluate(async ([m, u, b]) => {
    const r = await fetch(u, { method: m, body: b && JSON.stringify(b), headers: { 'Content-Type': 'application/json', Accept: 'application/json' } });
    return { status: r.status, text: await r.text() };
  }, [method, `/api/v1/rooms/${room}${path}`, body]);
  assert(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`);
  return JSON.parse(answer.text);
}

// plan sets when the room opens; times are seconds from now.
const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();

// follow waits until the page shows a view by itself; without JavaScript the
// person presses reload.
async function follow(p, wanted) {
  await until(`${p.name} sees "${wanted}"`, async () => {
    if (await view(p) === wanted) return true;
    if (p.javaScript) {
      // Whoever comes back to the page need not wait for the next look.
      await p.page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    } else {
      await p.page.goto(line);
    }
    return false;
  });
}

await run(async (browser) => {
  const admin = await person(browser, 'administrator', { viewport: desk });
  const second = await person(browser, 'second administrator', { viewport: desk });
  await staffLogin(admin, 'admin');
  await staffLogin(second, 'admin2');
  const people = [];
  for (const [name, javaScript] of [['Erika', true], ['Ella', true], ['Karl', false], ['Kurt', false]]) {
    people.push(await person(browser, name, { viewport: phone, javaScript }));
  }
  const [erika, , karl] = people, lookers = [erika, karl];
  const both = async (fn) => { for (const p of lookers) await fn(p, p.javaScript ? '' : ', without JavaScript'); };

  // Planned for another day.
  await call(admin, 'PATCH', '', { phase: 'closed', active_bound: 1, rate_per_minute: 600, challenge: 'off', draw: true, beacon: 'lottery', beacon_name: 'Ziehung der Lottozahlen' });
  await call(admin, 'PUT', '/plan', { prequeue_from: at(24 * 3600), opens_at: at(24 * 3600 + 1800), closes_at: at(24 * 3600 + 7200), end_line: true });
  for (const p of people) await p.page.goto(line);
  const began = Date.now();
  await both(async (p, how) => {
    assert(await view(p) === 'scheduled', `${p.name} sees ${await view(p)}`);
    assert(/macht keinen Unterschied/.test(await text(p, 'main')), `${p.name} does not read that it makes no difference when one comes`);
    await look(p, `planned${how}`);
  });

  const patience = 3000 + Date.now() - began; // what two looks take on this machine, and more

  // The pre-queue begins: the page that was open all the time says so by itself.
  let opens = Date.now() + 12_000 + patience;
  await call(admin, 'PUT', '/plan', { prequeue_from: at(3), opens_at: new Date(opens).toISOString(), closes_at: at(7200), end_line: true });
  for (const p of people) await p.page.goto(line);
  await until('the page offers a place', async () => await view(erika) === 'new');
  ok('the page offers a place at its moment, without being loaded again');
  for (const p of people) {
    if (!p.javaScript) await until('the room gives out places', async () => { await p.page.goto(line); return await view(p) === 'pre-queue'; });
    await submit(p, `${line}/join`, 'button:visible');
    assert(await view(p) === 'pre-queue', `${p.name} sees ${await view(p)} after joining`);
  }
  // Others come as well, and will not show up when they are called.
  const others = 300;
  await Promise.all(Array.from({ length: others }, () => fetch(`${base}/api/v1/rooms/${room}/join`, { method: 'POST' })));
  // The opening is moved to later while a slow machine looks at the pages.
  const keepOff = async () => {
    if (opens - Date.now() > patience) return;
    opens = Math.max(opens + 1000, Date.now() + 1.5 * patience);
    await call(admin, 'PUT', '/plan', { opens_at: new Date(opens).toISOString(), closes_at: at(7200) });
  };
  await both(async (p, how) => {
    await keepOff();
    assert(/dabei/.test(await text(p, 'h1')) && /müssen nichts weiter tun/.test(await text(p, 'main')), `${p.name} does not know that there is nothing to do`);
    assert(await p.page.locator('main a[href*="/draw"]:visible').first().isVisible(), `${p.name} cannot check the draw`);
    await look(p, `pre-queue${how}`);
  });
  // Who closes the page and comes back has the same number.
  const number = await erika.page.locator('#wr-line').getAttribute('data-index');
  await erika.page.close();
  erika.page = await erika.context.newPage();
  await erika.page.goto(line);
  assert(await erika.page.locator('#wr-line').getAttribute('data-index') === number, 'Erika lost her number');

  // When the lottery draws: shortly after the opening.
  await admin.page.goto(`/admin/rooms/${room}/draw`);
  if (opens - Date.now() < 6000) {
    opens = Date.now() + 6000;
    await call(admin, 'PUT', '/plan', { opens_at: new Date(opens).toISOString(), closes_at: at(7200) });
  }
  await admin.page.evaluate(() => { for (const f of document.forms) f.noValidate = true; }); // the field takes whole minutes
  await type(admin, { due: berlin(opens + 8000) });
  await go(admin, admin.page.locator('form:has(input[name=due]) button'));

  for (const p of people) await follow(p, 'drawing');
  await both(async (p, how) => {
    assert(/Ziehung der Lottozahlen/.test(await text(p, 'main')), `${p.name} does not read what is awaited`);
    await look(p, `drawing${how}`);
  });
  for (const a of [admin, second]) {
    await until('the numbers are asked for', async () => {
      await a.page.goto(`/admin/rooms/${room}/draw`);
      return await a.page.locator('input[name=value]').count() > 0;
    });
    await type(a, { value: '3 14 15 27 35 49' });
    await go(a, a.page.locator('form:has(input[name=value][type=text]) button'));
  }

  // Open: everybody learns their place and waits.
  await until('everybody knows their place', async () => {
    const views = [];
    for (const p of people) {
      if (!p.javaScript) await p.page.goto(line);
      else await p.page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      views.push(await view(p));
    }
    return views.every((v) => v === 'turn' || v === 'waiting');
  });
  const places = [];
  for (const p of people) {
    const place = Number((await p.page.locator('#wr-place').textContent()).replace(/\D/g, ''));
    assert(place >= 1 && place <= others + people.length && !places.includes(place), `${p.name} has place ${place}, the others ${places}`);
    places.push(place);
    if (await view(p) !== 'waiting') continue; // the lot can make it so
    assert(/^[\d.]+$/.test(await text(p, '#wr-ahead')), `${p.name} does not see how many are ahead`);
    assert(/vor Ihnen|Gleich/.test(await title(p)), `the title is ${await title(p)}`);
    await look(p, `waiting${p.javaScript ? '' : ', without JavaScript'}`);
  }
  ok(`the places were drawn: ${places}`);

  // A pause, with a word; the places stay.
  await call(admin, 'PATCH', '', { phase: 'paused', message: { de: 'Wir sind gleich wieder da.', en: 'Back in a moment.' } });
  await until('Erika reads of the pause', async () => {
    await erika.page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    return erika.page.locator('#wr-paused').isVisible();
  });
  assert(/gleich wieder da/.test(await text(erika, 'main')), 'Erika does not read the message');
  await look(erika, 'paused');

  // Enter, inside, one after the other.
  await call(admin, 'PATCH', '', { phase: 'open', message: {}, active_bound: 5000, rate_per_minute: 60000 });
  for (const p of people) {
    await follow(p, 'turn');
    const how = p.javaScript ? '' : ', without JavaScript';
    await look(p, `turn${how}`);
    assert(/an der Reihe/.test(await title(p)), `the title is ${await title(p)}`);
    if (p.javaScript) assert(/an der Reihe/.test(await p.page.locator('#wr-say').textContent()) || p === people[1], `${p.name} is not told aloud`);
    if (p === erika) await knock(p);
    else await Promise.all([p.page.waitForURL('**/register'), touch(p, p.page.locator('#wr-enter button'))]);
    await p.page.goto(line);
    assert(await view(p) === 'inside', `${p.name} sees ${await view(p)}`);
    await look(p, `inside${how}`);
    ok(`${p.name} is inside`);
  }
});

// knock presses once where the room is full at first: the page tries again by
// itself and says so.
async function knock(p) {
  await p.page.route(`**${line}/enter`, (route) => route.fulfill({ json: { verdict: 'full', ahead: 0, ask_again_seconds: 1 } }), { times: 1 });
  await Promise.all([p.page.waitForURL('**/register'), (async () => {
    await p.page.locator('#wr-enter button').click();
    await p.page.locator('#wr-knock:visible').waitFor();
    assert(/ganz vorn/.test(await text(p, '#wr-knock')) && /ganz vorn/.test(await p.page.locator('#wr-say').textContent()), `${p.name} is not told that the page goes on trying`);
  })()]);
  ok(`${p.name} pressed once and came in when there was room`);
}

// berlin writes a moment as a field of date and time wants it.
function berlin(ms) {
  const p = Object.fromEntries(new Intl.DateTimeFormat('en-GB', {
    timeZone: 'Europe/Berlin', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
  }).formatToParts(ms).map((x) => [x.type, x.value]));
  return `${p.year}-${p.month}-${p.day}T${p.hour}:${p.minute}:${p.second}`;
}
