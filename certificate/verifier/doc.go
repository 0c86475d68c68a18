// Package verifier is the page on which anybody checks a certificate (Prüfseite),
// by camera, by a picture, or by the text of its QR code.
//
// # In the browser
//
// The page's script (web/static/verifier) does everything itself: base45, zlib,
// CBOR, COSE with ES256 and PS256 by WebCrypto, the EU's schema, times, use of the
// key, revocations. What is checked never leaves the device. The page works
// without a connection once it has been loaded: a service worker, whose scope is
// this page alone, keeps page and scripts of one version together, and the lists
// are kept with the moment as of which they hold.
//
// It needs two lists. Whose signatures count comes from the portal's trust list
// (GET /api/v1/certificates/trust): every signer (DSC) in it must be signed by an
// authority (CSCA) that the page brings with it, or, where browsers cannot check that
// authority's signature, be brought itself. What was taken back comes in batches
// (package revocation), each signed as CMS by those whose certificates the page brings
// too. Where one signer or one batch is not signed so, none of the new download
// counts. Key ids are 8 bytes, so every signer of the same id is tried.
// The index of batches is not signed; that it is complete is
// vouched for by the connection to the portal, as the page itself is, and by what the
// browser has seen: a batch counts until it expires, and a distrusted signer stays one,
// also when a later answer has lost them. Lists that
// are older than Config.MaxAge decide nothing: the page says so in yellow.
//
// # The verdict
//
//	unreadable            no text of a certificate                         red
//	stale                 no lists, or too old                             yellow
//	distrusted            by a key that does not count any more            red
//	signer, signature     not on the trust list; not genuine               red
//	schema, usage         not of the EU's form; by a key for other things  red
//	revoked               taken back; by id or by r of the signature       red
//	early, expired        not valid at this time                           red
//	muster                genuine, of a portal that is not in production   yellow
//	valid                 genuine and valid                                green
//
// What a certificate says is shown only when its signature is genuine. From when
// somebody counts as fully vaccinated is information and no verdict.
//
// # Without JavaScript
//
// The same verdict comes from the server for a pasted text ([Service.Check], with
// package dcc). Nothing of it is stored or logged; tries are limited by network.
package verifier
