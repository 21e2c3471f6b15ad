package manifest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Path leads from the root of a document to a place in it: strings are keys, ints are indexes.
type Path []any

// String is the path as kubectl writes it: spec.containers[0].resources.limits[nvidia.com/gpu].
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch s := s.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		case string:
			switch {
			case strings.ContainsAny(s, "./[]"):
				fmt.Fprintf(&b, "[%s]", s)
			case b.Len() > 0:
				b.WriteString("." + s)
			default:
				b.WriteString(s)
			}
		}
	}
	return b.String()
}

// with makes a longer path without touching p.
func (p Path) with(step any) Path { return append(slices.Clip(p), step) }

// Value is a place in a document, which may be empty.
type Value struct {
	Doc  *Document
	Path Path
	// Node is nil when there is nothing.
	Node *yaml.Node
	// near is the closest node that exists: the place to point at.
	near *yaml.Node
}

// Field is one entry of a mapping.
type Field struct {
	Name  string
	Key   *yaml.Node
	Value Value
}

// Exists tells whether there is something; null counts as nothing.
func (v Value) Exists() bool { return v.Node != nil && v.Node.Tag != "!!null" }

// Line and Column say where the value stands, or where it would be missed.
func (v Value) Line() int { return v.place().Line }

// Column goes with Line.
func (v Value) Column() int { return v.place().Column }

func (v Value) place() *yaml.Node {
	switch {
	case v.Node != nil && v.Node.Line > 0:
		return v.Node
	case v.near != nil:
		return v.near
	default:
		return &yaml.Node{Line: 1, Column: 1}
	}
}

// Get follows keys; the result knows its path even if nothing is there.
func (v Value) Get(keys ...string) Value {
	for _, k := range keys {
		next := Value{Doc: v.Doc, Path: v.Path.with(k), near: v.place()}
		if i := lookup(v.Node, k); i >= 0 {
			next.Node, next.near = v.Node.Content[i], v.Node.Content[i-1]
		}
		v = next
	}
	return v
}

// At is the element of a list.
func (v Value) At(i int) Value {
	next := Value{Doc: v.Doc, Path: v.Path.with(i), near: v.place()}
	if v.Node != nil && v.Node.Kind == yaml.SequenceNode && i >= 0 && i < len(v.Node.Content) {
		next.Node = v.Node.Content[i]
	}
	return next
}

// Items are the elements of a list.
func (v Value) Items() []Value {
	if v.Node == nil || v.Node.Kind != yaml.SequenceNode {
		return nil
	}
	out := make([]Value, len(v.Node.Content))
	for i := range out {
		out[i] = v.At(i)
	}
	return out
}

// Fields are the entries of a mapping, in order.
func (v Value) Fields() []Field {
	if v.Node == nil || v.Node.Kind != yaml.MappingNode {
		return nil
	}
	var out []Field
	for i := 0; i+1 < len(v.Node.Content); i += 2 {
		k := v.Node.Content[i]
		out = append(out, Field{Name: k.Value, Key: k, Value: Value{Doc: v.Doc, Path: v.Path.with(k.Value), Node: v.Node.Content[i+1], near: k}})
	}
	return out
}

// Text is the text of a scalar, empty for anything else.
func (v Value) Text() string {
	if !v.Exists() || v.Node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.Node.Value
}

// Texts are the scalars of a list.
func (v Value) Texts() []string {
	var out []string
	for _, i := range v.Items() {
		out = append(out, i.Text())
	}
	return out
}

// Map are the scalars of a mapping.
func (v Value) Map() map[string]string {
	out := map[string]string{}
	for _, f := range v.Fields() {
		out[f.Name] = f.Value.Text()
	}
	return out
}

// IsTrue tells whether the value is the boolean true.
func (v Value) IsTrue() bool { return v.Exists() && Tag(v.Node) == "!!bool" && isTrue(v.Node.Value) }

// IsFalse tells whether the value is the boolean false.
func (v Value) IsFalse() bool { return v.Exists() && Tag(v.Node) == "!!bool" && !isTrue(v.Node.Value) }

func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return true
	}
	return false
}

// Int is a whole number, or false.
func (v Value) Int() (int64, bool) {
	if !v.Exists() || v.Node.Kind != yaml.ScalarNode {
		return 0, false
	}
	n, err := strconv.ParseInt(v.Node.Value, 0, 64)
	return n, err == nil
}

// Tag is the type of a scalar as the decoders of Kubernetes see it: they read
// YAML 1.1, in which a bare yes, no, on and off are booleans.
func Tag(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.Style == 0 && n.Tag == "!!str" {
		switch n.Value {
		case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
			return "!!bool"
		}
	}
	return n.ShortTag()
}

// Decode fills a Go value through JSON, as clients of Kubernetes do.
func (v Value) Decode(into any) error {
	b, err := v.JSON()
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// JSON is the value in JSON.
func (v Value) JSON() ([]byte, error) {
	if v.Node == nil {
		return []byte("null"), nil
	}
	plain, err := toPlain(v.Node)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

func toPlain(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := toPlain(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		l := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := toPlain(c)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		return l, nil
	case yaml.ScalarNode:
		return plainScalar(n)
	default:
		return nil, fmt.Errorf("line %d: cannot be JSON", n.Line)
	}
}

func plainScalar(n *yaml.Node) (any, error) {
	switch Tag(n) {
	case "!!bool":
		return isTrue(n.Value), nil
	case "!!str", "!!timestamp":
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return n.Value, nil // these have no JSON
	}
	return v, nil
}

// Locate finds the value of a path in text form, such as another checker
// writes it. If it leads nowhere, the last existing place is the answer.
func (d *Document) Locate(path string) Value {
	v := d.Root()
	for path != "" {
		next, rest, ok := v.step(path)
		if !ok {
			return v
		}
		v, path = next, rest
	}
	return v
}

// step follows the longest key or the index that path begins with.
func (v Value) step(path string) (next Value, rest string, ok bool) {
	if inner, found := strings.CutPrefix(path, "["); found {
		name, rest, closed := strings.Cut(inner, "]")
		if !closed {
			return v, "", false
		}
		if i, err := strconv.Atoi(name); err == nil && v.Node != nil && v.Node.Kind == yaml.SequenceNode {
			next = v.At(i)
		} else {
			next = v.Get(name)
		}
		return next, strings.TrimPrefix(rest, "."), next.Node != nil
	}
	best := ""
	for _, f := range v.Fields() {
		after, found := strings.CutPrefix(path, f.Name)
		if found && len(f.Name) > len(best) && (after == "" || after[0] == '.' || after[0] == '[') {
			best = f.Name
		}
	}
	if best == "" {
		return v, "", false
	}
	return v.Get(best), strings.TrimPrefix(path[len(best):], "."), true
}
