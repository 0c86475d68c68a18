package pdf

import (
	"fmt"
	"strings"
)

// elem is an element of the structure tree: what a part of the page means, and
// in which order the parts are read.
type elem struct {
	role   string // a standard structure type (ISO 32000-1, 14.8.4)
	lang   string // when it differs from its parent's
	alt    string // Figure: what a person hears instead
	scope  string // TH: Row or Column
	box    *[4]float64
	kids   []kid
	number int
}

// kid is a child: an element, or marked content of a page.
type kid struct {
	elem      *elem
	page, mcr int
}

// empty elements are left out, but not cells: a row has as many as its head.
func (e *elem) empty() bool {
	if e.role == "TD" || e.role == "TH" {
		return false
	}
	for _, k := range e.kids {
		if k.elem == nil || !k.elem.empty() {
			return false
		}
	}
	return true
}

// writeTree writes the structure tree below root and the table that leads from
// the marked content of each page back to its element. It returns the object
// number of the tree's root.
func (f *file) writeTree(root *elem, pages []*page, pageNumber []int) int {
	top, parents := f.number(), f.number()
	var assign func(e *elem)
	assign = func(e *elem) {
		e.number = f.number()
		for _, k := range e.kids {
			if k.elem != nil && !k.elem.empty() {
				assign(k.elem)
			}
		}
	}
	assign(root)
	f.write(top, fmt.Sprintf("<</Type/StructTreeRoot/K %d 0 R/ParentTree %d 0 R/ParentTreeNextKey %d>>", root.number, parents, len(pages)))
	f.object(parents)
	f.text("<</Nums[")
	for i, p := range pages {
		f.int(i)
		f.text("[")
		for _, owner := range p.owners {
			f.ref(owner.number)
			f.text(" ")
		}
		f.text("]")
	}
	f.text("]>>")
	f.end()
	f.writeElem(root, top, pageNumber)
	return top
}

func (f *file) writeElem(e *elem, parent int, pageNumber []int) {
	f.object(e.number)
	f.text("<</S/" + e.role + "/P ")
	f.ref(parent)
	if e.lang != "" {
		f.text("/Lang(" + e.lang + ")")
	}
	if e.alt != "" {
		f.text("/Alt" + textString(e.alt))
	}
	f.text(e.attributes())
	home := -1 // the page of the content that is named by number alone
	for _, k := range e.kids {
		if k.elem == nil {
			home = k.page
			f.text("/Pg ")
			f.ref(pageNumber[home])
			break
		}
	}
	f.text("/K[")
	for _, k := range e.kids {
		switch {
		case k.elem == nil && k.page == home:
			f.int(k.mcr)
		case k.elem == nil:
			f.text(fmt.Sprintf("<</Type/MCR/Pg %d 0 R/MCID %d>>", pageNumber[k.page], k.mcr))
		case k.elem.empty():
			continue
		default:
			f.ref(k.elem.number)
		}
		f.text(" ")
	}
	f.text("]>>")
	f.end()
	for _, k := range e.kids {
		if k.elem != nil && !k.elem.empty() {
			f.writeElem(k.elem, e.number, pageNumber)
		}
	}
}

func (e *elem) attributes() string {
	switch {
	case e.box != nil:
		var b strings.Builder
		b.WriteString("/A<</O/Layout/Placement/Block/BBox[")
		for i, v := range e.box {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.Write(appendNumber(nil, v))
		}
		return b.String() + "]>>"
	case e.scope != "":
		return "/A<</O/Table/Scope/" + e.scope + ">>"
	case e.role == "L":
		return "/A<</O/List/ListNumbering/Disc>>"
	}
	return ""
}
