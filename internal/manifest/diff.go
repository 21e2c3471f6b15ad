package manifest

import (
	"fmt"
	"strings"
)

const context = 3

// op is a line of a difference: it stays, goes or comes.
type op struct {
	mark byte
	line string
	a, b int // lines before it in the two texts
}

// Diff is the difference of two texts in the unified form, empty when there is none.
func Diff(name, before, after string) string {
	ops := operations(lines(before), lines(after))
	var out strings.Builder
	for start := 0; start < len(ops); {
		from, to := hunk(ops, start)
		if from == to {
			break
		}
		if out.Len() == 0 {
			fmt.Fprintf(&out, "--- %s\n+++ %s\n", name, name)
		}
		writeHunk(&out, ops[from:to])
		start = to
	}
	return out.String()
}

func operations(a, b []string) []op {
	in := match(a, b, func(s string) string { return s })
	var ops []op
	j := 0
	for i, l := range a {
		if in[i] < 0 {
			ops = append(ops, op{'-', l, i, j})
			continue
		}
		for ; j < in[i]; j++ {
			ops = append(ops, op{'+', b[j], i, j})
		}
		ops = append(ops, op{' ', l, i, j})
		j++
	}
	for ; j < len(b); j++ {
		ops = append(ops, op{'+', b[j], len(a), j})
	}
	return ops
}

// hunk is the next stretch of changes with its surroundings.
func hunk(ops []op, start int) (from, to int) {
	first := start
	for first < len(ops) && ops[first].mark == ' ' {
		first++
	}
	if first == len(ops) {
		return start, start
	}
	quiet := 0
	for end := first; end < len(ops) && quiet <= 2*context; end++ {
		if quiet++; ops[end].mark != ' ' {
			quiet, to = 0, end+1
		}
	}
	return max(start, first-context), min(to+context, len(ops))
}

func writeHunk(out *strings.Builder, ops []op) {
	a, b := 0, 0
	var body strings.Builder
	for _, o := range ops {
		if o.mark != '+' {
			a++
		}
		if o.mark != '-' {
			b++
		}
		body.WriteByte(o.mark)
		body.WriteString(strings.TrimSuffix(o.line, "\n") + "\n")
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n%s", ops[0].a+1, a, ops[0].b+1, b, body.String())
}
