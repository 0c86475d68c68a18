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
// dcc.Claims and text are personal: they are sealed under the key of the treatment
// record and end with it. In the clear stand ids, times and the random UVCI.
//
// Outside production authority, signer and issuer are called MUSTER, and page,
// papers and the certificate itself say so.
package certificate
