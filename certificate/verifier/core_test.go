package verifier

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/draw"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"impfportal/internal/checkout"
	"impfportal/internal/shareddata"
)

// core runs the page's own modules in Node.js.
type core struct {
	t   testing.TB
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

func startCore(t testing.TB) *core {
	t.Helper()
	root, err := checkout.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(root, "certificate/verifier/testdata/core.mjs"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("node does not start (scripts/setup.sh test installs it): %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	c := &core{t: t, in: in, out: bufio.NewScanner(out)}
	c.out.Buffer(nil, 1<<22)
	return c
}

// ask puts a question; answer is a pointer.
func (c *core) ask(what string, question map[string]any, answer any) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	question["do"] = what
	line, err := json.Marshal(question)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatal(err)
	}
	if !c.out.Scan() {
		c.t.Fatalf("%s: no answer: %v", what, c.out.Err())
	}
	if err := json.Unmarshal(c.out.Bytes(), answer); err != nil {
		c.t.Fatalf("%s: %v", c.out.Bytes(), err)
	}
}

// vector is one of the EU's public test certificates. What a vector tests are
// the expectations that it names, and no others.
type vector struct {
	JSON    any    `json:"JSON"`
	Text    string `json:"PREFIX"`
	Picture []byte `json:"2DCODE"`
	Context struct {
		Certificate string    `json:"CERTIFICATE"`
		Clock       time.Time `json:"VALIDATIONCLOCK"`
		Description string    `json:"DESCRIPTION"`
	} `json:"TESTCTX"`
	Expected map[string]bool `json:"EXPECTEDRESULTS"`
}

// expectations are the names of the EU's test data and our names of the layers.
var expectations = map[string]string{
	"EXPECTEDUNPREFIX": "prefix", "EXPECTEDB45DECODE": "base45", "EXPECTEDCOMPRESSION": "zlib", "EXPECTEDDECODE": "cbor",
	"EXPECTEDVERIFY": "signature", "EXPECTEDSCHEMAVALIDATION": "schema", "EXPECTEDEXPIRATIONCHECK": "times", "EXPECTEDKEYUSAGE": "usage",
	"EXPECTEDVALIDJSON": "json", "EXPECTEDPICTUREDECODE": "picture",
}

// The public test data of the EU decides: every expectation of every vector, with
// the browser's own zlib and with the one for browsers that have none.
func TestPublicVectors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(shareddata.Path(t, "dcc/testdata") + "/*/2DCode/raw/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, own := range []bool{true, false} {
		c := startCore(t)
		checked := map[string]int{}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &v); err != nil {
				t.Fatal(err)
			}
			c.checkVector(filepath.Base(file), v, !own, checked)
		}
		t.Log(checked)
		for name, layer := range expectations {
			if checked[layer] < 3 {
				t.Errorf("%s: only %d vectors", name, checked[layer])
			}
		}
	}
}

func (c *core) checkVector(name string, v vector, inflater bool, checked map[string]int) {
	c.t.Helper()
	got := map[string]any{}
	c.ask("layers", map[string]any{"text": v.Text, "certificate": v.Context.Certificate, "now": v.Context.Clock.UnixMilli(), "inflater": inflater}, &got)
	if said, ok := got["json"]; ok {
		// Where the data gives no JSON of its own there is nothing to compare with.
		got["json"] = v.JSON == nil || reflect.DeepEqual(said, v.JSON)
	}
	if len(v.Picture) > 0 {
		text, err := c.readPicture(v.Picture)
		got["picture"] = err == "" && text == v.Text
	}
	for expectation, want := range v.Expected {
		layer := expectations[expectation]
		if layer == "" {
			c.t.Errorf("%s: unknown expectation %s", name, expectation)
			continue
		}
		if layer == "picture" && len(v.Picture) == 0 {
			continue
		}
		checked[layer]++
		// A layer that was not reached did not hold.
		if held, _ := got[layer].(bool); held != want {
			c.t.Errorf("%s (%s): %s: want %v, got %v", name, v.Context.Description, layer, want, got)
		}
	}
}

// readPicture reads the QR code of a picture as the page does.
func (c *core) readPicture(body []byte) (text, problem string) {
	c.t.Helper()
	img, _, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		return "", err.Error()
	}
	flat := image.NewNRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(flat, flat.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), img, img.Bounds().Min, draw.Over)
	var answer struct{ Text, Error string }
	c.ask("picture", map[string]any{"width": flat.Rect.Dx(), "height": flat.Rect.Dy(), "pixels": base64.StdEncoding.EncodeToString(flat.Pix)}, &answer)
	if strings.Contains(answer.Error, "not built") {
		c.t.Fatal("web/dist is missing: run scripts/setup.sh")
	}
	return answer.Text, answer.Error
}
