// The verdict on a certificate. Nothing here touches network or page: the same
// code runs in the browser and in the tests.
import * as cose from './cose.js';
import * as dcc from './dcc.js';
import { age, revoked, toBase64 } from './lists.js';
import { Refusal } from './refusal.js';
import { base45, inflate, unprefix } from './text.js';

// The colour of each reason; the page has a text for each.
export const colours = {
  unreadable: 'red', distrusted: 'red', signer: 'red', signature: 'red', schema: 'red', usage: 'red', early: 'red', expired: 'red', revoked: 'red',
  stale: 'yellow', muster: 'yellow', valid: 'green',
};

// Layers below which a text cannot be read as a certificate at all.
const unreadable = new Set(['prefix', 'base45', 'zlib', 'cose', 'cwt', 'algorithm']);

const muster = 'MUSTER';

// check returns {reason, colour, facts}. facts is what the certificate says, and
// only there when its signature is genuine. lists is what lists.open gave, null =
// none; now and maxAge are milliseconds; products says by the codes mp and vp what
// a product is called and how many doses a full series has.
export async function check(text, lists, now, { maxAge, products = {}, inflater } = {}) {
  const answer = { reason: 'valid', facts: null };
  try {
    const message = cose.parse(await inflate(base45(unprefix(clean(text))), inflater));
    const claims = dcc.claims(message.payload);
    if (!lists || age(lists, now) > maxAge) throw new Refusal('stale');
    if (lists.distrusted.has(toBase64(message.kid))) throw new Refusal('distrusted');
    const signer = await cose.verify(message, lists.signers);
    const kind = dcc.kindOf(claims.dcc);
    answer.facts = factsOf(claims, kind, products);
    dcc.checkUsage(signer.certificate, kind);
    if (await revoked(lists, { message, issuer: claims.issuer, id: answer.facts.id })) throw new Refusal('revoked');
    dcc.checkTimes(claims, signer.certificate, now);
    if (lists.test || answer.facts.issuer.includes(muster)) throw new Refusal('muster');
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    answer.reason = unreadable.has(error.reason) ? 'unreadable' : error.reason;
  }
  answer.colour = colours[answer.reason];
  return answer;
}

// clean forgives what copying adds: space around the text and line breaks in it.
export const clean = (text) => text.trim().replace(/[\r\n\t]+/g, '');

function factsOf({ expires, dcc: d }, kind, products) {
  const e = d[kind][0];
  const product = products[`${e.mp} ${e.vp}`];
  const facts = {
    kind, name: nameOf(d.nam), standard: [d.nam.gnt, d.nam.fnt].filter(Boolean).join(' ').replaceAll('<', ' ').replace(/ +/g, ' ').trim(), birth: d.dob,
    issuer: e.is, country: e.co, id: e.ci, until: new Date(expires * 1000),
  };
  if (kind === 'v') {
    Object.assign(facts, { product: product?.name ?? e.mp, dose: e.dn, doses: e.sd, day: e.dt, missing: e.dn < e.sd });
    // Of the dose that completes the first series; before a booster they were already.
    if (e.dn === e.sd && e.dn <= 2) facts.fullFrom = addDays(e.dt, e.sd === 1 && product?.doses === 2 ? 0 : 15);
  }
  return facts;
}

function nameOf(nam) { return [nam.gn ?? nam.gnt, nam.fn ?? nam.fnt].filter(Boolean).join(' '); }

function addDays(day, n) {
  const t = new Date(`${day}T00:00:00Z`);
  t.setUTCDate(t.getUTCDate() + n);
  return t.toISOString().slice(0, 10);
}
