// A strict reader of CBOR (RFC 8949): no duplicate keys, no bytes left over,
// valid UTF-8, bounded depth and size. Maps become Map, tags Tagged.
const maxDepth = 16;
const maxItems = 256;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Tagged {
  constructor(tag, value) {
    this.tag = tag;
    this.value = value;
  }
}

export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.item(0);
  if (reader.at !== bytes.length) throw new Error('cbor: bytes left over');
  return value;
}

const stop = Symbol('break');

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  take(n) {
    if (n > this.bytes.length - this.at) throw new Error('cbor: cut off');
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  // argument is the number that follows the initial byte; null = of any length.
  argument(info) {
    if (info < 24) return info;
    if (info === 31) return null;
    if (info > 27) throw new Error('cbor: reserved');
    const start = this.at;
    this.take(1 << (info - 24));
    switch (info) {
      case 24: return this.view.getUint8(start);
      case 25: return this.view.getUint16(start);
      case 26: return this.view.getUint32(start);
    }
    const n = this.view.getBigUint64(start);
    return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
  }

  length(info) {
    const n = this.argument(info);
    if (typeof n === 'bigint') throw new Error('cbor: too long');
    return n;
  }

  item(depth, inSeries = false) {
    if (depth > maxDepth) throw new Error('cbor: too deep');
    const first = this.take(1)[0];
    const major = first >> 5;
    const info = first & 31;
    if (first === 0xff && inSeries) return stop;
    switch (major) {
      case 0: return this.whole(info);
      case 1: {
        const n = this.whole(info);
        return typeof n === 'bigint' ? -1n - n : -1 - n;
      }
      case 2: return this.bytesOf(info, 2);
      case 3: return utf8.decode(this.bytesOf(info, 3));
      case 4: return this.series(info, depth);
      case 5: return this.map(info, depth);
      case 6: return new Tagged(this.whole(info), this.item(depth + 1));
    }
    return this.simple(info);
  }

  whole(info) {
    const n = this.argument(info);
    if (n === null) throw new Error('cbor: number without end');
    return n;
  }

  bytesOf(info, major) {
    const n = this.length(info);
    if (n !== null) return this.take(n);
    const out = [];
    while (this.bytes[this.at] !== 0xff) {
      const first = this.take(1)[0];
      const length = this.length(first & 31);
      if (first >> 5 !== major || length === null) throw new Error('cbor: piece of another kind');
      const piece = this.take(length);
      if (major === 3) utf8.decode(piece);
      for (const byte of piece) out.push(byte);
    }
    this.at++;
    return Uint8Array.from(out);
  }

  series(info, depth) {
    const n = this.length(info);
    const out = [];
    for (let i = 0; n === null || i < n; i++) {
      if (i >= maxItems) throw new Error('cbor: too many items');
      const value = this.item(depth + 1, n === null);
      if (value === stop) break;
      out.push(value);
    }
    return out;
  }

  map(info, depth) {
    const n = this.length(info);
    const out = new Map();
    for (let i = 0; n === null || i < n; i++) {
      if (i >= maxItems) throw new Error('cbor: too many items');
      const key = this.item(depth + 1, n === null);
      if (key === stop) break;
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint') throw new Error('cbor: key');
      if (out.has(key)) throw new Error('cbor: key twice');
      out.set(key, this.item(depth + 1));
    }
    return out;
  }

  simple(info) {
    const start = this.at;
    switch (info) {
      case 20: return false;
      case 21: return true;
      case 22: return null;
      case 23: return undefined;
      case 25:
        this.take(2);
        return half(this.view.getUint16(start));
      case 26:
        this.take(4);
        return this.view.getFloat32(start);
      case 27:
        this.take(8);
        return this.view.getFloat64(start);
    }
    throw new Error('cbor: simple value');
  }
}

function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits >> 15 ? -1 : 1;
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** (exponent - 25) * (1024 + fraction);
}

// plain turns what was read into what JSON can say: dates lose their tag.
export function plain(value) {
  if (value instanceof Tagged) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [String(k), plain(v)]));
  return value;
}
