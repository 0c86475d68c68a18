package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// drillRegistrations lets tens of thousands register end to end over HTTP: in
// line, validated, encrypted, told. Some come twice. Afterwards everybody is there
// once, nobody shares a case number, and the login data that were shown open the
// portal.
func drillRegistrations(ctx context.Context, r *Report) (err error) {
	people := 5000
	if full() {
		people = 50_000
	}
	const perPass, everyTwice, everyLogin = 10, 5, 100
	p, err := startPortal(ctx, portalOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	var before int
	if err := p.env.Pool.QueryRow(ctx, `SELECT count(*) FROM citizen.person`).Scan(&before); err != nil {
		return err
	}
	type login struct {
		CaseNumber string `json:"case_number"`
		Secret     string `json:"secret"`
	}
	var (
		mu     sync.Mutex
		told   = make([]login, 0, people)
		twice  int
		client = newClient(64)
	)
	defer client.CloseIdleConnections()
	began := time.Now()
	err = together(ctx, people/perPass, 32, func(ctx context.Context, i int) error {
		b := newBrowser(p.addr, client)
		if err := b.pass(ctx, room); err != nil {
			return err
		}
		first := registration(p.env.Now())
		for n := range perPass {
			body := first
			if n > 0 {
				body = registration(p.env.Now())
			}
			again := n == perPass-1 && i%everyTwice == 0
			if again { // the person of the beginning once more
				body = first
			}
			var l login
			if err := b.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/registrations", body, &l); err != nil {
				return err
			}
			mu.Lock()
			told = append(told, l)
			if again {
				twice++
			}
			mu.Unlock()
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	r.add(Figure{Name: "citizen.registrations", Value: float64(len(told)) / took.Seconds(), Unit: "registrations/s, in line and registered"})

	var rows, numbers, toTell, checks int
	if err := p.env.Pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM citizen.person) - $1, (SELECT count(DISTINCT case_number) FROM citizen.login),
		(SELECT count(*) FROM jobs.outbox WHERE kind LIKE 'citizen.%'), (SELECT count(*) FROM citizen.person WHERE state = 'check')`, before).
		Scan(&rows, &numbers, &toTell, &checks); err != nil {
		return err
	}
	r.note("%d registered in %v, %d of them a second time; %d stand to be clarified, %d tasks to tell them", len(told), took.Round(time.Second), twice, checks, toTell)
	r.promise(rows == len(told), "%d answers, %d rows", len(told), rows)
	r.promise(checks >= twice, "%d came twice, %d were noticed", twice, checks)
	r.promise(toTell >= rows-twice, "%d people, %d tasks to tell them", rows-twice, toTell)
	seen := map[string]bool{}
	for _, l := range told {
		r.promise(!seen[l.CaseNumber], "case number %s was given twice", l.CaseNumber)
		seen[l.CaseNumber] = true
	}
	r.promise(numbers >= len(seen), "%d case numbers, %d in the database", len(seen), numbers)
	tried := 0
	for i := 0; i < len(told); i += everyLogin {
		body, err := json.Marshal(told[i])
		if err != nil {
			return err
		}
		b := newBrowser(p.addr, client)
		if err := b.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/sessions", string(body), nil); err != nil {
			return fmt.Errorf("login of one in %d: %w", everyLogin, err)
		}
		tried++
	}
	r.note("%d of them logged in with what they were shown", tried)
	return nil
}
