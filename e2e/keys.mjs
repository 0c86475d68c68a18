// Security keys with Chromium's virtual authenticator: two administrators enrol a
// key each, a third account gets one by a code, two people admit it, nobody twice;
// log-in with a key, another key, a copied key.
import { assert, check, desk, ok, person, run, shoot } from './lib.mjs';
import { go, text, type, until, visit } from './story/hands.mjs';
import { enrolFirst, logIn, plug } from './story/key.mjs';

async function say(p) { return (await p.page.locator('[data-say]').first().innerText()).trim(); }

run(async (browser) => {
  const ada = await person(browser, 'Ada', { viewport: desk });
  const emil = await person(browser, 'Emil', { viewport: desk });
  const third = await person(browser, 'Third', { viewport: desk });
  for (const p of [ada, emil, third]) await plug(p);

  await visit(ada, '/staff/login');
  await shoot(ada, 'login');
  await logIn(ada, 'admin');
  await visit(ada, '/admin/approvals', 'approvals, nobody approves yet');
  await enrolFirst(ada, 'admin');
  await check(ada, 'keys');
  await shoot(ada, 'keys');
  await logIn(emil, 'admin2');
  await enrolFirst(emil, 'admin2');

  // A third administrator, made by the first: a code, a key, and no approving.
  await visit(ada, '/admin/staff');
  await type(ada, { login: 'admin4', name: 'Dora Admin' });
  await ada.page.locator('#password').fill('noch-ein-langes-passwort');
  await ada.page.locator('main [name=roles][value=admin]').check();
  await go(ada, ada.page.locator('form[action="/admin/staff"] button').first());
  await visit(ada, '/admin/key-accounts', 'keys of accounts');
  await go(ada, ada.page.locator('tr', { hasText: 'admin4' }).locator('form[action$="/code"] button'));
  await check(ada, 'keys of accounts, a code');
  await shoot(ada, 'accounts');
  const code = await text(ada, '.panel .code');
  await visit(third, '/staff/key', 'first key with a code');
  await type(third, { login: 'admin4', code: 'ABCD-EFGH-JKMN-PQRS', key_name: 'Dora' });
  await third.page.locator('form[data-passkey] button').click();
  await until('a wrong code is refused', async () => /Einrichtungscode/.test(await say(third)));
  await type(third, { code });
  await go(third, third.page.locator('form[data-passkey] button'));
  await check(third, 'first key, done');
  await visit(third, '/staff/login', 'staff login');
  await go(third, third.page.locator('form[data-passkey=touch] button'));
  assert(new URL(third.page.url()).pathname === '/admin', `log-in with a key leads to ${third.page.url()}`);
  ok('log-in with a key, without a name');

  // Two people admit her; the same account twice is refused.
  await visit(ada, '/admin/approvals');
  await ada.page.locator('details summary').last().click();
  await type(ada, { account: { label: 'Dora Admin' }, why: 'Vertretung im Sommer' });
  await go(ada, ada.page.locator('form[action="/admin/approvals/approvers"] button'));
  await check(ada, 'a proposal');
  await shoot(ada, 'proposal');
  const proposal = new URL(ada.page.url()).pathname;
  await visit(third, proposal, 'a proposal about oneself');
  assert(await third.page.locator('form[data-passkey]').count() === 0, 'she can approve herself');
  const approve = (p) => p.page.locator('form[data-passkey=touch] button');
  await go(ada, approve(ada));
  await check(ada, 'a proposal, approved once');
  assert(/1 von 2/.test(await text(ada, 'main')) && await approve(ada).count() === 0, 'she could approve twice');
  const again = await ada.page.evaluate(async (id) => {
    const post = (path, body) => fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    const asked = await (await post(`/api/v1/admin/proposals/${id}/challenge`, {})).json();
    const bytes = (t) => Uint8Array.from(atob(t.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    const out = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
    const c = await navigator.credentials.get({ publicKey: {
      challenge: bytes(asked.challenge), rpId: asked.rp_id, userVerification: 'required', allowCredentials: asked.allow.map((a) => ({ type: 'public-key', id: bytes(a) })),
    } });
    return (await post(`/api/v1/admin/proposals/${id}/approvals`, { touch: {
      challenge_id: asked.challenge_id, credential_id: out(c.rawId), client_data: out(c.response.clientDataJSON),
      authenticator_data: out(c.response.authenticatorData), signature: out(c.response.signature),
    } })).status;
  }, proposal.split('/').pop());
  assert(again === 409, `the same account twice: ${again}`);
  ok('the same account twice is refused');
  await visit(emil, proposal);
  await go(emil, approve(emil));
  await check(emil, 'a proposal, applied');
  await shoot(emil, 'applied');
  assert(/Die Änderung gilt/.test(await text(emil, 'main')) && /geprüft und echt/.test(await text(emil, 'main')), await text(emil, 'main'));
  await visit(emil, '/admin/approvals', 'approvals');
  await shoot(emil, 'approvals');
  assert(/Dora Admin, seit/.test(await text(emil, 'main')), 'she is not admitted');
  ok('two people have admitted a third');

  // Another key needs a touch of the first; then the first may go, and the last may not.
  await visit(ada, '/admin/keys');
  let second = '';
  await ada.page.route('**/api/v1/staff/keys/offers/touch', async (route) => {
    // She has touched the old key, and puts the new one in.
    second = await ada.another();
    await ada.cdp.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId: ada.keyID, enabled: false });
    await route.continue();
  });
  await type(ada, { key_name: 'Tresor' });
  await go(ada, ada.page.locator('form[data-passkey=add] button'));
  assert(await ada.page.locator('main h2', { hasText: 'Tresor' }).count() === 1, await text(ada, 'main'));
  await ada.page.locator('main section', { hasText: 'Schlüsselbund' }).locator('summary').click();
  await go(ada, ada.page.locator('main section', { hasText: 'Schlüsselbund' }).locator('form[action$="/remove"] button'));
  assert(/entfernt/.test(await text(ada, 'main')), 'not removed');
  await ada.cdp.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: ada.keyID });
  ok('another key, and the first one removed');

  // The copy of a key: its counter goes back.
  const { credentials: [copied] } = await ada.cdp.send('WebAuthn.getCredentials', { authenticatorId: second });
  const out = await person(browser, 'Copy');
  await plug(out);
  await out.cdp.send('WebAuthn.addCredential', { authenticatorId: out.keyID, credential: { ...copied, signCount: 0 } });
  await visit(out, '/staff/login');
  await go(out, out.page.locator('form[data-passkey=touch] button'));
  assert(/wahrscheinlich eine Kopie/.test(await text(out, 'main')), await text(out, 'main'));
  await visit(ada, '/admin/keys');
  assert(ada.page.url().includes('/staff/login'), 'the session of a copied key goes on');
  ok('a copied key is disabled, and its sessions end');

  await visit(emil, '/admin/key-models', 'key models');
  await shoot(emil, 'models');
});
