package inventory

import "strings"

// Place is an account of the ledger.
type Place string

// The places that exist once.
const (
	Supplier   Place = "supplier"   // where deliveries come from
	Central    Place = "central"    // the state's central store
	Person     Place = "person"     // doses given
	Returned   Place = "return"     // given back to the federation
	Gain       Place = "gain"       // doses that came out of vials beyond the rule
	conversion Place = "conversion" // vials in, doses out
)

// CentrePlace is the store of a vaccination centre.
func CentrePlace(centreID string) Place { return Place("centre:" + centreID) }

// TeamPlace is the box of a mobile team.
func TeamPlace(teamID string) Place { return Place("team:" + teamID) }

// Holds reports whether the place holds real stock, so that its balance can
// never be negative.
func (p Place) Holds() bool {
	return p == Central || p.CentreID() != "" || p.TeamID() != ""
}

// CentreID returns the centre's id, or "" when the place is no centre.
func (p Place) CentreID() string { return p.after("centre:") }

// TeamID returns the team's id, or "" when the place is no team.
func (p Place) TeamID() string { return p.after("team:") }

func (p Place) after(prefix string) string {
	if s, ok := strings.CutPrefix(string(p), prefix); ok {
		return s
	}
	return ""
}

// Reason says why vaccine was thrown away (Verwurf).
type Reason string

// The reasons of waste.
const (
	OpenVial   Reason = "open-vial"   // left over in an opened vial, or it gave less
	ClosedVial Reason = "closed-vial" // broken, or thawed for too long
	Expired    Reason = "expired"     // past its last day
	ColdChain  Reason = "cold-chain"  // too warm or too cold
)

// Reasons lists all reasons.
func Reasons() []Reason { return []Reason{OpenVial, ClosedVial, Expired, ColdChain} }

// Valid reports whether r is one of Reasons.
func (r Reason) Valid() bool {
	return r == OpenVial || r == ClosedVial || r == Expired || r == ColdChain
}

func (r Reason) place() Place { return Place("waste:" + string(r)) }
