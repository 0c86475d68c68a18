package centre

import (
	"cmp"
	"slices"
	"sync"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
)

// collators compare as German is sorted (DIN 5007: ö beside o, capitals beside small
// letters); one serves one caller at a time.
var collators = sync.Pool{New: func() any { return collate.New(language.German) }}

// CompareNames orders names as people look for them in a list: negative when a comes
// before b.
func CompareNames(a, b string) int {
	c := collators.Get().(*collate.Collator)
	defer collators.Put(c)
	return cmp.Or(c.CompareString(a, b), cmp.Compare(a, b))
}

// byName is the order in which centres stand in every list.
func byName(list []Centre) []Centre {
	slices.SortFunc(list, func(a, b Centre) int { return cmp.Or(CompareNames(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}
