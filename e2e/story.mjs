// The whole story in a real browser.
import { check, desk, follow, ok, person, phone, run, shoot, tabTo } from './lib.mjs';

await run(async (browser) => {
  for (const javaScript of [true, false]) {
    const citizen = await person(browser, javaScript ? 'citizen' : 'citizen without JavaScript', { javaScript, viewport: phone });
    await citizen.page.goto('/');
    await check(citizen, 'start');
  }
  const visitor = await person(browser, 'visitor', { viewport: desk });
  await visitor.page.goto('/');
  await shoot(visitor, 'start');
});
