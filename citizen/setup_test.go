package citizen

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"impfportal/internal/clock"
	"impfportal/internal/pg"
	"impfportal/internal/pg/pgtest"
	"impfportal/internal/redistest"
	"impfportal/internal/vault"
	"impfportal/internal/web"
	"impfportal/internal/web/webtest"
	"impfportal/notify"
	"impfportal/programme"
)

// bench is one portal's registration with a clock that the test moves.
type bench struct {
	*Service
	t        *testing.T
	pool     *pgxpool.Pool
	now      atomic.Pointer[time.Time]
	standing atomic.Pointer[map[string]bool]
}

var opening = clock.At(time.Date(2021, 1, 11, 0, 0, 0, 0, time.UTC), 14, 0)

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, pool: pgtest.New(t)}
	b.set(opening)
	now := func() time.Time { return *b.now.Load() }
	ctx := context.Background()
	if err := pg.InTx(ctx, b.pool, func(tx pgx.Tx) error { return programme.SeedDemo(ctx, tx, opening) }); err != nil {
		t.Fatal(err)
	}
	v := vault.ForTest()
	b.Service = New(Config{
		Pool: b.pool, Redis: redistest.New(t), Vault: v, Now: now,
		Notify: notify.New(notify.Config{Pool: b.pool, Vault: v, Now: now, Local: true, Sender: []string{"Impfportal", "Straße 1", "01067 Dresden"}}),
		Sender: []string{"Impfportal", "Straße 1", "01067 Dresden"}, Hotline: "0800 000 2021", BaseURL: "https://portal.test",
		Bookings: func(context.Context, pg.Querier, []string) (map[string]bool, error) {
			if m := b.standing.Load(); m != nil {
				return *m, nil
			}
			return nil, nil
		},
	})
	return b
}

func (b *bench) set(now time.Time)       { b.now.Store(&now) }
func (b *bench) books(m map[string]bool) { b.standing.Store(&m) }
func (b *bench) count(sql string, args ...any) int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// persons is the number of registrations in a state.
func (b *bench) persons(s State) int {
	return b.count(`SELECT count(*) FROM citizen.person WHERE state = $1`, string(s))
}

func erika() Registration {
	return Registration{
		ProgrammeID: "covid-19", GroupCode: "s2-age", ProofReady: true, FamilyName: "Müller", GivenName: "Erika",
		Birth: PartialDate{1938, 3, 14}, Sex: SexFemale, Phone: "0170 1234567", Email: "erika@example.org", Lang: "de",
	}
}

func (b *bench) register(in Registration) Registered {
	b.t.Helper()
	r, err := b.Register(context.Background(), in, SessionKind)
	if err != nil {
		b.t.Fatalf("register: %v", err)
	}
	return r
}

// work does what the worker would: every task once.
func (b *bench) work() {
	b.t.Helper()
	ctx := context.Background()
	rows, err := b.pool.Query(ctx, `SELECT kind, coalesce(payload->>'person_id', payload->>'request_id', '') FROM jobs.outbox WHERE kind LIKE 'citizen.%' ORDER BY id`)
	if err != nil {
		b.t.Fatal(err)
	}
	var kind, arg string
	var todo [][2]string
	if _, err := pgx.ForEachRow(rows, []any{&kind, &arg}, func() error { todo = append(todo, [2]string{kind, arg}); return nil }); err != nil {
		b.t.Fatal(err)
	}
	for _, task := range todo {
		switch task[0] {
		case registered.Name():
			err = b.confirmRegistration(ctx, registeredPayload{PersonID: task[1]})
		case lostLogin.Name():
			err = b.answerLost(ctx, task[1])
		}
		if err != nil {
			b.t.Fatalf("%s: %v", task[0], err)
		}
	}
}

type sent struct{ Kind, Channel, To, Text string }

// messages are all messages so far, opened.
func (b *bench) messages() (out []sent) {
	b.t.Helper()
	ctx := context.Background()
	rows, err := b.pool.Query(ctx, `SELECT id::text, key_id::text, kind, channel, sealed FROM notify.message ORDER BY id`)
	if err != nil {
		b.t.Fatal(err)
	}
	type row struct {
		ID, Key, Kind, Channel string
		Sealed                 []byte
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range list {
		key, err := b.Vault.Open(ctx, b.pool, m.Key)
		if errors.Is(err, vault.ErrDestroyed) {
			continue
		}
		if err != nil {
			b.t.Fatal(err)
		}
		var c struct {
			Email string `json:"email"`
			Phone string `json:"phone"`
			Text  string `json:"text"`
		}
		if err := key.UnsealJSON("notify.message "+m.ID, m.Sealed, &c); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, sent{m.Kind, m.Channel, c.Email + c.Phone, c.Text})
	}
	return out
}

func (b *bench) app(gate func(c *web.Ctx, group string) error) *webtest.App {
	return webtest.New(b.t, webtest.Config{Pool: b.pool, Now: b.Now, Routes: b.Routes(), Bundles: []web.Bundle{Assets}, Gate: gate})
}

// answersOf are the values of a browser that fills in the steps for in.
func fill(step int, changes ...string) []string {
	base := map[int][]string{
		stepGroup:   {"who", "self", "group", "covid-19/s2-age", "proof_ready", "1"},
		stepPerson:  {"family_name", "Müller", "given_name", "Erika", "birth_day", "14", "birth_month", "3", "birth_year", "1938", "sex", "female"},
		stepPrior:   {"prior", "none"},
		stepContact: {"phone", "0170 1234567", "email", "erika@example.org", "country", "DE", "lang", "de"},
	}[step]
	out := append([]string(nil), base...)
	for i := 0; i+1 < len(changes); i += 2 {
		found := false
		for j := 0; j < len(out); j += 2 {
			if out[j] == changes[i] {
				out[j+1], found = changes[i+1], true
			}
		}
		if !found {
			out = append(out, changes[i], changes[i+1])
		}
	}
	return out
}

// toStep walks a browser to a step and returns its path.
func toStep(t *testing.T, app *webtest.App, step int, person ...string) string {
	t.Helper()
	ans := app.PostForm("/register", fill(stepGroup)...)
	for at := stepPerson; ; at++ {
		if ans.Status != 303 || !strings.HasSuffix(ans.Location, fmt.Sprintf("/%d", at)) {
			t.Fatalf("to step %d: %d %s\n%s", at, ans.Status, ans.Location, ans.Body)
		}
		if at == step {
			return ans.Location
		}
		changes := person
		if at != stepPerson {
			changes = nil
		}
		ans = app.PostForm(ans.Location, fill(at, changes...)...)
	}
}
