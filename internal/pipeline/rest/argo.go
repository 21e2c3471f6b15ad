package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/ops"
	"github.com/kiwerk/kiwerk/internal/server"
)

// Argo are the routes of the Argo server that its clients (hera) use. Objects
// pass through as they are, so fields unknown here survive.
type Argo struct {
	Ops ops.Ops
	// Version is what /api/v1/version says.
	Version string
}

// maxManifest bounds the body of a request; etcd takes no more.
const maxManifest = 2 << 20

// Endpoints are the routes with their permissions.
func (a Argo) Endpoints() []server.Endpoint {
	const (
		workflows = "/api/v1/workflows/{namespace}"
		templates = "/api/v1/workflow-templates/{namespace}"
		cluster   = "/api/v1/cluster-workflow-templates"
	)
	list := []server.Endpoint{
		a.endpoint("GET", "/api/v1/info", server.Public("says nothing about the installation"), "Links and columns of the UI; empty", a.info),
		a.endpoint("GET", "/api/v1/version", server.Public("clients ask before they log in"), "Version", a.version),
		a.endpoint("GET", "/api/v1/userinfo", can("list", "workflows"), "Who calls", a.userinfo),
		a.endpoint("POST", workflows, can("create", "workflows"), "Create a workflow", a.create),
		a.endpoint("POST", workflows+"/lint", can("create", "workflows"), "Check a workflow", a.lint),
		a.endpoint("POST", workflows+"/submit", can("create", "workflows"), "Create a workflow from a template", a.submit),
		a.endpoint("GET", workflows, can("list", "workflows"), "List workflows", lister(a, "Workflow")),
		a.endpoint("GET", workflows+"/{name}", can("get", "workflows"), "Read a workflow", getter(a, "Workflow")),
		a.endpoint("DELETE", workflows+"/{name}", can("delete", "workflows"), "Delete a workflow", deleter(a, "Workflow")),
		a.endpoint("PUT", workflows+"/{name}/{action}", can("update", "workflows"), "Suspend, resume, stop, terminate, retry or resubmit a workflow", a.act),
		a.endpoint("POST", templates+"/lint", can("create", "workflowtemplates"), "Check a template", a.lintTemplate),
	}
	for _, k := range []struct{ base, kind, resource string }{
		{templates, "WorkflowTemplate", "workflowtemplates"}, {cluster, "ClusterWorkflowTemplate", "clusterworkflowtemplates"},
	} {
		list = append(list,
			a.endpoint("POST", k.base, can("create", k.resource), "Create a template", creator(a, k.kind)),
			a.endpoint("GET", k.base, can("list", k.resource), "List templates", lister(a, k.kind)),
			a.endpoint("GET", k.base+"/{name}", can("get", k.resource), "Read a template", getter(a, k.kind)),
			a.endpoint("PUT", k.base+"/{name}", can("update", k.resource), "Replace a template", replacer(a, k.kind)),
			a.endpoint("DELETE", k.base+"/{name}", can("delete", k.resource), "Delete a template", deleter(a, k.kind)),
		)
	}
	return list
}

func can(verb, resource string) server.Permission {
	return server.Permission{Verb: verb, Group: argo.GroupVersion.Group, Resource: resource}
}

func (a Argo) endpoint(method, pattern string, p server.Permission, summary string, serve func(*http.Request) (any, error)) server.Endpoint {
	return server.Endpoint{
		Method: method, Pattern: pattern, Permission: p, Summary: summary, MaxBody: maxManifest, Codec: argoCodec{},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v, err := serve(r)
			if err != nil {
				argoCodec{}.Error(w, r, argoError(err))
				return
			}
			server.WriteJSON(w, http.StatusOK, v)
		}),
	}
}

// argoCodec writes errors as the Argo server does: a gRPC code and a message.
type argoCodec struct{ server.JSONCodec }

func (argoCodec) Error(w http.ResponseWriter, _ *http.Request, err error) {
	e := server.AsError(err)
	code, ok := map[int]int{
		http.StatusBadRequest: 3, http.StatusNotFound: 5, http.StatusConflict: 6, http.StatusForbidden: 7,
		http.StatusPreconditionFailed: 9, http.StatusUnauthorized: 16,
	}[e.Status]
	if !ok {
		code = 13 // internal
	}
	server.WriteJSON(w, e.Status, map[string]any{"code": code, "message": e.Message})
}

func argoError(err error) error {
	message, invalid, state := ops.AsState(err)
	switch {
	case invalid:
		return server.Errorf(http.StatusBadRequest, "INVALID_ARGUMENT", "%s", message)
	case state:
		return server.Errorf(http.StatusPreconditionFailed, "FAILED_PRECONDITION", "%s", message)
	case apierrors.IsNotFound(err):
		return server.NotFound("%w", err)
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		return server.Errorf(http.StatusConflict, "ALREADY_EXISTS", "%w", err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return server.Invalid("%w", err)
	default:
		return err
	}
}

func (a Argo) info(*http.Request) (any, error) {
	return map[string]any{"links": []any{}, "columns": []any{}, "modals": map[string]any{}}, nil
}

func (a Argo) version(*http.Request) (any, error) {
	return map[string]any{
		"version": a.Version, "buildDate": "1970-01-01T00:00:00Z", "gitCommit": "", "gitTag": "", "gitTreeState": "clean",
		"goVersion": "go", "compiler": "gc", "platform": "linux",
	}, nil
}

func (a Argo) userinfo(r *http.Request) (any, error) {
	u := server.UserOf(r.Context())
	return map[string]any{"subject": u.Name, "groups": u.Groups}, nil
}

// body reads the object in a field of the request.
func body(r *http.Request, field, kind string) (*unstructured.Unstructured, error) {
	var in map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, server.Invalid("the body is not JSON: %w", err)
	}
	u := ops.New(kind)
	var object map[string]any
	if err := json.Unmarshal(in[field], &object); err != nil || object == nil {
		return nil, server.Invalid("the body has no object %q", field)
	}
	u.SetUnstructuredContent(object)
	u.SetGroupVersionKind(argo.GroupVersion.WithKind(kind))
	if _, ok := object["metadata"].(map[string]any); !ok {
		object["metadata"] = map[string]any{}
	}
	if ns := r.PathValue("namespace"); ns != "" {
		if given := u.GetNamespace(); given != "" && given != ns {
			return nil, server.Invalid("the object is of namespace %q, the request is about %q", given, ns)
		}
		u.SetNamespace(ns)
	}
	return u, nil
}

func (a Argo) create(r *http.Request) (any, error) {
	u, err := body(r, "workflow", "Workflow")
	if err != nil {
		return nil, err
	}
	if err := a.Ops.Submit(r.Context(), u); err != nil {
		return nil, err
	}
	return u, nil
}

func (a Argo) lint(r *http.Request) (any, error) {
	u, err := body(r, "workflow", "Workflow")
	if err != nil {
		return nil, err
	}
	return u, ops.Lint(u)
}

func (a Argo) lintTemplate(r *http.Request) (any, error) {
	u, err := body(r, "template", "WorkflowTemplate")
	if err != nil {
		return nil, err
	}
	return u, ops.Lint(u)
}

func (a Argo) submit(r *http.Request) (any, error) {
	var in struct {
		ResourceKind, ResourceName string
		SubmitOptions              ops.SubmitOptions
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, server.Invalid("the body is not JSON: %w", err)
	}
	u, err := ops.FromTemplate(r.PathValue("namespace"), in.ResourceKind, in.ResourceName, in.SubmitOptions)
	if err != nil {
		return nil, err
	}
	return u, a.Ops.Submit(r.Context(), u)
}

// act is what PUT …/{action} does.
func (a Argo) act(r *http.Request) (any, error) {
	var in struct{ NodeFieldSelector string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		return nil, server.Invalid("the body is not JSON: %w", err)
	}
	ctx, key := r.Context(), client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	switch action := r.PathValue("action"); action {
	case "suspend":
		return a.Ops.Suspend(ctx, key)
	case "resume":
		display, ok := strings.CutPrefix(in.NodeFieldSelector, "displayName=")
		if in.NodeFieldSelector != "" && !ok {
			return nil, server.Invalid("nodeFieldSelector %q: only displayName=NAME is supported", in.NodeFieldSelector)
		}
		return a.Ops.Resume(ctx, key, display)
	case "stop", "terminate":
		if in.NodeFieldSelector != "" {
			return nil, server.Invalid("nodeFieldSelector is not supported here; the whole workflow would be stopped")
		}
		how := argo.ShutdownStop
		if action == "terminate" {
			how = argo.ShutdownTerminate
		}
		return a.Ops.Shutdown(ctx, key, how)
	case "retry":
		return a.Ops.Retry(ctx, key)
	case "resubmit":
		return a.Ops.Resubmit(ctx, key)
	default:
		return nil, server.NotFound("workflows have no action %q", action)
	}
}

func creator(a Argo, kind string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		u, err := body(r, "template", kind)
		if err != nil {
			return nil, err
		}
		unstructured.RemoveNestedField(u.Object, "metadata", "resourceVersion")
		return u, a.Ops.Client.Create(r.Context(), u, client.FieldOwner(kube.FieldOwner))
	}
}

func replacer(a Argo, kind string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		u, err := body(r, "template", kind)
		if err != nil {
			return nil, err
		}
		if u.GetName() != r.PathValue("name") {
			return nil, server.Invalid("the object is called %q, the request is about %q", u.GetName(), r.PathValue("name"))
		}
		return u, a.Ops.Client.Update(r.Context(), u, client.FieldOwner(kube.FieldOwner))
	}
}

func getter(a Argo, kind string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		u := ops.New(kind)
		key := client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
		return u, a.Ops.Client.Get(r.Context(), key, u)
	}
}

func deleter(a Argo, kind string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		u := ops.New(kind)
		u.SetNamespace(r.PathValue("namespace"))
		u.SetName(r.PathValue("name"))
		return map[string]any{}, a.Ops.Client.Delete(r.Context(), u)
	}
}

func lister(a Argo, kind string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(argo.GroupVersion.WithKind(kind + "List"))
		opts := []client.ListOption{client.InNamespace(r.PathValue("namespace"))}
		if text := r.URL.Query().Get("listOptions.labelSelector"); text != "" {
			selector, err := labels.Parse(text)
			if err != nil {
				return nil, server.Invalid("listOptions.labelSelector: %w", err)
			}
			opts = append(opts, client.MatchingLabelsSelector{Selector: selector})
		}
		if err := a.Ops.Client.List(r.Context(), list, opts...); err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
		items := make([]any, len(list.Items))
		for i := range list.Items {
			items[i] = list.Items[i].Object
		}
		return map[string]any{"metadata": map[string]any{"resourceVersion": list.GetResourceVersion()}, "items": items}, nil
	}
}
