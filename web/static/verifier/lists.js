// What a verifier must know besides the certificate: whose signatures count (the
// trust list), and what was taken back (revocation batches in the form of the EU
// gateway, CMS of RFC 5652). Both stand here as they were downloaded, so that
// they can be kept, and are read and checked again each time they are opened.
import { signedBy } from './chain.js';
import { same } from './cose.js';
import * as der from './der.js';

export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

export function toBase64(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

// kidOf is the key id of a signer: the first 8 bytes of its certificate's SHA-256.
export async function kidOf(certificate) { return (await sha256(certificate)).slice(0, 8); }

// open reads what was downloaded:
//
//   { trust: {at, test, signers: [{certificate}], distrusted: [kid]}, revocations: {at, batches: [cms]} }
//
// (at in milliseconds, the rest base64). pins are certificates that the page brings
// with it: {signers, batches}. A signer counts that is pinned itself or signed by a
// pinned authority, a batch that one of the pinned upload certificates has signed;
// where one is not, nothing is opened.
export async function open({ trust, revocations }, pins) {
  const authorities = pins.signers.map((pin) => der.certificate(fromBase64(pin)));
  const signers = [];
  for (const { certificate: text } of trust.signers) {
    const bytes = fromBase64(text);
    const certificate = der.certificate(bytes);
    if (!pins.signers.includes(text) && !await anySigned(certificate, authorities)) throw new Error('trust: signature');
    signers.push({ kid: await kidOf(bytes), certificate });
  }
  const keys = [];
  for (const pin of pins.batches) {
    const { spki } = der.certificate(fromBase64(pin));
    keys.push(await crypto.subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify']));
  }
  const hashes = new Set();
  const ends = []; // of each batch, in milliseconds
  for (const cms of revocations.batches) {
    const batch = JSON.parse(new TextDecoder().decode(await signedContent(fromBase64(cms), keys)));
    ends.push(Date.parse(batch.expires));
    for (const { hash } of batch.entries) hashes.add(`${batch.hashType} ${hash}`);
  }
  return { test: trust.test, trustAt: trust.at, revocationsAt: revocations.at, signers, hashes, ends, distrusted: new Set(trust.distrusted) };
}

async function anySigned(certificate, authorities) {
  for (const authority of authorities) if (await signedBy(certificate, authority)) return true;
  return false;
}

// age is how old the older one of the two lists is, in milliseconds.
export const age = (lists, now) => now - Math.min(lists.trustAt, lists.revocationsAt);

const idSignedData = '1.2.840.113549.1.7.2';
const idMessageDigest = '1.2.840.113549.1.9.4';

// signedContent returns what stands in a signed CMS message, if one of the keys
// has signed it.
export async function signedContent(cms, keys) {
  const [type, wrapped] = der.children(der.read(cms, 0x30).content);
  if (der.oid(type.content) !== idSignedData) throw new Error('cms: not signed');
  const [, , inner, ...others] = der.children(der.read(wrapped.content, 0x30).content);
  const content = der.read(der.children(inner.content)[1].content, 0x04).content;
  const digest = await sha256(content);
  for (const info of der.children(others[others.length - 1].content)) {
    const parts = der.children(info.content);
    const attributes = parts.find((p) => p.tag === 0xa0);
    const signature = parts.find((p) => p.tag === 0x04);
    if (!attributes || !signature) continue;
    const stated = der.children(attributes.content).map((a) => der.children(a.content)).find(([id]) => der.oid(id.content) === idMessageDigest);
    if (!stated || !same(der.read(stated[1].content, 0x04).content, digest)) continue;
    const signed = Uint8Array.from(attributes.whole);
    signed[0] = 0x31; // what is signed is a SET
    for (const key of keys) {
      if (await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, der.rawSignature(signature.content), signed)) return content;
    }
  }
  throw new Error('cms: signature');
}

// hashOf is how batches name things: the first 16 bytes of SHA-256, in base64.
async function hashOf(bytes) { return toBase64((await sha256(bytes)).slice(0, 16)); }

// revoked compares all three kinds of hashes. Of an ES256 signature only r
// counts: anybody can turn (r, s) into (r, n-s).
export async function revoked(lists, { message, issuer, id }) {
  const utf8 = new TextEncoder();
  const signature = message.alg === -7 ? message.signature.slice(0, message.signature.length / 2) : message.signature;
  const names = [
    `SIGNATURE ${await hashOf(signature)}`, `UCI ${await hashOf(utf8.encode(id))}`, `COUNTRYCODEUCI ${await hashOf(utf8.encode(issuer + id))}`,
  ];
  return names.some((n) => lists.hashes.has(n));
}
