package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MissingError says which server program is not installed and how to get it.
type MissingError struct {
	Program string // as people know it: "PostgreSQL"
	Package string // Debian's package
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: run scripts/setup.sh, or install it with "+
		"`sudo apt-get install --no-install-recommends %s`", e.Program, e.Package)
}

// programs are the paths of the server programs; empty where not wanted.
type programs struct {
	initdb, postgres, redis string
}

// findPrograms looks for what opts needs. An existing database decides which
// major version of PostgreSQL may open it.
func findPrograms(opts Options) (programs, error) {
	var found programs
	if opts.Postgres {
		want := ""
		if !opts.Ephemeral {
			raw, err := os.ReadFile(filepath.Join(opts.DataDir, postgresDir, "PG_VERSION"))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return found, fmt.Errorf("the database in the data folder cannot be read "+
					"(was it made by another user?): %w", err)
			}
			want = strings.TrimSpace(string(raw))
		}
		bin, err := postgresBin(want)
		if err != nil {
			return found, err
		}
		found.initdb, found.postgres = filepath.Join(bin, "initdb"), filepath.Join(bin, "postgres")
	}
	if opts.Redis {
		path, err := lookPath("redis-server")
		if err != nil {
			return found, &MissingError{Program: "Redis", Package: "redis-server"}
		}
		found.redis = path
	}
	return found, nil
}

// postgresBin returns the folder with initdb and postgres of major version want,
// or of the newest version found when want is empty. Debian keeps them out of
// PATH, one folder for each version.
func postgresBin(want string) (string, error) {
	byVersion, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(byVersion, func(a, b string) int { return debianVersion(b) - debianVersion(a) })
	var candidates []string
	for _, dir := range byVersion {
		if want == "" || strconv.Itoa(debianVersion(dir)) == want {
			candidates = append(candidates, dir)
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil && (want == "" || majorVersion(path) == want) {
		candidates = append([]string{filepath.Dir(path)}, candidates...)
	}
	for _, dir := range candidates {
		if executable(filepath.Join(dir, "postgres")) && executable(filepath.Join(dir, "initdb")) {
			return dir, nil
		}
	}
	if want != "" {
		return "", &MissingError{
			Program: "PostgreSQL " + want + ", which made the database in the data folder,",
			Package: "postgresql-" + want,
		}
	}
	return "", &MissingError{Program: "PostgreSQL", Package: "postgresql"}
}

// debianVersion returns 15 for /usr/lib/postgresql/15/bin.
func debianVersion(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return n
}

// majorVersion asks the program; "postgres (PostgreSQL) 15.18 (...)" gives "15".
func majorVersion(postgres string) string {
	out, err := exec.Command(postgres, "--version").Output()
	if err != nil {
		return ""
	}
	for word := range strings.FieldsSeq(string(out)) {
		if major, _, ok := strings.Cut(word, "."); ok {
			return major
		}
	}
	return ""
}

func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	// A service's PATH may lack these.
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/usr/local/bin"} {
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}
