package wiring

import (
	"context"
	"testing"

	"impfportal/internal/web"
	"impfportal/staff"
)

// Who has a say in a draw is told of the accounts there are.
func TestStaffSince(t *testing.T) {
	t.Parallel()
	env := testEnv(t)
	s, err := Build(env)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	before := env.Now()
	made, _, err := s.Staff.Create(ctx, staff.NewAccount{Login: "draw-admin", Name: "Anna", Password: "correct horse battery", Roles: []string{string(web.RoleAdmin)}}, "system")
	if err != nil {
		t.Fatal(err)
	}
	actor := (&web.User{Kind: "staff", ID: made}).Actor()
	at, err := staffSince(env.Pool)(ctx, actor)
	if err != nil || at.Before(before.Add(-1e6)) || at.After(env.Now()) {
		t.Errorf("%s: %s, %v", actor, at, err)
	}
}
