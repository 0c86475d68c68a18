package web_test

import (
	"bytes"
	"io/fs"
	"regexp"
	"testing"

	"impfportal/web"
)

func TestThirdPartyAssetsAreWhole(t *testing.T) {
	t.Parallel()
	if err := web.CheckDist(); err != nil {
		t.Fatal(err)
	}
	css, err := fs.ReadFile(web.Dist(), "kern.css")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(css, []byte(".kern-btn")) {
		t.Error("kern.css does not hold KERN's components")
	}
	// The content security policy allows this origin and data URLs only.
	for _, m := range regexp.MustCompile(`url\(["']?([^"')]{0,40})`).FindAllSubmatch(css, -1) {
		target := string(m[1])
		if len(target) >= 5 && target[:5] == "data:" {
			continue
		}
		if _, err := fs.Stat(web.Dist(), target); err != nil {
			t.Errorf("kern.css names %q: %v", target, err)
		}
	}
	for _, name := range []string{"LICENSE-kern.md", "LICENSE-altcha.txt", "altcha.js", "altcha.css", "altcha-worker.js"} {
		if info, err := fs.Stat(web.Dist(), name); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing: %v", name, err)
		}
	}
}
