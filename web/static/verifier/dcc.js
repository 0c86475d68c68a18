// What a certificate says: its claims (RFC 8392), the schema of the EU (1.3.x),
// and what its signer may sign.
import { decode, plain, Tagged } from './cbor.js';
import { Refusal } from './refusal.js';

const claimIssuer = 1;
const claimExpires = 4;
const claimIssued = 6;
const claimHCert = -260;

export function claims(payload) {
  try {
    const map = decode(payload);
    const hcert = map instanceof Map ? map.get(claimHCert) : null;
    const dcc = hcert instanceof Map ? hcert.get(1) : null;
    if (!(dcc instanceof Map)) throw new Error('no certificate in it');
    const issuer = map.get(claimIssuer) ?? '';
    if (typeof issuer !== 'string') throw new Error('issuer');
    return { issuer, issued: seconds(map.get(claimIssued)), expires: seconds(map.get(claimExpires)), dcc: plain(dcc) };
  } catch {
    throw new Refusal('cwt');
  }
}

function seconds(value) {
  const n = value instanceof Tagged ? value.value : value;
  if (typeof n !== 'number' || !Number.isFinite(n)) throw new Error('time');
  return n;
}

// The groups of the schema: fields of an entry, "!" marks those that must be
// there, a kind says how they look.
const groups = {
  v: { tg: 'text!', vp: 'text!', mp: 'text!', ma: 'text!', dn: 'count!', sd: 'count!', dt: 'date!', co: 'country!', is: 'short!', ci: 'short!' },
  t: { tg: 'text!', tt: 'text!', nm: 'short', ma: 'text', sc: 'time!', tr: 'text!', tc: 'short', co: 'country!', is: 'short!', ci: 'short!' },
  r: { tg: 'text!', fr: 'date!', co: 'country!', is: 'short!', df: 'date!', du: 'date!', ci: 'short!' },
};

const kinds = {
  text: (x) => typeof x === 'string',
  short: (x) => typeof x === 'string' && [...x].length <= 80,
  count: (x) => Number.isInteger(x) && x >= 1,
  date: (x) => isDate(x),
  time: (x) => typeof x === 'string' && /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d(:?\d\d)?)$/.test(x) && isDate(x.slice(0, 10)),
  country: (x) => typeof x === 'string' && /[A-Z]{1,10}/.test(x),
  standard: (x) => typeof x === 'string' && /^[A-Z<]{0,80}$/.test(x),
};

function isDate(x) {
  if (typeof x !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(x)) return false;
  const t = new Date(`${x}T00:00:00Z`);
  return !Number.isNaN(t.getTime()) && t.toISOString().startsWith(x);
}

const isObject = (x) => x !== null && typeof x === 'object' && !Array.isArray(x);

// kindOf checks the schema and returns which of the groups the certificate has:
// exactly one, with exactly one entry.
export function kindOf(dcc) {
  const present = Object.keys(groups).filter((g) => dcc[g] !== undefined);
  const ok = typeof dcc.ver === 'string' && /^\d+.\d+.\d+$/.test(dcc.ver) &&
    typeof dcc.dob === 'string' && /^((19|20)\d\d(-\d\d){0,2})?$/.test(dcc.dob) &&
    name(dcc.nam) && present.length === 1 && Array.isArray(dcc[present[0]]) && dcc[present[0]].length === 1 &&
    fields(dcc[present[0]][0], groups[present[0]]);
  if (!ok) throw new Refusal('schema');
  return present[0];
}

function name(nam) {
  return isObject(nam) && (nam.fnt !== undefined || nam.gnt !== undefined) && fields(nam, { fn: 'short', fnt: 'standard', gn: 'short', gnt: 'standard' });
}

function fields(entry, rules) {
  return isObject(entry) && Object.entries(rules).every(([field, rule]) => {
    if (entry[field] === undefined) return !rule.endsWith('!');
    return kinds[rule.replace('!', '')](entry[field]);
  });
}

// The uses of a document signer (governance of the EU certificates); early ones
// and the public test data spell them with a zero. Without any it may sign all.
const usage = /^1\.3\.6\.1\.4\.1\.(0\.)?1847\.2021\.1\.([123])$/;
const usageOf = { t: '1', v: '2', r: '3' };

export function checkUsage(certificate, kind) {
  const list = certificate.usages.map((u) => u.match(usage)?.[2]).filter(Boolean);
  if (!certificate.mayDigitallySign || (list.length > 0 && !list.includes(usageOf[kind]))) throw new Refusal('usage');
}

// checkTimes: now in milliseconds. The signer's own time counts as well.
export function checkTimes({ issued, expires }, certificate, now) {
  if (now < issued * 1000 || now < certificate.notBefore) throw new Refusal('early');
  if (now >= expires * 1000 || now > certificate.notAfter) throw new Refusal('expired');
}
