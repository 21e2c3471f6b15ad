package controller

import (
	"encoding/json"
	"fmt"
	"slices"

	kjson "sigs.k8s.io/json"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// unmarshal reads JSON with the names of fields as they are written, as the API server does.
func unmarshal(raw []byte, v any) error { return kjson.UnmarshalCaseSensitivePreserveInts(raw, v) }

// Join puts the spec of a workflow on that of the template it refers to:
// fields of the workflow win, parameters and templates are joined by name.
func Join(base, over *argo.WorkflowSpec) (*argo.WorkflowSpec, error) {
	b, err := toMap(base)
	if err != nil {
		return nil, err
	}
	o, err := toMap(over)
	if err != nil {
		return nil, err
	}
	for k, v := range o {
		b[k] = v
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	joined := &argo.WorkflowSpec{}
	if err := json.Unmarshal(raw, joined); err != nil {
		return nil, fmt.Errorf("join with the template: %w", err)
	}
	joined.WorkflowTemplateRef = nil
	joined.Arguments.Parameters = joinBy(base.Arguments.Parameters, over.Arguments.Parameters, func(p argo.Parameter) string { return p.Name })
	joined.Arguments.Artifacts = joinBy(base.Arguments.Artifacts, over.Arguments.Artifacts, func(a argo.Artifact) string { return a.Name })
	joined.Templates = joinBy(base.Templates, over.Templates, func(t argo.Template) string { return t.Name })
	return joined, nil
}

func toMap(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	for k, f := range m {
		if inner, ok := f.(map[string]any); ok && len(inner) == 0 {
			delete(m, k) // a struct without content says nothing
		}
	}
	return m, nil
}

func joinBy[T any](base, over []T, name func(T) string) []T {
	out := slices.Clone(base)
	for _, v := range over {
		if i := slices.IndexFunc(out, func(b T) bool { return name(b) == name(v) }); i >= 0 {
			out[i] = v
		} else {
			out = append(out, v)
		}
	}
	return out
}
