// Security keys with Chromium's virtual authenticator.
import { assert, ok } from '../lib.mjs';
import { go, password, submit, text, type, visit } from './hands.mjs';

// plug gives the person's browser a key that is touched by itself.
export async function plug(p) {
  const cdp = await p.context.newCDPSession(p.page);
  await cdp.send('WebAuthn.enable');
  const add = async () => (await cdp.send('WebAuthn.addVirtualAuthenticator', { options: {
    protocol: 'ctap2', transport: 'usb', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true,
  } })).authenticatorId;
  p.cdp = cdp;
  p.keyID = await add();
  p.another = add; // plugs a second one in
}

// kept returns what is in the key, for a browser of another day; plugAgain plugs it in.
export async function kept(p) {
  return (await p.cdp.send('WebAuthn.getCredentials', { authenticatorId: p.keyID })).credentials;
}

export async function plugAgain(p, credentials) {
  await plug(p);
  for (const credential of credentials) await p.cdp.send('WebAuthn.addCredential', { authenticatorId: p.keyID, credential });
}

// nextCode asks in the page itself: Playwright's own requests share no cookies with
// pages of localhost.
async function nextCode(p, login) {
  const page = await p.page.evaluate(async () => (await fetch('/dev/logins')).text());
  return page.split('<tr>').find((r) => r.includes(`<th scope="row">${login}</th>`)).match(/class="code">(\d{6})</)[1];
}

export async function logIn(p, login) {
  await visit(p, '/staff/login', 'staff login');
  await type(p, { login, password, code: await nextCode(p, login) });
  await submit(p, '/staff/login');
  assert(!p.page.url().includes('/staff/login'), `${login} cannot log in`);
}

export async function enrolFirst(p, login) {
  await visit(p, '/admin/keys', 'keys, none yet');
  await type(p, { password, code: await nextCode(p, login), key_name: 'Schlüsselbund' });
  await go(p, p.page.locator('form[data-passkey=create] button'));
  assert(/Der Schlüssel ist eingerichtet/.test(await text(p, 'main')), `${login}: ${await text(p, 'main')}`);
  ok(`${p.name} has a key`);
}

// approve touches the key for the proposal that the page shows.
export async function approve(p, path) {
  await visit(p, path);
  await go(p, p.page.locator('form[data-passkey=touch] button'));
}
