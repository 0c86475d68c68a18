package main

import (
	"strings"
	"testing"
	"time"
)

const (
	passing = `{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"pass","Package":"p","Elapsed":0.1}
`
	failing = `{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: the reason\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
`
	skipping = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:3: no Chromium\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
`
	sharedAbsent = `{"Action":"output","Package":"p","Test":"TestD","Output":"    shared data absent: /x\n"}
{"Action":"skip","Package":"p","Test":"TestD"}
`
	broken = `{"ImportPath":"q [q.test]","Action":"build-output","Output":"q.go:2: undefined: x\n"}
{"ImportPath":"q [q.test]","Action":"build-fail"}
{"Action":"fail","Package":"q","FailedBuild":"q [q.test]"}
`
	cutOff = `{"Action":"run","Package":"r","Test":"TestE"}
{"Action":"fail","Package":"r"}
`
	untested = `{"Action":"skip","Package":"s"}
`
)

func TestReport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		events        string
		requireShared bool
		leftBehind    []string
		ok            bool
		want          []string
	}{
		"all well":                  {events: passing + untested, ok: true, want: []string{"1 passed, 0 failed, 0 skipped in 1s"}},
		"a failure":                 {events: passing + failing, want: []string{"the reason", "1 passed, 1 failed, 0 skipped"}},
		"left out":                  {events: passing + skipping, want: []string{"no Chromium", "1 passed, 0 failed, 1 skipped"}},
		"shared data absent":        {events: passing + sharedAbsent, ok: true, want: []string{"/x", "1 passed, 0 failed, 1 skipped"}},
		"shared data demanded":      {events: passing + sharedAbsent, requireShared: true},
		"a package does not build":  {events: passing + broken, want: []string{"undefined: x", "1 failed"}},
		"a test is cut off":         {events: passing + cutOff, want: []string{"TestE", "1 failed"}},
		"a process is left behind":  {events: passing, leftBehind: []string{"12 redis-server"}, want: []string{"redis-server"}},
		"nothing was tested at all": {events: untested},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := newReport(&out, c.requireShared)
			r.leftBehind = c.leftBehind
			if err := r.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if ok := r.finish(time.Second); ok != c.ok {
				t.Errorf("finish returned %v", ok)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, out.String())
				}
			}
		})
	}
}
