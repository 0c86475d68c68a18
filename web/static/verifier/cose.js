// COSE_Sign1 (RFC 9052) with ES256 and PS256, the two algorithms of the EU
// certificates, through WebCrypto.
import { decode, Tagged } from './cbor.js';
import { Refusal } from './refusal.js';

const headerAlg = 1;
const headerKID = 4;
const tagCOSESign1 = 18;
const tagCWT = 61;

const keyEC = '1.2.840.10045.2.1';
const curveP256 = '1.2.840.10045.3.1.7';
const keyRSA = '1.2.840.113549.1.1.1';

// algorithms by their COSE number: what WebCrypto calls them, and the key they need.
const algorithms = new Map([
  [-7, {
    imported: { name: 'ECDSA', namedCurve: 'P-256' }, verified: { name: 'ECDSA', hash: 'SHA-256' },
    fits: (c) => c.key === keyEC && c.curve === curveP256,
  }],
  [-37, {
    imported: { name: 'RSA-PSS', hash: 'SHA-256' }, verified: { name: 'RSA-PSS', saltLength: 32 },
    fits: (c) => c.key === keyRSA,
  }],
]);

export function parse(bytes) {
  try {
    let value = decode(bytes);
    if (value instanceof Tagged && value.tag === tagCWT) value = value.value;
    if (value instanceof Tagged && value.tag === tagCOSESign1) value = value.value;
    if (!Array.isArray(value) || value.length !== 4) throw new Error('cose: shape');
    const [guarded, unguarded, payload, signature] = value;
    if (![guarded, payload, signature].every((b) => b instanceof Uint8Array) || !(unguarded instanceof Map)) throw new Error('cose: shape');
    const header = guarded.length > 0 ? decode(guarded) : new Map();
    if (!(header instanceof Map)) throw new Error('cose: header');
    // What is signed goes before what anybody can change.
    const kid = header.get(headerKID) ?? unguarded.get(headerKID);
    if (kid !== undefined && !(kid instanceof Uint8Array)) throw new Error('cose: key id');
    return { guarded, payload, signature, kid: kid ?? new Uint8Array(0), alg: header.get(headerAlg) ?? unguarded.get(headerAlg) };
  } catch {
    throw new Refusal('cose');
  }
}

// verify finds the signer: every one of them with this key id is tried.
export async function verify(message, signers) {
  const algorithm = algorithms.get(message.alg);
  if (!algorithm) throw new Refusal('algorithm');
  const named = signers.filter((s) => same(s.kid, message.kid));
  if (named.length === 0) throw new Refusal('signer');
  const signed = structure(message);
  for (const signer of named) {
    if (!algorithm.fits(signer.certificate)) continue;
    const key = await crypto.subtle.importKey('spki', signer.certificate.spki, algorithm.imported, false, ['verify']).catch(() => null);
    if (key && await crypto.subtle.verify(algorithm.verified, key, message.signature, signed)) return signer;
  }
  throw new Refusal('signature');
}

export function same(a, b) { return a.length === b.length && a.every((x, i) => x === b[i]); }

// structure is what COSE signs (RFC 9052, section 4.4).
function structure({ guarded, payload }) {
  const parts = [Uint8Array.of(0x84, 0x6a), new TextEncoder().encode('Signature1'), byteString(guarded), Uint8Array.of(0x40), byteString(payload)];
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function byteString(bytes) {
  const n = bytes.length;
  const head = n < 24 ? [0x40 | n] : n < 0x100 ? [0x58, n] : n < 0x10000 ? [0x59, n >> 8, n & 0xff] : [0x5a, n >>> 24, (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff];
  return Uint8Array.from([...head, ...bytes]);
}
