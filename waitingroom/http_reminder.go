package waitingroom

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"impfportal/internal/web"
	"impfportal/notify"
	"impfportal/waitingroom/defence"
)

// reminderCookie remembers for the page that this browser has asked for a
// reminder, and how it goes; never the address. It saves a look into Postgres
// at every page.
const reminderCookie = "wr_r_"

// reminderForm is what the waiting page shows of the reminder.
type reminderForm struct {
	Offered bool
	Set     string // "email", "sms", "both"; "" = not asked for
	Open    bool   // the form is shown open
}

// reminderOf says what the page shows; sent is the form that was refused.
func (s *Service) reminderOf(c *web.Ctx, p linePage, sent *web.Form) (r reminderForm) {
	if !s.remind.offered() || p.Has(CohortInvited) {
		return r
	}
	r.Offered, r.Open = true, sent.Get("action") == "store"
	if kind, member, ok := strings.Cut(c.GetCookie(reminderCookie+p.Room.ID), "~"); ok && member == p.Ticket.member() {
		switch kind {
		case "email", "sms", "both":
			r.Set = kind
		}
	}
	return r
}

// postReminder stores, changes or takes back the reminder of the browser's place.
func (s *Service) postReminder(c *web.Ctx) error {
	v, err := s.view(c.Std(), c.Params("room"))
	if err != nil {
		return problem(err)
	}
	line, cookie := linePath(v.id, target(c)), reminderCookie+v.id
	t, have := s.ticketOf(c, v)
	if have != goodTicket || !s.remind.offered() || t.Cohort == CohortInvited {
		return c.See(line)
	}
	f := c.Form()
	if f.Get("action") == "withdraw" {
		if err := s.dropReminder(c.Std(), t.Place); err != nil {
			return err
		}
		c.PutCookie(cookie, "", -1)
		c.Flash("waitingroom.reminder.withdrawn")
		return c.See(line)
	}
	to := contactOf(f, c.Lang)
	var allowed contact
	if f.OK() {
		var may bool
		switch allowed, may, err = s.mayRemind(c, to); {
		case err != nil:
			return problem(errors.Join(ErrUnavailable, err))
		case !may:
			f.Fail("email", "waitingroom.reminder.error.often")
		}
	}
	if !f.OK() {
		return s.renderLine(c, v, f)
	}
	switch err := s.setReminder(c.Std(), t.Place, allowed); {
	case errors.Is(err, errTold):
		c.Flash("waitingroom.reminder.told")
	case err != nil:
		return err
	default:
		c.PutCookie(cookie, to.kind()+"~"+t.member(), TicketLife)
		c.Flash("waitingroom.reminder.stored." + to.kind())
	}
	return c.See(line)
}

// contactOf reads the form: one of the two is enough.
func contactOf(f *web.Form, lang string) (to contact) {
	var ok bool
	to.Lang = lang
	if text := f.Get("email"); text != "" {
		if to.Email, ok = notify.EmailAddress(text); !ok {
			f.Fail("email", "waitingroom.reminder.error.email")
		}
	}
	if text := f.Get("mobile"); text != "" {
		if to.Phone, ok = notify.MobileNumber(text); !ok {
			f.Fail("mobile", "waitingroom.reminder.error.mobile")
		}
	}
	if f.OK() && to.Email == "" && to.Phone == "" {
		f.Fail("email", "waitingroom.reminder.error.none")
	}
	return to
}

// How many reminders may be asked for in a day: with one address, so that nobody
// is flooded by others; from one browser; from one network, with room for a
// hospital.
//
// Who comes from a browser or a network that has asked too often is told so. An
// address that was used too often is nobody's business but its owner's, and the
// wish of its owner must not be refused because of a stranger's: such a wish is
// answered and stored like any other ([Service.mayRemind]), but its row does not
// hold the address, so nothing is sent to it. The form says for everybody how
// many messages an address gets.
const (
	remindersPerAddress = 3
	remindersPerBrowser = 6
	remindersPerNetwork = 300
	remindersPerWide    = 1200 // an IPv6 /48
)

// mayRemind counts a wish against its limits. ok is false when browser or network
// has had enough; nothing is counted of the addresses then. allowed is the wish
// without the addresses that have had enough, maybe without any.
//
// The counts lie in Redis, with addresses as blind index, for a day.
func (s *Service) mayRemind(c *web.Ctx, to contact) (allowed contact, ok bool, err error) {
	ctx, cancel := context.WithTimeout(c.Std(), 2*time.Second)
	defer cancel()
	for _, n := range defence.Networks(c.Address()) {
		most := int64(remindersPerNetwork)
		if n.Wide() {
			most = remindersPerWide
		}
		if ok, err := s.countWish(ctx, "n:"+n.String(), most); err != nil || !ok {
			return contact{}, false, err
		}
	}
	if h, have := browserKey(c); have {
		if ok, err := s.countWish(ctx, "b:"+hex.EncodeToString(h[:]), remindersPerBrowser); err != nil || !ok {
			return contact{}, false, err
		}
	}
	for _, address := range []*string{&to.Email, &to.Phone} {
		if *address == "" {
			continue
		}
		index := s.remind.vault.BlindIndex("waitingroom.reminder", mailbox(*address))
		switch ok, err := s.countWish(ctx, "a:"+hex.EncodeToString(index), remindersPerAddress); {
		case err != nil:
			return contact{}, false, err
		case !ok:
			*address = ""
		}
	}
	return to, true, nil
}

// countWish counts one more of a day and reports whether it is within most.
func (s *Service) countWish(ctx context.Context, of string, most int64) (bool, error) {
	key := "wr:remind:" + of
	pipe := s.rdb.Pipeline()
	n := pipe.Incr(ctx, key)
	pipe.ExpireNX(ctx, key, 24*time.Hour)
	if _, err := pipe.Exec(ctx); err != nil {
		return false, err
	}
	return n.Val() <= most, nil
}

// mailbox is what the messages to an address are counted by: "Erika+portal@..."
// and "erika+2@..." reach the same person. It leaves phone numbers as they are.
func mailbox(address string) string {
	local, domain, mail := strings.Cut(strings.ToLower(address), "@")
	if !mail {
		return address
	}
	if name, _, tagged := strings.Cut(local, "+"); tagged && name != "" {
		local = name
	}
	return local + "@" + domain
}
