package certificate

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/certificate/revocation"
	"impfportal/certificate/translog"
	"impfportal/internal/clock"
	"impfportal/internal/id"
	"impfportal/internal/pg"

	"github.com/jackc/pgx/v5"
)

// correct changes a record.
func (b *bench) correct(v Vaccination, change func(*Vaccination)) Vaccination {
	b.t.Helper()
	change(&v)
	b.put(v)
	return v
}

// A correction at any moment ends with one standing certificate that says what
// the record says; what was signed before it is revoked, and has its leaf.
func TestCorrectedAfterEachStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		steps            int // of intend, sign, sequence, release
		versions, leaves int
	}{{"before", 0, 1, 1}, {"intent", 1, 1, 1}, {"signed", 2, 2, 3}, {"logged", 3, 2, 3}, {"released", 4, 2, 3}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			v := b.vaccinate(nil)
			for _, step := range []func(*bench, Vaccination) error{
				func(b *bench, v Vaccination) error { return b.intend(t.Context(), v) },
				func(b *bench, v Vaccination) error { return b.sign(t.Context(), v) },
				func(b *bench, v Vaccination) error { return b.sequence(t.Context(), v) },
				func(b *bench, v Vaccination) error { return b.release(t.Context(), v) },
			}[:c.steps] {
				if err := step(b, v); err != nil {
					t.Fatal(err)
				}
			}
			v = b.correct(v, func(v *Vaccination) { v.GivenName, v.DoseNumber = "Gabi", 1 })
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 100 {
						if err := b.whole(v); err != nil {
							t.Error(err)
						}
						if list := b.list(v); len(list) > 0 && list[0].Ready() && list[0].Payload.Name.Given == "Gabi" {
							return
						}
					}
				})
			}
			wg.Wait()
			if err := b.sequence(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1`, v.RecordID); n != c.versions {
				t.Errorf("%d versions", n)
			}
			if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1 AND revoked_at IS NULL AND state = 'released' AND version = $2`, v.RecordID, c.versions); n != 1 {
				t.Errorf("%d stand", n)
			}
			if n := b.count(`SELECT count(*) FROM certificate.log_leaf`); n != c.leaves {
				t.Errorf("%d leaves", n)
			}
			if n := b.count(`SELECT count(*) FROM certificate.revocation WHERE reason = 'corrected' AND replaced`); n != c.versions-1 {
				t.Errorf("%d revocations", n)
			}
			list := b.list(v)
			if e := list[0].Entry(); e.Dose != 1 || list[0].Payload.Name.Given != "Gabi" {
				t.Errorf("%+v", list[0].Payload)
			}
			if shown := c.name == "released"; shown != (len(list) == 2) || shown && (list[1].State != StateRevoked || list[1].Reason != revocation.Corrected || !list[1].Replaced) {
				t.Errorf("the owner sees %+v", list)
			}
			last := b.told[len(b.told)-1]
			if kind := map[bool]string{true: "certificate.replaced", false: "certificate.ready"}[c.versions == 2]; last.Kind != kind {
				t.Errorf("told %s", last.Kind)
			}
		})
	}
}

// Revoked for good at any moment of its making, a certificate ends revoked, and is never
// released afterwards; what is not signed yet cannot be revoked, and who asks is told so.
func TestRevokedAfterEachStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		steps  int // of intend, sign, sequence, release
		want   error
		leaves int
	}{{"intent", 1, revocation.ErrUnsigned, 1}, {"signed", 2, nil, 2}, {"logged", 3, nil, 2}, {"released", 4, nil, 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			v := b.vaccinate(nil)
			for _, step := range []func() error{
				func() error { return b.intend(t.Context(), v) }, func() error { return b.sign(t.Context(), v) },
				func() error { return b.sequence(t.Context(), v) }, func() error { return b.release(t.Context(), v) },
			}[:c.steps] {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			var certificateID string
			if err := b.Pool.QueryRow(t.Context(), `SELECT id::text FROM certificate.certificate`).Scan(&certificateID); err != nil {
				t.Fatal(err)
			}
			err := b.revoke(certificateID, revocation.ByHolder)
			if !errors.Is(err, c.want) {
				t.Fatalf("revoked: %v, want %v", err, c.want)
			}
			var wg sync.WaitGroup
			for range 4 { // task, repair and sequencer go on as if nothing had happened
				wg.Go(func() {
					if err := b.whole(v); err != nil {
						t.Error(err)
					}
					if _, err := b.Repair(t.Context(), b.clock().Add(time.Hour)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			b.make(v)
			list := b.list(v)
			if len(list) != 1 || b.count(`SELECT count(*) FROM certificate.certificate`) != 1 || b.count(`SELECT count(*) FROM certificate.log_leaf WHERE idx IS NOT NULL`) != c.leaves {
				t.Fatalf("%+v", list)
			}
			if c.want != nil {
				b.exactlyOne(v)
				return
			}
			if list[0].State != StateRevoked || list[0].Reason != revocation.ByHolder || list[0].Entry().Dose != 2 || b.JSON(list[0], true).HC1 != "" {
				t.Errorf("the owner sees %+v", list[0])
			}
			if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE released_at IS NOT NULL`); n != max(0, c.steps-3) {
				t.Errorf("%d released", n)
			}
			// Who never had it is not told that it was taken back.
			if told := len(b.told); told != 2*max(0, c.steps-3) {
				t.Errorf("%d messages", told)
			}
		})
	}
}

// Revoking and releasing at the same moment: whoever is first, it ends revoked.
func TestRevokedWhileReleased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		v := b.vaccinate(nil)
		for _, step := range []func() error{
			func() error { return b.intend(t.Context(), v) }, func() error { return b.sign(t.Context(), v) }, func() error { return b.sequence(t.Context(), v) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		var certificateID string
		if err := b.Pool.QueryRow(t.Context(), `SELECT id::text FROM certificate.certificate WHERE record_id = $1`, v.RecordID).Scan(&certificateID); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.release(t.Context(), v); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := b.revoke(certificateID, revocation.Fraud); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		b.make(v)
		if list := b.list(v); len(list) != 1 || list[0].State != StateRevoked {
			t.Fatalf("%+v", list)
		}
	}
}

// A leaf that names no certificate keeps no certificate from its release.
func TestForeignReference(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	if err := b.Make(t.Context(), v.RecordID); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"certificate:", "certificate:x", "certificate:00000000-0000-0000-0000-00000000000g", "certificate:" + id.New()} {
		digest := sha256.Sum256([]byte(ref))
		err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
			return b.log.Append(t.Context(), tx, ref, translog.Leaf{Kind: translog.KindCertificate, Subject: ref, Digest: digest[:], Day: clock.Day(b.clock())})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.make(v)
	b.exactlyOne(v)
}

// A lot is not in the certificate, but a revocation by lot must find it.
func TestCorrectedLot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	v = b.correct(v, func(v *Vaccination) { v.LotNumber = "EM0478" })
	b.make(v)
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE lot_number = 'EM0478' AND revoked_at IS NULL AND state = 'released'`); n != 1 {
		t.Errorf("%d certificates of the right lot", n)
	}
}

// A record that is voided takes its certificate with it, for good.
func TestVoid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun, done := b.vaccinate(nil), b.vaccinate(nil)
	if err := b.intend(t.Context(), begun); err != nil {
		t.Fatal(err)
	}
	b.make(done)
	b.mu.Lock()
	b.void[begun.RecordID], b.void[done.RecordID] = true, true
	b.mu.Unlock()
	for range 2 {
		b.make(begun)
		b.make(done)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1`, begun.RecordID); n != 0 {
		t.Errorf("%d certificates of a record that is void", n)
	}
	list := b.list(done)
	if len(list) != 1 || list[0].State != StateRevoked || list[0].Reason != revocation.RecordVoid || list[0].Replaced {
		t.Errorf("%+v", list)
	}
	if last := b.told[len(b.told)-1]; last.Kind != "certificate.revoked" {
		t.Errorf("told %s", last.Kind)
	}
	// Even if the record came back: what was revoked for good gets no successor.
	b.mu.Lock()
	clear(b.void)
	b.mu.Unlock()
	b.make(done)
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1`, done.RecordID); n != 1 {
		t.Errorf("%d versions after the end", n)
	}
	for what, sql := range map[string]string{
		"revocation": `UPDATE certificate.revocation SET replaced = true`,
		"revoked":    `UPDATE certificate.certificate SET revoked_at = NULL WHERE revoked_at IS NOT NULL`,
	} {
		_, err := b.Pool.Exec(t.Context(), sql)
		if !pg.Violates(err, "revocation_keep") && !pg.Violates(err, "certificate_keep_signature") {
			t.Errorf("%s taken back: %v", what, err)
		}
	}
	err := b.revoke(list[0].ID, revocation.Fraud)
	if err == nil || !strings.Contains(err.Error(), "nothing to revoke") {
		t.Errorf("revoked twice: %v", err)
	}
}

// What was revoked for good stays so when its revocation is not needed any more: no
// correction years later makes a genuine certificate of it.
func TestRevokedForGoodOutlivesTheRevocation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	c := b.exactlyOne(v)
	if err := b.revoke(c.ID, revocation.Fraud); err != nil {
		t.Fatal(err)
	}
	for _, rule := range revocation.RetentionRules() {
		if err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error {
			_, err := rule.Run(t.Context(), tx, b.clock().AddDate(2, 0, 0), 0, 100)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.count(`SELECT count(*) FROM certificate.revocation`); n != 0 {
		t.Fatalf("%d revocations outlive their certificates", n)
	}
	v = b.correct(v, func(v *Vaccination) { v.GivenName = "Jemand Anders" })
	b.make(v)
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1`, v.RecordID); n != 1 {
		t.Errorf("%d versions", n)
	}
}

// Replaced ones go on as they did: only the newest version decides.
func TestReplacedAfterTheRevocationHasGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	v = b.correct(v, func(v *Vaccination) { v.GivenName = "Gabi" })
	b.make(v)
	if _, err := b.Pool.Exec(t.Context(), `DELETE FROM certificate.revocation`); err != nil {
		t.Fatal(err)
	}
	v = b.correct(v, func(v *Vaccination) { v.GivenName = "Gabriele" })
	b.make(v)
	if n := b.count(`SELECT count(*) FROM certificate.certificate WHERE record_id = $1 AND version = 3 AND state = 'released' AND revoked_at IS NULL`, v.RecordID); n != 1 {
		t.Error("the third version is missing")
	}
}

// No statement past the program makes room for a second certificate of a dose.
func TestNoSecondCertificateBySQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	for sql, constraint := range map[string]string{
		`DELETE FROM certificate.certificate`:                         "certificate_keep_signature",
		`TRUNCATE certificate.certificate CASCADE`:                    "certificate_keep_table",
		`UPDATE certificate.certificate SET revoked_at = released_at`: "certificate_revoked_by_row",
		`TRUNCATE certificate.revocation CASCADE`:                     "certificate_keep_table",
		`TRUNCATE certificate.stop CASCADE`:                           "certificate_keep_table",
		`TRUNCATE certificate.distrusted`:                             "certificate_keep_table",
		`TRUNCATE staff.approval, staff.approver`:                     "certificate_keep_table",
		`TRUNCATE staff.touch CASCADE`:                                "touch_keep",
	} {
		if _, err := b.Pool.Exec(t.Context(), sql); !pg.Violates(err, constraint) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	b.make(v)
	b.exactlyOne(v)
	// It ends with the key of its record.
	if err := pg.InTx(t.Context(), b.Pool, func(tx pgx.Tx) error { return b.Vault.Destroy(t.Context(), tx, v.KeyID) }); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM certificate.certificate`); n != 0 {
		t.Errorf("%d certificates outlive their record", n)
	}
}

// The leaf says what was signed, and nothing of the person.
func TestLeaf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v := b.vaccinate(nil)
	b.make(v)
	c := b.exactlyOne(v)
	var data []byte
	if err := b.Pool.QueryRow(t.Context(), `SELECT data FROM certificate.log_leaf WHERE ref = $1`, "certificate:"+c.ID).Scan(&data); err != nil {
		t.Fatal(err)
	}
	d, err := dcc.Decode(c.HC1)
	if err != nil {
		t.Fatal(err)
	}
	digest := d.Digest()
	if b.count(`SELECT count(*) FROM certificate.log_leaf WHERE digest = $1`, digest[:]) != 1 {
		t.Error("the digest of what was signed is not in the log")
	}
	for _, secret := range []string{"Musterfrau", "MUSTERFRAU", "1998", "leipzig", "anna", "EM0477", c.Entry().ID} {
		if strings.Contains(string(data), secret) {
			t.Errorf("%q stands in the log: %s", secret, data)
		}
	}
}
