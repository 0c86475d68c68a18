// The text of a certificate's QR code: prefix, base45 (RFC 9285), zlib.
import { Refusal } from './refusal.js';

export const prefix = 'HC1:';

// A QR code holds at most 4,296 characters; what unpacks to more than this was
// made to exhaust a reader.
const maxText = 4296;
const maxPlain = 1 << 16;

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:';

export function unprefix(text) {
  if (!text.startsWith(prefix) || text.length > maxText) throw new Refusal('prefix');
  return text.slice(prefix.length);
}

// base45 refuses groups that do not fit into their bytes.
export function base45(text) {
  if (text.length % 3 === 1) throw new Refusal('base45');
  const out = [];
  for (let i = 0; i < text.length; i += 3) {
    const group = text.slice(i, i + 3);
    let n = 0;
    for (let j = group.length - 1; j >= 0; j--) {
      const digit = alphabet.indexOf(group[j]);
      if (digit < 0) throw new Refusal('base45');
      n = n * 45 + digit;
    }
    if (n >= (group.length === 3 ? 0x10000 : 0x100)) throw new Refusal('base45');
    if (group.length === 3) out.push(n >> 8);
    out.push(n & 0xff);
  }
  return Uint8Array.from(out);
}

// inflate undoes zlib (RFC 1950). other is a function for browsers that cannot:
// it gets the bytes and room for the result, and returns what it has filled.
export async function inflate(packed, other) {
  try {
    if (packed.length < 6 || (packed[0] & 0x0f) !== 8 || ((packed[0] << 8) | packed[1]) % 31 !== 0) throw new Error('no zlib header');
    const plain = typeof DecompressionStream === 'undefined' ? await fallback(packed, other) : await decompress(packed);
    if (adler32(plain) !== new DataView(packed.buffer, packed.byteOffset).getUint32(packed.length - 4)) throw new Error('check value');
    return plain;
  } catch {
    throw new Refusal('zlib');
  }
}

async function decompress(packed) {
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  const parts = [];
  let length = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maxPlain) {
      reader.cancel().catch(() => {});
      throw new Error('too long');
    }
    parts.push(value);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

async function fallback(packed, other) {
  const plain = (await other())(packed, { out: new Uint8Array(maxPlain + 1) });
  if (plain.length > maxPlain) throw new Error('too long');
  return plain;
}

function adler32(bytes) {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b * 65536 + a;
}
