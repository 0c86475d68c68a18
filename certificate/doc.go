// Package certificate makes the EU Digital COVID Certificate (Impfzertifikat)
// of a vaccination and hands it to its owner.
//
// # What a certificate is
//
// The payload ([Payload], schema 1.3.x of the EU's eHealth network) is built
// from the treatment record alone ([Build]), as a pure function. It goes, as a
// CBOR web token with issuer, times and health certificate, into a COSE_Sign1
// message signed with ES256, through zlib and base45, and as "HC1:..." into a
// QR code. The key id in the protected header is the beginning of the SHA-256
// of the document signer certificate (DSC), which a country signing
// certificate authority (CSCA) has signed.
//
// Rules that stand here in code because the EU or Germany set them:
//
//   - names are transliterated after ICAO Doc 9303 part 3 ([Transliterate]); the
//     form in the passport (Schreibweise im Pass) decides where the record has one;
//   - the certificate id (Zertifikatskennung) is URN:UVCI:01DE/<site>/<random>#<check>
//     ([NewUVCI]); its check character is generated, never demanded of others;
//   - dose numbers follow the German guide ([Doses]): 1/2 and 2/2, 2/2 also when
//     the first dose was given elsewhere, 1/1 for Janssen and for one dose after
//     an infection (Genesene);
//   - vaccine codes are dated value sets ([CodesFor]), by the day of issue. A
//     product without codes, as the influenza vaccine, has no certificate, and
//     that is no error. This table is the only place in the portal that knows a
//     disease by name.
//
// Recovery and test certificates are not issued.
//
// # How it is made
//
//	vaccination.Recorded
//	        |
//	        v          store claims          sign once            verify, compare
//	    (making) ----------------> intent ------------> signed ------------------> released
//	        |
//	        +--> refused: no rule for the name, the dose number or a date; a person
//	             must settle it, then the next try goes on to intent
//
// Every arrow is one transaction that locks the row. A worker that dies
// between two of them, or in the middle of one, is followed by the task's next
// delivery or by the repair, and there is exactly one certificate in the end:
// one row per record and version, and a trigger that keeps what was signed.
// Before release the stored text is decoded, its signature verified with the
// DSC, and its payload compared byte for byte with what the record gives.
//
// Claims and text are personal: they are sealed under the key of the treatment
// record and end with it. In the clear stand ids, times and the random UVCI.
//
// # Keys
//
// See [KeyConfig]. Outside production authority, signer and issuer are called
// MUSTER, and page, papers and the certificate itself say so; a production
// portal refuses such keys and makes none of its own.
package certificate
