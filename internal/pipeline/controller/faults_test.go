package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// unindexed answers the controller's indexed query without a cache.
type unindexed struct{ client.Client }

func (u unindexed) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(opts)
	if o.FieldSelector != nil {
		name, _ := o.FieldSelector.RequiresExactMatch(podIndex)
		o.FieldSelector = fields.Everything()
		client.MatchingLabels{argo.LabelWorkflow: name}.ApplyToList(&o)
	}
	return u.Client.List(ctx, list, &o)
}

const faultyWorkflow = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: faults}
spec:
  entrypoint: m
  onExit: nop
  podGC: {strategy: OnWorkflowSuccess}
  templates:
  - name: m
    dag:
      tasks:
      - {name: a, template: nop}
      - {name: b, template: nop, depends: a, withItems: [1, 2]}
      - {name: c, template: nop, depends: a, when: "1 == 2"}
      - {name: d, template: nop, depends: b && c}
  - name: nop
    retryStrategy: {limit: 1}
    container: {image: alpine, command: ["true"]}
`

// Any write may be the last one before a crash; the end is always the same and
// no step runs twice.
func TestReconciler_survivesFaultsAtEachWrite(t *testing.T) {
	want := ""
	kwtest.FailNthWrite(t, unindexed{newCluster(t).client}, func(t *testing.T, faulty client.Client) {
		t.Helper()
		c := newCluster(t)
		clock := testclock.NewFakeClock(metav1Now())
		deps := Deps{
			Clock: clock, Recorder: events.NewFakeRecorder(1000), Blobs: c.blobs, Logger: slog.New(slog.DiscardHandler),
			Platform: kube.Platform{BaseURL: c.url, AgentPath: c.agent},
		}
		wf := &argo.Workflow{}
		c.create(t, faultyWorkflow, wf)
		key := client.ObjectKeyFromObject(wf)
		r := newReconciler(faulty, c.client, c.client, deps)
		created := map[string]int{}
		for round := 0; ; round++ {
			if round > 300 {
				t.Fatal("the workflow does not end")
			}
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
				if !strings.Contains(err.Error(), kwtest.ErrInjected.Error()) {
					t.Fatal(err)
				}
				r = newReconciler(faulty, c.client, c.client, deps) // as after a crash
			}
			clock.Step(storeAfter)
			endPods(t, c, created)
			if err := c.client.Get(t.Context(), key, wf); err != nil {
				t.Fatal(err)
			}
			if wf.Status.Phase.Completed() && len(listPods(t, c)) == 0 {
				break
			}
		}
		for name, n := range created {
			if n != 1 {
				t.Errorf("pod %s was created %d times", name, n)
			}
		}
		if got := tree(wf); want == "" {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if wf.Status.Phase != argo.WorkflowSucceeded || len(created) != 5 {
			t.Errorf("phase %s, %d pods: %v", wf.Status.Phase, len(created), created)
		}
	})
}

func listPods(t *testing.T, c *cluster) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	if err := c.client.List(t.Context(), &pods, client.InNamespace(c.ns)); err != nil {
		t.Fatal(err)
	}
	return pods.Items
}

// endPods lets every pod succeed.
func endPods(t *testing.T, c *cluster, created map[string]int) {
	t.Helper()
	pods := listPods(t, c)
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase != corev1.PodPending || p.DeletionTimestamp != nil {
			continue
		}
		created[p.Name]++
		c.status(t.Context(), p, corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: `{"kiwerk":1}`}})
	}
}

func tree(wf *argo.Workflow) string {
	var lines []string
	for id, n := range wf.Status.Nodes {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %v", n.Name, id, n.Type, n.Phase, n.Children))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
