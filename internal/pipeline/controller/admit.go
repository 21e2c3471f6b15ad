package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
	"github.com/kiwerk/kiwerk/internal/pipeline/expand"
	"github.com/kiwerk/kiwerk/internal/pipeline/lint"
	"github.com/kiwerk/kiwerk/internal/text/plain"
)

// admit checks a new workflow and stores the templates that it refers to as
// they are now, so that a later change of them does not reach it. rejected
// says why it cannot run; err is a failure of ours.
func (r *Reconciler) admit(ctx context.Context, wf *argo.Workflow, u *unstructured.Unstructured) (rejected, err error) {
	if len(wf.Name) > maxName {
		return fmt.Errorf("metadata.name: at most %d characters, because pods carry it in a label", maxName), nil
	}
	spec, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return fmt.Errorf("malformed Workflow: %w", plain.Error(err)), nil
	}
	problems := lint.Fields(spec)
	var notFound *missingError
	if err := r.storeTemplates(ctx, wf); errors.As(err, &notFound) {
		return notFound, nil
	} else if err != nil {
		return nil, err
	}
	problems = append(problems, lint.Spec(engine.EffectiveSpec(wf), lint.Options{Stored: wf.Status.StoredTemplates, References: true})...)
	errs, warnings := lint.Split(problems)
	if warnings != "" {
		engine.SetCondition(wf, argo.ConditionSpecWarning, metav1.ConditionTrue, warnings)
	}
	if errs != "" {
		return errors.New("invalid spec: " + errs), nil
	}
	return r.decorate(wf), nil
}

// maxName is the length of a label's value.
const maxName = 63

// missingError is a reference to something that does not exist.
type missingError struct{ what string }

func (e *missingError) Error() string { return "invalid spec: " + e.what }

// decorate puts spec.workflowMetadata on the object and the labels that name its template.
func (r *Reconciler) decorate(wf *argo.Workflow) error {
	if wf.Labels == nil {
		wf.Labels = map[string]string{}
	}
	if ref := wf.Spec.WorkflowTemplateRef; ref != nil {
		label := argo.LabelWorkflowTemplate
		if ref.ClusterScope {
			label = argo.LabelClusterTemplate
		}
		wf.Labels[label] = ref.Name
	}
	spec := engine.EffectiveSpec(wf)
	m := spec.WorkflowMetadata
	if m == nil {
		return nil
	}
	if wf.Annotations == nil {
		wf.Annotations = map[string]string{}
	}
	maps.Copy(wf.Labels, m.Labels)
	maps.Copy(wf.Annotations, m.Annotations)
	vars := engine.NewGlobals(wf, spec, r.Clock.Now())
	for _, p := range spec.Arguments.Parameters {
		if p.Value != nil {
			vars.Set("workflow.parameters."+p.Name, p.Value.String())
		}
	}
	for name, from := range m.LabelsFrom {
		v, err := vars.Evaluate(from.Expression)
		if err != nil {
			return fmt.Errorf("spec.workflowMetadata.labelsFrom.%s: %w", name, err)
		}
		if wf.Labels[name], err = expand.Stringify(v); err != nil {
			return fmt.Errorf("spec.workflowMetadata.labelsFrom.%s: %w", name, err)
		}
	}
	return nil
}

// storeTemplates fetches everything that the workflow refers to, directly or not.
func (r *Reconciler) storeTemplates(ctx context.Context, wf *argo.Workflow) error {
	f := &fetcher{reader: r.live, namespace: wf.Namespace, objects: map[string]*argo.WorkflowSpec{}}
	spec := &wf.Spec
	if ref := wf.Spec.WorkflowTemplateRef; ref != nil {
		base, err := f.object(ctx, ref.Name, ref.ClusterScope)
		if err != nil {
			return err
		}
		joined, err := Join(base, &wf.Spec)
		if err != nil {
			return err
		}
		wf.Status.StoredWorkflowSpec = joined
		spec = joined
	}
	stored := map[string]argo.Template{}
	for i := range spec.Templates {
		if err := f.references(ctx, &spec.Templates[i], "", stored); err != nil {
			return err
		}
	}
	for _, h := range spec.Hooks {
		if err := f.reference(ctx, argo.Call{Template: h.Template, TemplateRef: h.TemplateRef}, "", stored); err != nil {
			return err
		}
	}
	if len(stored) > 0 {
		wf.Status.StoredTemplates = stored
	}
	return nil
}

// fetcher reads referenced objects, each once.
type fetcher struct {
	reader    client.Reader
	namespace string
	objects   map[string]*argo.WorkflowSpec
}

func (f *fetcher) object(ctx context.Context, name string, cluster bool) (*argo.WorkflowSpec, error) {
	scope := engine.RefScope(name, cluster)
	if s, ok := f.objects[scope]; ok {
		return s, nil
	}
	key, kind := client.ObjectKey{Namespace: f.namespace, Name: name}, "WorkflowTemplate"
	if cluster {
		key.Namespace, kind = "", "ClusterWorkflowTemplate"
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(argo.GroupVersion.WithKind(kind))
	if err := f.reader.Get(ctx, key, u); apierrors.IsNotFound(err) {
		return nil, &missingError{fmt.Sprintf("%s %q not found", kind, name)}
	} else if err != nil {
		return nil, err
	}
	raw, err := u.MarshalJSON()
	if err != nil {
		return nil, err
	}
	t := &argo.WorkflowTemplate{}
	if err := unmarshal(raw, t); err != nil {
		return nil, &missingError{fmt.Sprintf("%s %q is malformed: %v", kind, name, plain.Error(err))}
	}
	f.objects[scope] = &t.Spec
	return &t.Spec, nil
}

// references stores what the steps and tasks of a template refer to. scope is
// that of the template's object, empty for the workflow itself.
func (f *fetcher) references(ctx context.Context, t *argo.Template, scope string, stored map[string]argo.Template) error {
	var calls []argo.Call
	for _, group := range t.Steps {
		for _, s := range group.Steps {
			calls = append(calls, s.Call)
		}
	}
	if t.DAG != nil {
		for _, task := range t.DAG.Tasks {
			calls = append(calls, task.Call)
		}
	}
	for _, c := range calls {
		if err := f.reference(ctx, c, scope, stored); err != nil {
			return err
		}
		if c.OnExit != "" {
			if err := f.reference(ctx, argo.Call{Template: c.OnExit}, scope, stored); err != nil {
				return err
			}
		}
		for _, h := range c.Hooks {
			if err := f.reference(ctx, argo.Call{Template: h.Template, TemplateRef: h.TemplateRef}, scope, stored); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fetcher) reference(ctx context.Context, c argo.Call, scope string, stored map[string]argo.Template) error {
	name := c.Template
	switch {
	case c.Inline != nil:
		return f.references(ctx, c.Inline, scope, stored)
	case c.TemplateRef != nil:
		scope, name = engine.RefScope(c.TemplateRef.Name, c.TemplateRef.ClusterScope), c.TemplateRef.Template
	case scope == "":
		return nil // a template of the workflow itself
	}
	if strings.Contains(scope+name, "{{") {
		return &missingError{fmt.Sprintf("templateRef %s/%s: variables in the name of a reference are not supported", scope, name)}
	}
	key := scope + "/" + name
	if _, ok := stored[key]; ok {
		return nil
	}
	kind, object, _ := strings.Cut(scope, "/")
	spec, err := f.object(ctx, object, kind == "cluster")
	if err != nil {
		return err
	}
	for i := range spec.Templates {
		if t := &spec.Templates[i]; t.Name == name {
			stored[key] = *t
			return f.references(ctx, t, scope, stored)
		}
	}
	return &missingError{fmt.Sprintf("template %s not found in %s", name, scope)}
}
