package engine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/itchyny/timefmt-go"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
)

// makeGlobals sets workflow.* as far as it is known before anything ran.
func (e *engine) makeGlobals() error {
	e.globals = NewGlobals(e.wf, e.spec, e.seen.Now)
	var parameters []argo.Parameter
	for _, p := range e.spec.Arguments.Parameters {
		v, ok, err := e.parameter(p, e.globals)
		if err != nil {
			return fmt.Errorf("spec.arguments.parameters.%s: %w", p.Name, err)
		}
		if !ok {
			return fmt.Errorf("spec.arguments.parameters.%s has neither a value nor a default", p.Name)
		}
		e.globals.Set("workflow.parameters."+p.Name, v)
		parameters = append(parameters, argo.Parameter{Name: p.Name, Value: argo.Any(v)})
	}
	if parameters == nil {
		parameters = []argo.Parameter{}
	}
	e.globals.SetJSON("workflow.parameters", parameters)
	e.globals.SetJSON("workflow.parameters.json", parameters)
	if out := e.wf.Status.Outputs; out != nil {
		setOutputs(e.globals, "workflow", out)
	}
	return nil
}

// NewGlobals are the variables that depend on the workflow object alone.
func NewGlobals(wf *argo.Workflow, spec *argo.WorkflowSpec, now time.Time) *expand.Scope {
	created := wf.CreationTimestamp.UTC()
	s := expand.NewScope(func(name string) (string, bool) {
		format, ok := strings.CutPrefix(name, "workflow.creationTimestamp.")
		if !ok || len(format) != 2 && !strings.HasPrefix(format, "%") && len(format) != 1 {
			return "", false
		}
		return timefmt.Format(created, "%"+strings.TrimPrefix(format, "%")), true
	})
	s.Set("workflow.name", wf.Name)
	s.Set("workflow.namespace", wf.Namespace)
	s.Set("workflow.uid", string(wf.UID))
	s.Set("workflow.mainEntrypoint", spec.Entrypoint)
	account := spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	s.Set("workflow.serviceAccountName", account)
	s.Set("workflow.creationTimestamp", created.Format(time.RFC3339))
	s.Set("workflow.creationTimestamp.RFC3339", created.Format(time.RFC3339))
	s.Set("workflow.creationTimestamp.s", strconv.FormatInt(created.Unix(), 10))
	if at, ok := wf.Annotations[argo.AnnotationScheduledTime]; ok {
		s.Set("workflow.scheduledTime", at)
	}
	if spec.Priority != nil {
		s.Set("workflow.priority", strconv.Itoa(int(*spec.Priority)))
	}
	if !wf.Status.StartedAt.IsZero() {
		s.Set("workflow.duration", strconv.FormatFloat(now.Sub(wf.Status.StartedAt.Time).Seconds(), 'f', 6, 64))
	}
	s.Set("workflow.status", string(argo.WorkflowRunning))
	s.Set("workflow.failures", "[]")
	setMap(s, "workflow.labels", wf.Labels)
	setMap(s, "workflow.annotations", wf.Annotations)
	return s
}

func setMap(s *expand.Scope, name string, m map[string]string) {
	if m == nil {
		m = map[string]string{}
	}
	for k, v := range m {
		s.Set(name+"."+k, v)
	}
	s.SetJSON(name, m)
	s.SetJSON(name+".json", m)
}

// workflowArguments are what the entrypoint is given.
func (e *engine) workflowArguments() arguments {
	args := arguments{parameters: map[string]string{}, artifacts: map[string]argo.Artifact{}}
	for _, p := range e.spec.Arguments.Parameters {
		if v, ok := e.globals.Lookup("workflow.parameters." + p.Name); ok {
			args.parameters[p.Name] = v
		}
	}
	for _, a := range e.spec.Arguments.Artifacts {
		if found, ok, err := artifact(a, e.globals); ok && err == nil {
			args.artifacts[a.Name] = found
		}
	}
	return args
}

// templateScope is what the body of a template sees.
func (e *engine) templateScope(c call, t *argo.Template, in argo.Inputs) *expand.Scope {
	s := e.globals.Inner()
	s.Set("node.name", c.name)
	for _, m := range []map[string]string{c.names, c.attempt} {
		for k, v := range m {
			s.Set(k, v)
		}
	}
	parameters := make([]argo.Parameter, 0, len(in.Parameters))
	for _, p := range in.Parameters {
		s.Set("inputs.parameters."+p.Name, p.Value.String())
		parameters = append(parameters, argo.Parameter{Name: p.Name, Value: p.Value})
	}
	s.SetJSON("inputs.parameters", parameters)
	for _, a := range t.Inputs.Artifacts { // an optional one that is not there has a path all the same
		setPath(s, "inputs.artifacts."+a.Name+".path", a.Path)
		if a.Optional {
			s.SetAbsent("inputs.artifacts." + a.Name)
		}
	}
	for _, a := range in.Artifacts {
		s.SetArtifact("inputs.artifacts."+a.Name, a)
		if a.Path != "" {
			s.Set("inputs.artifacts."+a.Name+".path", a.Path)
		}
	}
	for _, p := range t.Outputs.Parameters {
		if p.ValueFrom != nil {
			setPath(s, "outputs.parameters."+p.Name+".path", p.ValueFrom.Path)
		}
	}
	for _, a := range t.Outputs.Artifacts {
		setPath(s, "outputs.artifacts."+a.Name+".path", a.Path)
	}
	return s
}

// setPath sets a path, which may itself be given with variables.
func setPath(s *expand.Scope, name, path string) {
	if path == "" {
		return
	}
	if resolved, err := expand.Text(path, s); err == nil {
		path = resolved // else the path is found again, unresolved, where the body is
	}
	s.Set(name, path)
}

// setNode makes a finished node known as steps.NAME or tasks.NAME.
func (e *engine) setNode(s *expand.Scope, prefix string, n *argo.NodeStatus, t *argo.Template) {
	s.Set(prefix+".id", n.ID)
	s.Set(prefix+".status", string(n.Phase))
	if !n.StartedAt.IsZero() {
		s.Set(prefix+".startedAt", n.StartedAt.UTC().Format(time.RFC3339))
	}
	if !n.FinishedAt.IsZero() {
		s.Set(prefix+".finishedAt", n.FinishedAt.UTC().Format(time.RFC3339))
	}
	if n.HostNodeName != "" {
		s.Set(prefix+".hostNodeName", n.HostNodeName)
	}
	if n.PodIP != "" {
		s.Set(prefix+".ip", n.PodIP)
	}
	if n.Outputs != nil {
		setOutputs(s, prefix, n.Outputs)
	}
	if n.Phase == argo.NodeSucceeded || t == nil {
		return
	}
	// What did not run has the values that its template gives for this case; all else is absent.
	for _, p := range t.Outputs.Parameters {
		name := prefix + ".outputs.parameters." + p.Name
		if _, ok := s.Lookup(name); ok {
			continue
		}
		if p.ValueFrom != nil && p.ValueFrom.Default != nil {
			s.Set(name, p.ValueFrom.Default.String())
			continue
		}
		s.SetAbsent(name)
	}
	s.SetAbsent(prefix + ".outputs.result")
	s.SetAbsent(prefix + ".exitCode")
}

func setOutputs(s *expand.Scope, prefix string, out *argo.Outputs) {
	if out.Result != nil {
		s.Set(prefix+".outputs.result", *out.Result)
	}
	if out.ExitCode != nil {
		s.Set(prefix+".exitCode", *out.ExitCode)
		s.Set(prefix+".outputs.exitCode", *out.ExitCode)
	}
	for _, p := range out.Parameters {
		if p.Value != nil {
			s.Set(prefix+".outputs.parameters."+p.Name, p.Value.String())
		}
	}
	for _, a := range out.Artifacts {
		s.SetArtifact(prefix+".outputs.artifacts."+a.Name, a)
	}
}

// setLoop makes the outputs of a looped step known as lists.
func setLoop(s *expand.Scope, prefix string, children []*argo.NodeStatus) {
	results := []json.RawMessage{}
	groups := []map[string]string{}
	values := map[string][]string{}
	for _, n := range children {
		if n == nil || n.Outputs == nil || n.Phase != argo.NodeSucceeded {
			continue
		}
		if n.Outputs.Result != nil {
			results = append(results, asJSON(*n.Outputs.Result))
		}
		if len(n.Outputs.Parameters) == 0 {
			continue
		}
		group := map[string]string{}
		for _, p := range n.Outputs.Parameters {
			group[p.Name] = p.Value.String()
			values[p.Name] = append(values[p.Name], p.Value.String())
		}
		groups = append(groups, group)
	}
	s.SetJSON(prefix+".outputs.result", results)
	s.SetJSON(prefix+".outputs.parameters", groups)
	for name, list := range values {
		s.SetJSON(prefix+".outputs.parameters."+name, list)
	}
}

// asJSON is text as it is when it is JSON, else as a JSON string.
func asJSON(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	b, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return b
}

// resolved replaces the tags in any part of a manifest.
func resolved[T any](v T, r expand.Resolver) (T, error) {
	var out T
	raw, err := json.Marshal(v)
	if err != nil {
		return out, err
	}
	if !strings.Contains(string(raw), "{{") {
		return v, nil
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		return out, err
	}
	if tree, err = expand.Tree(tree, r); err != nil {
		return out, err
	}
	if raw, err = json.Marshal(tree); err != nil {
		return out, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("after replacing variables: %w", err)
	}
	return out, nil
}

// withDefaults adds what spec.templateDefaults says to a template that runs a container.
func (e *engine) withDefaults(t *argo.Template) *argo.Template {
	if e.spec.TemplateDefaults == nil {
		return t
	}
	base, err1 := fields(e.spec.TemplateDefaults)
	over, err2 := fields(t)
	if err1 != nil || err2 != nil {
		return t
	}
	for _, kind := range []string{"container", "script", "steps", "dag", "suspend"} {
		if _, ok := over[kind]; !ok {
			delete(base, kind)
		}
	}
	raw, err := json.Marshal(overlay(base, over))
	if err != nil {
		return t
	}
	merged := new(argo.Template)
	if json.Unmarshal(raw, merged) != nil {
		return t
	}
	return merged
}

func fields(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	return m, json.Unmarshal(raw, &m)
}

// overlay puts over on base: objects are joined, all else is replaced.
func overlay(base, over map[string]any) map[string]any {
	for k, v := range over {
		if m, ok := v.(map[string]any); ok {
			if b, ok := base[k].(map[string]any); ok {
				base[k] = overlay(b, m)
				continue
			}
		}
		base[k] = v
	}
	return base
}
