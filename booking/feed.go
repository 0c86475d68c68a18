package booking

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"impfportal/internal/clock"
	"impfportal/internal/web"
)

// feed is the public picture as files: what everybody may fetch as often as they
// like. It follows from the picture that [Service.RefreshAvailability] takes every
// second; a request costs no query. A file keeps its bytes and its ETag as long as
// what it tells stays the same.
type feed struct {
	at        time.Time // of the last change
	available *web.Public
	manifest  *web.Public
	files     map[string]*web.Public // by the last part of their address
}

// The files of SMART Scheduling Links
// (https://github.com/smart-on-fhir/smart-scheduling-links, specification.md):
// bulk publication of FHIR R4 resources as NDJSON.
const (
	smartPath     = "/smart-scheduling/"
	manifestPath  = smartPath + "$bulk-publish"
	locationsFile = "locations.ndjson"
	schedulesFile = "schedules.ndjson"
	slotsFile     = "slots.ndjson"

	ndjsonType   = "application/fhir+ndjson"
	smartProfile = "http://fhir-registry.smarthealthit.org/StructureDefinition/"
	// feedCache lets a cache serve a second's picture to everybody of that second.
	feedCache = "public, max-age=1"
)

// feedRoutes are for everybody; who is logged in is not looked at.
func (s *Service) feedRoutes() []web.Route {
	routes := []web.Route{
		{
			Method: http.MethodGet, Path: "/api/v1/availability", Anonymous: true,
			API: web.Published[AvailabilityOut]("Free appointments by centre, as of the last second; with ETag", func(ctx context.Context) (*web.Public, error) {
				f, err := s.feed(ctx)
				if err != nil {
					return nil, err
				}
				return f.available, nil
			}),
		},
		{Method: http.MethodGet, Path: manifestPath, Anonymous: true, Handle: func(c *web.Ctx) error {
			f, err := s.feed(c.Std())
			if err != nil {
				return err
			}
			return f.manifest.Serve(c.Ctx)
		}},
	}
	for _, name := range []string{locationsFile, schedulesFile, slotsFile} {
		routes = append(routes, web.Route{Method: http.MethodGet, Path: smartPath + name, Anonymous: true, Handle: func(c *web.Ctx) error {
			f, err := s.feed(c.Std())
			if err != nil {
				return err
			}
			return f.files[name].Serve(c.Ctx)
		}})
	}
	return routes
}

// feed returns the files of the last picture; the first call takes one.
func (s *Service) feed(ctx context.Context) (*feed, error) {
	if f := s.published.Load(); f != nil {
		return f, nil
	}
	if _, err := s.RefreshAvailability(ctx); err != nil {
		return nil, err
	}
	return s.published.Load(), nil
}

// publish makes the files of a picture, unless they tell the same as before.
func (s *Service) publish(a *Availability) error {
	out := availabilityOut(a)
	old := s.published.Load()
	if old != nil {
		out.At = old.at
		same, err := json.Marshal(out)
		if err != nil {
			return err
		}
		if bytes.Equal(same, old.available.Body()) {
			return nil
		}
		out.At = a.At
	}
	body, err := json.Marshal(out)
	if err != nil {
		return err
	}
	f := &feed{at: a.At, available: web.NewPublic("application/json", feedCache, body), files: map[string]*web.Public{}}
	type entry struct {
		Type string `json:"type"`
		URL  string `json:"url"`
	}
	manifest := struct {
		At      time.Time `json:"transactionTime"`
		Request string    `json:"request"`
		Output  []entry   `json:"output"`
	}{a.At, s.BaseURL + manifestPath, []entry{}}
	for _, file := range []struct {
		kind, name string
		resources  []any
	}{{"Location", locationsFile, s.locations(a)}, {"Schedule", schedulesFile, schedules(a)}, {"Slot", slotsFile, s.slots(a)}} {
		var b bytes.Buffer
		lines := json.NewEncoder(&b)
		lines.SetEscapeHTML(false)
		for _, r := range file.resources {
			if err := lines.Encode(r); err != nil { // ends each with a line break
				return err
			}
		}
		f.files[file.name] = web.NewPublic(ndjsonType, feedCache, b.Bytes())
		manifest.Output = append(manifest.Output, entry{file.kind, s.BaseURL + smartPath + file.name})
	}
	if body, err = json.Marshal(manifest); err != nil {
		return err
	}
	f.manifest = web.NewPublic("application/json", feedCache, body)
	s.published.Store(f)
	return nil
}

type object = map[string]any

// locations are the centres as FHIR Locations.
func (s *Service) locations(a *Availability) (out []any) {
	for _, c := range a.Centres {
		out = append(out, object{
			"resourceType": "Location", "id": c.ID, "name": c.Name,
			"telecom": []object{{"system": "phone", "value": s.Hotline}, {"system": "url", "value": s.BaseURL + "/appointments/at/" + c.ID}},
			"address": object{
				"line": []string{c.Street}, "city": c.City, "state": "SN", "postalCode": c.Postcode, "country": "DE",
			},
			"position": object{"longitude": c.Lon, "latitude": c.Lat},
		})
	}
	return out
}

// cvx are the codes of vaccines in the code set that the specification names
// (CDC, Vaccines Administered, CVX). A product without one is not named.
var cvx = map[string]string{"comirnaty": "208", "spikevax": "207", "vaxzevria": "210", "janssen": "212", "nuvaxovid": "211"}

func scheduleID(centreID, productID string) string { return centreID + "-" + productID }

// schedules are what of each product there is at each centre.
func schedules(a *Availability) (out []any) {
	for _, c := range a.Centres {
		for _, p := range c.Products {
			service := []object{{"system": "http://terminology.hl7.org/CodeSystem/service-type", "code": "57", "display": "Immunization"}}
			schedule := object{
				"resourceType": "Schedule", "id": scheduleID(c.ID, p.ProductID),
				"actor": []object{{"reference": "Location/" + c.ID}},
			}
			if code := cvx[p.ProductID]; code != "" {
				service = append(service, object{
					"system": "http://fhir-registry.smarthealthit.org/CodeSystem/service-type", "code": "covid19-immunization", "display": "COVID-19 Immunization Appointment",
				})
				schedule["extension"] = []object{{
					"url": smartProfile + "vaccine-product", "valueCoding": object{"system": "http://hl7.org/fhir/sid/cvx", "code": code, "display": p.ProductID},
				}}
			}
			schedule["serviceType"] = []object{{"coding": service}}
			out = append(out, schedule)
		}
	}
	return out
}

// slots are days with free series, coarse as the specification allows: the
// capacity extension tells how many.
func (s *Service) slots(a *Availability) (out []any) {
	for _, c := range a.Centres {
		for _, p := range c.Products {
			days := slices.SortedFunc(slices.Values(p.Days), func(x, y DayAvailability) int { return x.Day.Compare(y.Day) })
			for _, d := range days {
				day := d.Day.Format(time.DateOnly)
				out = append(out, object{
					"resourceType": "Slot", "id": scheduleID(c.ID, p.ProductID) + "-" + day, "status": "free",
					"schedule": object{"reference": "Schedule/" + scheduleID(c.ID, p.ProductID)},
					"start":    clock.At(d.Day, 0, 0).Format(time.RFC3339), "end": clock.At(d.Day.AddDate(0, 0, 1), 0, 0).Format(time.RFC3339),
					"extension": []object{
						{"url": smartProfile + "slot-capacity", "valueInteger": d.Free},
						{"url": smartProfile + "booking-deep-link", "valueUrl": s.BaseURL + "/appointments/at/" + c.ID},
						{"url": smartProfile + "booking-phone", "valueString": s.Hotline},
					},
				})
			}
		}
	}
	return out
}
