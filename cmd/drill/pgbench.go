package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Yardsticks in bare SQL, run by pgbench against copies of the real tables
// with their constraints, on the same server with the same durability.

// yardstickTables are empty copies, and places as many as anybody wants.
const yardstickTables = `
DROP SCHEMA IF EXISTS yardstick CASCADE;
CREATE SCHEMA yardstick;
CREATE TABLE yardstick.place (LIKE booking.place INCLUDING ALL) WITH (fillfactor = 70);
CREATE TABLE yardstick.appointment (LIKE booking.appointment INCLUDING ALL);
INSERT INTO yardstick.place (slot_id, channel, leg, first_day, places)
SELECT s, 'web', leg, '2021-02-01', 1000000 FROM generate_series(1, 2000) s, generate_series(1, 2) leg;
CREATE TABLE yardstick.key (LIKE vault.key INCLUDING ALL);
CREATE TABLE yardstick.person (LIKE citizen.person INCLUDING ALL);
CREATE TABLE yardstick.login (LIKE citizen.login INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE yardstick.outbox (LIKE jobs.outbox INCLUDING ALL);
CREATE TABLE yardstick.entry (LIKE audit.entry INCLUDING ALL);
`

// pairScript is one bare pair: two guarded updates, two appointments, commit.
const pairScript = `
\set s1 random(1, 1000)
\set s2 random(1001, 2000)
BEGIN;
UPDATE yardstick.place SET taken = taken + 1 WHERE slot_id = :s1 AND channel = 'web' AND leg = 1 AND first_day = '2021-02-01' AND taken < places;
UPDATE yardstick.place SET taken = taken + 1 WHERE slot_id = :s2 AND channel = 'web' AND leg = 2 AND first_day = '2021-02-01' AND taken < places;
INSERT INTO yardstick.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel, leg, first_day, dose_number, day, start_at, state, changed_at)
VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'covid-19', 'leipzig', 'comirnaty', :s1, 'web', 1, '2021-02-01', 1, '2021-02-01', now(), 'confirmed', now());
INSERT INTO yardstick.appointment (id, series_id, person_id, programme_id, centre_id, product_id, slot_id, channel, leg, first_day, dose_number, day, start_at, state, changed_at)
VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'covid-19', 'leipzig', 'comirnaty', :s2, 'web', 2, '2021-02-01', 2, '2021-02-22', now(), 'confirmed', now());
COMMIT;
`

// registerScript is the rows of one registration in one transaction.
const registerScript = `
BEGIN;
INSERT INTO yardstick.key (id, wrapped, master, created_at) VALUES (gen_random_uuid(), decode(repeat(md5(random()::text), 4), 'hex'), 'aaaaaaaaaaaa', now());
INSERT INTO yardstick.person (id, key_id, programme_id, group_code, state, identity_year, identity_month, identity_day, postcode_index, sealed, registered_at, keep_from)
VALUES (gen_random_uuid(), gen_random_uuid(), 'covid-19', '1', 'active', decode(md5(random()::text), 'hex'), decode(substr(md5(random()::text), 1, 16), 'hex'),
  decode(substr(md5(random()::text), 1, 16), 'hex'), decode(md5(random()::text), 'hex'), decode(repeat(md5(random()::text), 24), 'hex'), now(), now());
INSERT INTO yardstick.login (case_number, person_id, secret_mac, created_at) VALUES (translate(upper(substr(md5(random()::text), 1, 10)), 'ILOU', '1100'), gen_random_uuid(), decode(repeat(md5(random()::text), 2), 'hex'), now()) ON CONFLICT DO NOTHING;
INSERT INTO yardstick.outbox (kind, payload) VALUES ('citizen.registered', '{"person_id": "0176f000-0000-7000-8000-000000000011"}');
INSERT INTO yardstick.entry (at, actor, role, action, subject, after) VALUES (now(), 'citizen', '', 'citizen.registered', 'person:0176f000-0000-7000-8000-000000000011', '{"programme": "covid-19", "group": "1"}');
COMMIT;
`

var tpsLine = regexp.MustCompile(`tps = ([0-9.]+) \(without`)

// pgbench runs a script with clients connections for d and returns
// transactions a second.
func pgbench(ctx context.Context, databaseURL, script string, clients int, d time.Duration) (float64, error) {
	bin, err := findPgbench()
	if err != nil {
		return 0, err
	}
	f, err := os.CreateTemp("", "yardstick-*.sql")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err := f.WriteString(script); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, bin, "--no-vacuum", "--protocol=prepared", "--client="+strconv.Itoa(clients), "--jobs=2",
		"--time="+strconv.Itoa(int(d.Seconds())), "--file="+f.Name(), databaseURL)
	out, err := cmd.CombinedOutput()
	m := tpsLine.FindSubmatch(out)
	if err != nil || m == nil {
		return 0, fmt.Errorf("pgbench: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

func findPgbench() (string, error) {
	if p, err := exec.LookPath("pgbench"); err == nil {
		return p, nil
	}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("pgbench is missing: install Debian's package postgresql-15")
	}
	return slices.Max(all), nil
}
