// Package signing keeps the keys that sign certificates: the country signing
// certificate authority (CSCA) and the document signers (DSC) that it has
// certified.
//
// See [Config]. Outside production authority and signers are called MUSTER; a
// production portal refuses such keys and makes none of its own.
package signing
