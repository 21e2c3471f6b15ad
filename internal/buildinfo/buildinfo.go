package buildinfo

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by -ldflags -X.
var version = ""

// Levels of the foreign APIs that we claim to speak; docs and tests refer to these.
const (
	MLflowAPI = "3.17"
	ArgoAPI   = "argoproj.io/v1alpha1"
	KServeAPI = "serving.kserve.io/v1beta1"
)

// Info is what `kiwerk version -o json` prints.
type Info struct {
	Version    string            `json:"version"`
	Commit     string            `json:"commit,omitempty"`
	Go         string            `json:"go"`
	Platform   string            `json:"platform"`
	Kubernetes string            `json:"kubernetes,omitempty"`
	Libraries  map[string]string `json:"libraries"`
	APIs       map[string]string `json:"apis"`
}

// libraries are the modules whose versions are shown, by the name users know.
var libraries = map[string]string{
	"etcd":               "go.etcd.io/etcd/server/v3",
	"sqlite":             "modernc.org/sqlite",
	"controller-runtime": "sigs.k8s.io/controller-runtime",
}

// Version is the version of this program, "dev" if the linker was told none.
func Version() string {
	if version == "" {
		return "dev"
	}
	return version
}

// Get collects what is known about this build.
func Get() Info {
	info := Info{
		Version: Version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Libraries: map[string]string{},
		APIs:      map[string]string{"mlflow": MLflowAPI, "argo": ArgoAPI, "kserve": KServeAPI},
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			info.Commit = s.Value
		}
	}
	for _, m := range build.Deps {
		if m.Path == "k8s.io/kubernetes" {
			info.Kubernetes = m.Version
		}
		for name, path := range libraries {
			if m.Path == path {
				info.Libraries[name] = strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return info
}
