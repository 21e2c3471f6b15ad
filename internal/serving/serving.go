package serving

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// Model is a fixed version of a model.
type Model struct {
	Name    string // registered model; empty for models outside the registry
	Version string // version in the registry
	RunID   string // the run that trained it, if known
	// Source is where the model server fetches it:
	// an artifact path below mlflow-artifacts:/, a file:// or an http(s):// address.
	Source string
	// Root is the permitted folder of a file:// address; the pod gets to see it.
	Root string
}

// Resolver finds the version that a models:/ or runs:/ address names now.
type Resolver interface {
	// ResolveModel returns ErrModelNotFound (wrapped) when there is none.
	ResolveModel(ctx context.Context, namespace, uri string) (Model, error)
}

// ErrModelNotFound means that an address names no model.
var ErrModelNotFound = errors.New("model not found")

// Policy bounds where models may come from.
type Policy struct {
	// FileRoots are the folders below which file:// addresses may point.
	FileRoots []string
	// AllowPrivateAddresses lets model servers fetch from private networks.
	AllowPrivateAddresses bool
}

// ErrNotPermitted means that a policy forbids an address.
var ErrNotPermitted = errors.New("not permitted")

// ErrInvalidAddress means that nothing can be found by an address of this form.
var ErrInvalidAddress = errors.New("invalid address")

const addresses = "use models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH, https://… or file:///PATH"

// Locate resolves any storageUri.
func Locate(ctx context.Context, r Resolver, p Policy, namespace, uri string) (Model, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return Model{}, fmt.Errorf("%w: storageUri %q cannot be read; %s", ErrInvalidAddress, uri, addresses)
	}
	switch u.Scheme {
	case "models", "runs":
		return r.ResolveModel(ctx, namespace, uri)
	case "http", "https":
		if u.User != nil {
			return Model{}, fmt.Errorf("%w: storageUri carries a user name or password, which everybody could read; use an address without, or register the model", ErrNotPermitted)
		}
		return Model{Source: uri}, nil
	case "file":
		return p.file(u)
	default:
		return Model{}, fmt.Errorf("%w: storageUri %q has a scheme that is not supported; %s", ErrInvalidAddress, uri, addresses)
	}
}

// file checks that a path lies below a root, as written: links are followed by
// the model server, which runs with the rights of the pod.
func (p Policy) file(u *url.URL) (Model, error) {
	clean := path.Clean(u.Path)
	if u.Host != "" || !path.IsAbs(u.Path) || clean != strings.TrimSuffix(u.Path, "/") {
		return Model{}, fmt.Errorf("%w: storageUri %q is no plain path; write file:///FOLDER/MODEL, without a host, dots or repeated slashes", ErrNotPermitted, u)
	}
	for _, root := range p.FileRoots {
		if root = path.Clean(root); clean == root || strings.HasPrefix(clean, strings.TrimSuffix(root, "/")+"/") {
			return Model{Source: "file://" + clean, Root: root}, nil
		}
	}
	if len(p.FileRoots) == 0 {
		return Model{}, fmt.Errorf("%w: storageUri %q names a file of the machine, and serving.fileRoots of the platform's configuration permits no folder; "+
			"register the model and use models:/NAME@ALIAS, or add its folder to serving.fileRoots and restart", ErrNotPermitted, u)
	}
	return Model{}, fmt.Errorf("%w: storageUri %q lies outside of the folders that serving.fileRoots of the platform's configuration permits (%s); "+
		"move the model below one of them, or register it and use models:/NAME@ALIAS", ErrNotPermitted, u, strings.Join(p.FileRoots, ", "))
}

// Kinds that this capability serves.
func Kinds() []kube.Kind {
	column := func(name, typ, path, about string) apiextensionsv1.CustomResourceColumnDefinition {
		return apiextensionsv1.CustomResourceColumnDefinition{Name: name, Type: typ, JSONPath: path, Description: about}
	}
	wide := func(name, typ, path, about string) apiextensionsv1.CustomResourceColumnDefinition {
		c := column(name, typ, path, about)
		c.Priority = 1
		return c
	}
	gv := v1beta1.GroupVersion
	return []kube.Kind{{
		Group: gv.Group, Version: gv.Version, Kind: "InferenceService", Plural: "inferenceservices", ShortNames: []string{"isvc"},
		Columns: []apiextensionsv1.CustomResourceColumnDefinition{
			column("URL", "string", ".status.url", "Address of the endpoint"),
			column("Ready", "string", `.status.conditions[?(@.type=="Ready")].status`, "Whether it answers"),
			column("Prev", "integer", `.status.components.predictor.traffic[?(@.tag=="prev")].percent`, "Share of the former revision, in percent"),
			column("Latest", "integer", `.status.components.predictor.traffic[?(@.latestRevision==true)].percent`, "Share of the newest revision, in percent"),
			column("Age", "date", ".metadata.creationTimestamp", "Time since it was made"),
			wide("Revision", "string", ".status.components.predictor.latestRolledoutRevision", "Revision that is rolled out"),
			wide("Model", "string", ".spec.predictor.model.storageUri", "Where the model is"),
			wide("Reason", "string", `.status.conditions[?(@.type=="Ready")].reason`, "Why it is not ready"),
			wide("Message", "string", `.status.conditions[?(@.type=="Ready")].message`, "What stands in the way"),
		},
	}}
}
