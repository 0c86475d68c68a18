package booking

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A request for the public files costs no query, whoever asks, and nobody gets
// again what has not changed.
func TestFeedCostsNoQuery(t *testing.T) {
	t.Parallel()
	b, _ := small(t)
	a, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	app.LoginAs(citizenUser(b.person()))
	etags := map[string]string{}
	for _, path := range []string{"/api/v1/availability", manifestPath, smartPath + locationsFile, smartPath + schedulesFile, smartPath + slotsFile} {
		got := app.Get(path)
		etags[path] = got.Header.Get("ETag")
		if got.Status != http.StatusOK || etags[path] == "" || got.Header.Get("Cache-Control") != feedCache {
			t.Errorf("%s: %d, %v", path, got.Status, got.Header)
		}
	}
	b.at(b.now().Add(time.Second))
	_, err = b.s.RefreshAvailability(b.ctx) // nothing has happened
	b.ok(err)
	b.pool.Close()
	for path, etag := range etags {
		if got := app.Do(http.MethodGet, path, "", nil, map[string]string{"If-None-Match": etag}); got.Status != http.StatusNotModified || got.Body != "" {
			t.Errorf("%s again: %d", path, got.Status)
		}
	}

	var manifest struct {
		TransactionTime time.Time
		Request         string
		Output          []struct{ Type, URL string }
	}
	if err := json.Unmarshal([]byte(app.Get(manifestPath).Body), &manifest); err != nil || !manifest.TransactionTime.Equal(a.At) || len(manifest.Output) != 3 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	type resource struct {
		ResourceType, ID, Status string
		Start, End               time.Time
		Schedule                 struct{ Reference string }
		Actor                    []struct{ Reference string }
		Extension                []struct {
			URL          string
			ValueInteger int
			ValueURL     string `json:"valueUrl"`
		}
	}
	known, free := map[string]bool{}, 0
	for _, out := range manifest.Output {
		path, ok := strings.CutPrefix(out.URL, b.s.BaseURL)
		if !ok {
			t.Errorf("%s is not our address", out.URL)
		}
		for line := range strings.Lines(app.Get(path).Body) {
			var r resource
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.ResourceType != out.Type || r.ID == "" || known[r.ResourceType+"/"+r.ID] {
				t.Fatalf("%s: %s (%v)", out.URL, line, err)
			}
			known[r.ResourceType+"/"+r.ID] = true
			switch r.ResourceType {
			case "Schedule":
				if len(r.Actor) != 1 || !known[r.Actor[0].Reference] {
					t.Errorf("a schedule of nobody: %s", line)
				}
			case "Slot":
				if !known[r.Schedule.Reference] || r.Status != "free" || !r.End.After(r.Start) || len(r.Extension) != 3 {
					t.Errorf("slot: %s", line)
				}
				free += r.Extension[0].ValueInteger
			}
		}
	}
	if free != a.Free() || free == 0 {
		t.Errorf("the slots tell %d free, the picture %d", free, a.Free())
	}
}

// What somebody takes is seen with the next picture.
func TestFeedFollowsBookings(t *testing.T) {
	t.Parallel()
	b, list := small(t)
	_, err := b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	app := b.app()
	before := app.Get("/api/v1/availability")
	b.book(b.person(), list[0])
	b.at(b.now().Add(time.Second))
	_, err = b.s.RefreshAvailability(b.ctx)
	b.ok(err)
	got := app.Do(http.MethodGet, "/api/v1/availability", "", nil, map[string]string{"If-None-Match": before.Header.Get("ETag")})
	var out AvailabilityOut
	if err := json.Unmarshal([]byte(got.Body), &out); got.Status != http.StatusOK || err != nil || !out.At.Equal(b.now()) {
		t.Errorf("%d %s %v", got.Status, got.Body, err)
	}
}
