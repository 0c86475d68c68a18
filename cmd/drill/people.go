package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"impfportal/waitingroom"

	"impfportal/citizen"
	"impfportal/internal/web"
)

// oldestGroup is the group of those who are 80 and over, open from the start.
const oldestGroup = "s2-age"

var syllables = []string{"ba", "del", "fin", "gor", "hal", "ke", "lan", "mir", "nos", "pel", "rin", "sal", "tor", "wen", "zim", "auer", "bach", "mann"}

// randomName makes up a name; two people hardly ever get the same two.
func randomName() string {
	var n strings.Builder
	for range 3 {
		n.WriteString(syllables[rand.IntN(len(syllables))])
	}
	return strings.ToUpper(n.String()[:1]) + n.String()[1:]
}

// randomBirth makes up a birth date of somebody well over 80.
func randomBirth(now time.Time) string {
	return fmt.Sprintf("%d-%02d-%02d", now.Year()-100+rand.IntN(18), 1+rand.IntN(12), 1+rand.IntN(28))
}

// registration is the body of one made-up person.
func registration(now time.Time) string {
	return fmt.Sprintf(`{"programme":"covid-19","group":%q,"proof_ready":true,"family_name":%q,"given_name":%q,"birth":%q,"sex":"female",`+
		`"address":{"street":"Musterweg %d","postcode":"04103","city":"Leipzig"},"email":"drill%d@example.org"}`,
		oldestGroup, randomName(), randomName(), randomBirth(now), 1+rand.IntN(99), rand.IntN(1e9))
}

// browser is a virtual citizen's browser: cookies and a connection pool that it
// shares with others.
type browser struct {
	addr   string
	client string // address of the citizen, as a proxy would tell it; "" = this machine's
	http   *http.Client
	jar    map[string]string
}

// browsers counts them: everybody has an address of their own.
var browsers atomic.Int64

// newClient is the connection pool of many browsers. It opens no more than conns
// connections and no more than the process may: portal and drill are one.
func newClient(conns int) *http.Client {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		conns = min(conns, max(16, int(min(files.Cur, 1<<20)-500)/2)) //nolint:gosec // bounded
	}
	return &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxConnsPerHost: conns, MaxIdleConns: conns, MaxIdleConnsPerHost: conns, IdleConnTimeout: 20 * time.Second},
	}
}

func newBrowser(addr string, client *http.Client) *browser {
	return &browser{
		addr: addr, client: clientAddress(int(browsers.Add(1))), http: client,
		jar: map[string]string{keyCookie: waitingroom.NewKey()},
	} // as whoever has seen the waiting page
}

// cookies is the header as it would be sent.
func (b *browser) cookies() string {
	all := make([]string, 0, len(b.jar))
	for k, v := range b.jar {
		all = append(all, k+"="+v)
	}
	return strings.Join(all, "; ")
}

// call sends JSON (body "" = none) and keeps the cookies that come back.
func (b *browser) call(ctx context.Context, method, path, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if len(b.jar) > 0 {
		req.Header.Set("Cookie", b.cookies())
	}
	if b.client != "" {
		req.Header.Set("X-Real-IP", b.client)
	}
	res, err := b.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	for _, ck := range res.Cookies() {
		if ck.MaxAge < 0 || ck.Value == "" {
			delete(b.jar, ck.Name)
			continue
		}
		b.jar[ck.Name] = ck.Value
	}
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// want is call that accepts one status only and reads the answer into out.
func (b *browser) want(ctx context.Context, status int, method, path, body string, out any) error {
	got, answer, err := b.call(ctx, method, path, body)
	if err != nil {
		return err
	}
	if got != status {
		return fmt.Errorf("%s %s: status %d, want %d: %.200q", method, path, got, status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// pass takes a place in the line of a room and enters as soon as it may.
func (b *browser) pass(ctx context.Context, room string) error {
	if err := b.want(ctx, http.StatusOK, http.MethodPost, "/api/v1/rooms/"+room+"/join", "", nil); err != nil {
		return err
	}
	for {
		var door struct{ Verdict string }
		if err := b.want(ctx, http.StatusOK, http.MethodPost, "/api/v1/rooms/"+room+"/enter", "", &door); err != nil {
			return err
		}
		if door.Verdict == "in" {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// register registers a made-up person over HTTP and gives the browser a session
// of it. The login itself is left out: so many from one network are refused.
func (b *browser) register(ctx context.Context, p *portal) error {
	now := p.env.Now()
	var login struct {
		CaseNumber string `json:"case_number"`
	}
	if err := b.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/registrations", registration(now), &login); err != nil {
		return err
	}
	number, err := citizen.ParseCaseNumber(login.CaseNumber)
	if err != nil {
		return err
	}
	var personID string
	if err := p.env.Pool.QueryRow(ctx, `SELECT person_id::text FROM citizen.login WHERE case_number = $1`, number).Scan(&personID); err != nil {
		return err
	}
	user := web.User{Kind: citizen.SessionKind, ID: personID, Roles: []web.Role{web.RoleCitizen}}
	b.jar["sid"], err = p.env.NewSession(ctx, user, citizen.SessionTTL)
	return err
}

// book brings somebody who is nobody yet to where appointments are held.
func (b *browser) book(ctx context.Context, p *portal) error {
	if err := b.pass(ctx, room); err != nil {
		return err
	}
	if err := b.register(ctx, p); err != nil {
		return err
	}
	return b.pass(ctx, bookingRoom)
}

// together calls fn for 0 to n-1, several at once, until all are done or one fails.
func together(ctx context.Context, n, atOnce int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		next atomic.Int64
	)
	for range min(n, atOnce) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// passes lets n browsers in and returns their cookie headers.
func passes(ctx context.Context, p *portal, n int) ([]string, error) {
	return crowd(ctx, p, n, func(ctx context.Context, b *browser) error { return b.pass(ctx, room) })
}

// bookers lets n people in, registers each and logs each in, and lets them in to
// book; it returns the cookie header of each.
func bookers(ctx context.Context, p *portal, n int) ([]string, error) {
	return crowd(ctx, p, n, func(ctx context.Context, b *browser) error {
		return b.book(ctx, p)
	})
}

func crowd(ctx context.Context, p *portal, n int, do func(context.Context, *browser) error) ([]string, error) {
	out := make([]string, n)
	client := newClient(64)
	defer client.CloseIdleConnections()
	err := together(ctx, n, 32, func(ctx context.Context, i int) error {
		b := newBrowser(p.addr, client)
		err := do(ctx, b)
		out[i] = b.cookies()
		return err
	})
	return out, err
}
