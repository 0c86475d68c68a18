// The pictures of the README, taken from a fresh local portal:
//
//   PORTAL_CLOCK=2021-01-11T13:00 DATA_DIR=/tmp/pictures PORT=8099 make run
//   BASE_URL=http://127.0.0.1:8099 STORY=/tmp node e2e/pictures.mjs
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { desk, person, run } from './lib.mjs';
import { hold, confirm, pick, register, toTimes } from './story/citizen.mjs';
import { staffLogin } from './story/hands.mjs';

const folder = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'pictures');
const take = (p, name, fullPage = false) => p.page.screenshot({ path: join(folder, `${name}.png`), fullPage });

await run(async (browser) => {
  const visitor = await person(browser, 'visitor', { viewport: desk });
  await visitor.page.goto('/');
  await take(visitor, 'start');

  const erika = {
    file: 'erika', family: 'Muster', given: 'Erika', sex: 'female', day: '12', month: '8', year: '1936', email: 'erika@example.org',
    phone: '0341 1234567', street: 'Karl-Liebknecht-Straße 12', postcode: '04107', city: 'Leipzig',
  };
  const citizen = await person(browser, 'citizen', { viewport: { width: 480, height: 900 } });
  await citizen.page.goto('/rooms/registration?to=/register');
  await citizen.page.locator("main form button.kern-btn--primary").first().click();
  await citizen.page.waitForURL("**/register");
  await register(citizen, erika);
  await toTimes(citizen, '2021-01-12');
  await take(citizen, 'times');
  await pick(citizen, 4);
  await hold(citizen);
  await confirm(citizen, erika);
  await citizen.page.goto('/appointments');
  await take(citizen, 'yours');

  for (const [login, path, name] of [['agent', '/hotline', 'hotline'], ['zentrum', '/site', 'site'], ['admin', '/admin', 'admin']]) {
    const staff = await person(browser, login, { viewport: desk });
    await staffLogin(staff, login);
    await staff.page.goto(path);
    await take(staff, name);
  }
});
