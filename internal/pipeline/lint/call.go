package lint

import (
	"encoding/json"
	"fmt"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
)

// names are the steps or tasks that a text may refer to, with their templates
// (nil where it cannot be told).
type names struct {
	prefix string
	calls  map[string]*argo.Template
}

// find is the template of a call, or nil.
func (c *checker) find(call argo.Call, scope string) *argo.Template {
	switch {
	case call.Inline != nil:
		return call.Inline
	case call.TemplateRef != nil:
		if t, ok := c.opts.Stored[refScope(call.TemplateRef)+"/"+call.TemplateRef.Template]; ok {
			return &t
		}
		return nil
	case scope != "":
		if t, ok := c.opts.Stored[scope+"/"+call.Template]; ok {
			return &t
		}
		return nil
	default:
		return c.templates[call.Template]
	}
}

func refScope(r *argo.TemplateRef) string {
	if r.ClusterScope {
		return "cluster/" + r.Name
	}
	return "namespaced/" + r.Name
}

// call checks one step or task.
func (c *checker) call(t *argo.Template, s *argo.Call, path, scope string, seen names) {
	loops := 0
	for _, set := range []bool{len(s.WithItems) > 0, s.WithParam != "", s.WithSequence != nil} {
		if set {
			loops++
		}
	}
	if loops > 1 {
		c.failf(path, "give one of withItems, withParam and withSequence")
	}
	if s.OnExit != "" && scope == "" && c.templates[s.OnExit] == nil {
		c.failf(path+".onExit", "template name '%s' undefined", s.OnExit)
	}
	c.called(*s, path, scope)
	if s.Inline != nil {
		c.template(s.Inline, path+".inline", scope)
	}
	bare := *s
	bare.Inline, bare.Hooks = nil, nil // hooks see the ended step as well
	c.tags(bare, path, t, seen, s.Set())
}

// called checks that the template of a call exists and gets what it needs.
func (c *checker) called(s argo.Call, path, scope string) {
	given := 0
	for _, set := range []bool{s.Template != "", s.TemplateRef != nil, s.Inline != nil} {
		if set {
			given++
		}
	}
	if given != 1 {
		c.failf(path, "give exactly one of template, templateRef and inline")
		return
	}
	if strings.Contains(s.Template, "{{") || s.TemplateRef != nil && strings.Contains(s.TemplateRef.Name+s.TemplateRef.Template, "{{") {
		return
	}
	target := c.find(s, scope)
	if target == nil {
		switch {
		case s.TemplateRef == nil:
			c.failf(path+".template", "template name '%s' undefined", s.Template)
		case c.opts.References:
			c.failf(path+".templateRef", "template %s.%s not found", s.TemplateRef.Name, s.TemplateRef.Template)
		}
		return
	}
	passed := map[string]bool{}
	for _, p := range s.Arguments.Parameters {
		passed[p.Name] = true
	}
	for _, p := range target.Inputs.Parameters {
		if !passed[p.Name] && p.Value == nil && p.Default == nil && p.ValueFrom == nil {
			c.failf(path+".arguments", "inputs.parameters.%s was not supplied", p.Name)
		}
	}
	passed = map[string]bool{}
	for _, a := range s.Arguments.Artifacts {
		passed[a.Name] = true
	}
	for _, a := range target.Inputs.Artifacts {
		if !passed[a.Name] && !a.Optional && a.Raw == nil && a.S3 == nil && a.From == "" {
			c.failf(path+".arguments", "inputs.artifacts.%s was not supplied", a.Name)
		}
	}
}

// body checks the texts of a container or script.
func (c *checker) body(t *argo.Template, path string) {
	body := *t
	body.Inputs = argo.Inputs{}
	c.tags(body, path, t, names{}, false)
}

// outputs checks what steps and DAGs hand on.
func (c *checker) outputs(t *argo.Template, path string, seen names) {
	c.tags(t.Outputs, path+".outputs", t, seen, false)
}

// tags checks every tag in v.
func (c *checker) tags(v any, path string, t *argo.Template, seen names, loop bool) {
	raw, err := json.Marshal(v)
	if err != nil {
		return
	}
	var tree any
	if json.Unmarshal(raw, &tree) != nil {
		return
	}
	walkStrings(tree, path, func(at, text string) {
		for _, tag := range expand.Tags(text) {
			if why := c.tag(tag, t, seen, loop); why != "" {
				p := Problem{Path: at, Message: why}
				if name := strings.TrimSpace(tag); strings.HasSuffix(why, "{{"+name+"}}") {
					p.Unresolved, p.Instead = name, seen.instead(name)
				}
				c.problems = append(c.problems, p)
			}
		}
	})
}

func walkStrings(v any, path string, visit func(path, text string)) {
	switch v := v.(type) {
	case string:
		visit(path, v)
	case []any:
		for i, e := range v {
			walkStrings(e, fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			visit(path, k)
			walkStrings(v[k], path+"."+k, visit)
		}
	}
}

// tag tells what is wrong with one tag.
func (c *checker) tag(tag string, t *argo.Template, seen names, loop bool) string {
	if code, ok := strings.CutPrefix(tag, "="); ok {
		if err := expand.CheckExpression(code); err != nil {
			return fmt.Sprintf("invalid expression {{=%s}}: %v", code, err)
		}
		return ""
	}
	name := strings.TrimSpace(tag)
	if strings.Contains(name, "{{") {
		return "" // known only at run time
	}
	unresolved := fmt.Sprintf("failed to resolve {{%s}}", name)
	switch {
	case !expand.Known(name):
		return ""
	case name == "item" || strings.HasPrefix(name, "item."):
		if !loop {
			return unresolved
		}
	case strings.HasPrefix(name, "inputs."):
		if !hasInput(t, strings.TrimPrefix(name, "inputs.")) {
			return unresolved
		}
	case strings.HasPrefix(name, "workflow.parameters."):
		if !c.hasParameter(strings.TrimPrefix(name, "workflow.parameters.")) {
			return unresolved
		}
	case strings.HasPrefix(name, "steps.") || strings.HasPrefix(name, "tasks."):
		if !seen.resolves(name) {
			return unresolved
		}
	}
	return ""
}

func hasInput(t *argo.Template, name string) bool {
	if name == "parameters" {
		return true
	}
	if p, ok := strings.CutPrefix(name, "parameters."); ok {
		for _, in := range t.Inputs.Parameters {
			if in.Name == p {
				return true
			}
		}
	}
	if a, ok := strings.CutPrefix(name, "artifacts."); ok {
		for _, in := range t.Inputs.Artifacts {
			if a == in.Name || a == in.Name+".path" {
				return true
			}
		}
	}
	return false
}

func (c *checker) hasParameter(name string) bool {
	if c.opts.Template || name == "json" {
		return true
	}
	for _, p := range c.spec.Arguments.Parameters {
		if p.Name == name {
			return true
		}
	}
	return false
}

// resolves tells whether steps.NAME… or tasks.NAME… can have a value.
func (n names) resolves(name string) bool {
	rest, ok := strings.CutPrefix(name, n.prefix)
	if !ok || n.prefix == "" {
		return name == "steps.name" || name == "tasks.name"
	}
	call, field, _ := strings.Cut(rest, ".")
	t, ok := n.calls[call]
	if !ok {
		return rest == "name"
	}
	if t == nil {
		return true
	}
	if p, ok := strings.CutPrefix(field, "outputs.parameters."); ok {
		for _, out := range t.Outputs.Parameters {
			if out.Name == p {
				return true
			}
		}
		return false
	}
	if a, ok := strings.CutPrefix(field, "outputs.artifacts."); ok {
		for _, out := range t.Outputs.Artifacts {
			if out.Name == a {
				return true
			}
		}
		return false
	}
	return true
}

// instead is the name with the step whose template it names, if there is exactly one.
func (n names) instead(name string) string {
	rest, ok := strings.CutPrefix(name, n.prefix)
	template, field, _ := strings.Cut(rest, ".")
	if !ok || n.prefix == "" || field == "" {
		return ""
	}
	found := ""
	for _, call := range sortedKeys(n.calls) {
		if t := n.calls[call]; t == nil || t.Name != template {
			continue
		}
		if found != "" {
			return ""
		}
		found = n.prefix + call + "." + field
	}
	return found
}
