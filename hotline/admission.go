package hotline

import (
	"net/http"
	"time"

	"impfportal/citizen"
	"impfportal/internal/id"
	"impfportal/internal/web"
	"impfportal/waitingroom"
)

// An agent lets a caller into a waiting room without queuing, where an appointment
// by telephone is not what the caller wants: a code to read out, good for one
// admission and a day. How many an agent may give out, and which part of a room's
// rate is for them, the room says.

// admissionRoom is a waiting room for which codes are given out.
type admissionRoom struct {
	ID, Name string
	NoLine   bool  // nobody waits: no code is needed now
	Waiting  int64 // people
}

// admissionRooms lists the rooms for whose line a code is to be had: those that
// demand login, or the others.
func (s *Service) admissionRooms(c *web.Ctx, login bool) []admissionRoom {
	if s.Rooms == nil {
		return nil
	}
	var out []admissionRoom
	for _, r := range s.Rooms.Inviting(c.Std(), login) {
		room := admissionRoom{ID: r.ID, Name: r.Name.In(c.Lang)}
		if st, err := s.Rooms.State(r.ID); err == nil {
			room.NoLine, room.Waiting = st.NoLine(), st.Waiting
		}
		out = append(out, room)
	}
	return out
}

type admissionView struct {
	Code     string
	Room     string
	Until    time.Time
	Left     int
	PersonID string // "" = for anybody
	Name     string // of the person
	Side     side
}

// admitPerson makes a code for the person of the case.
func (s *Service) admitPerson(c *web.Ctx) error {
	person, err := s.Citizens.Person(c.Std(), s.Pool, c.Params("id"))
	if err != nil {
		return problem(err)
	}
	return s.admission(c, c.Form().Get("room"), person)
}

// admitNewcomer makes a code for a caller who has no case yet.
func (s *Service) admitNewcomer(c *web.Ctx) error {
	return s.admission(c, c.Form().Get("room"), citizen.Person{})
}

// admission answers with the code itself: it is shown once, and there is no
// address under which it could be called up again.
func (s *Service) admission(c *web.Ctx, room string, person citizen.Person) error {
	inv, err := s.invite(c, room, person.ID)
	if err != nil {
		return problem(err)
	}
	v := admissionView{Code: inv.Code, Room: inv.Room.Name.In(c.Lang), Until: inv.ValidUntil, Left: inv.Left, PersonID: person.ID}
	if person.ID != "" {
		v.Name = person.FullName()
	}
	if v.Side, err = s.side(c); err != nil {
		return err
	}
	c.Set("Cache-Control", "no-store")
	return c.Page("hotline/admission", v)
}

func (s *Service) invite(c *web.Ctx, room, personID string) (waitingroom.Invitation, error) {
	if s.Rooms == nil {
		return waitingroom.Invitation{}, waitingroom.ErrNoRoom
	}
	b := by(c)
	return s.Rooms.Invite(c.Std(), b.Actor, b.Role, room, personID)
}

type admissionIn struct {
	ID   string `json:"-" path:"id"`
	Room string `json:"room" doc:"id of a waiting room that demands login"`
}

type newcomerIn struct {
	Room string `json:"room" doc:"id of a waiting room without login"`
}

type admissionOut struct {
	Room       string    `json:"room"`
	Code       string    `json:"code" doc:"handed out here once"`
	ValidUntil time.Time `json:"valid_until"`
	Left       int       `json:"left" doc:"how many more this agent may give out for the room today"`
}

// HTTPStatus implements web.WithStatus.
func (admissionOut) HTTPStatus() int { return http.StatusCreated }

func admissionJSON(inv waitingroom.Invitation, err error) (admissionOut, error) {
	return admissionOut{inv.Room.ID, inv.Code, inv.ValidUntil, inv.Left}, problem(err)
}

func (s *Service) apiAdmitPerson(c *web.Ctx, in admissionIn) (admissionOut, error) {
	if !id.Valid(in.ID) {
		return admissionOut{}, web.NotFound()
	}
	person, err := s.Citizens.Person(c.Std(), s.Pool, in.ID)
	if err != nil {
		return admissionOut{}, problem(err)
	}
	return admissionJSON(s.invite(c, in.Room, person.ID))
}

func (s *Service) apiAdmitNewcomer(c *web.Ctx, in newcomerIn) (admissionOut, error) {
	return admissionJSON(s.invite(c, in.Room, ""))
}
