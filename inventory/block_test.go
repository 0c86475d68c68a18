package inventory

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
)

func (b *bundle) giveAt(place Place, lotID string, at time.Time) error {
	return b.try(func(tx pgx.Tx) error {
		return b.s.GiveDose(b.ctx, tx, Give{Place: place, LotID: lotID, Ref: id.New(), Actor: "staff:x", At: at})
	})
}

func TestBlockedLot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leipzig, dresden := CentrePlace("leipzig"), CentrePlace("dresden")
	lot := b.receive(leipzig, "comirnaty", "EX9", day(2021, 6, 1), 4)
	b.receive(leipzig, "comirnaty", "EX10", day(2021, 7, 1), 2)
	before := b.now
	if err := b.giveAt(leipzig, lot, before); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	block := func(do blocking, why string) error {
		return b.try(func(tx pgx.Tx) error { return do(b.ctx, tx, lot, why, b.by) })
	}
	if err := block(b.s.BlockLot, " "); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a reason: %v", err)
	}
	if err := block(b.s.ReleaseLot, "nothing to release"); !errors.Is(err, ErrState) {
		t.Errorf("release of a free lot: %v", err)
	}
	if err := block(b.s.BlockLot, "recalled by the maker"); err != nil {
		t.Fatal(err)
	}
	if err := block(b.s.BlockLot, "again"); !errors.Is(err, ErrState) {
		t.Errorf("block twice: %v", err)
	}

	if err := b.giveAt(leipzig, lot, b.now); !errors.Is(err, ErrLotBlocked) {
		t.Errorf("give: %v", err)
	}
	if err := b.giveAt(leipzig, lot, before.Add(time.Minute)); err != nil {
		t.Errorf("a dose that was given before is recorded late: %v", err)
	}
	st, err := b.s.Doses(b.ctx, b.pool, leipzig, "comirnaty", b.now)
	if err != nil || st.Doses != 2*5 {
		t.Errorf("usable: %+v, %v", st, err)
	}
	lots, err := b.s.Lots(b.ctx, b.pool, leipzig, "comirnaty", b.now)
	if err != nil || len(lots) != 1 || lots[0].Number != "EX10" {
		t.Errorf("to choose from: %+v, %v", lots, err)
	}
	move := func(from, to Place) error {
		return b.try(func(tx pgx.Tx) error {
			return b.s.Transfer(b.ctx, tx, Transfer{From: from, To: to, LotID: lot, Vials: 1, Actor: "x", Why: "x", At: b.now})
		})
	}
	if err := move(leipzig, dresden); !errors.Is(err, ErrLotBlocked) {
		t.Errorf("sent to another centre: %v", err)
	}
	if err := move(leipzig, Central); err != nil {
		t.Errorf("sent back: %v", err)
	}
	if err := move(Central, dresden); !errors.Is(err, ErrLotBlocked) {
		t.Errorf("sent out: %v", err)
	}
	b.tx(func(tx pgx.Tx) error {
		sh, err := b.s.EqualShares(b.ctx, tx, "comirnaty", "test", b.by)
		if err == nil && sh.Each != 0 {
			t.Errorf("shared out: %+v", sh)
		}
		return err
	})
	given, err := GivenOf(b.ctx, b.pool, lot)
	if err != nil || len(given) != 1 || given[0].Doses != 2 || given[0].Place != leipzig {
		t.Errorf("given: %+v, %v", given, err)
	}
	if err := block(b.s.ReleaseLot, "it was another lot"); err != nil {
		t.Fatal(err)
	}
	if err := b.giveAt(leipzig, lot, b.now); err != nil {
		t.Errorf("after the release: %v", err)
	}
}

// Doses that are given while the lot is being blocked are either before the block
// or refused: none is taken after it.
func TestBlockAgainstDoses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	place := CentrePlace("leipzig")
	lot := b.receive(place, "comirnaty", "EX9", day(2021, 6, 1), 200)
	var (
		wg    sync.WaitGroup
		began = make(chan struct{})
	)
	for range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				err := b.giveAt(place, lot, b.now)
				if errors.Is(err, ErrLotBlocked) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if i == 3 {
					select {
					case began <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	<-began
	b.tx(func(tx pgx.Tx) error { return b.s.BlockLot(b.ctx, tx, lot, "recalled", b.by) })
	count := func() (n int) {
		if err := b.pool.QueryRow(b.ctx, `SELECT count(*) FROM inventory.movement WHERE lot_id = $1 AND kind = 'give'`, lot).Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	at := count()
	wg.Wait()
	if n := count(); n != at || n == 0 {
		t.Errorf("%d doses at the block, %d at the end", at, n)
	}
}

func TestLotPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lot := b.receive(CentrePlace("leipzig"), "comirnaty", "EX9", day(2021, 6, 1), 4)
	app := b.app()
	page := "/admin/stock/lots/" + lot
	if a := app.Get("/admin/stock"); !strings.Contains(a.Body, page) {
		t.Errorf("the stock does not lead to the lot")
	}
	if a := app.Get(page); a.Status != http.StatusOK || !strings.Contains(a.Body, "darf verimpft werden") || !strings.Contains(a.Body, "Impfzentrum") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := app.PostForm(page+"/block", "why", ""); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("without a reason: %d", a.Status)
	}
	app.PostForm(page+"/block", "why", "Rückruf <b>des</b> Herstellers")
	if a := app.Get(page); !strings.Contains(a.Body, "Gesperrt seit") || !strings.Contains(a.Body, "Rückruf &lt;b&gt;") || !strings.Contains(a.Body, "Sperre aufheben") {
		t.Errorf("%s", a.Body)
	}
	if a := app.Get("/admin/stock"); !strings.Contains(a.Body, "Gesperrte Chargen") {
		t.Error("the stock does not say that it is blocked")
	}
	var out lotOut
	if a := app.JSON(http.MethodGet, "/api/v1/stock/lots/"+lot, nil, &out); a.Status != http.StatusOK || out.Block == nil || len(out.Stock) != 1 || out.Stock[0].Doses != 0 {
		t.Errorf("%d %+v", a.Status, out)
	}
	app.PostForm(page+"/release", "why", "Irrtum")
	if a := app.Get(page); !strings.Contains(a.Body, "darf verimpft werden") {
		t.Errorf("%s", a.Body)
	}
	b.now = day(2021, 6, 2)
	app = b.app()
	if a := app.Get(page); a.Status != http.StatusOK || strings.Contains(a.Body, "darf verimpft werden") || !strings.Contains(a.Body, "abgelaufen") {
		t.Errorf("expired: %s", a.Body)
	}
	for _, none := range []string{id.New(), "x"} {
		if a := app.Get("/admin/stock/lots/" + none); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", none, a.Status)
		}
	}
}
