package defence

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func names(nets []Network) (out []string) {
	for _, n := range nets {
		out = append(out, n.String())
	}
	return out
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string][]string{
		"203.0.113.77":               {"203.0.113.0/24"},
		"255.255.255.255":            {"255.255.255.0/24"},
		"::ffff:203.0.113.77":        {"203.0.113.0/24"},
		"::ffff:cb00:714d":           {"203.0.113.0/24"},
		"2001:db8:1:2:3:4:5:6":       {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"fe80::1%eth0":               {"fe80::/64", "fe80::/48"},
		"2001:db8:ffff:ffff::":       {"2001:db8:ffff:ffff::/64", "2001:db8:ffff::/48"},
		"127.0.0.1":                  nil,
		"::ffff:127.0.0.1":           nil,
		"::1":                        nil,
		"0.0.0.0":                    nil,
		"::":                         nil,
		"10.1.2.3":                   {"10.1.2.0/24"},
		"2001:db8:1:2::203.0.113.77": {"2001:db8:1:2::/64", "2001:db8:1::/48"},
	} {
		if got := names(Networks(netip.MustParseAddr(addr))); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if Networks(netip.Addr{}) != nil {
		t.Error("no address has a network")
	}
	if (Network{}).String() != "" {
		t.Error("nobody's network has a name")
	}
}

// Every network of an address contains it, and names what net/netip names.
func TestNetworksContainTheirAddress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")
		if rapid.Bool().Draw(t, "v6") {
			raw = rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6 address")
		}
		addr, _ := netip.AddrFromSlice(raw)
		for _, n := range Networks(addr) {
			p := netip.MustParsePrefix(n.String())
			if !p.Contains(addr.Unmap()) || p != p.Masked() {
				t.Fatalf("%s is not in %s", addr, p)
			}
		}
	})
}
