package local

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const redisDir = "redis"

// fastDatabases is the number of Redis databases in tests: one for each test.
const fastDatabases = 8192

// startRedis starts the server and waits until it has read its data.
func (s *Servers) startRedis(ctx context.Context, opts Options, found programs) error {
	dir := filepath.Join(s.DataDir, redisDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	socket := filepath.Join(s.sockets, redisSocket)
	args := []string{
		"--port", "0",
		"--unixsocket", socket,
		"--unixsocketperm", "700",
		"--dir", dir,
		"--daemonize", "no",
		"--save", "",
		"--maxmemory-policy", "noeviction", // the queue and the line are no cache
		"--loglevel", "notice",
		"--set-proc-title", "no", // ps then shows whose server it is
	}
	if opts.Fast {
		args = append(args, "--appendonly", "no", "--databases", strconv.Itoa(fastDatabases))
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", "everysec")
	}
	cmd := exec.Command(found.redis, args...)
	cmd.Dir = dir
	p, err := spawn("Redis", filepath.Join(s.DataDir, "redis.log"), cmd, syscall.SIGTERM, s.inherited()...)
	if err != nil {
		return err
	}
	s.redis = p

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := pingRedis(ctx, socket)
		if err == nil {
			u := url.URL{Scheme: "unix", Path: socket, RawQuery: "db=0"}
			s.RedisURL = u.String()
			return nil
		}
		select {
		case <-p.done:
			return p.ended()
		default:
		}
		if waitErr := pause(ctx, 5*time.Millisecond); waitErr != nil {
			return fmt.Errorf("redis does not answer (%w); its log is %s", err, p.logPath)
		}
	}
}

func pingRedis(ctx context.Context, socket string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "+PONG" {
		return fmt.Errorf("it says %q", answer)
	}
	return nil
}
