// Runs the verifier page's own modules for the tests: one JSON question a line on
// standard input, one JSON answer a line on standard output.
import { createInterface } from 'node:readline';
import { existsSync } from 'node:fs';
import { check } from '../../../web/static/verifier/check.js';
import * as cose from '../../../web/static/verifier/cose.js';
import * as dcc from '../../../web/static/verifier/dcc.js';
import * as der from '../../../web/static/verifier/der.js';
import { fromBase64, kidOf, open } from '../../../web/static/verifier/lists.js';
import { fetchAll } from '../../../web/static/verifier/store.js';
import { Refusal } from '../../../web/static/verifier/refusal.js';
import { base45, inflate, unprefix } from '../../../web/static/verifier/text.js';

const dist = new URL('../../../web/dist/', import.meta.url);
const reader = existsSync(new URL('qr/decode.js', dist)) ? (await import(new URL('qr/decode.js', dist))).default : null;
const { unzlibSync } = existsSync(new URL('fflate.js', dist)) ? await import(new URL('fflate.js', dist)) : {};

// layers answers for each layer whether it held, as far as it was reached.
async function layers({ text, certificate, now, inflater }) {
  const out = {};
  const step = async (layer, fn) => {
    try {
      const value = await fn();
      out[layer] = true;
      return value;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      out[layer] = false;
      return undefined;
    }
  };
  if (inflater) delete globalThis.DecompressionStream;
  const body = await step('prefix', () => unprefix(text));
  if (body === undefined) return out;
  const packed = await step('base45', () => base45(body));
  if (!packed) return out;
  const plain = await step('zlib', () => inflate(packed, async () => unzlibSync));
  if (!plain) return out;
  let claims;
  const message = await step('cbor', () => {
    const m = cose.parse(plain);
    claims = dcc.claims(m.payload);
    return m;
  });
  if (!message) return out;
  out.json = claims.dcc;
  const bytes = fromBase64(certificate);
  const signer = { kid: await kidOf(bytes), certificate: der.certificate(bytes) };
  await step('signature', () => cose.verify(message, [signer]));
  const kind = await step('schema', () => dcc.kindOf(claims.dcc));
  await step('times', () => dcc.checkTimes(claims, signer.certificate, now));
  const group = kind ?? Object.keys(claims.dcc).find((k) => ['v', 't', 'r'].includes(k));
  await step('usage', () => dcc.checkUsage(signer.certificate, group));
  return out;
}

let lists = null;
let state = null;
const answers = {
  // renew downloads the lists of a server that has these files, base64 by address.
  async renew({ files, pins, now }) {
    globalThis.fetch = async (url) => (files[url] === undefined ? new Response(null, { status: 404 }) : new Response(fromBase64(files[url])));
    try {
      state = await fetchAll(state, pins, () => now);
      return { hashes: state.lists.hashes.size, distrusted: state.lists.distrusted.size };
    } catch (error) {
      return { error: error.message };
    }
  },
  layers,
  async lists({ downloaded, pins, kid }) {
    try {
      lists = await open(downloaded, pins);
      if (kid) for (const signer of lists.signers) signer.kid = fromBase64(kid); // ids of 8 bytes that are the same cannot be made
      return { hashes: lists.hashes.size, signers: lists.signers.length };
    } catch (error) {
      lists = null;
      return { error: error.message };
    }
  },
  check: ({ text, now, maxAge, products }) => check(text, lists, now, { maxAge, products }),
  picture({ width, height, pixels }) {
    if (!reader) return { error: 'not built' };
    try {
      return { text: reader({ width, height, data: fromBase64(pixels) }) };
    } catch (error) {
      return { error: error.message };
    }
  },
};

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { do: what, ...question } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await answers[what](question))}\n`);
}
