package engine

import (
	"errors"
	"fmt"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
)

// call is one use of a template at one place of the tree.
type call struct {
	argo.Call // template, templateRef or inline

	name     string // of the node
	scope    string // where template names are looked up
	args     arguments
	boundary *argo.NodeStatus
	limit    *int64 // parallelism of the boundary's template
	flag     *argo.NodeFlag
	onExit   bool
	names    map[string]string // steps.name or tasks.name
	attempt  map[string]string // retries, lastRetry.*
	inputs   *argo.Inputs      // of an attempt: those of its Retry node
}

func (c call) boundaryID() string {
	if c.boundary == nil {
		return ""
	}
	return c.boundary.ID
}

// execute brings the node of a call as far as it gets now. It returns nil
// where the node cannot begin yet.
func (e *engine) execute(c call) *argo.NodeStatus {
	node := e.byName[c.name]
	if node != nil && node.Phase.Fulfilled() {
		return node
	}
	if node == nil && e.held(c) {
		return nil
	}
	if e.depth++; e.depth > maxDepth {
		e.depth--
		return e.initError(c, errDepth)
	}
	defer func() { e.depth-- }()

	tmpl, scope, err := e.template(c.scope, c.Call)
	if err != nil {
		return e.initError(c, err)
	}
	var inputs argo.Inputs
	switch {
	case node != nil && node.Inputs != nil:
		inputs = *node.Inputs
	case c.inputs != nil:
		inputs = *c.inputs
	default:
		if inputs, err = e.inputs(tmpl, c.args); err != nil {
			return e.initError(c, err)
		}
	}
	if rs := e.retryStrategy(tmpl); rs != nil && c.attempt == nil {
		return e.retry(c, node, tmpl, rs, inputs)
	}
	switch {
	case tmpl.Container != nil || tmpl.Script != nil:
		return e.runPod(c, node, tmpl, inputs)
	case tmpl.Steps != nil:
		return e.runSteps(c, node, tmpl, scope, inputs)
	case tmpl.DAG != nil:
		return e.runDAG(c, node, tmpl, scope, inputs)
	case tmpl.Suspend != nil:
		return e.runSuspend(c, node, tmpl, inputs)
	default:
		return e.initError(c, fmt.Errorf("template %q has none of container, script, steps, dag, suspend", tmpl.Name))
	}
}

// held tells whether a node must not begin now.
func (e *engine) held(c call) bool {
	if e.stopping && (!e.exiting || e.wf.Spec.Shutdown != argo.ShutdownStop) {
		return true
	}
	if e.spec.Parallelism != nil && e.active >= *e.spec.Parallelism {
		return true
	}
	return c.limit != nil && c.boundary != nil && e.activeChildren(c.boundary.ID) >= *c.limit
}

func (e *engine) activeChildren(boundary string) int64 {
	var n int64
	for _, node := range e.nodes {
		if node.BoundaryID != boundary || node.Phase.Fulfilled() {
			continue
		}
		switch node.Type {
		case argo.NodeTypePod, argo.NodeTypeSteps, argo.NodeTypeDAG, argo.NodeTypeSuspend:
			n++
		default: // groups only hold others
		}
	}
	return n
}

func localScope(wf *argo.Workflow) string { return "local/" + wf.Name }

// RefScope is the scope of the templates of a referenced object.
func RefScope(name string, cluster bool) string {
	if cluster {
		return "cluster/" + name
	}
	return "namespaced/" + name
}

// template finds what a call refers to and the scope of the names in it.
func (e *engine) template(scope string, c argo.Call) (*argo.Template, string, error) {
	switch {
	case c.Inline != nil:
		return e.withDefaults(c.Inline), scope, nil
	case c.TemplateRef != nil:
		scope = RefScope(c.TemplateRef.Name, c.TemplateRef.ClusterScope)
		t, ok := e.wf.Status.StoredTemplates[scope+"/"+c.TemplateRef.Template]
		if !ok {
			return nil, "", fmt.Errorf("template reference %s.%s not found", c.TemplateRef.Name, c.TemplateRef.Template)
		}
		return e.withDefaults(&t), scope, nil
	case scope != localScope(e.wf):
		t, ok := e.wf.Status.StoredTemplates[scope+"/"+c.Template]
		if !ok {
			return nil, "", fmt.Errorf("template name '%s' undefined in %s", c.Template, scope)
		}
		return e.withDefaults(&t), scope, nil
	}
	for i := range e.spec.Templates {
		if e.spec.Templates[i].Name == c.Template {
			return e.withDefaults(&e.spec.Templates[i]), scope, nil
		}
	}
	return nil, "", fmt.Errorf("template name '%s' undefined", c.Template)
}

// arguments are resolved: no tags, no references.
type arguments struct {
	parameters map[string]string
	artifacts  map[string]argo.Artifact
}

// arguments resolves what a caller passes.
func (e *engine) arguments(in argo.Arguments, s *expand.Scope) (arguments, error) {
	out := arguments{parameters: map[string]string{}, artifacts: map[string]argo.Artifact{}}
	for _, p := range in.Parameters {
		v, ok, err := e.parameter(p, s)
		if err != nil {
			return out, fmt.Errorf("arguments.parameters.%s: %w", p.Name, err)
		}
		if ok {
			out.parameters[p.Name] = v
		}
	}
	for _, a := range in.Artifacts {
		found, ok, err := artifact(a, s)
		if err != nil {
			return out, fmt.Errorf("arguments.artifacts.%s: %w", a.Name, err)
		}
		if ok {
			out.artifacts[a.Name] = found
		}
	}
	return out, nil
}

// parameter resolves one parameter; ok is false when it has no value, so that
// the default of who takes it counts.
func (e *engine) parameter(p argo.Parameter, s *expand.Scope) (value string, ok bool, err error) {
	if p.Value != nil {
		if tag, only := expand.OnlyTag(p.Value.String()); only && s.Absent(tag) {
			return "", false, nil
		}
		value, err = expand.Text(p.Value.String(), s)
		return value, err == nil, err
	}
	if p.ValueFrom != nil {
		value, ok, err = e.valueFrom(p.ValueFrom, s)
		if err != nil && p.ValueFrom.Default == nil || ok {
			return value, ok, err
		}
		if p.ValueFrom.Default != nil {
			value, err = expand.Text(p.ValueFrom.Default.String(), s)
			return value, err == nil, err
		}
	}
	if p.Default != nil {
		value, err = expand.Text(p.Default.String(), s)
		return value, err == nil, err
	}
	return "", false, nil
}

func (e *engine) valueFrom(v *argo.ValueFrom, s *expand.Scope) (string, bool, error) {
	switch {
	case v.Parameter != "":
		if tag, only := expand.OnlyTag(v.Parameter); only && s.Absent(tag) {
			return "", false, nil
		}
		text, err := expand.Text(v.Parameter, s)
		return text, err == nil, err
	case v.Expression != "":
		value, err := s.Evaluate(v.Expression)
		if err != nil {
			return "", false, fmt.Errorf("failed to evaluate %q: %w", v.Expression, err)
		}
		text, err := expand.Stringify(value)
		return text, err == nil, err
	case v.ConfigMapKeyRef != nil:
		return e.configMapValue(v, s)
	default:
		return "", false, nil
	}
}

func (e *engine) configMapValue(v *argo.ValueFrom, s *expand.Scope) (string, bool, error) {
	ref := v.ConfigMapKeyRef
	name, err := expand.Text(ref.Name, s)
	if err != nil {
		return "", false, err
	}
	key, err := expand.Text(ref.Key, s)
	if err != nil {
		return "", false, err
	}
	if value, ok := e.seen.ConfigMaps[name][key]; ok {
		return value, true, nil
	}
	if ref.Optional != nil && *ref.Optional {
		return "", false, nil
	}
	return "", false, fmt.Errorf("ConfigMap %q has no key %q", name, key)
}

// artifact resolves where an artifact lies; ok is false for an optional one that is not there.
func artifact(a argo.Artifact, s *expand.Scope) (argo.Artifact, bool, error) {
	switch {
	case a.From != "":
		found, ok := s.Artifact(a.From)
		if !ok {
			if a.Optional {
				return a, false, nil
			}
			return a, false, fmt.Errorf("unable to resolve artifact %s", a.From)
		}
		found.Name, found.Optional = a.Name, a.Optional
		return withSubPath(found, a.SubPath, s)
	case a.FromExpression != "":
		found, err := s.EvaluateArtifact(a.FromExpression)
		if err != nil {
			return a, false, err
		}
		found.Name, found.Optional = a.Name, a.Optional
		return withSubPath(found, a.SubPath, s)
	case a.Raw != nil || a.S3 != nil:
		a, err := resolved(a, s)
		return a, err == nil, err
	default:
		return a, false, nil
	}
}

func withSubPath(a argo.Artifact, sub string, s *expand.Scope) (argo.Artifact, bool, error) {
	if sub == "" {
		return a, true, nil
	}
	sub, err := expand.Text(sub, s)
	if err != nil {
		return a, false, err
	}
	if a.S3 == nil {
		return a, false, errors.New("subPath needs a stored artifact")
	}
	a.S3 = &argo.S3Artifact{Key: a.S3.Key + "/" + sub}
	return a, true, nil
}

// inputs joins what a template declares with what it is given.
func (e *engine) inputs(t *argo.Template, args arguments) (argo.Inputs, error) {
	var in argo.Inputs
	for _, p := range t.Inputs.Parameters {
		value, ok := args.parameters[p.Name]
		if !ok {
			var err error
			if value, ok, err = e.parameter(p, e.globals); err != nil {
				return in, fmt.Errorf("inputs.parameters.%s: %w", p.Name, err)
			}
		}
		if !ok {
			return in, fmt.Errorf("inputs.parameters.%s was not supplied", p.Name)
		}
		in.Parameters = append(in.Parameters, argo.Parameter{Name: p.Name, Value: argo.Any(value)})
	}
	vars := e.globals.Inner() // paths and keys of artifacts may be made from parameters
	for _, p := range in.Parameters {
		vars.Set("inputs.parameters."+p.Name, p.Value.String())
	}
	for _, a := range t.Inputs.Artifacts {
		given, ok, err := inputArtifact(a, args, vars)
		if err != nil {
			return in, err
		}
		if ok {
			in.Artifacts = append(in.Artifacts, given)
		}
	}
	return in, nil
}

// inputArtifact joins the place of an artifact with the path that the template
// declares; ok is false for an optional one that is not there.
func inputArtifact(a argo.Artifact, args arguments, vars *expand.Scope) (given argo.Artifact, ok bool, err error) {
	if given, ok = args.artifacts[a.Name]; !ok {
		if given, ok, err = artifact(a, vars); err != nil {
			return given, false, fmt.Errorf("inputs.artifacts.%s: %w", a.Name, err)
		}
	}
	if !ok && a.Optional {
		return given, false, nil
	}
	if !ok {
		return given, false, fmt.Errorf("inputs.artifacts.%s was not supplied", a.Name)
	}
	path, err := expand.Text(a.Path, vars)
	if err != nil {
		return given, false, fmt.Errorf("inputs.artifacts.%s.path: %w", a.Name, err)
	}
	given.Name, given.Path, given.Mode, given.Optional = a.Name, path, a.Mode, a.Optional
	if a.Archive != nil {
		given.Archive = a.Archive
	}
	given.From, given.GlobalName = "", ""
	return given, true, nil
}
