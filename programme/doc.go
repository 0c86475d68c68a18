// Package programme holds what a vaccination campaign is, as data: the disease
// (Programm), its products (Impfstoffe), how many doses belong together and how
// far apart (Impfserie), from which age a product may be given, who may come
// when (priority groups, Prioritätsgruppen after sections 2 to 4 of the
// CoronaImpfV), and the texts that the law asks for or that change overnight.
//
// No other package but the one that writes EU certificates knows a disease by
// name: COVID-19 in January 2021 is one programme, influenza another.
//
// Rules have a date. A rule row says how something is from valid_from on; on a
// given day the row with the latest valid_from that is not after the day is in
// force. A new rule is a new row, so that a past day can always be explained
// and a future change can be entered before its time. Setting a rule for a day
// that has one already replaces that row. Every change is audited with what was
// there before.
//
// Ages are completed years. Of a partial birth date the caller passes the
// latest possible day, so that nobody gets a vaccine too early.
//
// Texts (Impressum, Datenschutzhinweise, Erklärung zur Barrierefreiheit,
// notices on the start page) come with the program as Markdown; what an
// administrator saves replaces them for that language. Raw HTML is not
// rendered.
package programme
