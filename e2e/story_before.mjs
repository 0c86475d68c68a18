// The story until the appointments: the line, registering, booking, the hotline.
import { assert, desk, ok, person, phone, run, tabTo } from './lib.mjs';
import { admit, call, letters, preview } from './story/agent.mjs';
import { confirm, hold, logIn, pick, register, toTimes } from './story/citizen.mjs';
import { remember, staffLoginByKeyboard, staffLogin, visit } from './story/hands.mjs';
import { enter, halt, limit, placeOf, queueUp, resume, stand } from './story/line.mjs';

const erika = {
  file: 'erika', family: 'Müßig', given: 'Erika', sex: 'female', day: '12', month: '8', year: '1936', email: 'erika@example.org',
  phone: '0341 1234567', street: 'Karl-Liebknecht-Straße 12', postcode: '04107', city: 'Leipzig',
};
const karl = {
  file: 'karl', family: 'Łoś-Øster', given: 'Karl', sex: 'male', day: '3', month: '11', year: '1938', email: 'karl@example.org',
  phone: '0341 7654321', street: 'Am Markt 1', postcode: '04109', city: 'Leipzig',
};
const gerda = {
  file: 'gerda', family: 'Großmann', given: 'Gerda', sex: 'female', day: '24', month: '12', year: '1930',
  street: 'Hauptstraße 3', postcode: '04808', city: 'Wurzen',
};
const today = '2021-01-11';
const day = '2021-01-12';

await run(async (browser) => {
  const admin = await person(browser, 'administrator', { viewport: desk });
  await staffLogin(admin, 'admin');
  await halt(admin);
  await limit(admin, 1, 600);

  // One with a script, one without: both see the same.
  const a = await person(browser, 'Erika', { viewport: phone });
  const b = await person(browser, 'Karl without JavaScript', { viewport: phone, javaScript: false });
  const first = await queueUp(a, { shown: /14 Uhr/ });
  const second = await queueUp(b, { shown: /14 Uhr/ });
  assert(first < second, `who came first has number ${first}, the other ${second}`);

  await resume(admin);
  await enter(a);
  await b.page.reload();
  assert(await b.page.locator('#wr-wait').isVisible(), 'two are inside where one may be');
  ok('one is inside, the other waits');

  Object.assign(erika, await register(a, erika));
  await toTimes(a, day);
  const wanted = await pick(a, 4);
  await hold(a);
  Object.assign(erika, await confirm(a, erika));

  // Her place in the room is free now: his turn comes by itself.
  await enter(b);
  Object.assign(karl, await register(b, karl));
  // Before the appointments there is a line of its own. Who is logged in has one
  // place there, on every device.
  await halt(admin, 'appointments');
  await toTimes(b, day, async () => {
    const place = await stand(b, 'appointments', { shown: /14 Uhr/ });
    const tablet = await person(browser, 'Karl with a tablet', { viewport: desk });
    await visit(tablet, '/rooms/appointments', 'the line, without login');
    await logIn(tablet, karl);
    await visit(tablet, '/rooms/appointments', 'the line, on a second device');
    assert(await placeOf(tablet) === place, `number ${await placeOf(tablet)} on the tablet, ${place} on the telephone`);
    ok('the place is the same on a second device');
    await resume(admin, 'appointments');
    await enter(b, '/appointments/at/leipzig');
  });
  await pick(b, 5);
  await hold(b);
  Object.assign(karl, await confirm(b, karl));

  const agent = await person(browser, 'agent', { viewport: desk });
  await staffLoginByKeyboard(agent, 'agent', tabTo);
  await call(agent, gerda, { today });
  await preview(agent, gerda);
  await admit(agent);
  await letters(agent);
  remember({ erika, karl, gerda });
});
