// Package registry is the list of issuers that an authority keeps and signs
// (Betriebsstättenverzeichnis): its format, its signature, and what a newer list
// changes. It is pure; pulling and applying are the package issuer's.
//
// # Format
//
// A list is one JWS in compact serialisation (RFC 7515), so one line of text:
//
//	header   {"alg":"EdDSA" or "ES256", "typ":"issuer-registry+jws", "kid":"..."}
//	payload  the JSON document below, UTF-8
//
// EdDSA means Ed25519 (RFC 8037), ES256 means P-256 with SHA-256; no other
// algorithm is accepted, whatever the header says. kid is the RFC 7638 thumbprint
// of the key and only a hint: a key counts because it is configured.
//
//	{
//	  "format": "issuer-registry/1",
//	  "authority": "Landesdirektion MUSTER",
//	  "sequence": 17,                        greater in every new list
//	  "issued_at": "2021-07-21T06:00:00Z",
//	  "next_update": "2021-07-22T06:00:00Z", after this the list is out of date
//	  "entries": [{
//	    "id": "300000017",                   number of the pharmacy, BSNR of the practice
//	    "name": "Apotheke am Markt",
//	    "street": "Markt 1", "postcode": "04109", "city": "Leipzig",
//	    "kind": "pharmacy",                  practice, pharmacy, centre or mobile
//	    "licence": "valid",                  valid, suspended or withdrawn
//	    "region": "DE-SN",
//	    "keys": ["9f86d0..."],               SHA-256 of client or card certificates (DER), hex; may be empty
//	    "valid_from": "2020-01-01",          first day
//	    "valid_to": "2025-12-31"             last day; may be missing
//	  }]
//	}
//
// Parsing is strict: unknown fields, more than one value, an id or a key twice,
// a text that is empty, too long or has control characters, and more than
// MaxBytes or MaxEntries refuse the whole list. A refused list changes nothing.
//
// # Order of lists
//
// A list is taken when its sequence is greater than that of the one we have. The
// same sequence with the same bytes is the same list; with other bytes somebody
// signed two lists under one number, and neither is trusted further (ErrForked).
// A smaller sequence is a rollback. A list that is past its next update, or from
// the future, is refused.
package registry
