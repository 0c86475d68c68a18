package waitingroom

// turn is how a place stands by a snapshot.
type turn struct {
	Known    bool  // false while the draw that decides the order is not over
	Position int64 // in the line; 0 for places beside it
	Ahead    int64 // people who come before
	Now      bool  // may come in
}

// turnOf tells how a place stands. No I/O.
func (s *Service) turnOf(v *view, st State, p Place) turn {
	open := st.Phase == Open && !st.Trouble
	switch p.Cohort {
	case CohortBehind:
		ahead := max(0, p.Index-st.BehindServing-1)
		if p.Index > st.BehindServing {
			ahead += st.Waiting
		}
		return turn{Known: true, Ahead: ahead, Now: open && p.Index <= st.BehindServing}
	case CohortInvited:
		return turn{Known: true, Now: open}
	}
	pos, known := s.position(v, p)
	if !known {
		return turn{}
	}
	return turn{Known: true, Position: pos, Ahead: st.Ahead(pos), Now: open && pos <= st.Serving}
}
