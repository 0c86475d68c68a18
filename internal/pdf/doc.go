// Package pdf writes every document of the portal: letters (DIN 5008 form B),
// confirmations, login data, certificates.
//
// A document is a list of blocks (Paragraph, Heading, Pairs, Note, Code, QR,
// Picture, Columns ...). Letter puts them below the address window of a
// business letter, Sheet below a title. All lengths are millimetres, all text
// is UTF-8; characters that the embedded fonts do not have are replaced by the
// letter without its mark, and at last by a question mark, so that a document
// never shows an empty box where a name should be.
//
// The output depends on the input alone: the creation date is a parameter, and
// the same specification gives the same bytes.
package pdf
