package booking

import (
	"time"

	"impfportal/booking/listdraw"
	"impfportal/citizen"
	"impfportal/internal/clock"
	"impfportal/notify"
)

// This file decides who is asked next, how, and until when; waiting_offer.go
// carries it out.

// How somebody is told of an offer.
const (
	MeansMessage = "message" // e-mail or SMS, with a link
	MeansCall    = "call"    // the hotline calls: only a landline is known
	MeansLetter  = "letter"  // only an address is known, and there is time
)

const (
	// askFrom and askTo are the hours of Berlin between which people are asked
	// and have to answer: nobody is woken, nobody has to watch at night.
	askFrom, askTo = 8, 20
	// morning is when a time to answer that would end at night ends instead.
	morning = 10
	// answerAtLeast is the shortest time to answer.
	answerAtLeast = time.Hour
	// arriveWithin is what is left between the end of that time and the appointment.
	arriveWithin = 3 * time.Hour
	// letterDays is the time to answer a letter, posted and by telephone.
	letterDays = 6
)

// meansOf is how a person is told; "" = nobody can.
func meansOf(p citizen.Person, to notify.Recipient) string {
	switch {
	case p.Email != "" || notify.CanText(p.Phone):
		return MeansMessage
	case p.Phone != "":
		return MeansCall
	case to.Postal.Complete():
		return MeansLetter
	}
	return ""
}

// asking reports whether people may be asked at this time.
func asking(now time.Time) bool {
	hour := now.In(clock.Berlin).Hour()
	return hour >= askFrom && hour < askTo
}

// nextAsking is when people may be asked next: now, or the next morning.
func nextAsking(now time.Time) time.Time {
	if asking(now) {
		return now
	}
	day := clock.Day(now)
	if now.In(clock.Berlin).Hour() >= askTo {
		day = day.AddDate(0, 0, 1)
	}
	return clock.At(day, askFrom, 0)
}

// answerUntil is the end of the time to answer an offer that is made now for a
// first appointment at start: hours from now, less when the appointment is near,
// always between 8 and 20 o'clock. A time that would end at night ends in the
// morning after, or, when that is too late, in the evening before. ok is false
// when there is no time to answer.
func answerUntil(now, start time.Time, hours int, means string) (until time.Time, ok bool) {
	latest := start.Add(-arriveWithin)
	if means == MeansLetter {
		until = clock.At(clock.Day(now).AddDate(0, 0, letterDays), 18, 0)
		return until, !until.After(start.AddDate(0, 0, -2))
	}
	until = now.Add(time.Duration(hours) * time.Hour)
	if until.After(latest) {
		until = latest
	}
	day := clock.Day(until)
	evening := clock.At(day, askTo, 0)
	next := clock.At(day.AddDate(0, 0, 1), morning, 0)
	if until.Before(clock.At(day, askFrom, 0)) {
		evening, next = clock.At(day.AddDate(0, 0, -1), askTo, 0), clock.At(day, morning, 0)
	} else if !until.After(evening) {
		return until, until.Sub(now) >= answerAtLeast
	}
	if until = next; until.After(latest) {
		until = evening
	}
	return until, until.Sub(now) >= answerAtLeast
}

// oneLot leaves out entries of registrations that are being clarified while another
// registration of what seems to be the same person is on the list: registering again
// makes nobody likelier to be asked. The registration that was there first counts.
const oneLot = `NOT EXISTS (
	SELECT FROM citizen.person p JOIN citizen.person o ON o.id = p.duplicate_of OR o.duplicate_of = p.duplicate_of AND o.state = 'check' AND (o.registered_at, o.id) < (p.registered_at, p.id)
	JOIN booking.waiting w ON w.person_id = o.id AND w.ended_at IS NULL
	WHERE p.id = waiting.person_id AND p.state = 'check')`

// candidates puts entries into the order in which they are asked: the rank of
// their group (ranks holds the groups whose turn it is), then the draw over the
// persons (listdraw). Entries of other groups are left out.
func candidates(list []Waiting, ranks map[string]int, key []byte) (order []Waiting, people []listdraw.Person) {
	entry := map[string]Waiting{} // a person has one entry in a programme
	for _, w := range list {
		if rank, open := ranks[w.GroupCode]; open {
			entry[w.PersonID] = w
			people = append(people, listdraw.Person{ID: w.PersonID, Rank: rank})
		}
	}
	people = listdraw.Order(key, people)
	for _, p := range people {
		order = append(order, entry[p.ID])
	}
	return order, people
}
