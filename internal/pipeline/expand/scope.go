package expand

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// Scope holds the variables that a text may name. Inner scopes see what outer
// ones have; a scope is not changed any more once it has inner ones.
type Scope struct {
	outer     *Scope
	vars      map[string]string
	artifacts map[string]argo.Artifact
	absent    map[string]bool
	dynamic   func(name string) (string, bool)

	env map[string]any // of expressions, made on first use
}

// NewScope makes the outermost scope. dynamic, if not nil, is asked for names that are not set.
func NewScope(dynamic func(name string) (string, bool)) *Scope {
	return &Scope{dynamic: dynamic}
}

// Inner makes a scope that sees everything of s.
func (s *Scope) Inner() *Scope { return &Scope{outer: s} }

// Set gives a variable its value.
func (s *Scope) Set(name, value string) {
	if s.vars == nil {
		s.vars = map[string]string{}
	}
	s.vars[name] = value
	delete(s.absent, name)
	s.env = nil
}

// SetJSON gives a variable the JSON text of v.
func (s *Scope) SetJSON(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte("null") // maps and lists of strings always encode
	}
	s.Set(name, string(b))
}

// SetArtifact gives an artifact a name.
func (s *Scope) SetArtifact(name string, a argo.Artifact) {
	if s.artifacts == nil {
		s.artifacts = map[string]argo.Artifact{}
	}
	s.artifacts[name] = a
}

// SetAbsent says that a name is known but has no value, because its producer did not run.
func (s *Scope) SetAbsent(name string) {
	if _, ok := s.vars[name]; ok {
		return
	}
	if s.absent == nil {
		s.absent = map[string]bool{}
	}
	s.absent[name] = true
	s.env = nil
}

// Lookup finds a variable.
func (s *Scope) Lookup(name string) (string, bool) {
	for at := s; at != nil; at = at.outer {
		if v, ok := at.vars[name]; ok {
			return v, true
		}
		if at.absent[name] {
			return "", false
		}
		if at.dynamic != nil {
			if v, ok := at.dynamic(name); ok {
				return v, true
			}
		}
	}
	return "", false
}

// Absent tells whether a name is known to have no value.
func (s *Scope) Absent(name string) bool {
	for at := s; at != nil; at = at.outer {
		if _, ok := at.vars[name]; ok {
			return false
		}
		if at.absent[name] {
			return true
		}
	}
	return false
}

// Artifact finds an artifact by a name, with or without braces around it.
func (s *Scope) Artifact(name string) (argo.Artifact, bool) {
	if inner, ok := OnlyTag(name); ok {
		name = inner
	}
	for at := s; at != nil; at = at.outer {
		if a, ok := at.artifacts[name]; ok {
			return a, true
		}
	}
	return argo.Artifact{}, false
}

// knownPrefixes begin the names that are ours; a tag that begins otherwise
// belongs to somebody else (a Jinja text in a script, say) and stays.
var knownPrefixes = []string{
	"workflow.", "inputs.", "outputs.", "steps.", "tasks.", "item.", "lastRetry.", "pod.name", "node.name",
}

// Known tells whether a name must have a value.
func Known(name string) bool {
	if name == "item" || name == "retries" {
		return true
	}
	for _, p := range knownPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// UnresolvedError names a variable without a value.
type UnresolvedError struct{ Name string }

func (e *UnresolvedError) Error() string { return fmt.Sprintf("failed to resolve {{%s}}", e.Name) }

// Resolve gives the value of a tag; it makes a Scope a [Resolver].
func (s *Scope) Resolve(tag string) (string, bool, error) {
	if code, ok := strings.CutPrefix(tag, "="); ok {
		v, err := s.Evaluate(code)
		if err != nil {
			return "", false, fmt.Errorf("failed to evaluate {{=%s}}: %w", code, err)
		}
		text, err := Stringify(v)
		if err != nil {
			return "", false, fmt.Errorf("failed to evaluate {{=%s}}: %w", code, err)
		}
		return text, true, nil
	}
	name := strings.TrimSpace(tag)
	if v, ok := s.Lookup(name); ok {
		return v, true, nil
	}
	if !Known(name) {
		return "", false, nil
	}
	return "", false, &UnresolvedError{name}
}

// Vars are all variables that can be seen, the inner ones first.
func (s *Scope) Vars() map[string]string {
	if s == nil {
		return map[string]string{}
	}
	all := s.outer.Vars()
	for name := range s.absent {
		delete(all, name)
	}
	maps.Copy(all, s.vars)
	return all
}
