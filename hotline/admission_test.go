package hotline_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"impfportal/internal/web"
	"impfportal/waitingroom"
)

var admissionCode = regexp.MustCompile(`id="admission-code"[^>]*>((?:[0-9A-Z]{4}-){3}[0-9A-Z]{4})<`)

// A caller who wants to book on the internet and cannot stand in the line is
// read a code, which lets exactly this person in.
func TestAdmissionOfAPerson(t *testing.T) {
	t.Parallel()
	b := setup(t)
	personID, _ := b.register()
	other, _ := b.register("family_name", "Anders", "given_name", "Anna")
	page := b.app.Get("/hotline/persons/" + personID)
	if !strings.Contains(page.Body, "Einlass ohne Warten geben") || !strings.Contains(page.Body, "Terminbuchung:") || strings.Contains(page.Body, "Registrierung:") {
		t.Fatalf("the case offers no code: %s", page.Body)
	}
	a := b.app.PostForm("/hotline/persons/"+personID+"/admission", "room", "appointments")
	code := admissionCode.FindStringSubmatch(a.Body)
	if a.Status != http.StatusOK || code == nil || !strings.Contains(a.Body, "noch 39 Codes") || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if n := b.count(`SELECT count(*) FROM audit.entry WHERE action = 'waitingroom.invite' AND actor = $1 AND subject = 'person:' || $2`, b.by.Actor, personID); n != 1 {
		t.Errorf("%d entries of audit", n)
	}
	join := func(id string) (int, int64) {
		browser := b.app.Another()
		browser.LoginAs(web.User{Kind: "citizen", ID: id, Roles: []web.Role{web.RoleCitizen}})
		var out waitingroom.TicketOut
		a := browser.JSON(http.MethodPost, "/api/v1/rooms/appointments/join", map[string]any{"code": code[1]}, &out)
		return a.Status, out.Cohort
	}
	if status, _ := join(other); status != http.StatusUnprocessableEntity {
		t.Errorf("somebody else's code: %d", status)
	}
	if status, cohort := join(personID); status != http.StatusOK || cohort != waitingroom.CohortInvited {
		t.Errorf("the caller: %d, cohort %d", status, cohort)
	}

	for what, form := range map[string][2]string{
		"a room without login": {"/hotline/persons/" + personID + "/admission", "registration"},
		"a room with login":    {"/hotline/admission", "appointments"},
	} {
		if a := b.app.PostForm(form[0], "room", form[1]); a.Status != http.StatusConflict || !strings.Contains(a.Body, "keine Einlass-Codes") {
			t.Errorf("%s: %d", what, a.Status)
		}
	}
	for _, path := range []string{"/hotline/persons/nobody/admission", "/hotline/persons/" + b.by.Actor + "/admission"} {
		if a := b.app.PostForm(path, "room", "appointments"); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.Status)
		}
	}
	if a := b.app.PostForm("/hotline/admission", "room", "nowhere"); a.Status != http.StatusNotFound {
		t.Errorf("no room: %d", a.Status)
	}
}

// A caller without a case gets a free code on the first page of the desk; an
// agent has only so many a day.
func TestAdmissionOfANewcomer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if page := b.app.Get("/hotline"); !strings.Contains(page.Body, "Registrierung:") || strings.Contains(page.Body, "Terminbuchung:") {
		t.Fatalf("the desk: %s", page.Body)
	}
	if a := b.app.PostForm("/hotline/admission", "room", "registration"); admissionCode.FindString(a.Body) == "" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	two := 2
	if _, err := b.rooms.EditRoom(b.ctx, "staff:test", "admin", "registration", waitingroom.Settings{Invites: &two}); err != nil {
		t.Fatal(err)
	}
	var out struct {
		Room, Code string
		Left       int
	}
	if a := b.app.JSON(http.MethodPost, "/api/v1/hotline/admission", map[string]any{"room": "registration"}, &out); a.Status != http.StatusCreated || out.Left != 0 || len(out.Code) != 19 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := b.app.JSON(http.MethodPost, "/api/v1/hotline/admission", map[string]any{"room": "registration"}, nil); a.Status != http.StatusConflict || !strings.Contains(a.Body, "so viele Einlass-Codes") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	none := 0
	if _, err := b.rooms.EditRoom(b.ctx, "staff:test", "admin", "registration", waitingroom.Settings{Hotline: &none}); err != nil {
		t.Fatal(err)
	}
	if page := b.app.Get("/hotline"); strings.Contains(page.Body, "Einlass ohne Warten geben") {
		t.Error("the desk offers a code for a room that takes none")
	}
	personID, _ := b.register()
	if a := b.app.JSON(http.MethodPost, "/api/v1/hotline/persons/"+personID+"/admission", map[string]any{"room": "appointments"}, &out); a.Status != http.StatusCreated || out.Room != "appointments" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
