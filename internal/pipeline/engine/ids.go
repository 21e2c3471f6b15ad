package engine

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// NodeID is the id of a node, as Argo computes it.
func NodeID(workflow, node string) string {
	if node == workflow {
		return workflow
	}
	return workflow + "-" + hash(node)
}

func hash(name string) string {
	h := fnv.New32a()
	h.Write([]byte(name))
	return strconv.FormatUint(uint64(h.Sum32()), 10)
}

// maxPodPrefix leaves room for the hash in the 253 bytes of a pod's name.
const maxPodPrefix = 242

// PodName is the name of the pod of a node (Argo's format v2).
func PodName(workflow string, n *argo.NodeStatus) string {
	if n.Name == workflow {
		return workflow
	}
	template := n.TemplateName
	if template == "" && n.TemplateRef != nil {
		template = n.TemplateRef.Template
	}
	prefix := workflow
	if template != "" {
		prefix += "-" + template
	}
	if len(prefix) > maxPodPrefix {
		prefix = prefix[:maxPodPrefix]
	}
	// The id is <workflow>-<hash>, perhaps of a salted name.
	return prefix + "-" + strings.TrimPrefix(n.ID, workflow+"-")
}

// newID finds an id for a node: the plain one unless another node has it.
func (e *engine) newID(name string) string {
	id := NodeID(e.wf.Name, name)
	for salt := 1; ; salt++ {
		if other, ok := e.nodes[id]; !ok || other.Name == name {
			return id
		}
		id = NodeID(e.wf.Name, fmt.Sprintf("%s#%d", name, salt))
	}
}

// displayName is what of a node's name is not its boundary's.
func displayName(name, boundary string) string {
	d := strings.TrimPrefix(strings.TrimPrefix(name, boundary), ".")
	if strings.HasPrefix(d, "[") {
		if i := strings.Index(d, "]."); i > 0 {
			d = d[i+2:]
		}
	}
	return d
}
