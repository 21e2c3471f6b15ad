package pipeline

import (
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/pipeline/artifact"
	"github.com/kiwerk/kiwerk/internal/pipeline/controller"
	"github.com/kiwerk/kiwerk/internal/pipeline/lint"
	"github.com/kiwerk/kiwerk/internal/pipeline/ops"
	"github.com/kiwerk/kiwerk/internal/pipeline/rest"
	"github.com/kiwerk/kiwerk/internal/server"
)

// Deps of the controller.
type Deps = controller.Deps

// Setup adds the workflow controller to mgr.
func Setup(mgr ctrl.Manager, d Deps) error { return controller.Setup(mgr, d) }

// AddToScheme registers the types of the kinds.
func AddToScheme(s *runtime.Scheme) error { return argo.AddToScheme(s) }

// Kinds are the definitions, with upstream's names and without a status sub-resource.
func Kinds() []kube.Kind {
	columns := []apiextensionsv1.CustomResourceColumnDefinition{
		{Name: "Status", Type: "string", Description: "Phase of the workflow", JSONPath: ".status.phase"},
		{Name: "Age", Type: "date", Description: "When the workflow was started", JSONPath: ".status.startedAt"},
		{Name: "Progress", Type: "string", Description: "Finished steps", JSONPath: ".status.progress"},
		{Name: "Message", Type: "string", Description: "Why it is in this phase", JSONPath: ".status.message"},
		{Name: "Template", Type: "string", Description: "Template that it runs", JSONPath: ".spec.workflowTemplateRef.name", Priority: 1},
		{Name: "Finished", Type: "date", Description: "When it ended", JSONPath: ".status.finishedAt", Priority: 1},
	}
	group, version := argo.GroupVersion.Group, argo.GroupVersion.Version
	return []kube.Kind{
		{Group: group, Version: version, Kind: "Workflow", Plural: "workflows", ShortNames: []string{"wf"}, NoStatus: true, Columns: columns},
		{Group: group, Version: version, Kind: "WorkflowTemplate", Plural: "workflowtemplates", ShortNames: []string{"wftmpl"}, NoStatus: true},
		{
			Group: group, Version: version, Kind: "ClusterWorkflowTemplate", Plural: "clusterworkflowtemplates",
			ShortNames: []string{"clusterwftmpl", "cwft"}, ClusterScoped: true, NoStatus: true,
		},
	}
}

// Options of a service.
type Options struct {
	Blobs blob.Bucket
	// MaxArtifact bounds one artifact in bytes; 0 is 64 GiB.
	MaxArtifact int64
	// Client and Now are for the routes of the Argo server; without a client there are none.
	Client client.Client
	Now    func() time.Time
	// Version of this program.
	Version string
}

// Service answers HTTP requests about pipelines.
type Service struct{ opts Options }

// NewService makes a service.
func NewService(o Options) *Service { return &Service{o} }

// Endpoints are the routes.
func (s *Service) Endpoints() []server.Endpoint {
	list := rest.Artifacts{Blobs: s.opts.Blobs, MaxSize: s.opts.MaxArtifact}.Endpoints()
	if s.opts.Client != nil && s.opts.Now != nil {
		list = append(list, rest.Argo{Ops: ops.Ops{Client: s.opts.Client, Now: s.opts.Now}, Version: s.opts.Version}.Endpoints()...)
	}
	return list
}

// Problem is something wrong with a workflow, at the path of a field.
type Problem = lint.Problem

// Validate finds what is wrong with a Workflow, a WorkflowTemplate or a
// ClusterWorkflowTemplate without asking a cluster.
func Validate(u *unstructured.Unstructured) []Problem { return ops.Problems(u) }

// BlobKey is where an artifact of a project lies in the bucket, for parts of
// the platform that store one without going through HTTP.
func BlobKey(namespace, key string) string { return artifact.BlobKey(namespace, key) }
