package vaccination

// Leftover is what a centre's day looks like in doses of one product.
type Leftover struct {
	ProductID string `json:"product_id"`
	Product   string `json:"product"`
	Doses     int    `json:"doses"`    // on hand: opened vials and closed ones
	Open      int    `json:"open"`     // of these in opened vials
	Expected  int    `json:"expected"` // people who are still to come or are here
	Left      int    `json:"left"`     // doses of opened vials that nobody is expected for
	Short     int    `json:"short"`    // people for whom no dose is on hand
}

// leftover says how many doses remain in opened vials when everybody who is
// expected has been vaccinated: a vial is opened whenever the opened ones are
// empty, and what is in an opened vial does not last until tomorrow.
func leftover(open, closedVials, dosesPerVial, expected int) (left, short int) {
	if expected <= open {
		return open - expected, 0
	}
	need := expected - open
	if dosesPerVial < 1 {
		return 0, need
	}
	vials := (need + dosesPerVial - 1) / dosesPerVial
	if vials > closedVials {
		return 0, need - closedVials*dosesPerVial
	}
	return vials*dosesPerVial - need, 0
}
