// Package config reads the environment once, at the start, and refuses what
// cannot be right. Every secret can come from a file: NAME or NAME_FILE.
package config

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Modes of a run. Production is the default; local is what 'make run' and tests set.
const (
	ModeProduction = "production"
	ModeLocal      = "local"
)

// Config is the checked environment.
type Config struct {
	Mode    string `env:"PORTAL_MODE" envDefault:"production"`
	Port    int    `env:"PORT" envDefault:"8080"`
	DataDir string `env:"DATA_DIR" envDefault:"./data"`
	// DatabaseURL and RedisURL select real servers; in local mode without them
	// the portal starts its own as child processes.
	DatabaseURL     string `env:"DATABASE_URL"`
	DatabaseURLFile string `env:"DATABASE_URL_FILE"`
	RedisURL        string `env:"REDIS_URL"`
	RedisURLFile    string `env:"REDIS_URL_FILE"`
	// PublicURL is the address that people type, with scheme.
	PublicURL      string   `env:"PUBLIC_URL"`
	TrustedProxies []string `env:"TRUSTED_PROXIES"`
	// The waiting room's limits per network: places a minute before work must be
	// proven, how many of them at once, and how many times that is refused; and the
	// work: attempts at most, of 1,000 iterations of PBKDF2 each. See
	// waitingroom/defence.
	RoomNetworkRate   int    `env:"ROOM_NETWORK_RATE" envDefault:"60"`
	RoomNetworkBurst  int    `env:"ROOM_NETWORK_BURST" envDefault:"120"`
	RoomNetworkFactor int    `env:"ROOM_NETWORK_FACTOR" envDefault:"20"`
	RoomChallengeWork int    `env:"ROOM_CHALLENGE_WORK" envDefault:"8000"`
	MetricsAddr       string `env:"METRICS_ADDR" envDefault:"127.0.0.1:0"`
	Workers           int    `env:"WORKER_CONCURRENCY" envDefault:"8"`
	PoolSize          int    `env:"DATABASE_POOL" envDefault:"24"`
	ClockText         string `env:"PORTAL_CLOCK"`
	LogLevel          string `env:"LOG_LEVEL" envDefault:"info"`

	MasterKeyText    string `env:"MASTER_KEY"`
	MasterKeyFile    string `env:"MASTER_KEY_FILE"`
	PortalSecretText string `env:"PORTAL_SECRET"`
	PortalSecretFile string `env:"PORTAL_SECRET_FILE"`
	// CertificateKeyDir holds the issuing keys; in production it must exist.
	CertificateKeyDir string `env:"CERTIFICATE_KEY_DIR"`
	// CertificateIssuer is the name in the certificates; production only.
	CertificateIssuer string `env:"CERTIFICATE_ISSUER"`
	// CertificateLogWitness is the file to which every state of the transparency
	// log is appended; the worker needs it. In production it belongs on a disk that
	// the database's administrators do not reach.
	CertificateLogWitness string `env:"CERTIFICATE_LOG_WITNESS"`
	// A token behind PKCS #11 that holds the issuing keys instead of files: the
	// library's path, the token's label, its PIN.
	CertificateModule  string `env:"CERTIFICATE_PKCS11_MODULE"`
	CertificateToken   string `env:"CERTIFICATE_PKCS11_TOKEN"`
	CertificatePIN     string `env:"CERTIFICATE_PKCS11_PIN"`
	CertificatePINFile string `env:"CERTIFICATE_PKCS11_PIN_FILE"`

	// IssuerRegistry is the authority's signed list of issuers: a file or an https
	// address; IssuerRegistryKeys a PEM file with the keys that sign it. Without
	// them there are no issuers but the portal's own sites. IssuerRegistryGrace is
	// how long an outdated list still carries new activations.
	IssuerRegistry      string        `env:"ISSUER_REGISTRY"`
	IssuerRegistryKeys  string        `env:"ISSUER_REGISTRY_KEYS"`
	IssuerRegistryGrace time.Duration `env:"ISSUER_REGISTRY_GRACE" envDefault:"24h"`

	// VerifierMaxAge is how old trust list and revocations may be on the verifier's
	// page, which works offline; with older ones it decides nothing.
	VerifierMaxAge time.Duration `env:"VERIFIER_MAX_AGE" envDefault:"24h"`

	// Certify is the issuing interface for the software of practices and pharmacies.
	Certify Certify `envPrefix:"CERTIFY_"`

	SMTPHost     string `env:"SMTP_HOST"`
	SMTPPort     int    `env:"SMTP_PORT"`
	SMTPTLS      string `env:"SMTP_TLS" envDefault:"mandatory"` // "mandatory" (STARTTLS), "implicit", "none"
	SMTPUser     string `env:"SMTP_USER"`
	SMTPPass     string `env:"SMTP_PASSWORD"`
	SMTPPassFile string `env:"SMTP_PASSWORD_FILE"`
	MailFrom     string `env:"MAIL_FROM" envDefault:"impfportal@localhost"`
	TwilioSID    string `env:"TWILIO_ACCOUNT_SID"`
	TwilioToken  string `env:"TWILIO_AUTH_TOKEN"`
	TwilioFile   string `env:"TWILIO_AUTH_TOKEN_FILE"`
	TwilioFrom   string `env:"TWILIO_FROM"`

	// DrandURLs are servers of the public randomness beacon drand, for drawing the
	// order of a waiting room. The chain is the League of Entropy's quicknet
	// unless all four of its parameters are set.
	DrandURLs      []string `env:"DRAND_URLS"`
	DrandChainHash string   `env:"DRAND_CHAIN_HASH"`
	DrandPublicKey string   `env:"DRAND_PUBLIC_KEY"`
	DrandPeriod    int64    `env:"DRAND_PERIOD"`       // seconds
	DrandGenesis   int64    `env:"DRAND_GENESIS_TIME"` // unix seconds

	MasterKey []byte        `env:"-"` // 32 bytes, wraps the persons' data keys
	Secret    []byte        `env:"-"` // 32 bytes, all other keys are derived from it
	Clock     time.Duration `env:"-"` // offset of every clock; 0 in production
}

// Local reports whether this run may show demo logins and /dev pages.
func (c Config) Local() bool { return c.Mode == ModeLocal }

// exampleSecret stands in deploy/example.env and must not be used.
const exampleSecret = "change-me"

// Load reads and checks the environment.
func Load() (Config, error) {
	c, err := env.ParseAs[Config]()
	if err != nil {
		return c, err
	}
	var bad []error
	fail := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if c.Mode != ModeProduction && c.Mode != ModeLocal {
		fail("PORTAL_MODE is %q; it must be %q or %q", c.Mode, ModeProduction, ModeLocal)
	}
	if c.Port < 0 || c.Port > 65535 {
		fail("PORT is %d; it must lie between 0 and 65535", c.Port)
	}
	for _, s := range []struct {
		name    string
		n, most int
	}{
		{"ROOM_NETWORK_RATE", c.RoomNetworkRate, 1_000_000},
		{"ROOM_NETWORK_BURST", c.RoomNetworkBurst, 1_000_000},
		{"ROOM_NETWORK_FACTOR", c.RoomNetworkFactor, 1000},
		{"ROOM_CHALLENGE_WORK", c.RoomChallengeWork, 1_000_000},
	} {
		if s.n < 1 || s.n > s.most {
			fail("%s is %d; it must lie between 1 and %d", s.name, s.n, s.most)
		}
	}
	if (c.IssuerRegistry == "") != (c.IssuerRegistryKeys == "") {
		fail("ISSUER_REGISTRY and ISSUER_REGISTRY_KEYS belong together: a list without a key cannot be checked")
	}
	if c.IssuerRegistryGrace < 0 || c.IssuerRegistryGrace > 30*24*time.Hour {
		fail("ISSUER_REGISTRY_GRACE is %s; it must lie between 0 and 720h", c.IssuerRegistryGrace)
	}
	bad = append(bad, c.Certify.check()...)
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		fail("DATA_DIR: %w", err)
	}
	for _, s := range []struct {
		name, file string
		into       *string
	}{
		{"DATABASE_URL", c.DatabaseURLFile, &c.DatabaseURL},
		{"REDIS_URL", c.RedisURLFile, &c.RedisURL},
		{"MASTER_KEY", c.MasterKeyFile, &c.MasterKeyText},
		{"PORTAL_SECRET", c.PortalSecretFile, &c.PortalSecretText},
		{"SMTP_PASSWORD", c.SMTPPassFile, &c.SMTPPass},
		{"TWILIO_AUTH_TOKEN", c.TwilioFile, &c.TwilioToken},
		{"CERTIFICATE_PKCS11_PIN", c.CertificatePINFile, &c.CertificatePIN},
	} {
		if err := fromFile(s.name, s.file, s.into); err != nil {
			bad = append(bad, err)
		}
	}
	if c.ClockText != "" {
		if c.Mode != ModeLocal {
			fail("PORTAL_CLOCK is set; the clock can be moved in local mode only")
		} else if c.Clock, err = parseClock(c.ClockText, time.Now()); err != nil {
			bad = append(bad, err)
		}
	}
	if c.Mode == ModeProduction {
		bad = append(bad, c.checkProduction()...)
	}
	return c, errors.Join(bad...)
}

func (c *Config) checkProduction() (bad []error) {
	need := func(name, value, why string) {
		if value == "" {
			bad = append(bad, fmt.Errorf("%s is missing: %s", name, why))
		}
	}
	need("DATABASE_URL", c.DatabaseURL, "production uses a Postgres server of its own")
	need("REDIS_URL", c.RedisURL, "production uses a Redis server of its own")
	need("PUBLIC_URL", c.PublicURL, "the https address of the portal")
	need("CERTIFICATE_ISSUER", c.CertificateIssuer, "the name of the issuer in the certificates")
	need("CERTIFICATE_KEY_DIR", c.CertificateKeyDir, "the folder of the issuing keys; they are never made by themselves in production")
	if c.PublicURL != "" && !strings.HasPrefix(c.PublicURL, "https://") {
		bad = append(bad, errors.New("PUBLIC_URL must begin with https://"))
	}
	var err error
	if c.MasterKey, err = parseKey("MASTER_KEY", c.MasterKeyText); err != nil {
		bad = append(bad, err)
	}
	if c.Secret, err = parseKey("PORTAL_SECRET", c.PortalSecretText); err != nil {
		bad = append(bad, err)
	}
	if len(c.MasterKey) > 0 && string(c.MasterKey) == string(c.Secret) {
		bad = append(bad, errors.New("MASTER_KEY and PORTAL_SECRET are the same; they must differ"))
	}
	return bad
}

// LocalSecrets fills in the secrets of a local run: from the environment, or
// made once and kept under DATA_DIR/keys.
func (c *Config) LocalSecrets() error {
	dir := filepath.Join(c.DataDir, "keys")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if c.CertificateKeyDir == "" {
		c.CertificateKeyDir = dir
	}
	if c.CertificateLogWitness == "" {
		c.CertificateLogWitness = filepath.Join(c.DataDir, "log-witness.txt")
	}
	for _, s := range []struct {
		name, text, file string
		into             *[]byte
	}{{"MASTER_KEY", c.MasterKeyText, "master.key", &c.MasterKey}, {"PORTAL_SECRET", c.PortalSecretText, "portal.secret", &c.Secret}} {
		if s.text != "" {
			k, err := parseKey(s.name, s.text)
			if err != nil {
				return err
			}
			*s.into = k
			continue
		}
		k, err := keptKey(filepath.Join(dir, s.file))
		if err != nil {
			return err
		}
		*s.into = k
	}
	return nil
}

func keptKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return parseKey(path, string(b))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	k := make([]byte, 32)
	if _, err := rand.Read(k); err != nil {
		return nil, err
	}
	// Written beside and renamed: a start that dies here leaves no half key.
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(hex.EncodeToString(k)+"\n"), 0o600); err != nil {
		return nil, err
	}
	return k, os.Rename(tmp, path)
}

// parseKey reads 32 bytes in hex or base64. A demo secret is refused by name.
func parseKey(name, text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, fmt.Errorf("%s is missing: 32 random bytes, for example from 'openssl rand -hex 32'", name)
	}
	if strings.Contains(strings.ToLower(text), exampleSecret) {
		return nil, fmt.Errorf("%s is the example's value; make one of your own with 'openssl rand -hex 32'", name)
	}
	k, err := hex.DecodeString(text)
	if err != nil {
		k, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(k) != 32 {
		return nil, fmt.Errorf("%s must be 32 bytes in hex or base64", name)
	}
	if weak(k) {
		return nil, fmt.Errorf("%s is no random value", name)
	}
	return k, nil
}

// weak finds keys that somebody typed: few different bytes, or a counted sequence.
func weak(k []byte) bool {
	seen := map[byte]bool{}
	steps := map[byte]bool{}
	for i, b := range k {
		seen[b] = true
		if i > 0 {
			steps[b-k[i-1]] = true
		}
	}
	return len(seen) < 12 || len(steps) < 6
}

// parseClock reads PORTAL_CLOCK: a duration ("-720h") or a moment in Berlin
// ("2021-01-11T13:55") that the clock is to show at the start.
func parseClock(text string, now time.Time) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return 0, err
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, loc); err == nil {
			return t.Sub(now).Round(time.Second), nil
		}
	}
	return 0, fmt.Errorf("PORTAL_CLOCK is %q; it must be a duration such as -720h or a moment such as 2021-01-11T13:55", text)
}

func fromFile(name, file string, into *string) error {
	if file == "" {
		return nil
	}
	if *into != "" {
		return fmt.Errorf("%s and %s_FILE are both set", name, name)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s_FILE: %w", name, err)
	}
	*into = strings.TrimSpace(string(b))
	return nil
}

// Fingerprint names a secret in the log without telling it.
func Fingerprint(k []byte) string {
	s := sha256.Sum256(k)
	return hex.EncodeToString(s[:4])
}
