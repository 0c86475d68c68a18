package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"impfportal/internal/local"
)

// fleet are several processes of the real portal on one Postgres and one Redis,
// those of the drill. Any of them may be killed and started again.
type fleet struct {
	members []*member
	spread  *balancer
}

// member is one replica with a data folder and a log of its own.
type member struct {
	name string
	env  []string
	dir  string
	up   *upstream

	mu      sync.Mutex
	process *child // nil = not running
}

// newFleet prepares n replicas; p has the servers and the secrets.
func newFleet(p *portal, dir string, n int) *fleet {
	cfg := p.env.Cfg
	f := &fleet{spread: &balancer{}}
	for i := range n {
		m := &member{name: fmt.Sprintf("portal %d", i+1), dir: filepath.Join(dir, fmt.Sprintf("portal-%d", i+1)), up: newUpstream("")}
		m.env = []string{
			"DATA_DIR=" + m.dir, "PORT=0", "DATABASE_URL=" + cfg.DatabaseURL, "REDIS_URL=" + cfg.RedisURL,
			"MASTER_KEY=" + hex.EncodeToString(cfg.MasterKey), "PORTAL_SECRET=" + hex.EncodeToString(cfg.Secret),
			"CERTIFICATE_KEY_DIR=" + cfg.CertificateKeyDir, "TRUSTED_PROXIES=127.0.0.1", // the drill says who its citizens are, as a proxy would
		}
		f.members = append(f.members, m)
		f.spread.upstreams = append(f.spread.upstreams, m.up)
	}
	return f
}

// start starts all of them; they answer when it returns.
func (f *fleet) start(ctx context.Context) error {
	for _, m := range f.members {
		if err := m.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop ends those that run.
func (f *fleet) stop() (err error) {
	for _, m := range f.members {
		m.mu.Lock()
		if m.process != nil {
			if e := m.process.stop(); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w; the end of its log:\n%s", m.name, e, m.logEnd()))
			}
			m.process = nil
		}
		m.mu.Unlock()
		m.up.closeIdle()
	}
	return err
}

// startPatience is how long a replica may take until it answers.
const startPatience = 30 * time.Second

// start starts the replica and tells the balancer where it is.
func (m *member) start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(m.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process, err := startChild("portal", log, m.env...)
	if err != nil {
		return err
	}
	m.process = process
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		in, err := local.Find(m.dir)
		if err == nil && in.PID == process.cmd.Process.Pid && in.Address != "" {
			m.up.moved(strings.TrimPrefix(in.Address, "http://"))
			return nil
		}
		if err := process.running(); err != nil {
			return fmt.Errorf("%s does not start: %w; the end of its log:\n%s", m.name, err, m.logEnd())
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%s does not answer; the end of its log:\n%s", m.name, m.logEnd())
		}
	}
}

// kill ends the replica as a power cut would.
func (m *member) kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.process.kill()
	m.process = nil
	return err
}

// pid is the process of the replica, 0 when it does not run.
func (m *member) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == nil {
		return 0
	}
	return m.process.cmd.Process.Pid
}

func (m *member) logPath() string { return m.dir + ".log" }

// logEnd are the last lines that the replica said.
func (m *member) logEnd() string {
	raw, err := os.ReadFile(m.logPath())
	if err != nil {
		return "  " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-8):], "\n  ")
}
