package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/pack"
)

// Call sends body as JSON and reads the answer.
type Call func(ctx context.Context, method, path string, body, answer any) error

// Client talks about the workflows of one project.
type Client struct {
	Project string
	Call    Call
}

// Options of a run that is started.
type Options struct {
	Entrypoint string
	// Parameters are NAME=VALUE.
	Parameters []string
}

// ErrNoWorkflow: a manifest is of another kind, or has no spec.
var ErrNoWorkflow = errors.New("no Workflow")

// SyntaxError is a manifest that is no YAML.
type SyntaxError struct{ Err error }

func (e *SyntaxError) Error() string { return "no YAML: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// ParameterError is one that is not NAME=VALUE.
type ParameterError struct{ Parameter string }

func (e *ParameterError) Error() string {
	return fmt.Sprintf("parameter %q: want NAME=VALUE", e.Parameter)
}

// List finds all runs, newest first.
func (c Client) List(ctx context.Context) ([]Run, error) {
	var found argo.WorkflowList
	if err := c.call(ctx, http.MethodGet, "", nil, &found); err != nil {
		return nil, err
	}
	runs := []Run{}
	for i := range found.Items {
		runs = append(runs, runOf(&found.Items[i]))
	}
	slices.SortFunc(runs, func(a, b Run) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
	})
	return runs, nil
}

// Get finds a run with its steps.
func (c Client) Get(ctx context.Context, name string) (*Details, error) {
	var wf argo.Workflow
	if err := c.call(ctx, http.MethodGet, "/"+url.PathEscape(name), nil, &wf); err != nil {
		return nil, err
	}
	if err := pack.Unpack(&wf.Status); err != nil {
		return nil, err
	}
	return detailsOf(&wf), nil
}

// Submit starts the Workflow of a manifest in YAML.
func (c Client) Submit(ctx context.Context, manifest []byte, o Options) (*Run, error) {
	var wf map[string]any
	if err := yaml.Unmarshal(manifest, &wf); err != nil {
		return nil, &SyntaxError{err}
	}
	spec, ok := wf["spec"].(map[string]any)
	if wf["kind"] != "Workflow" || !ok {
		return nil, ErrNoWorkflow
	}
	if o.Entrypoint != "" {
		spec["entrypoint"] = o.Entrypoint
	}
	if err := setParameters(spec, o.Parameters); err != nil {
		return nil, err
	}
	return c.change(ctx, http.MethodPost, "", map[string]any{"workflow": wf})
}

// SubmitTemplate starts a run of a WorkflowTemplate.
func (c Client) SubmitTemplate(ctx context.Context, template string, o Options) (*Run, error) {
	return c.change(ctx, http.MethodPost, "/submit", map[string]any{
		"resourceKind": "WorkflowTemplate", "resourceName": template,
		"submitOptions": map[string]any{"parameters": o.Parameters, "entryPoint": o.Entrypoint},
	})
}

// Act suspends, resumes, stops, terminates, retries or resubmits a run.
func (c Client) Act(ctx context.Context, name, action string) (*Run, error) {
	return c.change(ctx, http.MethodPut, "/"+url.PathEscape(name)+"/"+action, map[string]any{})
}

// Wait returns when a run has ended, or with how it stood last when ctx ends. It looks at each tick.
func (c Client) Wait(ctx context.Context, name string, tick <-chan time.Time) (*Details, error) {
	for {
		d, err := c.Get(ctx, name)
		if err != nil || argo.WorkflowPhase(d.Phase).Completed() {
			return d, err
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return d, ctx.Err()
		}
	}
}

func (c Client) change(ctx context.Context, method, path string, body any) (*Run, error) {
	var wf argo.Workflow
	if err := c.call(ctx, method, path, body, &wf); err != nil {
		return nil, err
	}
	r := runOf(&wf)
	return &r, nil
}

func (c Client) call(ctx context.Context, method, path string, body, answer any) error {
	return c.Call(ctx, method, "/api/v1/workflows/"+url.PathEscape(c.Project)+path, body, answer)
}

// setParameters replaces or adds NAME=VALUE among the arguments of a workflow.
func setParameters(spec map[string]any, parameters []string) error {
	if len(parameters) == 0 {
		return nil
	}
	arguments, _ := spec["arguments"].(map[string]any)
	if arguments == nil {
		arguments = map[string]any{}
	}
	list, _ := arguments["parameters"].([]any)
	for _, p := range parameters {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return &ParameterError{p}
		}
		list = slices.DeleteFunc(list, func(old any) bool {
			o, ok := old.(map[string]any)
			return ok && o["name"] == name
		})
		list = append(list, map[string]any{"name": name, "value": value})
	}
	arguments["parameters"], spec["arguments"] = list, arguments
	return nil
}
