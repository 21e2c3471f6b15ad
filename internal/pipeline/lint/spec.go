package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
)

// Options of [Spec].
type Options struct {
	// Stored are the templates of referenced objects, by scope/object/template.
	Stored map[string]argo.Template
	// References says that Stored is complete, so what is not in it does not exist.
	References bool
	// Template says that spec is one of a WorkflowTemplate: it need not have an
	// entrypoint, and arguments may come later.
	Template bool
}

// Spec checks what is executed.
func Spec(spec *argo.WorkflowSpec, o Options) []Problem {
	c := &checker{spec: spec, opts: o, templates: map[string]*argo.Template{}}
	c.globals()
	for i := range spec.Templates {
		t := &spec.Templates[i]
		path := fmt.Sprintf("spec.templates[%d]", i)
		switch {
		case t.Name == "":
			c.failf(path+".name", "is required")
		case c.templates[t.Name] != nil:
			c.failf(path+".name", "template name %q is used twice", t.Name)
		default:
			c.templates[t.Name] = t
		}
	}
	c.entry()
	for i := range spec.Templates {
		c.template(&spec.Templates[i], fmt.Sprintf("spec.templates[%d]", i), "")
	}
	for _, key := range sortedKeys(o.Stored) {
		t := o.Stored[key]
		c.template(&t, "templates of "+key, key[:strings.LastIndex(key, "/")])
	}
	return c.problems
}

type checker struct {
	spec      *argo.WorkflowSpec
	opts      Options
	templates map[string]*argo.Template
	problems  []Problem
}

func (c *checker) failf(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) globals() {
	s := c.spec
	seen := map[string]bool{}
	for i, p := range s.Arguments.Parameters {
		path := fmt.Sprintf("spec.arguments.parameters[%d]", i)
		if p.Name == "" {
			c.failf(path+".name", "is required")
		}
		if seen[p.Name] {
			c.failf(path+".name", "parameter %q is given twice", p.Name)
		}
		seen[p.Name] = true
		if p.Value == nil && p.ValueFrom == nil && p.Default == nil && !c.opts.Template {
			c.failf(path+".value", "parameter %q has neither a value nor a default", p.Name)
		}
	}
	if gc := s.PodGC; gc != nil && gc.Strategy != "" {
		if !slices.Contains([]string{argo.PodGCOnPodCompletion, argo.PodGCOnPodSuccess, argo.PodGCOnWorkflowCompletion, argo.PodGCOnWorkflowSuccess}, gc.Strategy) {
			c.failf("spec.podGC.strategy", "%q is not one of OnPodCompletion, OnPodSuccess, OnWorkflowCompletion, OnWorkflowSuccess", gc.Strategy)
		}
	}
	if s.Shutdown != "" && s.Shutdown != argo.ShutdownStop && s.Shutdown != argo.ShutdownTerminate {
		c.failf("spec.shutdown", "%q is neither Stop nor Terminate", s.Shutdown)
	}
	c.retry(s.RetryStrategy, "spec.retryStrategy")
}

func (c *checker) entry() {
	if c.spec.Entrypoint == "" {
		if !c.opts.Template {
			c.failf("spec.entrypoint", "is required")
		}
	} else if c.templates[c.spec.Entrypoint] == nil {
		c.failf("spec.entrypoint", "template name '%s' undefined", c.spec.Entrypoint)
	}
	if c.spec.OnExit != "" && c.templates[c.spec.OnExit] == nil {
		c.failf("spec.onExit", "template name '%s' undefined", c.spec.OnExit)
	}
	for _, name := range sortedKeys(c.spec.Hooks) {
		h := c.spec.Hooks[name]
		c.called(argo.Call{Template: h.Template, TemplateRef: h.TemplateRef, Arguments: h.Arguments}, "spec.hooks."+name, "")
	}
}

// template checks one template. scope is where its names are looked up: empty
// for the workflow's own.
func (c *checker) template(t *argo.Template, path, scope string) {
	kinds := 0
	for _, set := range []bool{t.Container != nil, t.Script != nil, t.Steps != nil, t.DAG != nil, t.Suspend != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		c.failf(path, "a template has exactly one of container, script, steps, dag, suspend; this one has %d", kinds)
		return
	}
	c.retry(t.RetryStrategy, path+".retryStrategy")
	c.declared(t, path)
	switch {
	case t.Container != nil:
		if t.Container.Image == "" {
			c.failf(path+".container.image", "is required")
		}
		c.body(t, path)
	case t.Script != nil:
		if t.Script.Image == "" {
			c.failf(path+".script.image", "is required")
		}
		if len(t.Script.Command) == 0 {
			c.failf(path+".script.command", "is required: the program that runs the source")
		}
		c.body(t, path)
	case t.Steps != nil:
		c.steps(t, path, scope)
	case t.DAG != nil:
		c.dag(t, path, scope)
	}
}

// declared checks inputs and outputs.
func (c *checker) declared(t *argo.Template, path string) {
	isPod := t.Container != nil || t.Script != nil
	seen := map[string]bool{}
	for i, p := range t.Inputs.Parameters {
		if p.Name == "" || seen[p.Name] {
			c.failf(fmt.Sprintf("%s.inputs.parameters[%d].name", path, i), "%q is empty or given twice", p.Name)
		}
		seen[p.Name] = true
	}
	seen = map[string]bool{}
	for i, a := range t.Inputs.Artifacts {
		at := fmt.Sprintf("%s.inputs.artifacts[%d]", path, i)
		if a.Name == "" || seen[a.Name] {
			c.failf(at+".name", "%q is empty or given twice", a.Name)
		}
		seen[a.Name] = true
		c.artifactPath(a, at, isPod)
	}
	c.declaredOutputs(t, path, isPod)
}

func (c *checker) declaredOutputs(t *argo.Template, path string, isPod bool) {
	for i, p := range t.Outputs.Parameters {
		at := fmt.Sprintf("%s.outputs.parameters[%d]", path, i)
		switch {
		case p.Name == "":
			c.failf(at+".name", "is required")
		case p.ValueFrom == nil && p.Value == nil:
			c.failf(at+".valueFrom", "is required")
		case isPod && p.ValueFrom != nil && p.ValueFrom.Path == "":
			c.failf(at+".valueFrom.path", "is required for a container or script")
		case !isPod && p.ValueFrom != nil && p.ValueFrom.Path != "":
			c.failf(at+".valueFrom.path", "only containers and scripts have files; use valueFrom.parameter or valueFrom.expression")
		}
	}
	for i, a := range t.Outputs.Artifacts {
		at := fmt.Sprintf("%s.outputs.artifacts[%d]", path, i)
		if a.Name == "" {
			c.failf(at+".name", "is required")
		}
		if isPod && a.Path == "" {
			c.failf(at+".path", "is required for a container or script")
		}
	}
}

func (c *checker) artifactPath(a argo.Artifact, path string, isPod bool) {
	if isPod && !strings.HasPrefix(a.Path, "/") && !strings.HasPrefix(a.Path, "{{") {
		c.failf(path+".path", "%q must be an absolute path", a.Path)
	}
	if a.S3 != nil && a.S3.Key == "" {
		c.failf(path+".s3.key", "is required")
	}
}

func (c *checker) retry(r *argo.RetryStrategy, path string) {
	if r == nil {
		return
	}
	switch r.RetryPolicy {
	case "", argo.RetryAlways, argo.RetryOnFailure, argo.RetryOnError, argo.RetryOnTransientError:
	default:
		c.failf(path+".retryPolicy", "%q is not one of Always, OnFailure, OnError, OnTransientError", r.RetryPolicy)
	}
}

// steps checks a template of steps: a step sees those of earlier groups.
func (c *checker) steps(t *argo.Template, path, scope string) {
	earlier := names{prefix: "steps.", calls: map[string]*argo.Template{}}
	used := map[string]bool{}
	for i, group := range t.Steps {
		for j := range group.Steps {
			s := &group.Steps[j].Call
			at := fmt.Sprintf("%s.steps[%d][%d]", path, i, j)
			if c.named(s.Name, at, used) {
				c.call(t, s, at, scope, earlier)
			}
		}
		for j := range group.Steps {
			s := &group.Steps[j].Call
			earlier.calls[s.Name] = c.find(*s, scope)
		}
	}
	c.outputs(t, path, earlier)
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (c *checker) named(name, path string, used map[string]bool) bool {
	switch {
	case name == "":
		c.failf(path+".name", "is required")
	case used[name]:
		c.failf(path+".name", "%q is used twice", name)
	case !validName.MatchString(name):
		c.failf(path+".name", "%q must consist of letters, digits, - and _", name)
	default:
		used[name] = true
		return true
	}
	return false
}

// dag checks the tasks, their order and what they refer to: a task sees those
// that it waits for, directly or not.
func (c *checker) dag(t *argo.Template, path, scope string) {
	tasks := map[string]*argo.DAGTask{}
	waits := map[string][]string{}
	used := map[string]bool{}
	for i := range t.DAG.Tasks {
		task := &t.DAG.Tasks[i]
		at := fmt.Sprintf("%s.dag.tasks[%d]", path, i)
		if !c.named(task.Name, at, used) {
			continue
		}
		tasks[task.Name] = task
		if task.Depends != "" && len(task.Dependencies) > 0 {
			c.failf(at, "give depends or dependencies, not both")
		}
		waits[task.Name] = c.waitsFor(task, at)
	}
	if !c.ordered(t, path, tasks, waits) {
		return
	}
	all := names{prefix: "tasks.", calls: map[string]*argo.Template{}}
	for i := range t.DAG.Tasks {
		task := &t.DAG.Tasks[i]
		all.calls[task.Name] = c.find(task.Call, scope)
		seen := names{prefix: "tasks.", calls: map[string]*argo.Template{}}
		for _, a := range ancestors(task.Name, waits) {
			seen.calls[a] = c.find(tasks[a].Call, scope)
		}
		c.call(t, &task.Call, fmt.Sprintf("%s.dag.tasks[%d]", path, i), scope, seen)
	}
	c.outputs(t, path, all)
}

func (c *checker) waitsFor(task *argo.DAGTask, path string) []string {
	if task.Depends == "" {
		return task.Dependencies
	}
	d, err := expand.ParseDepends(task.Depends)
	if err != nil {
		c.failf(path+".depends", "%v", err)
		return nil
	}
	return d.Tasks()
}

// ordered tells whether every dependency exists and none leads back.
func (c *checker) ordered(t *argo.Template, path string, tasks map[string]*argo.DAGTask, waits map[string][]string) bool {
	ok := true
	for i := range t.DAG.Tasks {
		for _, dep := range waits[t.DAG.Tasks[i].Name] {
			if tasks[dep] == nil {
				c.failf(fmt.Sprintf("%s.dag.tasks[%d]", path, i), "dependency '%s' not defined", dep)
				ok = false
			}
		}
	}
	for i := range t.DAG.Tasks {
		if cycle := cycleFrom(t.DAG.Tasks[i].Name, waits); cycle != "" {
			c.failf(path+".dag.tasks", "dependency cycle detected: %s", cycle)
			return false
		}
	}
	for _, name := range strings.Fields(t.DAG.Target) {
		if tasks[name] == nil && !strings.Contains(name, "{{") {
			c.failf(path+".dag.target", "target '%s' is not defined", name)
			ok = false
		}
	}
	return ok
}

// cycleFrom gives a way from a task back to itself.
func cycleFrom(start string, waits map[string][]string) string {
	seen := map[string]bool{}
	var walk func(at string, way []string) string
	walk = func(at string, way []string) string {
		for _, next := range waits[at] {
			if next == start {
				return strings.Join(append(way, next), "->")
			}
			if !seen[next] {
				seen[next] = true
				if found := walk(next, append(slices.Clone(way), next)); found != "" {
					return found
				}
			}
		}
		return ""
	}
	return walk(start, []string{start})
}

func ancestors(task string, waits map[string][]string) []string {
	seen := map[string]bool{}
	queue := slices.Clone(waits[task])
	var all []string
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		if !seen[t] {
			seen[t] = true
			all = append(all, t)
			queue = append(queue, waits[t]...)
		}
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
