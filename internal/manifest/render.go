package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// render writes the edited tree so that only touched lines differ from text.
//
// The encoder loses blank lines and the author's spacing. So the tree is
// encoded before and after the edit, and the difference of these two is carried
// over to the text. The result is read again: if it does not mean exactly what
// the edited tree does, what the encoder wrote is taken.
func render(text string, before, after *yaml.Node) (string, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") && before.Kind == yaml.MappingNode {
		if text, ok := renderJSON(text, after); ok {
			return text, nil
		}
	}
	fallback := ""
	best, bestKept := "", -1
	for _, s := range styles {
		a, err := s.encode(before)
		if err != nil {
			return "", err
		}
		b, err := s.encode(after)
		if err != nil {
			return "", err
		}
		if fallback == "" {
			fallback = b
		}
		merged, kept := carryOver(lines(text), lines(a), lines(b))
		if kept > bestKept && means(merged, after) {
			best, bestKept = merged, kept
		}
	}
	if bestKept >= 0 {
		return best, nil
	}
	if !means(fallback, after) {
		return "", fmt.Errorf("line %d: the change cannot be written", before.Line)
	}
	return fallback, nil
}

type style struct {
	indent  int
	compact bool // lists begin in the column of their key
}

var styles = []style{{2, true}, {2, false}, {4, true}, {4, false}}

func (s style) encode(n *yaml.Node) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(s.indent)
	if s.compact {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(n); err != nil {
		return "", err
	}
	return b.String(), enc.Close()
}

func means(text string, want *yaml.Node) bool {
	var doc yaml.Node
	if yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) != 1 {
		return false
	}
	return len(duplicates(doc.Content[0], nil)) == 0 && equal(doc.Content[0], want)
}

func lines(text string) []string { return slices.Collect(strings.Lines(text)) }

// carryOver applies the difference between a and b to the original. It returns how many original lines stayed.
// New lines get the margin that lines of the same depth before them have.
func carryOver(original, a, b []string) (merged string, kept int) {
	inOriginal := match(a, original, loosely)
	inB := match(a, b, func(s string) string { return s })
	var out strings.Builder
	o, i, j := 0, 0, 0
	margins := map[int]int{}
	flush := func(toO, toA, toB int) {
		if slices.Equal(a[i:toA], b[j:toB]) { // untouched, however it is written
			for _, l := range original[o:toO] {
				out.WriteString(l)
				kept++
			}
			return
		}
		shift := 0
		if j < toB {
			first, _ := indents(b[j])
			shift = margins[first]
		}
		for _, l := range b[j:toB] {
			endLine(&out)
			out.WriteString(shifted(l, shift))
		}
		for _, l := range original[o:toO] {
			if strings.TrimSpace(l) == "" {
				out.WriteString(l)
			}
		}
	}
	for n := range a {
		if inOriginal[n] < 0 || inB[n] < 0 {
			continue
		}
		flush(inOriginal[n], n, inB[n])
		endLine(&out)
		out.WriteString(original[inOriginal[n]])
		kept++
		dash, content := indents(b[inB[n]])
		dashWas, contentWas := indents(original[inOriginal[n]])
		margins[dash], margins[content] = dashWas-dash, contentWas-content
		o, i, j = inOriginal[n]+1, n+1, inB[n]+1
	}
	endLine(&out)
	flush(len(original), len(a), len(b))
	return out.String(), kept
}

// indents are the columns where a line begins, and where it does behind the dash of a list.
func indents(l string) (dash, content int) {
	dash = len(l) - len(strings.TrimLeft(l, " "))
	content = dash
	if rest := l[dash:]; strings.HasPrefix(rest, "- ") {
		content = len(l) - len(strings.TrimLeft(rest[1:], " "))
	}
	return dash, content
}

func shifted(l string, by int) string {
	if by >= 0 {
		return strings.Repeat(" ", by) + l
	}
	return l[min(-by, len(l)-len(strings.TrimLeft(l, " "))):]
}

// endLine completes a last line without line end before something is added.
func endLine(b *strings.Builder) {
	if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
		b.WriteByte('\n')
	}
}

// loosely ignores spacing.
func loosely(s string) string { return strings.Join(strings.Fields(s), " ") }

// maxCells bounds the table of match; longer stretches are not matched, and the encoder's text is taken.
const maxCells = 16 << 20

// match finds a longest common subsequence: for each line of a its line in b, or -1.
func match(a, b []string, key func(string) string) []int {
	out := make([]int, len(a))
	for i := range out {
		out[i] = -1
	}
	x, y := keys(a, key), keys(b, key)
	start := 0
	for start < len(x) && start < len(y) && x[start] == y[start] {
		out[start] = start
		start++
	}
	endX, endY := len(x), len(y)
	for endX > start && endY > start && x[endX-1] == y[endY-1] {
		endX--
		endY--
		out[endX] = endY
	}
	n, m := endX-start, endY-start
	if n == 0 || m == 0 || n*m > maxCells {
		return out
	}
	length := make([]int32, (n+1)*(m+1))
	at := func(i, j int) *int32 { return &length[i*(m+1)+j] }
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if x[start+i] == y[start+j] {
				*at(i, j) = *at(i+1, j+1) + 1
			} else {
				*at(i, j) = max(*at(i+1, j), *at(i, j+1))
			}
		}
	}
	for i, j := 0, 0; i < n && j < m; {
		switch {
		case x[start+i] == y[start+j]:
			out[start+i] = start + j
			i++
			j++
		case *at(i+1, j) >= *at(i, j+1):
			i++
		default:
			j++
		}
	}
	return out
}

func keys(l []string, key func(string) string) []string {
	out := make([]string, len(l))
	for i, s := range l {
		out[i] = key(s)
	}
	return out
}

// renderJSON writes JSON with the keys in their order.
func renderJSON(text string, n *yaml.Node) (string, bool) {
	if !json.Valid([]byte(text)) {
		return "", false
	}
	compact, err := jsonOf(n)
	if err != nil {
		return "", false
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(compact), "", "  ") != nil {
		return "", false
	}
	return pretty.String() + "\n", true
}

func jsonOf(n *yaml.Node) (string, error) {
	if n.Kind != yaml.MappingNode && n.Kind != yaml.SequenceNode {
		plain, err := toPlain(n)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(plain)
		return string(b), err
	}
	var parts []string
	for i, c := range n.Content {
		var text string
		var err error
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			var b []byte
			b, err = json.Marshal(c.Value) // keys are text, whatever they look like
			text = string(b)
		} else {
			text, err = jsonOf(c)
		}
		if err != nil {
			return "", err
		}
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			parts[len(parts)-1] += ":" + text
			continue
		}
		parts = append(parts, text)
	}
	if n.Kind == yaml.MappingNode {
		return "{" + strings.Join(parts, ",") + "}", nil
	}
	return "[" + strings.Join(parts, ",") + "]", nil
}
