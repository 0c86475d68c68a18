package waitingroom

import "impfportal/internal/web"

// startCard tells on the start page in one sentence whether one has to wait.
type startCard struct {
	Kind    string // free, line, pre-queue, scheduled, paused, closed, trouble
	Waiting int64
	Wait    waitText
	Message string
	Path    string
}

// StartCard is the state of the line in front of registering, for the start
// page. It costs neither Redis nor Postgres.
func (s *Service) StartCard() web.Card {
	return web.Card{Template: "waitingroom/_start", Data: func(c *web.Ctx) (any, error) {
		s.ensure(c.Std())
		v := s.rooms.Load().guard["register"]
		if v == nil {
			return nil, nil //nolint:nilnil // nothing to show
		}
		st, err := s.State(v.id)
		if err != nil {
			return nil, err
		}
		card := startCard{Waiting: st.Waiting, Wait: waitFor(c.T, st.Waiting, st.Pace), Message: st.Message.In(c.Lang), Path: linePath(v.id, ""), Kind: string(st.Phase)}
		switch {
		case st.Phase == Open && st.Trouble:
			card.Kind = "trouble"
		case st.NoLine():
			card.Kind = "free"
		case st.Phase == Open:
			card.Kind = "line"
		}
		return card, nil
	}}
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
