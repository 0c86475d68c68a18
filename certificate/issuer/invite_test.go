package issuer

import (
	"errors"
	"net/http"
	"testing"

	"impfportal/internal/id"
)

func TestOperatorsInviteAndEndEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(2)...)
	i, other := b.active("A-000"), b.active("A-001")
	app := b.app()
	op := b.asOperator(app, i)
	b.wants(op.Get("/issuer/operators"), 200, "Olga Offizin", "Schlüssel berühren")
	// Without a fresh touch nobody is added or ended.
	b.wants(op.PostForm("/issuer/operators", "name", "Zweite Person"), 403)
	own, err := accounts(t.Context(), b.Pool, i.ID)
	b.ok(err)
	b.wants(op.PostForm("/issuer/operators/"+own[0].ID+"/end"), 403)
	b.wants(op.JSON(http.MethodPost, "/api/v1/issuer/operators", map[string]string{"name": "Zweite Person"}, nil), 403, "passkey.error.stale")
	b.wants(op.JSON(http.MethodDelete, "/api/v1/issuer/operators/"+own[0].ID, nil, nil), 403)
	e, err := b.Invite(t.Context(), i.ID, "Zweite Person", "staff:"+own[0].ID)
	b.ok(err)
	if n := b.count(`SELECT count(*) FROM staff.account WHERE login = $1 AND scope = $2 AND roles = '{issuer}' AND password_hash = ''`, e.Login, i.ID); n != 1 || e.Code == "" {
		t.Errorf("%+v", e)
	}
	if n := b.count(`SELECT count(*) FROM notify.message WHERE kind = 'issuer.operator'`); n != 1 {
		t.Error("nobody is told")
	}
	var list OperatorsOut
	b.wants(op.JSON(http.MethodGet, "/api/v1/issuer/operators", nil, &list), 200)
	if len(list.Operators) != 2 {
		t.Errorf("%+v", list)
	}
	for range operatorsMost - 2 {
		_, err := b.Invite(t.Context(), i.ID, "Noch jemand", "staff:x")
		b.ok(err)
	}
	if _, err := b.Invite(t.Context(), i.ID, "Zu viel", "staff:x"); !errors.Is(err, ErrOperators) {
		t.Error(err)
	}
	b.exec(`UPDATE certificate.issuer SET state = 'suspended', why = 'gone' WHERE id = $1`, other.ID)
	if _, err := b.Invite(t.Context(), other.ID, "Jemand", "staff:x"); !errors.Is(err, ErrSuspended) {
		t.Error(err)
	}
}

func TestReceiptsAreTakenBackWhileUnused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish(entriesOf(2)...)
	i, other := b.active("A-000"), b.active("A-001")
	b.declare(i, "EX1", 2)
	b.declare(i, "EX1", 1)
	b.ok(b.attempt(i, given("EX1")))
	list, err := Receipts(t.Context(), b.Pool, i.ID, 10)
	b.ok(err)
	var one, two string
	for _, r := range list {
		if r.Doses == 1 {
			one = r.ID
		} else {
			two = r.ID
		}
	}
	for name, c := range map[string]struct {
		issuerID, receiptID string
		want                error
	}{
		"somebody else's": {other.ID, two, ErrNotFound}, "none": {i.ID, id.New(), ErrNotFound}, "no id": {i.ID, "x", ErrNotFound},
	} {
		if err := b.TakeBack(t.Context(), c.issuerID, c.receiptID, "staff:x"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.wants(b.asOperator(b.app(), i).JSON(http.MethodDelete, "/api/v1/issuer/receipts/"+two, nil, nil), 204)
	if err := b.TakeBack(t.Context(), i.ID, one, "staff:x"); !errors.Is(err, ErrUsed) {
		t.Error(err)
	}
	lots, err := Lots(t.Context(), b.Pool, i.ID)
	b.ok(err)
	same(t, lots, []Lot{{"comirnaty", "EX1", 1, 1}})
}
