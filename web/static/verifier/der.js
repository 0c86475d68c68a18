// As much of DER (X.690) and X.509 (RFC 5280) as verifying needs.
const latin = new TextDecoder('latin1');

// read returns the element at the beginning of bytes: tag, content, the whole
// encoding, and what follows it.
export function read(bytes, expected) {
  if (bytes.length < 2) throw new Error('der: cut off');
  const tag = bytes[0];
  let length = bytes[1];
  let head = 2;
  if (length & 0x80) {
    const n = length & 0x7f;
    if (n === 0 || n > 3 || bytes.length < 2 + n) throw new Error('der: length');
    length = 0;
    for (let i = 0; i < n; i++) length = length * 256 + bytes[2 + i];
    if (length < 0x80 || (n > 1 && bytes[2] === 0)) throw new Error('der: length not the shortest');
    head += n;
  }
  if (bytes.length < head + length) throw new Error('der: cut off');
  if (expected !== undefined && tag !== expected) throw new Error(`der: tag ${tag}, not ${expected}`);
  return { tag, content: bytes.subarray(head, head + length), whole: bytes.subarray(0, head + length), rest: bytes.subarray(head + length) };
}

// children are the elements within a constructed one.
export function children(content) {
  const out = [];
  for (let rest = content; rest.length > 0;) {
    const e = read(rest);
    out.push(e);
    rest = e.rest;
  }
  return out;
}

export function oid(content) {
  const parts = [];
  let n = 0;
  for (const byte of content) {
    n = n * 128 + (byte & 0x7f);
    if (byte & 0x80) continue;
    if (parts.length === 0) {
      const first = Math.min(Math.floor(n / 40), 2);
      parts.push(first, n - 40 * first);
    } else parts.push(n);
    n = 0;
  }
  return parts.join('.');
}

function time(e) {
  const m = latin.decode(e.content).match(/^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/);
  if (!m) throw new Error('der: time');
  const year = m[1].length === 4 ? Number(m[1]) : Number(m[1]) + (Number(m[1]) < 50 ? 2000 : 1900);
  return Date.UTC(year, m[2] - 1, m[3], m[4], m[5], m[6]);
}

const idKeyUsage = '2.5.29.15';
const idExtKeyUsage = '2.5.29.37';

// certificate reads a certificate: its public key (SubjectPublicKeyInfo and the
// kind of key), its time in milliseconds, what its key may be used for, and what
// was signed of it and how.
export function certificate(der) {
  const outer = read(der, 0x30);
  if (outer.rest.length > 0) throw new Error('der: bytes left over');
  const [tbs, algorithmOfSignature, signature] = children(outer.content);
  const fields = children(read(tbs.whole, 0x30).content);
  if (fields[0].tag === 0xa0) fields.shift(); // version
  // serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
  const [notBefore, notAfter] = children(fields[3].content).map(time);
  const spki = fields[5];
  const algorithm = children(read(spki.content, 0x30).content);
  const out = { der, spki: spki.whole, key: oid(algorithm[0].content), curve: algorithm[1]?.tag === 6 ? oid(algorithm[1].content) : '', notBefore, notAfter, mayDigitallySign: true, mayCertify: true, usages: [],
    signed: tbs.whole, algorithm: oid(children(algorithmOfSignature.content)[0].content), signature: read(signature.whole, 0x03).content.subarray(1) };
  for (const e of fields.slice(6)) if (e.tag === 0xa3) extensions(out, children(read(e.content, 0x30).content));
  return out;
}

function extensions(out, list) {
  for (const e of list) {
    const parts = children(e.content);
    const value = parts[parts.length - 1].content;
    switch (oid(parts[0].content)) {
      case idKeyUsage:
        out.mayDigitallySign = (read(value, 0x03).content[1] & 0x80) !== 0;
        out.mayCertify = (read(value, 0x03).content[1] & 0x04) !== 0;
        break;
      case idExtKeyUsage: out.usages = children(read(value, 0x30).content).map((u) => oid(u.content)); break;
    }
  }
}

// rawSignature turns an ECDSA signature of DER into r and s of size bytes each.
export function rawSignature(der, size = 32) {
  const parts = children(read(der, 0x30).content);
  if (parts.length !== 2) throw new Error('der: signature');
  const out = new Uint8Array(2 * size);
  parts.forEach((e, i) => {
    let n = e.content;
    while (n.length > 0 && n[0] === 0) n = n.subarray(1);
    if (e.tag !== 2 || n.length > size) throw new Error('der: signature');
    out.set(n, (i + 1) * size - n.length);
  });
  return out;
}
