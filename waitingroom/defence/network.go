package defence

import (
	"encoding/binary"
	"net/netip"
)

// Network is an address cut to what one provider gives to one customer or site:
// an IPv4 /24, or an IPv6 /64 or /48. The zero value is nobody's network.
type Network struct {
	top  uint64 // first 64 bits; of IPv4 the 32 bits of the address
	bits uint8  // 24, 48 or 64
}

// Networks returns the networks that an address counts for, the narrowest
// first. IPv4 addresses in IPv6 form count as IPv4. It is nil for addresses that
// name nobody: an invalid one, and the machine itself (a proxy that is not
// configured as trusted, or a program on the same machine).
func Networks(addr netip.Addr) []Network {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid(), addr.IsLoopback(), addr.IsUnspecified():
		return nil
	case addr.Is4():
		b := addr.As4()
		return []Network{{uint64(binary.BigEndian.Uint32(b[:]) &^ 0xff), 24}}
	}
	b := addr.As16()
	top := binary.BigEndian.Uint64(b[:8])
	return []Network{{top, 64}, {top &^ 0xffff, 48}}
}

// Wide reports whether n holds many of the narrow networks.
func (n Network) Wide() bool { return n.bits == 48 }

// raw is the network in nine bytes.
func (n Network) raw() []byte { return append(binary.BigEndian.AppendUint64(nil, n.top), n.bits) }

// String is the network as "203.0.113.0/24" or "2001:db8:1::/48"; "" for nobody's.
func (n Network) String() string {
	switch n.bits {
	case 0:
		return ""
	case 24:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n.top)) //nolint:gosec // 32 bits by construction
		return netip.PrefixFrom(netip.AddrFrom4(b), 24).String()
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.top)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(n.bits)).String()
}
