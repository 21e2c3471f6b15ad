package expand

import (
	"fmt"
	"slices"
	"strings"
)

// Result is what a task may have come to, in the words of depends.
type Result string

// Results; the empty one is a task that is named without one.
const (
	Succeeded    Result = "Succeeded"
	Failed       Result = "Failed"
	Errored      Result = "Errored"
	Skipped      Result = "Skipped"
	Omitted      Result = "Omitted"
	Daemoned     Result = "Daemoned"
	AnySucceeded Result = "AnySucceeded"
	AllFailed    Result = "AllFailed"
)

var results = []Result{Succeeded, Failed, Errored, Skipped, Omitted, Daemoned, AnySucceeded, AllFailed}

// Depends is a parsed depends text.
type Depends struct {
	root  dependsNode
	tasks []string
}

type dependsNode interface {
	eval(holds func(task string, r Result) bool) bool
}

type (
	dependsAnd  struct{ a, b dependsNode }
	dependsOr   struct{ a, b dependsNode }
	dependsNot  struct{ a dependsNode }
	dependsTask struct {
		task   string
		result Result
	}
)

func (n dependsAnd) eval(h func(string, Result) bool) bool  { return n.a.eval(h) && n.b.eval(h) }
func (n dependsOr) eval(h func(string, Result) bool) bool   { return n.a.eval(h) || n.b.eval(h) }
func (n dependsNot) eval(h func(string, Result) bool) bool  { return !n.a.eval(h) }
func (n dependsTask) eval(h func(string, Result) bool) bool { return h(n.task, n.result) }

// Tasks are the names in the text, each once, in order.
func (d *Depends) Tasks() []string { return d.tasks }

// Eval asks holds for every task and result that matters. A task without a
// result is asked for with the empty one.
func (d *Depends) Eval(holds func(task string, r Result) bool) bool {
	if d.root == nil {
		return true
	}
	return d.root.eval(holds)
}

// ParseDepends reads a depends text: names of tasks, each with an optional
// result, joined by &&, ||, ! and parentheses.
func ParseDepends(text string) (*Depends, error) {
	p := &dependsParser{in: text}
	p.space()
	if p.pos == len(p.in) {
		return &Depends{}, nil
	}
	root, err := p.or(0)
	if err != nil {
		return nil, fmt.Errorf("depends %q: %w", text, err)
	}
	if p.pos < len(p.in) {
		return nil, fmt.Errorf("depends %q: unexpected %q at position %d", text, p.in[p.pos:], p.pos+1)
	}
	return &Depends{root: root, tasks: p.tasks}, nil
}

// DependsOn is the parsed form of a list of dependencies.
func DependsOn(tasks []string) *Depends {
	d := &Depends{}
	for _, t := range tasks {
		n := dependsNode(dependsTask{task: t})
		if d.root != nil {
			n = dependsAnd{d.root, n}
		}
		d.root = n
		if !slices.Contains(d.tasks, t) {
			d.tasks = append(d.tasks, t)
		}
	}
	return d
}

type dependsParser struct {
	in    string
	pos   int
	tasks []string
}

// maxParens bounds the recursion of the parser.
const maxParens = 100

func (p *dependsParser) space() {
	for p.pos < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *dependsParser) take(token string) bool {
	p.space()
	if strings.HasPrefix(p.in[p.pos:], token) {
		p.pos += len(token)
		return true
	}
	return false
}

func (p *dependsParser) or(depth int) (dependsNode, error) {
	a, err := p.and(depth)
	for err == nil && p.take("||") {
		var b dependsNode
		b, err = p.and(depth)
		a = dependsOr{a, b}
	}
	return a, err
}

func (p *dependsParser) and(depth int) (dependsNode, error) {
	a, err := p.not(depth)
	for err == nil && p.take("&&") {
		var b dependsNode
		b, err = p.not(depth)
		a = dependsAnd{a, b}
	}
	return a, err
}

func (p *dependsParser) not(depth int) (dependsNode, error) {
	if depth > maxParens {
		return nil, fmt.Errorf("nested more than %d deep", maxParens)
	}
	if p.take("!") {
		a, err := p.not(depth + 1)
		return dependsNot{a}, err
	}
	if p.take("(") {
		a, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, fmt.Errorf("missing ) at position %d", p.pos+1)
		}
		p.space()
		return a, nil
	}
	return p.task()
}

func (p *dependsParser) task() (dependsNode, error) {
	p.space()
	start := p.pos
	for p.pos < len(p.in) && isTaskByte(p.in[p.pos]) {
		p.pos++
	}
	name := p.in[start:p.pos]
	if name == "" {
		return nil, fmt.Errorf("expected the name of a task at position %d", p.pos+1)
	}
	n := dependsTask{task: name}
	if p.pos < len(p.in) && p.in[p.pos] == '.' {
		p.pos++
		start = p.pos
		for p.pos < len(p.in) && isTaskByte(p.in[p.pos]) {
			p.pos++
		}
		n.result = Result(p.in[start:p.pos])
		if !slices.Contains(results, n.result) {
			return nil, fmt.Errorf("task result '%s' for task '%s' is invalid", n.result, name)
		}
	}
	p.space()
	if !slices.Contains(p.tasks, name) {
		p.tasks = append(p.tasks, name)
	}
	return n, nil
}

func isTaskByte(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
