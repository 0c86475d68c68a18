package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"impfportal/booking/listdraw"
)

func TestVerifyWaiting(t *testing.T) {
	t.Parallel()
	key := []byte("the key of a day")
	sum := sha256.Sum256(key)
	list := []listdraw.Person{{ID: "a", Rank: 1}, {ID: "b", Rank: 1}, {ID: "c", Rank: 2}}
	order := listdraw.Order(key, list)
	p := listdraw.Published{
		Day: "2021-01-11", Commitment: hex.EncodeToString(sum[:]), Key: hex.EncodeToString(key),
		Rounds: []listdraw.Round{{Offer: "1", Origin: "o", Asked: order[0].ID, Candidates: list}},
	}
	var out strings.Builder
	if err := (verifyWaitingCmd{Commitment: p.Commitment}).verify(&out, p); err != nil || strings.Count(out.String(), "ok ") != 3 {
		t.Errorf("%v: %s", err, out.String())
	}
	if err := (verifyWaitingCmd{Commitment: "00"}).verify(&out, p); err == nil {
		t.Error("another checksum")
	}
	p.Rounds[0].Asked = order[2].ID
	if err := (verifyWaitingCmd{}).verify(&out, p); err == nil || !strings.Contains(out.String(), "WRONG") {
		t.Error("asked out of turn")
	}
}
