package booking

import (
	"context"
	"sync"
	"time"
)

// sharedPatience bounds one look that is shared.
const sharedPatience = 10 * time.Second

// shared lets everybody who asks the same at the same moment share one answer:
// thousands are told within a second that the same place is gone. Every answer
// was looked for after the one who gets it had asked.
type shared[T any] struct {
	mu   sync.Mutex
	keys map[string]*sharing[T]
}

// sharing is the question of one key: it exists as long as somebody asks it.
type sharing[T any] struct {
	next *sharedLook[T] // not begun; nil = nobody waits for it
}

type sharedLook[T any] struct {
	n    int // how many wait for it, under mu
	look func(context.Context) (T, error)
	done chan struct{}
	got  T
	err  error
}

// ask returns what look finds, for this caller and for all who ask with the same
// key before it begins. The answer is everybody's: nobody changes it.
func (s *shared[T]) ask(ctx context.Context, key string, look func(context.Context) (T, error)) (T, error) {
	s.mu.Lock()
	if s.keys == nil {
		s.keys = map[string]*sharing[T]{}
	}
	k, under := s.keys[key]
	if !under {
		k = &sharing[T]{}
		s.keys[key] = k
	}
	if k.next == nil {
		k.next = &sharedLook[T]{look: look, done: make(chan struct{})}
	}
	l := k.next
	l.n++
	s.mu.Unlock()
	if !under {
		go s.run(key, k)
	}
	select {
	case <-l.done:
		return l.got, l.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// run looks again and again as long as somebody waits. It outlives the request
// that began it, because others wait for it too.
func (s *shared[T]) run(key string, k *sharing[T]) {
	for {
		s.mu.Lock()
		l := k.next
		k.next = nil
		if l == nil {
			delete(s.keys, key)
		}
		s.mu.Unlock()
		if l == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), sharedPatience)
		l.got, l.err = l.look(ctx)
		cancel()
		close(l.done)
	}
}
