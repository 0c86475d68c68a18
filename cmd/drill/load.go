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
	"time"
)

// clients is the number of connections of every load and of its yardstick.
const clients = 16

// callTimeout is how long any caller waits for an answer.
const callTimeout = 30 * time.Second

// caller is one keep-alive connection. It writes a prepared request and reads
// the answer with as little work as can be, because the load shares two cores
// with what is measured.
type caller struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
	used time.Time // when it was last used, as far as somebody asks
}

func dial(addr string) (*caller, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends req and returns status and body; the body is valid until the next call.
func (c *caller) do(req []byte) (status int, body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(req); err != nil {
		return 0, nil, err
	}
	status, length, err := readHead(c.r)
	if err != nil {
		return 0, nil, err
	}
	if cap(c.buf) < length {
		c.buf = make([]byte, length)
	}
	body = c.buf[:length]
	_, err = io.ReadFull(c.r, body)
	return status, body, err
}

// maxAnswer is more than any answer that a load asks for, in bytes.
const maxAnswer = 8 << 20

// readHead reads an answer's head and returns its status and the length of its
// body. An answer without a length is an error: the portal always says it.
func readHead(r *bufio.Reader) (status, length int, err error) {
	return readHeaders(r, func(_, _ []byte) {})
}

// readHeaders is readHead that shows every header; name and value are valid
// during the call.
func readHeaders(r *bufio.Reader, each func(name, value []byte)) (status, length int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("answer begins with %.40q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, fmt.Errorf("answer begins with %.40q", line)
	}
	length = -1
	if status == http.StatusNoContent || status == http.StatusNotModified {
		length = 0
	}
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		if bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, 0, err
			}
		}
		each(name, value)
	}
	if length < 0 || length > maxAnswer {
		return 0, 0, fmt.Errorf("answer %d has a body of unknown or absurd length", status)
	}
	return status, length, nil
}

// request writes an HTTP request once, to be sent many times. headers are
// names and values in turn.
func request(method, path, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: portal\r\n", method, path)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != "" {
		b.WriteString("Content-Type: application/json\r\n")
	}
	if body != "" || method != http.MethodGet {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// errDone ends one connection of a load before its time: there is no work left.
var errDone = errors.New("no work left")

// load runs call on n connections for d and returns calls a second.
func load(ctx context.Context, addr string, n int, d time.Duration, call func(c *caller, conn int) error) (float64, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var (
		calls atomic.Int64
		wg    sync.WaitGroup
		mu    sync.Mutex
		bad   error
	)
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			c, err := dial(addr)
			if err == nil {
				defer c.conn.Close()
				for ctx.Err() == nil && err == nil {
					if err = call(c, i); err == nil {
						calls.Add(1)
					}
				}
			}
			if err != nil && !errors.Is(err, errDone) {
				mu.Lock()
				defer mu.Unlock()
				if bad == nil {
					bad = err
				}
				cancel()
			}
		})
	}
	wg.Wait()
	rate := float64(calls.Load()) / time.Since(start).Seconds()
	return rate, errors.Join(bad, outer.Err())
}

// times lets call be called n times in all, then ends the load.
func times(n int64, call func(c *caller, conn int) error) func(*caller, int) error {
	var made atomic.Int64
	return func(c *caller, conn int) error {
		if made.Add(1) > n {
			return errDone
		}
		return call(c, conn)
	}
}

// always sends the same request and wants the same status.
func always(req []byte, want int) func(*caller, int) error {
	return func(c *caller, _ int) error { return expect(c, req, want) }
}

// expect sends req and wants one status.
func expect(c *caller, req []byte, want int) error {
	status, body, err := c.do(req)
	if err == nil && status != want {
		err = fmt.Errorf("status %d, want %d: %.200q", status, want, body)
	}
	return err
}
