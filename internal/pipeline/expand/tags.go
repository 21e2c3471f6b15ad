package expand

import (
	"fmt"
	"sort"
	"strings"
)

// Resolver gives the value of a tag. Tags that it does not know (ok is false)
// stay in the text as they are.
type Resolver interface {
	Resolve(tag string) (value string, ok bool, err error)
}

// maxNesting bounds tags within tags.
const maxNesting = 8

// Text replaces the tags of a text. A tag may hold tags, which are replaced
// first; values are inserted as they are and not looked at again.
func Text(in string, r Resolver) (string, error) {
	if !strings.Contains(in, "{{") {
		return in, nil
	}
	var out strings.Builder
	for {
		i := strings.Index(in, "{{")
		if i < 0 {
			out.WriteString(in)
			return out.String(), nil
		}
		out.WriteString(in[:i])
		if !strings.Contains(in[i+2:], "}}") { // nothing is closed any more
			out.WriteString(in[i:])
			return out.String(), nil
		}
		tag, n, err := readTag(in[i+2:], r, 0)
		if err != nil {
			return "", err
		}
		if n < 0 { // never closed: it is text
			out.WriteString("{{")
			in = in[i+2:]
			continue
		}
		value, ok, err := r.Resolve(tag)
		if err != nil {
			return "", err
		}
		if !ok {
			value = "{{" + tag + "}}"
		}
		out.WriteString(value)
		in = in[i+2+n:]
	}
}

// readTag reads up to the end of a tag whose opening braces are behind us. It
// returns the tag with inner tags replaced and the number of bytes read,
// closing braces included; -1 if it is not closed.
func readTag(in string, r Resolver, depth int) (string, int, error) {
	if depth > maxNesting {
		return "", 0, fmt.Errorf("tags are nested more than %d deep", maxNesting)
	}
	if strings.HasPrefix(in, "=") {
		if n := expressionEnd(in); n >= 0 {
			inner, err := Text(in[1:n], nestedOnly{r})
			return "=" + inner, n + 2, err
		}
	}
	var tag strings.Builder
	for pos := 0; ; {
		end := strings.Index(in[pos:], "}}")
		if end < 0 {
			return "", -1, nil
		}
		open := strings.Index(in[pos:], "{{")
		if open < 0 || open > end {
			tag.WriteString(in[pos : pos+end])
			return tag.String(), pos + end + 2, nil
		}
		tag.WriteString(in[pos : pos+open])
		inner, n, err := readTag(in[pos+open+2:], r, depth+1)
		if err != nil || n < 0 {
			return "", n, err
		}
		value, ok, err := r.Resolve(inner)
		if err != nil {
			return "", 0, err
		}
		if !ok {
			value = "{{" + inner + "}}"
		}
		tag.WriteString(value)
		pos += open + 2 + n
	}
}

// nestedOnly resolves plain tags inside an expression; braces that are part of
// the expression itself are left alone.
type nestedOnly struct{ Resolver }

func (n nestedOnly) Resolve(tag string) (string, bool, error) {
	name := strings.TrimSpace(tag)
	if strings.HasPrefix(name, "=") || !Known(name) {
		return "", false, nil
	}
	return n.Resolver.Resolve(tag)
}

// expressionEnd finds the closing braces of an expression: those that are
// neither in a string nor close a brace of the expression.
func expressionEnd(in string) int {
	depth := 0
	var quote byte
	for i := 0; i < min(len(in), maxExpression); i++ {
		c := in[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && i+1 < len(in) && in[i+1] == '}':
			return i
		}
	}
	return strings.Index(in, "}}") // as plain tags end
}

// Tree replaces the tags in every string and key of a JSON value.
func Tree(v any, r Resolver) (any, error) {
	switch v := v.(type) {
	case string:
		return Text(v, r)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = Tree(e, r); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range sortedKeys(v) {
			key, err := Text(k, r)
			if err != nil {
				return nil, err
			}
			if out[key], err = Tree(v[k], r); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return v, nil
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// OnlyTag returns the name in a text that is one plain tag and nothing else.
func OnlyTag(text string) (string, bool) {
	text = strings.TrimSpace(text)
	inner, ok := strings.CutPrefix(text, "{{")
	if !ok || !strings.HasSuffix(inner, "}}") {
		return "", false
	}
	inner = strings.TrimSpace(strings.TrimSuffix(inner, "}}"))
	if inner == "" || inner[0] == '=' || strings.ContainsAny(inner, "{}") {
		return "", false
	}
	return inner, true
}

// Tags lists the plain tags and expressions of a text, without resolving any.
func Tags(text string) []string {
	var c collector
	if _, err := Text(text, &c); err != nil {
		return nil
	}
	return c.tags
}

type collector struct{ tags []string }

func (c *collector) Resolve(tag string) (string, bool, error) {
	c.tags = append(c.tags, tag)
	return "", false, nil
}
