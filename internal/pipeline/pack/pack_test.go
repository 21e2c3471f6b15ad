package pack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

func status(n int) argo.WorkflowStatus {
	s := argo.WorkflowStatus{Phase: argo.WorkflowRunning, Nodes: argo.Nodes{}}
	for i := range n {
		id := fmt.Sprintf("wf-%d", i)
		s.Nodes[id] = argo.NodeStatus{ID: id, Name: "wf." + strings.Repeat("x", 400) + id, Type: argo.NodeTypePod, Phase: argo.NodeRunning}
	}
	return s
}

func TestPack(t *testing.T) {
	small, err := Pack(status(3))
	if err != nil || small.CompressedNodes != "" || len(small.Nodes) != 3 {
		t.Errorf("small: %d nodes, %v", len(small.Nodes), err)
	}
	large := status(2000)
	packed, err := Pack(large)
	if err != nil || packed.Nodes != nil || len(packed.CompressedNodes) > plain {
		t.Fatalf("large: %d bytes, %v", len(packed.CompressedNodes), err)
	}
	again, err := Pack(large)
	if err != nil || again.CompressedNodes != packed.CompressedNodes {
		t.Error("the same nodes pack to different texts")
	}
	// A client has resumed a node in the plain form.
	packed.Nodes = argo.Nodes{"wf-7": {Phase: argo.NodeSucceeded}}
	if err := Unpack(&packed); err != nil {
		t.Fatal(err)
	}
	n := large.Nodes["wf-7"]
	n.Phase = argo.NodeSucceeded
	large.Nodes["wf-7"] = n
	if diff := cmp.Diff(large, packed); diff != "" {
		t.Error(diff)
	}
}

func TestPatch(t *testing.T) {
	large := status(2000)
	patch := map[string]any{"status": map[string]any{"nodes": map[string]any{"wf-1": nil, "wf-2": map[string]any{"phase": "Failed"}}}}
	if err := Patch(large, patch); err != nil {
		t.Fatal(err)
	}
	change, _ := patch["status"].(map[string]any)
	text, _ := change["compressedNodes"].(string)
	got := argo.WorkflowStatus{CompressedNodes: text}
	if err := Unpack(&got); err != nil {
		t.Fatal(err)
	}
	if _, there := got.Nodes["wf-1"]; there || got.Nodes["wf-2"].Phase != argo.NodeFailed || len(got.Nodes) != 1999 || change["nodes"] != nil {
		t.Errorf("%d nodes, wf-2 %s", len(got.Nodes), got.Nodes["wf-2"].Phase)
	}
}

func FuzzUnpack(f *testing.F) {
	p, err := Pack(status(1300))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.CompressedNodes[:100])
	f.Add("H4sIAAAAAAAA/6quBQQAAP//Q7+mowIAAAA=")
	f.Fuzz(func(_ *testing.T, text string) {
		_ = Unpack(&argo.WorkflowStatus{CompressedNodes: text})
	})
}
