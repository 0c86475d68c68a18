package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const (
	postgresSocket = ".s.PGSQL.5432" // PostgreSQL's own naming
	redisSocket    = "redis.sock"
	// maxSocketPath is the room that Linux has for the path of a Unix socket.
	maxSocketPath = 107
)

// socketDir makes the folder for the sockets: DATA_DIR/run, or, where that path
// is too long for a socket, a folder in /tmp named after the data folder.
func socketDir(dataDir string) (string, error) {
	dir := filepath.Join(dataDir, "run")
	// PostgreSQL makes its lock file first: the socket's path and ".lock".
	if len(filepath.Join(dir, postgresSocket+".lock")) > maxSocketPath {
		sum := sha256.Sum256([]byte(dataDir))
		dir = filepath.Join("/tmp", fmt.Sprintf("impfportal-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:6])))
	}
	// Whatever lies there is of a portal that was killed: the caller holds the lock.
	if err := clearOwn(dir); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("the folder for the sockets: %w", err)
	}
	return dir, nil
}

// clearOwn removes dir when it is ours. /tmp is open to everybody, so a folder
// of somebody else in that place is never used.
func clearOwn(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the folder for the sockets: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || (os.Geteuid() != 0 && int(stat.Uid) != os.Geteuid()) {
		return fmt.Errorf("the folder for the sockets, %s, belongs to somebody else: remove it", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("the folder for the sockets: %w", err)
	}
	return nil
}
