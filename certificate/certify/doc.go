// Package certify is the issuing interface for the software of practices and
// pharmacies (PVS, WaWi): the German Issuer API and its log-ins, as publicly
// described (Digitaler-Impfnachweis/certification-apis). docs/issuer-api.md is the
// reference for vendors.
//
// # What happens to a request
//
//	who?  -->  what?  -->  record  -->  certificate  -->  answer
//	403        400, 406    403, 429     503 + Retry-After
//
// Who asks is an issuer of the registry, known by a client certificate or a card.
// What is asked is read strictly and tried (value sets, names, dates, dose numbers):
// what no certificate could be made of leaves no record. Then one transaction asks
// the issuer's brakes ([issuer.Service.Authorize]) and writes the record
// ([vaccination.Service.RecordIssued]). The certificate follows from the record
// alone, by the worker, as for every other record: this package signs nothing, and
// no byte of the request reaches the signer. It waits some seconds for the release;
// whoever waits in vain, as during a stop, gets a 503 that says that the request is
// stored.
//
// The same request again finds the same record and certificate, whether it is
// named by a header (Idempotency-Key, X-Transaction-Id) or by what it says. It takes
// nothing from the brakes a second time.
//
// A foreign hash (/issue/hash) is refused to everybody.
//
// # Log-in with a client certificate (mTLS)
//
// Only on a TLS listener of its own ([Service.ServeClients]). The certificate is held
// against the configured authorities and policies (package card) at the portal's
// clock, and its fingerprint must stand in the registry. What a proxy says in a
// header about a certificate counts on a sibling address of that listener, from
// exactly the configured addresses; the public portal reads no such header.
//
// # Log-in with a card (SMC-B)
//
//	        GET auth                GET authenticate              POST token
//	asked ------------> challenge ------------------> code ---------------> tokens <--+
//	        303, x-auth-challenge   302, once,              once, a minute     |      | refresh,
//	                                two minutes                                +------+ rotated
//
// An OpenID Connect code flow in which the card signs the text of the challenge. An
// access token is a JWT of one minute; every use asks whether its session stands and
// whether the registry carries its card, so a suspension ends tokens at once. A code
// or refresh token that comes twice ends its session, as does a card's end.
//
// # What authorities take back
//
// Beside the registry, which names the certificates that count, each authority can have
// a list (CRL): the worker fetches it every 15 minutes, it must be complete and signed
// by the authority itself, and never older than the one before. A certificate on it is
// refused and its sessions end. A list that is missing or past its end refuses every
// certificate of that authority, or, where so configured, is an alarm to the
// administrators only.
package certify
