package manifest

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what aliases of one document may grow to.
const maxNodes = 200_000

// File is one input.
type File struct {
	Name string
	// Documents that were understood, in order.
	Documents []*Document
	// Problems are syntax errors.
	Problems []Problem

	chunks []chunk
}

// Document is one of the documents of a file.
type Document struct {
	File string
	// Index counts the documents of the file from 0.
	Index int
	// ReadOnly says that the text has anchors, merge keys or a key twice: such a document is read, never changed.
	ReadOnly bool

	root  *yaml.Node
	chunk int
}

// Problem is text that cannot be read.
type Problem struct {
	Line    int
	Column  int
	Message string
	// Duplicate is the key that is given twice, if that is the problem.
	Duplicate string
	// Text is the document that cannot be read.
	Text string
}

// chunk is a stretch of the file between two separators.
type chunk struct {
	separator string // the line before it, with its line end
	text      string
	line      int // of its first line, from 1
}

var (
	separatorLine = regexp.MustCompile(`^---[ \t]*(#.*)?\r?$`)
	documentLine  = regexp.MustCompile(`^---[ \t]`)
	errorLine     = regexp.MustCompile(`line (\d+): `)
)

// Parse reads all documents of a file. What cannot be read stands in Problems.
func Parse(name string, text []byte) *File {
	f := &File{Name: name, chunks: split(string(bytes.TrimPrefix(text, []byte("\ufeff"))))}
	for i, c := range f.chunks {
		if c.blank() {
			continue
		}
		node, err := c.parse()
		if err != nil {
			f.Problems = append(f.Problems, c.problem(err))
			continue
		}
		if node == nil {
			continue
		}
		move(node, c.line-1)
		twice := duplicates(node, nil)
		f.Problems = append(f.Problems, twice...)
		d := &Document{File: name, Index: len(f.Documents), root: node, chunk: i, ReadOnly: len(twice) > 0}
		if aliased(node) {
			d.ReadOnly = true
			if d.root, err = expand(node); err != nil {
				f.Problems = append(f.Problems, Problem{Line: node.Line, Column: node.Column, Message: err.Error()})
				continue
			}
		}
		f.Documents = append(f.Documents, d)
	}
	return f
}

// Root is the whole document.
func (d *Document) Root() Value { return Value{Doc: d, Node: d.root, near: d.root} }

// Text is the document as it was written.
func (f *File) Text(d *Document) string { return f.chunks[d.chunk].text }

func split(text string) []chunk {
	chunks := []chunk{{line: 1}}
	line := 0
	for l := range strings.Lines(text) {
		line++
		bare := strings.TrimRight(l, "\n")
		last := &chunks[len(chunks)-1]
		switch {
		case separatorLine.MatchString(bare):
			chunks = append(chunks, chunk{separator: l, line: line + 1})
		case documentLine.MatchString(bare) && last.text != "":
			chunks = append(chunks, chunk{text: l, line: line})
		default:
			last.text += l
		}
	}
	return chunks
}

// blank is true for a stretch without content: comments, directives, nothing.
func (c chunk) blank() bool {
	for l := range strings.Lines(c.text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' && l[0] != '%' && l != "..." {
			return false
		}
	}
	return true
}

func (c chunk) parse() (*yaml.Node, error) {
	dec := yaml.NewDecoder(strings.NewReader(c.text))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, err
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second document begins without a line ---")
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	return doc.Content[0], nil
}

func (c chunk) problem(err error) Problem {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{Line: c.line, Column: 1, Message: msg, Text: c.text}
	if m := errorLine.FindStringSubmatchIndex(msg); m != nil {
		if n, err := strconv.Atoi(msg[m[2]:m[3]]); err == nil {
			p.Line = c.line - 1 + n
			p.Message = msg[:m[0]] + msg[m[1]:]
		}
	}
	return p
}

func move(n *yaml.Node, lines int) {
	n.Line += lines
	for _, c := range n.Content {
		move(c, lines)
	}
}

// duplicates are keys that a mapping has twice: Kubernetes takes the last one or refuses.
func duplicates(n *yaml.Node, found []Problem) []Problem {
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.Value == "<<" {
				continue
			}
			if seen[k.Value] {
				found = append(found, Problem{Line: k.Line, Column: k.Column, Duplicate: k.Value, Message: "key " + strconv.Quote(k.Value) + " is given twice"})
			}
			seen[k.Value] = true
		}
	}
	for _, c := range n.Content {
		found = duplicates(c, found)
	}
	return found
}

func aliased(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge" {
		return true
	}
	for _, c := range n.Content {
		if aliased(c) {
			return true
		}
	}
	return false
}

// expand replaces aliases and merge keys by what they stand for.
func expand(n *yaml.Node) (*yaml.Node, error) {
	e := expander{open: map[*yaml.Node]bool{}}
	return e.node(n)
}

type expander struct {
	made int
	open map[*yaml.Node]bool
}

func (e *expander) node(n *yaml.Node) (*yaml.Node, error) {
	if n.Kind == yaml.AliasNode {
		if n.Alias == nil {
			return nil, errors.New("an alias names nothing")
		}
		made, err := e.node(n.Alias)
		if err != nil {
			return nil, err
		}
		made.Line, made.Column = n.Line, n.Column
		return made, nil
	}
	if e.open[n] {
		return nil, errors.New("anchor " + n.Anchor + " contains itself")
	}
	if e.made++; e.made > maxNodes {
		return nil, errors.New("its aliases expand to too much")
	}
	e.open[n] = true
	defer delete(e.open, n)
	made := *n
	made.Anchor, made.Content = "", nil
	var merged []*yaml.Node
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Tag == "!!merge" {
			continue
		}
		child, err := e.node(c)
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Tag == "!!merge" {
			merged = append(merged, child)
			continue
		}
		made.Content = append(made.Content, child)
	}
	for _, m := range merged {
		mergeInto(&made, m)
	}
	return &made, nil
}

// mergeInto adds the keys of m, a mapping or a list of mappings, that n lacks.
func mergeInto(n, m *yaml.Node) {
	if m.Kind == yaml.SequenceNode {
		for _, c := range m.Content {
			mergeInto(n, c)
		}
		return
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if lookup(n, m.Content[i].Value) < 0 {
			n.Content = append(n.Content, m.Content[i], m.Content[i+1])
		}
	}
}

// lookup is the index of a key's value in a mapping, or -1.
func lookup(n *yaml.Node, key string) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	// The last one wins, as in the API server's decoder.
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Kind == yaml.ScalarNode && n.Content[i].Value == key {
			return i + 1
		}
	}
	return -1
}
