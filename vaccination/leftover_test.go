package vaccination

import (
	"testing"

	"pgregory.net/rapid"
)

func TestLeftover(t *testing.T) {
	for _, tt := range []struct{ open, vials, perVial, expected, left, short int }{
		{0, 0, 6, 0, 0, 0},
		{3, 0, 6, 0, 3, 0},
		{3, 5, 6, 3, 0, 0},
		{3, 5, 6, 4, 5, 0},
		{0, 2, 6, 12, 0, 0},
		{0, 2, 6, 13, 0, 1},
		{2, 1, 6, 20, 0, 12},
		{0, 1, 0, 2, 0, 2},
	} {
		left, short := leftover(tt.open, tt.vials, tt.perVial, tt.expected)
		if left != tt.left || short != tt.short {
			t.Errorf("leftover(%d, %d, %d, %d) = %d, %d, want %d, %d", tt.open, tt.vials, tt.perVial, tt.expected, left, short, tt.left, tt.short)
		}
	}
}

// Vaccinating everybody one after the other, opening a vial whenever none is
// open, leaves what leftover says.
func TestLeftoverIsWhatTheDayLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		open, vials := rapid.IntRange(0, 20).Draw(t, "open"), rapid.IntRange(0, 20).Draw(t, "vials")
		perVial, expected := rapid.IntRange(1, 12).Draw(t, "perVial"), rapid.IntRange(0, 300).Draw(t, "expected")
		left, short := leftover(open, vials, perVial, expected)
		o, v, without := open, vials, 0
		for range expected {
			if o == 0 && v > 0 {
				o, v = perVial, v-1
			}
			if o == 0 {
				without++
				continue
			}
			o--
		}
		if o != left || without != short {
			t.Fatalf("leftover = %d, %d; the day leaves %d, %d", left, short, o, without)
		}
	})
}
