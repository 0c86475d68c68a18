// Who has signed a certificate (RFC 5280), as far as WebCrypto knows the way: NIST's
// curves and RSA (RFC 5758, RFC 8017).
import { rawSignature } from './der.js';

const curves = { '1.2.840.10045.3.1.7': ['P-256', 32], '1.3.132.0.34': ['P-384', 48], '1.3.132.0.35': ['P-521', 66] };
const hashes = {
  '1.2.840.10045.4.3.2': 'SHA-256', '1.2.840.10045.4.3.3': 'SHA-384', '1.2.840.10045.4.3.4': 'SHA-512',
  '1.2.840.113549.1.1.11': 'SHA-256', '1.2.840.113549.1.1.12': 'SHA-384', '1.2.840.113549.1.1.13': 'SHA-512',
};
const ecdsa = '1.2.840.10045.4.3.';
const keyRSA = '1.2.840.113549.1.1.1';

// signedBy reports whether an authority has signed a certificate, both as
// der.certificate reads them.
export async function signedBy(certificate, authority) {
  const hash = hashes[certificate.algorithm];
  if (!hash || !authority.mayCertify) return false;
  const verify = async (imported, verified, signature) => {
    const key = await crypto.subtle.importKey('spki', authority.spki, imported, false, ['verify']);
    return crypto.subtle.verify(verified, key, signature, certificate.signed);
  };
  if (!certificate.algorithm.startsWith(ecdsa)) {
    if (authority.key !== keyRSA) return false;
    return verify({ name: 'RSASSA-PKCS1-v1_5', hash }, 'RSASSA-PKCS1-v1_5', certificate.signature);
  }
  const [namedCurve, size] = curves[authority.curve] ?? [];
  if (!namedCurve) return false;
  return verify({ name: 'ECDSA', namedCurve }, { name: 'ECDSA', hash }, rawSignature(certificate.signature, size));
}
