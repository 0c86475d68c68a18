package issuer

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"impfportal/certificate/issuer/registry"
)

// demoLife is how long the demo authority's list holds.
const demoLife = 30 * 24 * time.Hour

// DemoRegistry makes the demo authority of a local run under dir, once: its key
// (authority.key), its list (registry.json) and the signed list (registry.jws),
// which is signed anew when it is out of date at the moment. It returns the
// signed list's path and the public key's.
func DemoRegistry(dir string, now time.Time) (signed, public string, err error) {
	key, list := filepath.Join(dir, "authority.key"), filepath.Join(dir, "registry.json")
	signed, public = filepath.Join(dir, "registry.jws"), key+".pub"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	if _, err := os.Stat(list); os.IsNotExist(err) {
		if err := registry.WriteUnsigned(list, demoList()); err != nil {
			return "", "", err
		}
	}
	if _, err := os.Stat(public); os.IsNotExist(err) {
		if err := registry.NewKeyFiles(key); err != nil {
			return "", "", err
		}
	}
	keys, err := registry.KeyFile(public)
	if err != nil {
		return "", "", err
	}
	if raw, err := os.ReadFile(signed); err == nil {
		if l, err := registry.Open(raw, keys); err == nil && now.Before(l.NextUpdate) && !l.IssuedAt.After(now) {
			return signed, public, nil
		}
	}
	signer, err := registry.PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	_, err = registry.SignFile(list, signed, signer, now, demoLife)
	return signed, public, err
}

func demoList() registry.List {
	l := registry.List{Authority: "Demo-Behörde (MUSTER)"}
	from := registry.Day{Time: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i, city := range []struct{ postcode, name string }{
		{"01067", "Dresden"}, {"04109", "Leipzig"}, {"09111", "Chemnitz"}, {"08056", "Zwickau"}, {"02826", "Görlitz"}, {"08523", "Plauen"}, {"01662", "Meißen"}, {"02625", "Bautzen"},
	} {
		l.Entries = append(l.Entries,
			registry.Entry{
				ID: fmt.Sprintf("30000%04d", i+1), Name: "Apotheke MUSTER " + city.name, Street: "Marktstraße 1", Postcode: city.postcode, City: city.name,
				Kind: registry.Pharmacy, Licence: registry.LicenceValid, Region: "DE-SN", From: from,
			},
			registry.Entry{
				ID: fmt.Sprintf("95%07d", i+1), Name: "Praxis Dr. MUSTER " + city.name, Street: "Bahnhofstraße 2", Postcode: city.postcode, City: city.name,
				Kind: registry.Practice, Licence: registry.LicenceValid, Region: "DE-SN", From: from,
			})
	}
	// One that may not: to see how that looks.
	l.Entries = append(l.Entries, registry.Entry{
		ID: "300009999", Name: "Apotheke MUSTER ohne Zulassung", Street: "Sackgasse 9", Postcode: "04109", City: "Leipzig",
		Kind: registry.Pharmacy, Licence: registry.LicenceWithdrawn, Region: "DE-SN", From: from,
	})
	return l
}
