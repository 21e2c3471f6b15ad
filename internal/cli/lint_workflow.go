package cli

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/manifest"
	pipelinelint "github.com/kiwerk/kiwerk/internal/pipeline/lint"
	"github.com/kiwerk/kiwerk/internal/text"
)

// lintKinds are the kinds whose capability has a checker of its own.
var lintKinds = map[schema.GroupKind]func(lint.Object) []lint.Problem{
	{Group: "argoproj.io", Kind: "Workflow"}:                workflowProblems,
	{Group: "argoproj.io", Kind: "WorkflowTemplate"}:        workflowProblems,
	{Group: "argoproj.io", Kind: "ClusterWorkflowTemplate"}: workflowProblems,
}

// workflowProblems says in the linter's words what the pipeline's checker found.
func workflowProblems(o lint.Object) []lint.Problem {
	spec := o.Root.Get("spec")
	var typed argo.WorkflowSpec
	if err := spec.Decode(&typed); err != nil {
		return []lint.Problem{{Rule: "workflow-error", Path: "spec", Reason: text.S(text.LintRule("workflow-error", "why"), err.Error())}}
	}
	raw := map[string]any{}
	if err := spec.Decode(&raw); err != nil {
		raw = nil
	}
	opts := pipelinelint.Options{Template: o.Kind != "Workflow" || typed.WorkflowTemplateRef != nil}
	var out []lint.Problem
	for _, p := range append(pipelinelint.Fields(raw), pipelinelint.Spec(&typed, opts)...) {
		out = append(out, workflowProblem(o, p))
	}
	return out
}

func workflowProblem(o lint.Object, p pipelinelint.Problem) lint.Problem {
	id := "workflow-error"
	switch {
	case strings.HasPrefix(p.Unresolved, "steps.") || strings.HasPrefix(p.Unresolved, "tasks."):
		id = "workflow-step"
	case p.Warning:
		id = "workflow-warning"
	}
	out := lint.Problem{Rule: id, Path: p.Path, Reason: text.S(text.LintRule(id, "why"), p.Message)}
	if p.Instead == "" {
		return out
	}
	wrong, right := strings.Split(p.Unresolved, ".")[1], strings.Split(p.Instead, ".")[1]
	out.Reason = text.S(text.LintWorkflowNear, p.Message, wrong, right)
	v := o.Root.Doc.Locate(strings.TrimPrefix(o.Root.Path.String()+"."+p.Path, "."))
	if changed := strings.ReplaceAll(v.Text(), p.Unresolved, p.Instead); changed != v.Text() {
		out.Edits = []manifest.Edit{{Path: v.Path, Set: manifest.Scalar(changed)}}
	}
	return out
}
