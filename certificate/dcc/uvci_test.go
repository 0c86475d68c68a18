package dcc

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestCheckCharacter(t *testing.T) {
	t.Parallel()
	// Ids of the EU's public test certificates.
	for id, want := range map[string]byte{
		"URN:UVCI:01:AT:B5921A35D6A0D696421B3E2462178297": 'I',
		"URN:UVCI:01:AT:10807843F94AEE0EE5093FBC254BD813": 'B',
		"URN:UVCI:01:AT:858CC18CFCF5965EF82F60E493349AA5": 'K',
		"URN:UVCI:01:AT:71EE2559DE38C6BF7304FB65A1A451EC": '3',
	} {
		if got, err := checkCharacter(id); err != nil || got != want {
			t.Errorf("%s: %c, %v, want %c", id, got, err, want)
		}
	}
	if _, err := checkCharacter("urn:uvci:01"); err == nil {
		t.Error("lower case must be refused")
	}
}

func TestNewUVCI(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^URN:UVCI:01DE/[A-Z0-9]{1,20}/[A-Z2-7]{22}#[A-Z0-9/:]$`)
	seen := map[string]bool{}
	for _, site := range []string{"leipzig", "Pflegeheim „Zur Rose“, Löbau 2", "", "東京", "0190f3c2-7d1e-7bb2-9a3b-1c2d3e4f5a6b"} {
		for range 50 {
			id := NewUVCI(site)
			if !form.MatchString(id) || len(id) > 80 || seen[id] || CheckUVCI(id) != nil {
				t.Fatalf("%q gave %s", site, id)
			}
			seen[id] = true
		}
	}
	good := NewUVCI("leipzig")
	for i := 14; i < len(good)-2; i++ { // one wrong character is always found
		for _, c := range []byte("A7") {
			if good[i] == c || good[i] == '/' {
				continue
			}
			if bad := good[:i] + string(c) + good[i+1:]; CheckUVCI(bad) == nil {
				t.Fatalf("%s passes for %s", bad, good)
			}
		}
	}
	for _, bad := range []string{"", good[:len(good)-2], "URN:UVCI:01:AT:B5921A35D6A0D696421B3E2462178297#I"} {
		if CheckUVCI(bad) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestParseUVCI(t *testing.T) {
	t.Parallel()
	good := NewUVCI("leipzig")
	short := strings.TrimPrefix(good, "URN:UVCI:")
	for _, typed := range []string{
		good, "  " + good + "\n", short, "uvci:" + short, strings.ToLower(good), good[:len(good)-2], short[:len(short)-2],
		short[:5] + " " + short[5:20] + "\u00a0" + short[20:],
	} {
		if got, err := ParseUVCI(typed); err != nil || got != good {
			t.Errorf("%q: %q, %v, want %q", typed, got, err, good)
		}
	}
	wrong := []byte(good)
	wrong[len(wrong)-4] ^= 1
	for _, typed := range []string{"", "#", "EX1234", string(wrong), "URN:UVCI:01:AT:B5921A35D6A0D696421B3E2462178297#I", good + "X", "01DE/LEIPZIG/Ä"} {
		if got, err := ParseUVCI(typed); !errors.Is(err, ErrUVCI) {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
}
