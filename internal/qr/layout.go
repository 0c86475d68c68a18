package qr

import "sync"

// Version and level decide how many code words there are, how many of them
// check the others, and in how many blocks (ISO/IEC 18004, table 9).

// checksPerBlock and blocks are indexed by level and version.
var (
	checksPerBlock = [4][41]uint8{
		L: {0, 7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
		M: {0, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28},
		Q: {0, 13, 22, 18, 26, 18, 24, 18, 22, 20, 24, 28, 26, 24, 20, 30, 24, 28, 28, 26, 30, 28, 30, 30, 30, 30, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
		H: {0, 17, 28, 22, 16, 22, 28, 26, 26, 24, 28, 24, 28, 22, 24, 24, 30, 28, 28, 26, 28, 30, 24, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
	}
	blocks = [4][41]uint8{
		L: {0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25},
		M: {0, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49},
		Q: {0, 1, 1, 2, 2, 4, 4, 6, 6, 8, 8, 8, 10, 12, 16, 12, 17, 16, 18, 21, 20, 23, 23, 25, 27, 29, 34, 34, 35, 38, 40, 43, 45, 48, 51, 53, 56, 59, 62, 65, 68},
		H: {0, 1, 1, 2, 4, 4, 4, 5, 6, 8, 8, 11, 11, 16, 16, 18, 16, 19, 21, 25, 25, 25, 34, 30, 32, 35, 37, 40, 42, 45, 48, 51, 54, 57, 60, 63, 66, 70, 74, 77, 81},
	}
)

const maxVersion = 40

// codeWords is the number of bytes that a version holds, checks included: the
// modules that no pattern takes.
func codeWords(version int) int {
	n := (16*version+128)*version + 64
	if version >= 2 {
		a := version/7 + 2
		n -= (25*a-10)*a - 55
	}
	if version >= 7 {
		n -= 36
	}
	return n / 8
}

func dataWords(version int, level Level) int {
	return codeWords(version) - int(checksPerBlock[level][version])*int(blocks[level][version])
}

// plan is the layout of one version and level.
type plan struct {
	size, version   int
	data            int     // bytes of data
	blocks, checks  int     // how many, and the check bytes of each
	place           []place // where the bits go: those of the data in their order, then each block's checks
	fixed, reserved []row   // the dark modules of the patterns, and all that they take
	base            [8][]row
	baseT           [8][]row // base with x and y exchanged
}

type place struct{ x, y uint8 }

var plans [4][maxVersion + 1]struct {
	once sync.Once
	plan *plan
}

// planFor computes a layout once: that costs a hundred times what using it does.
func planFor(version int, level Level) *plan {
	p := &plans[level][version]
	p.once.Do(func() { p.plan = newPlan(version, level) })
	return p.plan
}

func newPlan(version int, level Level) *plan {
	p := &plan{size: 17 + 4*version, version: version, data: dataWords(version, level), blocks: int(blocks[level][version]), checks: int(checksPerBlock[level][version])}
	p.fixed, p.reserved = make([]row, p.size), make([]row, p.size)
	p.patterns()
	p.route()
	for mask := range 8 {
		p.base[mask], p.baseT[mask] = make([]row, p.size), make([]row, p.size)
		copy(p.base[mask], p.fixed)
		dark := func(x, y int, is bool) {
			if is {
				p.base[mask][y].set(x)
			}
		}
		p.format(level, mask, dark)
		for y := range p.size {
			for x := range p.size {
				dark(x, y, !p.reserved[y].has(x) && masked(mask, x, y))
				if p.base[mask][y].has(x) {
					p.baseT[mask][x].set(y)
				}
			}
		}
	}
	return p
}

// put sets a module of a pattern.
func (p *plan) put(x, y int, dark bool) {
	if x < 0 || y < 0 || x >= p.size || y >= p.size {
		return
	}
	p.reserved[y].set(x)
	if dark {
		p.fixed[y].set(x)
	}
}

// patterns draws what does not depend on data, level and mask.
func (p *plan) patterns() {
	for i := range p.size { // timing
		p.put(6, i, i%2 == 0)
		p.put(i, 6, i%2 == 0)
	}
	corner := func(cx, cy int) { // with its light border
		for dy := -4; dy <= 4; dy++ {
			for dx := -4; dx <= 4; dx++ {
				ring := max(abs(dx), abs(dy))
				x, y := cx+dx, cy+dy
				if x >= 0 && y >= 0 && x < p.size && y < p.size {
					p.fixed[y].clear(x) // a timing line may have been here
				}
				p.put(x, y, ring != 2 && ring != 4)
			}
		}
	}
	corner(3, 3)
	corner(p.size-4, 3)
	corner(3, p.size-4)
	at := alignment(p.version)
	for i, y := range at {
		for j, x := range at {
			last := len(at) - 1
			if i == 0 && (j == 0 || j == last) || i == last && j == 0 {
				continue // the corners
			}
			for dy := -2; dy <= 2; dy++ {
				for dx := -2; dx <= 2; dx++ {
					p.put(x+dx, y+dy, max(abs(dx), abs(dy)) != 1)
				}
			}
		}
	}
	p.format(L, 0, func(x, y int, _ bool) { p.put(x, y, false) })
	p.put(8, p.size-8, true)
	if p.version >= 7 {
		word := p.version<<12 | remainder(p.version<<12, 0x1F25, 12)
		for i := range 18 {
			a, b, dark := p.size-11+i%3, i/3, word>>i&1 != 0
			p.put(a, b, dark)
			p.put(b, a, dark)
		}
	}
}

// format draws level and mask, twice.
func (p *plan) format(level Level, mask int, put func(x, y int, dark bool)) {
	word := [4]int{L: 1, M: 0, Q: 3, H: 2}[level]<<3 | mask
	word = (word<<10 | remainder(word<<10, 0x537, 10)) ^ 0x5412
	for i := range 15 {
		dark := word>>i&1 != 0
		switch {
		case i < 6:
			put(8, i, dark)
		case i < 8:
			put(8, i+1, dark)
		case i == 8:
			put(7, 8, dark)
		default:
			put(14-i, 8, dark)
		}
		if i < 8 {
			put(p.size-1-i, 8, dark)
		} else {
			put(8, p.size-15+i, dark)
		}
	}
}

// remainder divides by a generator polynomial of that degree over GF(2).
func remainder(word, generator, degree int) int {
	for bit := 24; bit >= degree; bit-- {
		if word>>bit&1 != 0 {
			word ^= generator << (bit - degree)
		}
	}
	return word
}

// alignment are the rows and columns in which the small squares stand.
func alignment(version int) []int {
	if version == 1 {
		return nil
	}
	n := version/7 + 2
	step := (version*4 + n*2 + 1) / (n*2 - 2) * 2
	if version == 32 { // the standard's table departs from its own rule
		step = 26
	}
	at := make([]int, n)
	at[0] = 6
	for i := 1; i < n; i++ {
		at[i] = 17 + 4*version - 7 - step*(n-1-i)
	}
	return at
}

// route finds the modules of all bits: upwards and downwards in columns of two
// modules, with the blocks' bytes taking turns.
func (p *plan) route() {
	total := codeWords(p.version)
	p.place = make([]place, 8*total)
	order := p.turns(total)
	bit := 0
	for right := p.size - 1; right >= 1; right -= 2 {
		if right == 6 {
			right = 5
		}
		for step := range p.size {
			y := step
			if (right+1)&2 == 0 {
				y = p.size - 1 - step
			}
			for x := right; x >= right-1; x-- {
				if p.reserved[y].has(x) || bit >= 8*total {
					continue
				}
				p.place[8*order[bit/8]+bit%8] = place{uint8(x), uint8(y)}
				bit++
			}
		}
	}
}

// turns tells which byte (data, then checks by block) stands at each position
// of the code. The last blocks may have one byte of data more than the first.
func (p *plan) turns(total int) []int {
	short := p.data / p.blocks
	longer := p.blocks - p.data%p.blocks // the first of them
	order := make([]int, 0, total)
	for i := range short + 1 {
		for b := range p.blocks {
			if i < short {
				order = append(order, b*short+max(0, b-longer)+i)
			} else if b >= longer {
				order = append(order, b*short+b-longer+i)
			}
		}
	}
	for i := range p.checks {
		for b := range p.blocks {
			order = append(order, p.data+b*p.checks+i)
		}
	}
	return order
}

// masked tells which modules a mask turns over.
func masked(mask, x, y int) bool {
	switch mask {
	case 0:
		return (x+y)%2 == 0
	case 1:
		return y%2 == 0
	case 2:
		return x%3 == 0
	case 3:
		return (x+y)%3 == 0
	case 4:
		return (y/2+x/3)%2 == 0
	case 5:
		return x*y%2+x*y%3 == 0
	case 6:
		return (x*y%2+x*y%3)%2 == 0
	}
	return ((x+y)%2+x*y%3)%2 == 0
}

func abs(n int) int { return max(n, -n) }
