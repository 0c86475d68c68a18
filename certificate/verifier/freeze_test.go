package verifier

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"impfportal/certificate/dcc"
	"impfportal/certificate/dcc/dcctest"
	"impfportal/certificate/revocation"
)

// What was taken back stays so in a browser that has seen it, whatever a later answer of
// the portal has lost (an older backup, an answer that somebody kept back): the index of
// the batches is not signed, and each batch says itself how long it counts.
func TestRevocationsAreNotForgotten(t *testing.T) {
	t.Parallel()
	core := startCore(t)
	signer := dcctest.Signer(t, issued.Add(-time.Hour), issued.Add(2*year), dcc.OIDVaccination).Certificate()
	batch, pin := upload(t)
	own := base64.StdEncoding.EncodeToString(signer.Raw)
	kid := dcc.KID(signer)
	renew := func(now time.Time, distrusted [][]byte, batches map[string]revocation.Batch) (a struct {
		Error              string
		Hashes, Distrusted int
	},
	) {
		t.Helper()
		text := func(v any) string {
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return base64.StdEncoding.EncodeToString(raw)
		}
		index := []map[string]string{}
		files := map[string]string{}
		for id, b := range batches {
			index = append(index, map[string]string{"batchId": id})
			files["/certificates/revocations/"+id+"/batch.cms"] = batch(b)
		}
		files["/certificates/revocations"] = text(map[string]any{"batches": index})
		files["/api/v1/certificates/trust"] = text(map[string]any{"test": false, "signers": []map[string]string{{"certificate": own}}, "distrusted": append([][]byte{}, distrusted...)})
		core.ask("renew", map[string]any{"files": files, "now": now.UnixMilli(), "pins": map[string]any{"signers": []string{own}, "batches": []string{pin}}}, &a)
		return a
	}
	one := revocation.Batch{Country: "DE", KID: kid[:], HashType: revocation.TypeUCI, Expires: issued.Add(year), Entries: []revocation.Hash{{Hash: revocation.UCIHash("one")}}}
	two := one
	two.Entries = []revocation.Hash{{Hash: revocation.UCIHash("two")}}
	bad := [][]byte{kid[:]}
	for _, c := range []struct {
		what              string
		after             time.Duration
		distrusted        [][]byte
		batches           map[string]revocation.Batch
		hashes, distrusts int
	}{
		{"first", 0, nil, map[string]revocation.Batch{"a": one}, 1, 0},
		{"another batch, a distrusted signer", time.Hour, bad, map[string]revocation.Batch{"a": one, "b": two}, 2, 1},
		{"an answer that lost both", 2 * time.Hour, nil, map[string]revocation.Batch{}, 2, 1},
		{"and again", 3 * time.Hour, nil, map[string]revocation.Batch{"b": two}, 2, 1},
		{"expired", year + time.Hour, nil, map[string]revocation.Batch{}, 0, 1},
	} {
		if a := renew(issued.Add(c.after), c.distrusted, c.batches); a.Error != "" || a.Hashes != c.hashes || a.Distrusted != c.distrusts {
			t.Errorf("%s: %+v, want %d and %d", c.what, a, c.hashes, c.distrusts)
		}
	}
}
