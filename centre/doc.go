// Package centre knows the vaccination centres (Impfzentren): where they are,
// when they are open, how many stations (Impfstrecken) they run and how many
// minutes one person takes there.
//
// Opening hours belong to a weekday and have a date: the row with the latest
// valid_from that is not after a day is in force on that day. One single day
// (a holiday, an extra Sunday) is an exception and goes before the weekday.
// Hours are wall-clock times in Berlin; a day on which the clocks change is an
// hour shorter or longer between the same wall-clock times only if the change
// falls into the opening hours, which it never does in practice.
//
// The minutes per person may have a date too (SetMinutes); before the first such
// rule the centre's own figure holds.
//
// A centre is never deleted, because appointments and the stock ledger name it:
// it is made inactive. An inactive centre is not offered and gets no share of a
// delivery.
//
// Whatever changes how many people a centre can see sends Changed through the
// outbox, so that the places of its days are computed anew.
package centre
