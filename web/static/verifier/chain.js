// Who has signed a certificate (RFC 5280), as far as WebCrypto knows the way: NIST's
// curves and RSA (RFC 5758, RFC 8017).
import { rawSignature } from './der.js';

const curves = { '1.2.840.10045.3.1.7': ['P-256', 32], '1.3.132.0.34': ['P-384', 48], '1.3.132.0.35': ['P-521', 66] };
const hashes = {
  '1.2.840.10045.4.3.2': 'SHA-256', '1.2.840.10045.4.3.3': 'SHA-384', '1.2.840.10045.4.3.4': 'SHA-512',
  '1.2.840.113549.1.1.11': 'SHA-256', '1.2.840.113549.1.1.12': 'SHA-384', '1.2.840.113549.1.1.13': 'SHA-512',
};
const ecdsa = '1.2.840.10045.4.3.';

// signedBy reports whether an authority has signed a certificate, both as
// der.certificate reads them. What does not fit together, it has not signed.
export async function signedBy(certificate, authority) {
  const hash = hashes[certificate.algorithm];
  if (!hash || !authority.mayCertify) return false;
  try {
    return await (certificate.algorithm.startsWith(ecdsa) ? byECDSA : byRSA)(certificate, authority, hash);
  } catch {
    return false;
  }
}

async function byECDSA({ signed, signature }, { spki, curve }, hash) {
  const [namedCurve, size] = curves[curve];
  const key = await crypto.subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve }, false, ['verify']);
  return crypto.subtle.verify({ name: 'ECDSA', hash }, key, rawSignature(signature, size), signed);
}

async function byRSA({ signed, signature }, { spki }, hash) {
  const key = await crypto.subtle.importKey('spki', spki, { name: 'RSASSA-PKCS1-v1_5', hash }, false, ['verify']);
  return crypto.subtle.verify('RSASSA-PKCS1-v1_5', key, signature, signed);
}
