package certify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/veraison/go-cose"

	"impfportal/certificate/dcc"
	"impfportal/internal/shareddata"
)

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// payload is what a certificate says, read by code that is not ours.
type payload struct {
	Ver string            `cbor:"ver" json:"ver"`
	Nam map[string]string `cbor:"nam" json:"nam"`
	Dob string            `cbor:"dob" json:"dob"`
	V   []map[string]any  `cbor:"v" json:"v,omitempty"`
}

var schemas sync.Map // path -> func() (*jsonschema.Schema, error)

// official is the EU's schema.
func (b *bench) official() *jsonschema.Schema {
	b.t.Helper()
	path := shareddata.Path(b.t, "dcc/DCC.combined-schema.json")
	load, _ := schemas.LoadOrStore(path, sync.OnceValues(func() (*jsonschema.Schema, error) { return jsonschema.NewCompiler().Compile(path) }))
	s, err := load.(func() (*jsonschema.Schema, error))()
	b.ok(err)
	return s
}

// verify reads an HC1 text with go-cose and holds it against the official schema.
func (b *bench) verify(hc1 string) payload {
	b.t.Helper()
	message, err := dcc.Binary(hc1)
	b.ok(err)
	return b.verifyBinary(message)
}

func (b *bench) verifyBinary(message []byte) payload {
	b.t.Helper()
	var m cose.Sign1Message
	b.ok(m.UnmarshalCBOR(message))
	kid, _ := m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
	dsc := b.keys.DSC(kid)
	if dsc == nil {
		b.t.Fatalf("no signer %x", kid)
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, dsc.PublicKey)
	b.ok(err)
	b.ok(m.Verify(nil, v))
	var claims struct {
		HCert map[int64]cbor.RawMessage `cbor:"-260,keyasint"`
	}
	b.ok(cbor.Unmarshal(m.Payload, &claims))
	var p payload
	b.ok(cbor.Unmarshal(claims.HCert[1], &p))
	raw, err := json.Marshal(p)
	b.ok(err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	b.ok(err)
	b.ok(b.official().Validate(doc))
	return p
}
