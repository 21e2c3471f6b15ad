package lint

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
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
	w := fieldWalk{}
	w.value(spec, reflect.TypeFor[argo.WorkflowSpec](), "spec")
	return w.problems
}

type fieldWalk struct{ problems []Problem }

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	parallel    = reflect.TypeFor[argo.ParallelSteps]()
	hooks       = reflect.TypeFor[argo.LifecycleHooks]()
)

func (w *fieldWalk) value(v any, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == parallel {
		if _, ok := v.(map[string]any); ok {
			w.value(v, reflect.TypeFor[argo.WorkflowStep](), path)
			return
		}
		t = reflect.TypeFor[[]argo.WorkflowStep]()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		w.object(v, t, path)
	case []any:
		if t.Kind() == reflect.Slice {
			for i, e := range v {
				w.value(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
}

func (w *fieldWalk) object(v map[string]any, t reflect.Type, path string) {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	if t.Kind() == reflect.Map {
		for _, k := range keys {
			if t == hooks && k != argo.ExitHook {
				w.problems = append(w.problems, Problem{Path: path + "." + k, Message: "only the exit hook is supported yet"})
			}
			w.value(v[k], t.Elem(), path+"."+k)
		}
		return
	}
	if t.Kind() != reflect.Struct {
		return
	}
	known := jsonFields(t)
	for _, k := range keys {
		if ft, ok := known[k]; ok {
			w.value(v[k], ft, path+"."+k)
			continue
		}
		if isEmpty(v[k]) {
			continue
		}
		w.problems = append(w.problems, missing(t, k, path+"."+k))
	}
}

func missing(t reflect.Type, field, path string) Problem {
	if why, ok := unsupported[t][field]; ok {
		return Problem{Path: path, Message: why}
	}
	if slices.Contains(harmless, field) && strings.Contains(t.PkgPath(), "/api/argo/") {
		return Problem{Path: path, Message: "has no effect here", Warning: true}
	}
	return Problem{Path: path, Message: "unknown field, ignored", Warning: true}
}

// isEmpty is true for what a tool writes when it has nothing to say.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// jsonFields are the fields of a struct by their names on the wire, embedded ones included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(opts, "inline")):
			ft := f.Type
			for ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			for k, v := range jsonFields(ft) {
				if _, ok := out[k]; !ok {
					out[k] = v
				}
			}
		case name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}
