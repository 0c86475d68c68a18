// Package pdf writes every document of the portal: letters (DIN 5008 form B),
// confirmations, login data, certificates.
//
// A document is a list of blocks (Paragraph, Heading, Pairs, Note, Code, QR,
// Columns ...). Letter puts them below the address window of a business letter,
// Sheet below a title. Form is a sheet with slots: all but these is laid out
// and put together once, and each filling costs little more than a copy. All
// lengths are millimetres, all text is UTF-8; characters that the embedded
// fonts do not have are replaced by the letter without its mark, and at last by
// a question mark, so that a document never shows an empty box where a name
// should be.
//
// # What a screen reader finds
//
// Every document follows PDF/UA-1 (ISO 14289-1): each mark on the page belongs
// to an element of the structure tree (title, heading, paragraph, list, table
// with head cells, figure with words) or is an artifact (rules, fold marks, page
// numbers, what is repeated on later pages). The document has a language and a
// title, foreign parts have their own language (In, Pairs.OtherLang), and the
// fonts are embedded with what their glyphs mean. Blocks are read in the order
// in which they are given.
//
// # How it is made
//
//	blocks ── writer (cursor, line breaks) ──► page (operators in marked content)
//	                                      └──► elem (structure tree)
//	document ── assemble ──► base (file up to the date) ── finish ──► bytes
//
// The fonts are Bigelow & Holmes' Go family. Each is cut to three tiers of
// letters (German, Latin, all) and compressed once per process; a document
// carries the smallest tier that has its letters. Glyphs keep their numbers in
// every tier, so text never has to be written anew.
//
// The output depends on the input alone: the creation date is a parameter, and
// the same specification gives the same bytes.
package pdf
