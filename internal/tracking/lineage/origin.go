package lineage

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Tags of runs that a pod of the platform has created.
const (
	TagPod            = "kiwerk.pod"
	TagPodUID         = "kiwerk.pod.uid"
	TagNode           = "kiwerk.node"
	TagServiceAccount = "kiwerk.serviceAccount"
	TagWorkflow       = "kiwerk.workflow"
	TagWorkflowUID    = "kiwerk.workflow.uid"
	TagStep           = "kiwerk.step"
	TagTemplate       = "kiwerk.template"
	TagImage          = "kiwerk.image"
	TagImageDigest    = "kiwerk.image.digest"
)

// Tags by which the step agent hands over what becomes a file of the run.
const (
	TagPackages = "kiwerk.env.packages"
	TagDiff     = "kiwerk.code.diff"
	TagScript   = "kiwerk.code.script"
)

// Digest and file of those; the digest stays as a tag.
const (
	digestSuffix = ".sha256"
	PackagesFile = "kiwerk/environment.txt"
	DiffFile     = "kiwerk/uncommitted.diff"
	ScriptFile   = "kiwerk/script"
)

// owned are tags that only the platform writes on a new run.
var owned = []string{TagPod, TagPodUID, TagNode, TagServiceAccount, TagWorkflow, TagWorkflowUID, TagStep, TagTemplate, TagImage, TagImageDigest}

// File of a run.
type File struct{ Path, Content string }

// Split completes the tags of a new run: origin stands over what the client
// says about the pod, and what is too long for a tag becomes a file.
func Split(tags, origin []model.Pair) (kept []model.Pair, files []File) {
	for _, t := range tags {
		name := map[string]string{TagPackages: PackagesFile, TagDiff: DiffFile, TagScript: ScriptFile}[t.Key]
		switch {
		case isOwned(t.Key):
		case name != "":
			sum := sha256.Sum256([]byte(t.Value))
			files = append(files, File{name, t.Value})
			kept = append(kept, model.Pair{Key: t.Key + digestSuffix, Value: hex.EncodeToString(sum[:])})
		default:
			kept = append(kept, t)
		}
	}
	for _, t := range origin {
		if t.Value != "" {
			kept = append(kept, t)
		}
	}
	return kept, files
}

func isOwned(key string) bool {
	for _, o := range owned {
		if key == o || strings.HasPrefix(key, o+".") {
			return true
		}
	}
	return false
}
