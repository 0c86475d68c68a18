// Package card reads the certificates with which issuers log in, holds them
// against what is configured, and verifies what a card signed. It is pure: no
// clock, no database, no registry.
//
// Those are institution cards (SMC-B, authentication certificate C.AUT) and client
// certificates of software. Keys are RSA of 2048 bits and more, ECDSA on the NIST
// curves, and ECDSA on brainpoolP256r1, P384r1 and P512r1, which the cards of the
// second generation have. The standard library knows no Brainpool curve: its parser
// gets such a certificate with another key in that place and reads all the rest;
// curve arithmetic is that of ProtonMail's go-crypto, which is not constant in
// time and need not be, because nothing is signed here.
//
// # What a certificate must be
//
// [Trust.Check] wants a certificate that was issued by one of the configured
// authorities directly (no chains are built: the issuing authorities of the cards
// stand in the file), is valid at the moment, is for digital signatures and client
// authentication, has one of the configured policies, and states one of the
// professions (admission extension of ISIS-MTT, gematik's profession OIDs) that are
// configured for the issuer's kind. Whether it was withdrawn says the registry, which
// names the certificates that count, and, where one is configured, the authority's own
// list of what it has taken back ([ParseCRL]): complete, and signed by itself.
package card
