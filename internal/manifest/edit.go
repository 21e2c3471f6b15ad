package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit is one change of a document.
type Edit struct {
	Path Path
	// Set is what stands there afterwards; mappings on the way are made.
	Set *yaml.Node
	// Append adds to the list there, which is made if there is none.
	Append *yaml.Node
	// Rename gives the key another name.
	Rename string
	// Remove takes the entry away.
	Remove bool
}

// YAML makes a node from text, for Set and Append; wrong text is a programming error and gives null.
func YAML(text string) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	clearPlaces(doc.Content[0])
	return doc.Content[0]
}

// Scalar makes a node of a text; it is quoted where YAML would read something else.
func Scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	switch Tag(&yaml.Node{Kind: yaml.ScalarNode, Value: text, Tag: resolved(text)}) {
	case "!!str":
	default:
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// Plain makes a node of a number or boolean.
func Plain(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: resolved(text), Value: text}
}

// Flow makes a list on one line.
func Flow(texts ...string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, t := range texts {
		n.Content = append(n.Content, Scalar(t))
	}
	return n
}

func resolved(text string) string {
	n := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	return n.ShortTag()
}

func clearPlaces(n *yaml.Node) {
	n.Line, n.Column = 0, 0
	for _, c := range n.Content {
		clearPlaces(c)
	}
}

// Apply carries out edits of one document and changes the text accordingly.
// The file must be parsed again afterwards.
func (f *File) Apply(d *Document, edits []Edit) ([]byte, error) {
	if d.ReadOnly {
		return nil, fmt.Errorf("%s, document %d: it has anchors or a key twice, so it is not changed", f.Name, d.Index+1)
	}
	edited := deepCopy(d.root)
	for _, e := range ordered(edits) {
		if err := e.apply(edited); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", f.Name, e.Path, err)
		}
	}
	text, err := render(f.chunks[d.chunk].text, d.root, edited)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i, c := range f.chunks {
		out.WriteString(c.separator)
		if i == d.chunk {
			c.text = text
		}
		out.WriteString(c.text)
	}
	return out.Bytes(), nil
}

// ordered puts what moves other entries last: renames, then removals from the end of lists.
func ordered(edits []Edit) []Edit {
	var sets, renames, removals []Edit
	for _, e := range edits {
		switch {
		case e.Remove:
			removals = append(removals, e)
		case e.Rename != "":
			renames = append(renames, e)
		default:
			sets = append(sets, e)
		}
	}
	slices.SortStableFunc(removals, func(a, b Edit) int { return -comparePaths(a.Path, b.Path) })
	slices.SortStableFunc(renames, func(a, b Edit) int { return len(b.Path) - len(a.Path) })
	return slices.Concat(sets, removals, renames)
}

func comparePaths(a, b Path) int {
	for i := range min(len(a), len(b)) {
		x, xIsIndex := a[i].(int)
		y, yIsIndex := b[i].(int)
		switch {
		case xIsIndex && yIsIndex && x != y:
			return x - y
		case !xIsIndex && !yIsIndex && a[i] != b[i]:
			return strings.Compare(fmt.Sprint(a[i]), fmt.Sprint(b[i]))
		}
	}
	return len(a) - len(b)
}

func (e Edit) apply(root *yaml.Node) error {
	if len(e.Path) == 0 {
		return fmt.Errorf("the whole document cannot be replaced")
	}
	last := e.Path[len(e.Path)-1]
	parent, err := reach(root, e.Path[:len(e.Path)-1], !e.Remove && e.Rename == "")
	if err != nil || parent == nil {
		return err
	}
	switch {
	case e.Remove:
		remove(parent, last)
		return nil
	case e.Rename != "":
		if name, ok := last.(string); ok {
			if i := lookup(parent, name); i > 0 {
				parent.Content[i-1].Value = e.Rename
			}
		}
		return nil
	case e.Append != nil:
		return appendTo(parent, last, e.Append)
	default:
		return set(parent, last, e.Set)
	}
}

// reach follows a path. Missing mappings are made if asked; else nil says that there is nothing.
func reach(n *yaml.Node, path Path, make bool) (*yaml.Node, error) {
	for i, s := range path {
		switch s := s.(type) {
		case int:
			if n.Kind != yaml.SequenceNode || s < 0 || s >= len(n.Content) {
				return nil, fmt.Errorf("there is no element %s", path[:i+1])
			}
			n = n.Content[s]
		case string:
			at := lookup(n, s)
			if at < 0 && !make {
				return nil, nil
			}
			if at < 0 || n.Content[at].Tag == "!!null" {
				made := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
				if err := set(n, s, made); err != nil {
					return nil, err
				}
				n = made
				continue
			}
			n = n.Content[at]
		}
	}
	return n, nil
}

func set(parent *yaml.Node, step any, value *yaml.Node) error {
	switch step := step.(type) {
	case int:
		if parent.Kind != yaml.SequenceNode || step < 0 || step >= len(parent.Content) {
			return fmt.Errorf("there is no element %d", step)
		}
		parent.Content[step] = keepStyle(parent.Content[step], value)
	case string:
		if parent.Kind != yaml.MappingNode {
			return fmt.Errorf("not a mapping")
		}
		if i := lookup(parent, step); i >= 0 {
			parent.Content[i] = keepStyle(parent.Content[i], value)
			return nil
		}
		if len(parent.Content) == 0 {
			parent.Style = 0 // {} becomes a block
		}
		parent.Content = append(parent.Content, Scalar(step), value)
	}
	return nil
}

// keepStyle gives a new scalar or list the comments and the way of writing of the old one.
func keepStyle(old, value *yaml.Node) *yaml.Node {
	made := deepCopy(value)
	made.HeadComment, made.LineComment, made.FootComment = old.HeadComment, old.LineComment, old.FootComment
	if old.Kind != made.Kind {
		return made
	}
	const block = yaml.LiteralStyle | yaml.FoldedStyle
	if old.Kind == yaml.ScalarNode && old.Tag == made.Tag && old.Style&block == 0 && old.Style != 0 {
		made.Style = old.Style
	}
	if old.Kind == yaml.SequenceNode {
		made.Style = old.Style
		quote := yaml.Style(0)
		for _, c := range old.Content {
			quote = c.Style
		}
		for _, c := range made.Content {
			if c.Style == 0 {
				c.Style = quote & (yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle)
			}
		}
	}
	return made
}

func appendTo(parent *yaml.Node, step any, value *yaml.Node) error {
	var list *yaml.Node
	switch step := step.(type) {
	case string:
		if i := lookup(parent, step); i >= 0 && parent.Content[i].Kind == yaml.SequenceNode {
			list = parent.Content[i]
		}
	case int:
		if parent.Kind == yaml.SequenceNode && step >= 0 && step < len(parent.Content) {
			list = parent.Content[step]
		}
	}
	if list == nil {
		return set(parent, step, &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{deepCopy(value)}})
	}
	if len(list.Content) == 0 {
		list.Style = 0
	}
	list.Content = append(list.Content, deepCopy(value))
	return nil
}

func remove(parent *yaml.Node, step any) {
	switch step := step.(type) {
	case int:
		if parent.Kind == yaml.SequenceNode && step >= 0 && step < len(parent.Content) {
			parent.Content = slices.Delete(parent.Content, step, step+1)
		}
	case string:
		if i := lookup(parent, step); i > 0 {
			parent.Content = slices.Delete(parent.Content, i-1, i+1)
		}
	}
}

func deepCopy(n *yaml.Node) *yaml.Node {
	made := *n
	made.Content = nil
	for _, c := range n.Content {
		made.Content = append(made.Content, deepCopy(c))
	}
	return &made
}

// equal compares what two nodes mean.
func equal(a, b *yaml.Node) bool {
	x, errA := toPlain(a)
	y, errB := toPlain(b)
	if errA != nil || errB != nil {
		return false
	}
	j, errA := json.Marshal(x)
	k, errB := json.Marshal(y)
	return errA == nil && errB == nil && bytes.Equal(j, k)
}
