package booking

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"impfportal/internal/await"
)

// Whoever asks while a look is under way waits for the next one, together with all
// others who do; and nobody keeps an answer for later.
func TestSharedLooksAreNewAndFew(t *testing.T) {
	t.Parallel()
	var (
		s     shared[int64]
		begun atomic.Int64
		gate  = make(chan struct{})
		wg    sync.WaitGroup
	)
	look := func(context.Context) (int64, error) {
		n := begun.Add(1)
		<-gate
		return n, nil
	}
	ask := func(want int64) {
		wg.Go(func() {
			if n, err := s.ask(t.Context(), "a", look); err != nil || n != want {
				t.Errorf("look %d, %v; want look %d", n, err, want)
			}
		})
	}
	ask(1)
	await.True(t, "the first look begins", func() bool { return begun.Load() == 1 })
	waiting := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.keys["a"].next != nil && s.keys["a"].next.n == 50
	}
	for range 50 {
		ask(2)
	}
	await.True(t, "the others wait for the second look", waiting)
	if n, err := (&shared[int64]{}).ask(t.Context(), "a", func(context.Context) (int64, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("asked alone: %d, %v", n, err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.ask(stopped, "a", look); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait any more: %v", err)
	}
	close(gate)
	wg.Wait()
	await.True(t, "nothing is kept", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.keys) == 0
	})
	if n, err := s.ask(t.Context(), "a", look); err != nil || n <= 2 {
		t.Errorf("asked later: look %d, %v", n, err)
	}
}
