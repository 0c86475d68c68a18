package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodA, goodB = "8f1b2c9d7e6a5f4031c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e", "0d3f5a7c9e1b2d4f6a8c0e2f4a6b8d0c1e3f5a7b9d1c3e5f7a9b1d3c5e7f9a0b"

func TestProductionRefusesToRun(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(goodB+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{
		"DATABASE_URL": "postgres://db/portal", "REDIS_URL": "redis://r", "PUBLIC_URL": "https://impfen.example",
		"CERTIFICATE_KEY_DIR": "/keys", "CERTIFICATE_ISSUER": "Freistaat", "MASTER_KEY": goodA, "PORTAL_SECRET_FILE": secretFile,
	}
	cases := []struct {
		name string
		set  map[string]string
		want string // "" = starts
	}{
		{"all there", nil, ""},
		{"no master key", map[string]string{"MASTER_KEY": ""}, "MASTER_KEY is missing"},
		{"example secret", map[string]string{"MASTER_KEY": "change-me"}, "MASTER_KEY is the example's value"},
		{"typed secret", map[string]string{"MASTER_KEY": strings.Repeat("ab", 32)}, "MASTER_KEY is no random value"},
		{"short secret", map[string]string{"MASTER_KEY": "abcd"}, "MASTER_KEY must be 32 bytes"},
		{"both the same", map[string]string{"MASTER_KEY": goodB}, "they must differ"},
		{"both value and file", map[string]string{"PORTAL_SECRET": goodA}, "both set"},
		{"no database", map[string]string{"DATABASE_URL": ""}, "DATABASE_URL is missing"},
		{"plain http", map[string]string{"PUBLIC_URL": "http://impfen.example"}, "https://"},
		{"moved clock", map[string]string{"PORTAL_CLOCK": "1h"}, "PORTAL_CLOCK"},
		{"unknown mode", map[string]string{"PORTAL_MODE": "test"}, "PORTAL_MODE"},
		{"bad port", map[string]string{"PORT": "99999"}, "PORT"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			for k, v := range good {
				t.Setenv(k, v)
			}
			t.Setenv("PORTAL_MODE", "")
			_ = os.Unsetenv("PORTAL_MODE")
			for k, v := range tc.set {
				t.Setenv(k, v)
			}
			_, err := Load()
			if tc.want == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestLocalSecretsAreMadeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := Config{DataDir: dir}, Config{DataDir: dir}
	if err := a.LocalSecrets(); err != nil {
		t.Fatal(err)
	}
	if err := b.LocalSecrets(); err != nil {
		t.Fatal(err)
	}
	if string(a.MasterKey) != string(b.MasterKey) || string(a.Secret) != string(b.Secret) || string(a.Secret) == string(a.MasterKey) {
		t.Error("secrets are not kept")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	d, err := parseClock("2021-01-11T13:55", now)
	if err != nil || !now.Add(d).Equal(time.Date(2021, 1, 11, 12, 55, 0, 0, time.UTC)) {
		t.Errorf("moment: %v, %v", d, err)
	}
	if d, err := parseClock("-48h", now); err != nil || d != -48*time.Hour {
		t.Errorf("duration: %v, %v", d, err)
	}
	if _, err := parseClock("yesterday", now); err == nil {
		t.Error("nonsense accepted")
	}
}
