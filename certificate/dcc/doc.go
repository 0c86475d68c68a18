// Package dcc is the EU Digital COVID Certificate as a format: what it says
// of a vaccination, how that is signed, and how it is read and verified. It
// knows no database and no clock.
//
// The payload ([Payload], schema 1.3.x of the EU's eHealth network) is built
// from a vaccination record alone ([Build]), as a pure function. It goes, as a
// CBOR web token with issuer, times and health certificate, into a COSE_Sign1
// message signed with ES256, through zlib and base45, and as "HC1:..." into a
// QR code. The key id in the protected header is the beginning of the SHA-256
// of the document signer certificate (DSC).
//
// Rules that stand here in code because the EU or Germany set them:
//
//   - names are transliterated after ICAO Doc 9303 part 3 ([Transliterate]); the
//     form in the passport (Schreibweise im Pass) decides where the record has one;
//   - the certificate id (Zertifikatskennung) is URN:UVCI:01DE/<site>/<random>#<check>
//     ([NewUVCI]); its check character is generated, never demanded of others;
//   - dose numbers follow the German guide ([Doses]);
//   - vaccine codes are dated value sets ([CodesFor]), by the day of issue. A
//     product without codes, as the influenza vaccine, has no certificate, and
//     that is no error. This table is the only place in the portal that knows a
//     disease by name.
//
// Recovery and test certificates are not issued.
//
// A [Signer] takes [Built] claims only, so nothing is signed that was not
// built here: no hash, no payload of somebody else. A signature (r, s) of
// ES256 has a second valid form (r, n-s), which anybody can make; so a signed
// certificate is named by the digest of what was signed ([Decoded.Digest]), by
// r ([Decoded.RHash]) or by its id, never by its bytes.
package dcc
