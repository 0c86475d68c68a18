package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// balancer stands in front of the replicas as nginx does: it picks a living
// one, keeps connections open, takes another one when a connection is refused,
// and repeats what is safe to repeat. It tells the portal the client's address.
type balancer struct {
	upstreams []*upstream
	next      atomic.Uint32
	retried   atomic.Int64 // requests that another replica answered
	cut       atomic.Int64 // requests that were lost with a replica and not safe to repeat
}

// upstream is one replica as the balancer sees it.
type upstream struct {
	addr  atomic.Pointer[string]
	down  atomic.Int64  // not asked before this moment, unix nanoseconds
	slots chan struct{} // one for each open connection

	mu   sync.Mutex
	idle []*caller // the last used last
}

const (
	// maxConns is how many connections a replica gets at most: enough for all
	// requests that a stopped Redis holds up.
	maxConns = 4000
	// fresh is how long a connection that was used is taken to be open.
	fresh = 20 * time.Millisecond
	// downFor is how long a replica that refused is not asked again.
	downFor = time.Second
)

func newUpstream(addr string) *upstream {
	u := &upstream{slots: make(chan struct{}, min(maxConns, openFiles()/4))}
	u.addr.Store(&addr)
	return u
}

// openFiles is how many this process may have.
func openFiles() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 1024
	}
	return int(min(files.Cur, 1<<20)) //nolint:gosec // bounded
}

// moved says where the replica is now.
func (u *upstream) moved(addr string) {
	u.addr.Store(&addr)
	u.closeIdle()
	u.down.Store(0)
}

// failed notes that the replica does not answer.
func (u *upstream) failed() {
	u.down.Store(time.Now().Add(downFor).UnixNano())
	u.closeIdle()
}

func (u *upstream) closeIdle() {
	u.mu.Lock()
	idle := u.idle
	u.idle = nil
	u.mu.Unlock()
	for _, c := range idle {
		c.conn.Close()
	}
}

// take returns an open connection. The caller holds a slot until put or drop.
func (u *upstream) take(ctx context.Context) (*caller, error) {
	select {
	case u.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		u.mu.Lock()
		var c *caller
		if n := len(u.idle); n > 0 {
			c, u.idle = u.idle[n-1], u.idle[:n-1]
		}
		u.mu.Unlock()
		if c == nil {
			break
		}
		if time.Since(c.used) < fresh || c.alive() {
			return c, nil
		}
		c.conn.Close()
	}
	conn, err := net.DialTimeout("tcp", *u.addr.Load(), 5*time.Second)
	if err != nil {
		<-u.slots
		return nil, err
	}
	// Small: there may be thousands of connections.
	return &caller{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}, nil
}

func (u *upstream) put(c *caller) {
	c.used = time.Now()
	u.mu.Lock()
	u.idle = append(u.idle, c)
	u.mu.Unlock()
	<-u.slots
}

func (u *upstream) drop(c *caller) {
	c.conn.Close()
	<-u.slots
}

// alive reports whether the other side has not hung up meanwhile, as a proxy
// knows of its idle connections.
func (c *caller) alive() bool {
	sc, ok := c.conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT) //nolint:gosec // a file descriptor
		alive = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && alive
}

// exchange is one request and what came back. It may be used again.
type exchange struct {
	method, path string
	body         string
	client       string // address of the citizen
	etag         string // of what the browser has; then that of the answer
	jar          *jar   // nil = no cookies
	accept       string

	status     int
	answer     []byte // a copy
	retryAfter int    // seconds, 0 = not said

	buf []byte
}

// errCut says that a replica died while it had the request: a proxy answers
// that with 502.
var errCut = errors.New("the portal hung up before it answered")

// do sends the request to a replica that lives.
func (b *balancer) do(ctx context.Context, x *exchange) error {
	repeat := x.method == http.MethodGet
	var last error
	for range 2 * len(b.upstreams) {
		u := b.pick()
		c, err := u.take(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // nobody is there: another one may be
			u.failed()
			b.retried.Add(1)
			last = err
			continue
		}
		err = c.exchange(x)
		if err == nil {
			u.put(c)
			return nil
		}
		u.drop(c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.failed()
		if !repeat {
			b.cut.Add(1)
			return fmt.Errorf("%w: %w", errCut, err)
		}
		b.retried.Add(1)
		last = err
	}
	return fmt.Errorf("no replica answers: %w", last)
}

// pick returns the next replica in turn that is not known to be down, or the
// next one when all are.
func (b *balancer) pick() *upstream {
	now := time.Now().UnixNano()
	n := len(b.upstreams)
	first := int(b.next.Add(1))
	for i := range n {
		if u := b.upstreams[(first+i)%n]; u.down.Load() <= now {
			return u
		}
	}
	return b.upstreams[first%n]
}

// exchange writes x and reads its answer.
func (c *caller) exchange(x *exchange) error {
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	x.buf = x.write(x.buf[:0])
	if _, err := c.conn.Write(x.buf); err != nil {
		return err
	}
	etag := ""
	x.retryAfter = 0
	status, length, err := readHeaders(c.r, func(name, value []byte) {
		switch {
		case bytes.EqualFold(name, []byte("set-cookie")):
			if x.jar != nil {
				x.jar.set(value)
			}
		case bytes.EqualFold(name, []byte("etag")):
			if string(value) == x.etag {
				etag = x.etag
			} else {
				etag = string(value)
			}
		case bytes.EqualFold(name, []byte("retry-after")):
			x.retryAfter, _ = strconv.Atoi(string(value))
		}
	})
	if err != nil {
		return err
	}
	if cap(x.answer) < length {
		x.answer = make([]byte, length)
	}
	x.status, x.answer, x.etag = status, x.answer[:length], etag
	_, err = io.ReadFull(c.r, x.answer)
	return err
}

func (x *exchange) write(b []byte) []byte {
	b = append(b, x.method...)
	b = append(b, ' ')
	b = append(b, x.path...)
	b = append(b, " HTTP/1.1\r\nHost: portal\r\nX-Real-IP: "...)
	b = append(b, x.client...)
	b = append(b, "\r\n"...)
	if x.accept != "" {
		b = append(b, "Accept: "...)
		b = append(b, x.accept...)
		b = append(b, "\r\n"...)
	}
	if x.etag != "" {
		b = append(b, "If-None-Match: "...)
		b = append(b, x.etag...)
		b = append(b, "\r\n"...)
	}
	if x.jar != nil && len(*x.jar) > 0 {
		b = append(b, "Cookie: "...)
		for i, ck := range *x.jar {
			if i > 0 {
				b = append(b, "; "...)
			}
			b = append(b, ck.name...)
			b = append(b, '=')
			b = append(b, ck.value...)
		}
		b = append(b, "\r\n"...)
	}
	if x.body != "" {
		b = append(b, "Content-Type: application/json\r\n"...)
	}
	if x.method != http.MethodGet {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(x.body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, x.body...)
}

// jar are the cookies of a browser, as small as can be: there are 100,000.
type jar []cookie

type cookie struct{ name, value string }

// set takes a Set-Cookie header over.
func (j *jar) set(header []byte) {
	pair, rest, _ := bytes.Cut(header, []byte(";"))
	name, value, ok := bytes.Cut(pair, []byte("="))
	if !ok {
		return
	}
	gone := len(value) == 0 || bytes.Contains(bytes.ToLower(rest), []byte("max-age=-")) || bytes.Contains(bytes.ToLower(rest), []byte("max-age=0"))
	for i := range *j {
		if (*j)[i].name != string(name) {
			continue
		}
		if gone {
			*j = append((*j)[:i], (*j)[i+1:]...)
		} else {
			(*j)[i].value = string(value)
		}
		return
	}
	if !gone {
		*j = append(*j, cookie{known(string(name)), string(value)})
	}
}

// known spares a copy of each name that all have.
func known(name string) string {
	for _, k := range []string{keyCookie, ticketCookie, passCookie} {
		if name == k {
			return k
		}
	}
	return name
}

// only returns a copy with nothing but the named cookies.
func (j jar) only(names ...string) jar {
	var out jar
	for _, ck := range j {
		for _, n := range names {
			if ck.name == n {
				out = append(out, ck)
			}
		}
	}
	return out
}
