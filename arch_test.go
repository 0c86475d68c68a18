package impfportal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// line is the import line: right may import left, never the reverse; packages
// of one step do not know each other. What must go the other way is a function
// value that cmd hands over, or an event task owned by the package on the left.
var line = [][]string{
	{"internal", "migrations", "web"},
	{"audit"},
	{"retention"},
	{"centre", "notify", "programme"},
	{"staff", "citizen", "inventory", "waitingroom"},
	{"booking"},
	{"vaccination"},
	{"certificate", "mobileteams", "hotline"},
	{"cmd"},
	{"e2e"},
}

// free are the packages of the first step: they may import each other, and the
// Go tool refuses circles by itself.
const free = 0

func step(pkg string) int {
	top, _, _ := strings.Cut(pkg, "/")
	return slices.IndexFunc(line, func(s []string) bool { return slices.Contains(s, top) })
}

func TestImportLine(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	walk(t, func(file, pkg string, imports []string) {
		if pkg == "." {
			return
		}
		from := step(pkg)
		if from < 0 {
			t.Errorf("%s: package %s has no place on the import line", file, pkg)
			return
		}
		top, _, _ := strings.Cut(pkg, "/")
		seen[top] = true
		for _, imp := range imports {
			to := step(imp)
			toTop, _, _ := strings.Cut(imp, "/")
			switch {
			case to < 0:
				t.Errorf("%s imports %s, which has no place on the import line", file, imp)
			case to > from, to == from && toTop != top && from != free:
				t.Errorf("%s: %s must not import %s", file, pkg, imp)
			}
		}
	})
	for _, s := range line {
		for _, p := range s {
			if !seen[p] {
				t.Errorf("%s stands on the import line and is not there", p)
			}
		}
	}
}

// Names that say nothing about what is inside, and layers that only pass through.
func TestNoPackageWithoutASubject(t *testing.T) {
	t.Parallel()
	walk(t, func(file, pkg string, _ []string) {
		switch filepath.Base(pkg) {
		case "util", "utils", "common", "helpers", "misc", "models", "services", "repositories", "shared":
			t.Errorf("%s: a package named %s", file, pkg)
		}
	})
}

// twilio-go's API is wide; one package knows it.
func TestForeignAPIsStayInOnePlace(t *testing.T) {
	t.Parallel()
	only := map[string]string{
		"github.com/twilio/twilio-go":   "notify",
		"golang.org/x/image/font":       "internal/pdf",
		"github.com/hibiken/asynq":      "internal/jobs",
		"github.com/go-co-op/gocron/v2": "internal/jobs",
		"github.com/pressly/goose/v3":   "internal/pg",
	}
	fset := token.NewFileSet()
	eachFile(t, func(file, pkg string) {
		f, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			for lib, home := range only {
				if strings.HasPrefix(p, lib) && pkg != home {
					t.Errorf("%s imports %s; only %s does", file, p, home)
				}
			}
		}
	})
}

func walk(t *testing.T, visit func(file, pkg string, imports []string)) {
	t.Helper()
	fset := token.NewFileSet()
	eachFile(t, func(file, pkg string) {
		f, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		var own []string
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if rest, ok := strings.CutPrefix(p, "impfportal/"); ok {
				own = append(own, rest)
			}
		}
		visit(file, pkg, own)
	})
}

func eachFile(t *testing.T, visit func(file, pkg string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "data" || d.Name() == "bin" || p != "." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			visit(p, filepath.Dir(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
