package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// BenchmarkChain compares a chain of steps with as many bare pods, one after
// the other, on the same API server and kubelet. overhead-ms/step is the
// difference, which is what the engine costs.
func BenchmarkChain(b *testing.B) {
	const length = 40
	c := newCluster(b)
	c.start()
	c.kubelet()
	var chain, bare time.Duration
	for b.Loop() {
		began := time.Now()
		wf := c.submit(b, chainYAML(length))
		c.finish(b, wf, argo.WorkflowSucceeded)
		chain += time.Since(began)
		began = time.Now()
		for range length {
			c.barePod(b)
		}
		bare += time.Since(began)
	}
	steps := float64(b.N * length)
	b.ReportMetric(float64(chain.Milliseconds())/steps, "chain-ms/step")
	b.ReportMetric(float64(bare.Milliseconds())/steps, "pod-ms/step")
	b.ReportMetric(float64((chain-bare).Milliseconds())/steps, "overhead-ms/step")
}

func chainYAML(length int) string {
	var steps strings.Builder
	for i := range length {
		fmt.Fprintf(&steps, "    - - {name: s%d, template: nop}\n", i)
	}
	return `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: chain-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
` + steps.String() + `  - name: nop
    container: {image: alpine, command: ["true"]}
`
}

func (c *cluster) barePod(b *testing.B) {
	b.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "bare-", Namespace: c.ns}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		Containers:    []corev1.Container{{Name: argo.MainContainer, Image: "alpine", Command: []string{"true"}}},
	}}
	if err := c.client.Create(b.Context(), p); err != nil {
		b.Fatal(err)
	}
	kwtest.WaitFor(b, c.client, p, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if err := c.client.Delete(b.Context(), p, client.GracePeriodSeconds(0)); err != nil {
		b.Fatal(err)
	}
}
