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
	if f.OK() {
		switch ok, err := s.mayRemind(c, to); {
		case err != nil:
			return problem(errors.Join(ErrUnavailable, err))
		case !ok:
			f.Fail("email", "waitingroom.reminder.error.often")
		}
	}
	if !f.OK() {
		return s.renderLine(c, v, f)
	}
	switch err := s.setReminder(c.Std(), t.Place, to); {
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
const (
	remindersPerAddress = 3
	remindersPerBrowser = 6
	remindersPerNetwork = 300
	remindersPerWide    = 1200 // an IPv6 /48
)

// mayRemind counts a wish against its limits. The counts lie in Redis, with
// addresses as blind index, for a day.
func (s *Service) mayRemind(c *web.Ctx, to contact) (bool, error) {
	type limit struct {
		key string
		max int64
	}
	var limits []limit
	for _, address := range []string{strings.ToLower(to.Email), to.Phone} {
		if address != "" {
			limits = append(limits, limit{"a:" + hex.EncodeToString(s.remind.vault.BlindIndex("waitingroom.reminder", address)), remindersPerAddress})
		}
	}
	if h, ok := browserKey(c); ok {
		limits = append(limits, limit{"b:" + hex.EncodeToString(h[:]), remindersPerBrowser})
	}
	for _, n := range defence.Networks(c.Address()) {
		most := int64(remindersPerNetwork)
		if n.Wide() {
			most = remindersPerWide
		}
		limits = append(limits, limit{"n:" + n.String(), most})
	}
	ctx, cancel := context.WithTimeout(c.Std(), 2*time.Second)
	defer cancel()
	ok := true
	for _, l := range limits {
		key := "wr:remind:" + l.key
		pipe := s.rdb.Pipeline()
		n := pipe.Incr(ctx, key)
		pipe.ExpireNX(ctx, key, 24*time.Hour)
		if _, err := pipe.Exec(ctx); err != nil {
			return false, err
		}
		ok = ok && n.Val() <= l.max
	}
	return ok, nil
}
