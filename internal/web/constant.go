package web

import (
	"html/template"
	"io"
	"strconv"
	"text/template/parse"
)

// foldTexts writes the texts of a parsed page into it: {{t "key"}} becomes
// {{"text"}}, wherever the text holds nothing to fill in. Pages are parsed once
// per language, so this is said once and not to every reader. It must run before
// html/template sees the page for the first time, which then escapes the text like
// any other value.
func foldTexts(cat *catalogue, lang string, n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, sub := range n.Nodes {
			foldTexts(cat, lang, sub)
		}
	case *parse.ActionNode:
		foldTexts(cat, lang, n.Pipe)
	case *parse.TemplateNode:
		foldTexts(cat, lang, n.Pipe)
	case *parse.IfNode:
		foldBranch(cat, lang, &n.BranchNode)
	case *parse.WithNode:
		foldBranch(cat, lang, &n.BranchNode)
	case *parse.RangeNode:
		foldBranch(cat, lang, &n.BranchNode)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for i, cmd := range n.Cmds {
			if text, ok := textOf(cat, lang, cmd); ok && i == 0 {
				cmd.Args = []parse.Node{&parse.StringNode{NodeType: parse.NodeString, Pos: cmd.Pos, Quoted: strconv.Quote(text), Text: text}}
				continue
			}
			for _, arg := range cmd.Args {
				foldTexts(cat, lang, arg)
			}
		}
	}
}

// escapers of html/template after which a text stands as HTML, in the open or in
// a quoted attribute. Where it calls them otherwise one day, pages are only slower.
var escapers = map[string]bool{"_html_template_htmlescaper": true, "_html_template_attrescaper": true, "_html_template_rcdataescaper": true}

// foldEscaped makes plain text of the texts that [foldTexts] has written into a
// page, as soon as html/template has found out how to escape them, which it does
// when the page is first executed.
func foldEscaped(page *template.Template) {
	_ = page.ExecuteTemplate(nowhere{}, "layout", nil) // ends at the first word, after that
	for _, t := range page.Templates() {
		if t.Tree != nil {
			foldText(t.Tree.Root)
		}
	}
}

func foldText(n *parse.ListNode) {
	if n == nil {
		return
	}
	for i, sub := range n.Nodes {
		switch sub := sub.(type) {
		case *parse.ActionNode:
			if text, ok := escapedText(sub.Pipe); ok {
				n.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: sub.Pos, Text: []byte(text)}
			}
		case *parse.IfNode:
			foldText(sub.List)
			foldText(sub.ElseList)
		case *parse.WithNode:
			foldText(sub.List)
			foldText(sub.ElseList)
		case *parse.RangeNode:
			foldText(sub.List)
			foldText(sub.ElseList)
		}
	}
}

// nowhere takes nothing.
type nowhere struct{}

func (nowhere) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// escapedText returns what '"text" | escaper' writes.
func escapedText(p *parse.PipeNode) (string, bool) {
	if len(p.Decl) > 0 || len(p.Cmds) != 2 || len(p.Cmds[0].Args) != 1 || len(p.Cmds[1].Args) != 1 {
		return "", false
	}
	text, isText := p.Cmds[0].Args[0].(*parse.StringNode)
	name, isName := p.Cmds[1].Args[0].(*parse.IdentifierNode)
	if !isText || !isName || !escapers[name.Ident] {
		return "", false
	}
	return template.HTMLEscapeString(text.Text), true
}

func foldBranch(cat *catalogue, lang string, n *parse.BranchNode) {
	foldTexts(cat, lang, n.Pipe)
	foldTexts(cat, lang, n.List)
	foldTexts(cat, lang, n.ElseList)
}

// textOf returns the text of the command 't "key"'; ok only if it is always the same.
func textOf(cat *catalogue, lang string, cmd *parse.CommandNode) (text string, ok bool) {
	if len(cmd.Args) != 2 {
		return "", false
	}
	name, isName := cmd.Args[0].(*parse.IdentifierNode)
	key, isKey := cmd.Args[1].(*parse.StringNode)
	if !isName || !isKey || name.Ident != "t" {
		return "", false
	}
	text, ok = cat.fixed[lang][key.Text]
	return text, ok
}
