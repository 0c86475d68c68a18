package waitingroom

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/pg"
)

// The answer to a batch of joins is lost, and then Redis starts from its disk:
// the numbers lie in a gap now, so those who wait get others, with a place of
// their own in the draw.
func TestLostAnswerAndARebuild(t *testing.T) {
	t.Parallel()
	f := setupDraw(t, 1)
	ctx := context.Background()
	f.plan(t, NoBeacon)
	s := f.replicas[0]
	drawn := f.joins(t, 5)
	f.refresh(t)
	v := s.rooms.Load().views[room]
	// Redis gives the numbers out and this replica never hears of it.
	twin := f.replica()
	twin.replica = s.replica
	if err := twin.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	lost, _, err := twin.numbers(ctx, twin.rooms.Load().views[room], InLine, v.joining.seq+1, 50)
	if err != nil {
		t.Fatal(err)
	}
	f.rdb.Del(ctx, v.key("here")) // which does not survive a start from disk
	drawn = append(drawn, f.joins(t, 2)...)
	for _, d := range drawn {
		if d.Index >= lost && d.Index < lost+50 {
			t.Errorf("number %d was lost", d.Index)
		}
	}
	f.shift.Add(int64(11 * time.Minute))
	f.until(t, Open)
	f.drawnRight(t, drawn, nil)
}

// Who waited for a room's row reads all of the room as it is then.
func TestRoomIsReadAfterItsLock(t *testing.T) {
	t.Parallel()
	f := setup(t, 1)
	ctx := context.Background()
	for _, lock := range []roomLock{lockNewLines, lockLine, lockSetting, lockBoth} {
		holder, err := f.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		before, err := readRoom(ctx, holder, room, lockBoth)
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			r   Room
			err error
		}
		got := make(chan result)
		go func() {
			var out result
			out.err = pg.InTx(ctx, f.pool, func(tx pgx.Tx) error {
				out.r, out.err = readRoom(ctx, tx, room, lock)
				return out.err
			})
			got <- out
		}()
		waiting := func() (n int, err error) {
			err = f.pool.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`).Scan(&n)
			return n, err
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if n, err := waiting(); err != nil || time.Now().After(end) {
				t.Fatal("nobody waits for the lock", err)
			} else if n > 0 {
				break
			}
		}
		for _, sql := range []string{
			`UPDATE waitingroom.room SET version = version + 1 WHERE id = $1`,
			`UPDATE waitingroom.line SET generation = generation + 1, epoch = epoch + 1 WHERE room_id = $1`,
		} {
			if _, err := holder.Exec(ctx, sql, room); err != nil {
				t.Fatal(err)
			}
		}
		if err := holder.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		out := <-got
		if out.err != nil || out.r.Version != before.Version+1 || out.r.Epoch != before.Epoch+1 {
			t.Errorf("%s: version %d after %d, epoch %d after %d, %v", lock, out.r.Version, before.Version, out.r.Epoch, before.Epoch, out.err)
		}
	}
}
