package citizen

import (
	"fmt"

	"impfportal/internal/code"
)

const (
	caseLen   = 10 // 8 random characters (40 bits) and 2 check characters
	secretLen = 20 // 18 random characters (90 bits) and 2 check characters
)

// CodeExample is shown as a hint beside the field of a case number.
const CodeExample = "7K2M-9QXD-KZ"

// ParseCaseNumber reads a case number as people type it (small letters,
// spaces, hyphens, O for 0, I or L for 1) and returns the stored form: ten
// characters. It returns ErrTypo when it cannot be one.
func ParseCaseNumber(s string) (string, error) { return parseCode(s, caseLen) }

// ParseSecret does the same for a secret (Zugangscode).
func ParseSecret(s string) (string, error) { return parseCode(s, secretLen) }

// PrintCode sets a stored case number or secret in groups of four.
func PrintCode(stored string) string { return code.Print(stored) }

func newCaseNumber() string { return code.New(caseLen) }
func newSecret() string     { return code.New(secretLen) }

func parseCode(s string, length int) (string, error) {
	stored, err := code.Parse(s, length)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTypo, err)
	}
	return stored, nil
}
