package waitingroom

import "impfportal/internal/web"

// startLine tells on the start page in one sentence whether one has to wait.
type startLine struct {
	Name    string
	Kind    string // free, full, line, pre-queue, drawing, scheduled, paused, closed, trouble
	Waiting int64
	Wait    waitText
	Opens   string // when, in words; "" = not planned
	From    string // from when one can come
	Draw    bool
	Message string
	Spoken  string // the language that the message is in
	Path    string
	Has     string // what this browser has already: place, inside; "" = nothing
}

// StartCard is the state of the lines in front of registering and booking, for
// the start page. The second is shown only when it is another one and has
// something to tell. It costs neither Redis nor Postgres.
func (s *Service) StartCard() web.Card {
	return web.Card{Template: "waitingroom/_start", Data: func(c *web.Ctx) (any, error) {
		s.ensure(c.Std())
		var lines []startLine
		guard := s.rooms.Load().guard
		for i, group := range []string{groupRegister, groupHold} {
			v := guard[group]
			if v == nil || i > 0 && v == guard[groupRegister] {
				continue
			}
			l, err := s.startLine(c, v)
			if err != nil {
				return nil, err
			}
			if i == 0 || l.Kind != "free" || l.Opens != "" || l.Has != "" {
				lines = append(lines, l)
			}
		}
		if len(lines) == 0 {
			return nil, nil //nolint:nilnil // nothing to show
		}
		return lines, nil
	}}
}

func (s *Service) startLine(c *web.Ctx, v *view) (startLine, error) {
	st, err := s.State(v.id)
	if err != nil {
		return startLine{}, err
	}
	say, now, r := tongueOf(c), s.roomNow(), v.known.Load()
	l := startLine{
		Name: r.Name.In(c.Lang), Kind: string(st.Phase), Waiting: st.Waiting, Wait: waitFor(c.T, st.Waiting, st.Pace),
		Path: linePath(v.id, ""), Draw: st.Draw != nil, Has: s.heldBy(c, v),
	}
	l.Message, l.Spoken = notice(st.Message, c.Lang)
	if at := st.OpensAt; at != nil {
		l.Opens = say.when(*at, now)
	}
	if at := st.PreQueueFrom; at != nil {
		l.From = web.FormatDateTime(c.Lang, *at)
	}
	switch {
	case st.Phase == Open && st.Trouble:
		l.Kind = "trouble"
	case st.NoLine():
		l.Kind = "free"
	case st.Phase == Open && st.Waiting == 0:
		l.Kind = "full"
	case st.Phase == Open:
		l.Kind = "line"
	}
	return l, nil
}

// heldBy tells by the cookies alone what the browser has in a room. Whether that
// was given up meanwhile, the waiting page says.
func (s *Service) heldBy(c *web.Ctx, v *view) string {
	key, ok := browserKey(c)
	his := func(k KeyHash) bool {
		return ok && k.Equal(key) || c.User != nil && c.User.Kind == "citizen" && k.Equal(HashPerson(c.User.ID))
	}
	if p, good := s.signedPass(c, v); good && his(p.Key) {
		return "inside"
	}
	t, err := s.keys.Ticket(c.GetCookie(ticketCookie + v.id))
	if err != nil || t.Room != v.id || t.Epoch != v.known.Load().Epoch || s.roomNow().Sub(t.Issued) > TicketLife || !his(t.Key) {
		return ""
	}
	return "place"
}

// AdminCard shows the rooms on the administration's overview.
func (s *Service) AdminCard() web.Card {
	return web.Card{Template: "waitingroom/_admin", Data: func(c *web.Ctx) (any, error) {
		rows := s.roomRows(c)
		if len(rows) == 0 {
			return nil, nil //nolint:nilnil // nothing to show
		}
		return rows, nil
	}}
}
