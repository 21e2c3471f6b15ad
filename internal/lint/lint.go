package lint

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/text"
)

// Severity of a finding.
type Severity string

// Severities: an error is refused or never works, a warning is dangerous, an info deserves a look.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Rule is one thing to look for. Exactly one of the checks is set; rules
// without one belong to reading and to the schema.
type Rule struct {
	ID       string
	Severity Severity
	// Fixes says that --fix corrects what it finds, at least in most cases.
	Fixes bool

	object    func(*run, Object)
	pod       func(*run, Pod)
	container func(*run, Pod, Container)
	input     func(*run)
}

// Finding is what a rule found at a place.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	// Object is KIND/NAME.
	Object string        `json:"object,omitempty"`
	Path   string        `json:"path,omitempty"`
	Reason text.Sentence `json:"-"`
	Remedy text.Sentence `json:"-"`
	// Message and Fix are Reason and Remedy in the user's language.
	Message string `json:"message"`
	Fix     string `json:"fix"`
	// Fixable says that --fix corrects it.
	Fixable bool `json:"fixable"`

	edits []manifest.Edit
	doc   *manifest.Document
}

// Problem is what a capability's own checker says about an object.
type Problem struct {
	Rule   string
	Path   string
	Reason text.Sentence
	Edits  []manifest.Edit
}

// Options of [Check].
type Options struct {
	// Disable are ids of rules to leave out.
	Disable []string
	// Kinds have checkers of their own, which also know their fields.
	Kinds map[schema.GroupKind]func(Object) []Problem
}

// Check looks at all files together: they may refer to each other.
func Check(files []*manifest.File, o Options) []Finding {
	r := &run{opts: o, files: files, rules: map[string]Rule{}}
	for _, rule := range Rules {
		if !slices.Contains(o.Disable, rule.ID) {
			r.rules[rule.ID] = rule
		}
	}
	for _, f := range files {
		r.unreadable(f)
		for _, d := range f.Documents {
			r.objects = append(r.objects, objectsOf(d)...)
		}
	}
	for _, o := range r.objects {
		r.look(o)
	}
	for _, rule := range Rules {
		if _, on := r.rules[rule.ID]; on && rule.input != nil {
			r.rule = rule
			rule.input(r)
		}
	}
	slices.SortStableFunc(r.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rule, b.Rule))
	})
	return r.findings
}

// Objects counts what the files hold.
func Objects(files []*manifest.File) []Object {
	var out []Object
	for _, f := range files {
		for _, d := range f.Documents {
			for _, o := range objectsOf(d) {
				if o.Kind != "" {
					out = append(out, o)
				}
			}
		}
	}
	return out
}

// Translate fills the sentences of findings.
func Translate(findings []Finding, p *text.Printer) {
	for i := range findings {
		findings[i].Message, findings[i].Fix = findings[i].Reason.In(p), findings[i].Remedy.In(p)
	}
}

// Known tells whether there is a rule of this id.
func Known(id string) bool {
	return slices.ContainsFunc(Rules, func(r Rule) bool { return r.ID == id })
}

// run is one check.
type run struct {
	opts     Options
	files    []*manifest.File
	objects  []Object
	rules    map[string]Rule
	rule     Rule // the one that is being checked
	findings []Finding
}

// look applies what concerns one object.
func (r *run) look(o Object) {
	if !r.identify(o) {
		return
	}
	if own := r.opts.Kinds[o.GroupKind()]; own != nil {
		for _, p := range own(o) {
			v := o.Root.Doc.Locate(strings.TrimPrefix(o.Root.Path.String()+"."+p.Path, "."))
			r.add(p.Rule, o, v, p.Path, p.Reason, p.Edits)
		}
	}
	for _, rule := range Rules {
		if _, on := r.rules[rule.ID]; !on {
			continue
		}
		r.rule = rule
		if rule.object != nil {
			rule.object(r, o)
		}
		for _, p := range podsOf(o) {
			if rule.pod != nil {
				rule.pod(r, p)
			}
			if rule.container == nil {
				continue
			}
			for _, c := range p.Containers {
				rule.container(r, p, c)
			}
		}
	}
}

// found reports what the current rule found at v, with its usual reason.
func (r *run) found(o Object, v manifest.Value, edits []manifest.Edit, args ...any) {
	r.as(text.LintRule(r.rule.ID, "why"), o, v, edits, args...)
}

// as reports with another reason.
func (r *run) as(key text.Key, o Object, v manifest.Value, edits []manifest.Edit, args ...any) {
	r.add(r.rule.ID, o, v, v.Path.String(), text.S(key, args...), edits)
}

// says reports for a rule that is not the current one.
func (r *run) says(id string, o Object, v manifest.Value, edits []manifest.Edit, args ...any) {
	r.add(id, o, v, v.Path.String(), text.S(text.LintRule(id, "why"), args...), edits)
}

func (r *run) add(id string, o Object, v manifest.Value, path string, reason text.Sentence, edits []manifest.Edit) {
	rule, on := r.rules[id]
	if !on {
		return
	}
	doc := o.Root.Doc
	if doc.ReadOnly {
		edits = nil
	}
	r.findings = append(r.findings, Finding{
		Rule: id, Severity: rule.Severity, File: doc.File, Line: v.Line(), Column: v.Column(), Object: o.String(), Path: path,
		Reason: reason, Remedy: text.S(text.LintRule(id, "fix")), Fixable: len(edits) > 0, edits: edits, doc: doc,
	})
}

// unreadable reports what could not be parsed.
func (r *run) unreadable(f *manifest.File) {
	for _, p := range f.Problems {
		id, arg := "yaml-syntax", p.Message
		if p.Duplicate != "" {
			id, arg = "duplicate-key", p.Duplicate
		}
		if r.flattened(f, p.Line) {
			continue // said once, by indentation-lost
		}
		if kind := flatText.FindStringSubmatch(p.Text); kind != nil {
			id, arg = "indentation-lost", kind[1]
		}
		rule, on := r.rules[id]
		if !on {
			continue
		}
		r.findings = append(r.findings, Finding{
			Rule: id, Severity: rule.Severity, File: f.Name, Line: p.Line, Column: p.Column,
			Reason: text.S(text.LintRule(id, "why"), arg), Remedy: text.S(text.LintRule(id, "fix")),
		})
	}
}

// flatText is a manifest whose fields of metadata stand beside it.
var flatText = regexp.MustCompile(`(?m)^kind: *(\w+)\s*\nmetadata:\s*\nname:`)

// flattened tells whether the line belongs to a document that has lost its indentation.
func (r *run) flattened(f *manifest.File, line int) bool {
	for i := len(f.Documents) - 1; i >= 0; i-- {
		d := f.Documents[i]
		if d.Root().Line() <= line {
			return lostIndentation(d.Root())
		}
	}
	return false
}

// Refusal is what an API server said about an object.
type Refusal struct {
	Object Object
	// Unserved says that it does not know the kind.
	Unserved bool
	Message  string
	// Path is the field that it names, if any.
	Path string
}

// Refusals are findings of what a server said.
func Refusals(refused []Refusal, disabled []string) []Finding {
	const id = "server-refuses"
	if slices.Contains(disabled, id) {
		return nil
	}
	var out []Finding
	for _, x := range refused {
		v := x.Object.Root.Doc.Locate(strings.TrimPrefix(x.Object.Root.Path.String()+"."+x.Path, "."))
		reason := text.S(text.LintRule(id, "why"), x.Message)
		if x.Unserved {
			reason = text.S(text.LintServerUnknown, typeName(x.Object))
		}
		out = append(out, Finding{
			Rule: id, Severity: Error, File: x.Object.Root.Doc.File, Line: v.Line(), Column: v.Column(), Object: x.Object.String(), Path: x.Path,
			Reason: reason, Remedy: text.S(text.LintRule(id, "fix")),
		})
	}
	return out
}
