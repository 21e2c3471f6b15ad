package lint

import (
	"reflect"
	"slices"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// Problem is something wrong at a place.
type Problem struct {
	Path    string
	Message string
	// Warning says that the workflow can run all the same.
	Warning bool
	// Unresolved is the name in a tag that has no value, if that is the problem,
	// and Instead the one that is probably meant: the author wrote the name of
	// the template where the name of the step belongs.
	Unresolved, Instead string
}

// String is the path with the message.
func (p Problem) String() string { return p.Path + ": " + p.Message }

// Split separates errors from warnings, each joined to one line; both are
// empty when there is nothing to say.
func Split(problems []Problem) (errs, warnings string) {
	var e, w []string
	for _, p := range problems {
		if p.Warning {
			w = append(w, p.String())
		} else {
			e = append(e, p.String())
		}
	}
	return strings.Join(e, "; "), strings.Join(w, "; ")
}

// unsupported are fields of Argo that change what a workflow does and that
// the engine does not execute, by the type they belong to.
var unsupported = map[reflect.Type]map[string]string{
	reflect.TypeFor[argo.WorkflowSpec](): {
		"synchronization": "locks between workflows are not supported yet",
	},
	reflect.TypeFor[argo.Template](): {
		"containerSet":    "container sets are not supported yet; use steps or a dag",
		"resource":        "resource templates are not supported yet; use a container with kubectl",
		"http":            "http templates are not supported yet; use a container with curl",
		"plugin":          "plugin templates are not supported",
		"data":            "data templates are not supported yet; use a script",
		"daemon":          "daemon containers are not supported yet; use sidecars",
		"synchronization": "locks between workflows are not supported yet",
		"resourceClaims":  "dynamic resource claims are not supported yet",
	},
	reflect.TypeFor[argo.Artifact](): {
		"gcs": onlyOurs, "azure": onlyOurs, "oss": onlyOurs, "hdfs": onlyOurs, "artifactory": onlyOurs, "plugin": onlyOurs,
		"git": "git artifacts are not supported yet; clone in the step", "http": "http artifacts are not supported yet; download in the step",
	},
	reflect.TypeFor[argo.S3Artifact](): {
		"bucket": onlyOurs, "endpoint": onlyOurs, "accessKeySecret": onlyOurs, "secretKeySecret": onlyOurs, "roleARN": onlyOurs,
	},
	reflect.TypeFor[argo.ArchiveStrategy](): {"zip": "zip archives are not supported yet; use tar or none"},
	reflect.TypeFor[argo.ValueFrom](): {
		"jsonPath": "only for resource templates, which are not supported yet", "jqFilter": "only for resource templates, which are not supported yet",
		"event": "events are not supported yet",
	},
}

const onlyOurs = "artifacts lie in the platform's own store; give s3.key alone"

// harmless are fields of Argo without effect here that do not change what a workflow computes.
var harmless = []string{
	"archiveLocation", "archiveLogs", "artifactGC", "artifactRepositoryRef", "executor", "failedPodRestart", "memoize", "metrics", "pendingTimeout",
	"podDisruptionBudget", "podPriority", "podResources", "priority", "recurseMode", "affinity", "insecure", "region", "createBucketIfNotPresent",
}

// Fields compares spec, as it stands in a manifest, with the Go types.
func Fields(spec map[string]any) []Problem {
	var problems []Problem
	kube.FieldWalk{
		As: func(v any, t reflect.Type) reflect.Type {
			if t != reflect.TypeFor[argo.ParallelSteps]() {
				return t
			}
			if _, single := v.(map[string]any); single {
				return reflect.TypeFor[argo.WorkflowStep]()
			}
			return reflect.TypeFor[[]argo.WorkflowStep]()
		},
		Entry: func(t reflect.Type, key, path string) {
			if t == reflect.TypeFor[argo.LifecycleHooks]() && key != argo.ExitHook {
				problems = append(problems, Problem{Path: path, Message: "only the exit hook is supported yet"})
			}
		},
		Unknown: func(t reflect.Type, field, path string) { problems = append(problems, missing(t, field, path)) },
	}.Walk(spec, reflect.TypeFor[argo.WorkflowSpec](), "spec")
	return problems
}

func missing(t reflect.Type, field, path string) Problem {
	if why, ok := unsupported[t][field]; ok {
		return Problem{Path: path, Message: why}
	}
	if slices.Contains(harmless, field) && strings.Contains(t.PkgPath(), "/api/argo/") {
		return Problem{Path: path, Message: "has no effect here", Warning: true}
	}
	return Problem{Path: path, Message: kube.IgnoredField, Warning: true}
}
