package topology

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// Front is the network between one portal and a server: an address that can be
// cut, mended and pointed elsewhere, as an address that moves with a failover is.
type Front struct {
	Addr string

	mu     sync.Mutex
	target string
	open   chan struct{} // closed = bytes pass
	conns  map[net.Conn]struct{}
}

// NewFront returns an address that leads to target, host:port or a socket's path.
func NewFront(t testing.TB, target string) *Front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{Addr: l.Addr().String(), target: target, open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(f.open)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		f.Mend()
		f.drop()
	})
	return f
}

// URL is the address as the portal takes it.
func (f *Front) URL() string { return "redis://" + f.Addr + "/0" }

// Cut lets nothing pass any more: connections stay open and silent, and what is
// sent meanwhile arrives after Mend, as it does when packets were lost.
func (f *Front) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.open:
		f.open = make(chan struct{})
	default:
	}
}

// Mend undoes Cut.
func (f *Front) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.open:
	default:
		close(f.open)
	}
}

// Point leads new connections to another server, and ends the others.
func (f *Front) Point(target string) {
	f.mu.Lock()
	f.target = target
	f.mu.Unlock()
	f.drop()
}

func (f *Front) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}

// passes waits until the network lets bytes through.
func (f *Front) passes() {
	for {
		f.mu.Lock()
		open := f.open
		f.mu.Unlock()
		<-open
		f.mu.Lock()
		same := open == f.open
		f.mu.Unlock()
		if same {
			return
		}
	}
}

func (f *Front) note(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = struct{}{}
}

func (f *Front) forget(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
	_ = c.Close()
}

func (f *Front) serve(in net.Conn) {
	f.note(in)
	defer f.forget(in)
	f.passes()
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	network := "tcp"
	if strings.HasPrefix(target, "/") {
		network = "unix"
	}
	out, err := net.Dial(network, target)
	if err != nil {
		return
	}
	f.note(out)
	defer f.forget(out)
	var wg sync.WaitGroup
	pipe := func(dst, src net.Conn) {
		defer func() { _ = dst.Close(); _ = src.Close() }()
		buf := make([]byte, 16<<10)
		for {
			n, err := src.Read(buf)
			f.passes()
			if n > 0 {
				if _, err := dst.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	wg.Go(func() { pipe(out, in) })
	wg.Go(func() { pipe(in, out) })
	wg.Wait()
}
