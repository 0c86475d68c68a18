package citizen

// MatchName is the form under which two spellings of one name meet (Müller,
// Mueller; Karl-Heinz, Karl Heinz; Dvořák, Dvorak). It is for comparing and for
// blind indexes, never for showing.
func MatchName(s string) string { return matchName(s) }

// CleanName returns a typed name in its stored form and, when it is no name,
// the i18n key of what is wrong with its arguments.
func CleanName(s string) (name, problemKey string, args []any) {
	name = tidy(s)
	key, args := nameProblem(name)
	if key != "" {
		key = "citizen.error." + key
	}
	return name, key, args
}
