// Package certificate makes the EU Digital COVID Certificate (Impfzertifikat)
// of a vaccination and hands it to its owner.
//
// What a certificate says and how it is signed and read stands in package dcc,
// the keys in package signing.
//
// # How it is made
//
//	vaccination.Recorded
//	        |
//	        v          store claims      lint, sign once     sequencer      verify, compare
//	    (making) ------------> intent ------------> signed ------> logged ------> released
//	        |
//	        +--> refused: no rule for the name, the dose number or a date; a person
//	             must settle it, then the next try goes on to intent
//
// Every arrow is one transaction that locks the row. A worker that dies
// between two of them, or in the middle of one, is followed by the task's next
// delivery or by the repair, and there is exactly one certificate in the end:
// one row per record and version, and a trigger that keeps what was signed.
// Before release the stored text is decoded, its signature verified with the
// DSC, and its payload compared byte for byte with what the record gives. If the DSC
// was distrusted after it had signed (package distrust), the certificate is revoked
// instead and its next version made by another.
//
// Nothing is signed without a leaf in the transparency log (package translog),
// written in the same transaction, and nothing is handed out before the log
// has given the leaf its place. Of an issuer that may not issue any more (Config.Holds)
// nothing is signed for the first time: what it recorded waits, and whoever looks into
// it removes the records or lets the issuer go on.
//
// # Corrections
//
// When the record says something else than before ([vaccination.Corrected]),
// what was only begun is begun anew; what was signed is revoked (package
// revocation) and the next version is made. A record that was voided takes its
// certificate with it. One certificate of a record stands at a time.
//
// What is revoked for good (package revocation) may be signed only, or logged: it is then
// never released, and its owner sees that it was revoked. Of an intent nothing can be
// revoked; who asks is told to come again.
//
// # What is stored
//
// Claims and text are personal: they are sealed under the key of the treatment
// record and end with it. In the clear stand ids, times, the random UVCI, and by
// what a stop or a revocation selects: issuer, operator, path, basis, lot.
//
// Outside production authority, signer and issuer are called MUSTER, and page,
// papers and the certificate itself say so.
package certificate
