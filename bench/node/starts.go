//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// hostProgram is what a container of the host's own files runs.
const hostProgram = "/bin/true"

// hostShares are a host process's weight for the CPU: with less, a busy machine
// would be measured.
const hostShares = 1024

// steps are how long the three calls took that make a container run.
type steps struct{ sandbox, create, start time.Duration }

func (s steps) all() time.Duration { return s.sandbox + s.create + s.start }

// starts measures containers in turn with bare processes, then whole pods.
func (n *node) starts(ctx context.Context, s settings) ([]row, error) {
	kinds := []struct{ what, image, program, command string }{
		{"of an image", imageName, n.probe, inImage},
		{"of the host's files", "busybox", hostProgram, hostProgram},
	}
	bare, made := make([][]float64, len(kinds)), make([][]steps, len(kinds))
	for range s.starts {
		for i, k := range kinds {
			d, err := forkExec(k.program)
			if err != nil {
				return nil, err
			}
			bare[i] = append(bare[i], milliseconds(d))
			m, err := n.container(ctx, k.image, k.command)
			if err != nil {
				return nil, fmt.Errorf("start a container %s: %w", k.what, err)
			}
			made[i] = append(made[i], m)
		}
	}
	var rows []row
	for i, k := range kinds {
		of := func(part func(steps) time.Duration) float64 {
			var all []float64
			for _, m := range made[i] {
				all = append(all, milliseconds(part(m)))
			}
			return median(all)
		}
		rows = append(rows,
			against(row{Figure: "start of a container " + k.what, Unit: "ms", Value: of(steps.all)}, median(bare[i])),
			row{Figure: "  its sandbox with the network", Unit: "ms", Value: of(func(s steps) time.Duration { return s.sandbox })},
			row{Figure: "  its record", Unit: "ms", Value: of(func(s steps) time.Duration { return s.create })},
			against(row{Figure: "  its program, root and all", Unit: "ms", Value: of(func(s steps) time.Duration { return s.start })}, median(bare[i])).
				bounded(bound{Limit: boundStart, OfRatio: true}),
		)
	}
	var pods []float64
	for i := range s.pods {
		d, err := n.pod(ctx, fmt.Sprintf("start-%d", i))
		if err != nil {
			return nil, err
		}
		pods = append(pods, milliseconds(d))
	}
	return append(rows, against(row{Figure: "pod, created to Running", Unit: "ms", Value: median(pods)}, median(bare[0]))), nil
}

// startBeside measures containers of the image while others run.
func (n *node) startBeside(ctx context.Context, samples, others int) (row, error) {
	var bare, made []float64
	for range samples {
		d, err := forkExec(n.probe)
		if err != nil {
			return row{}, err
		}
		bare = append(bare, milliseconds(d))
		m, err := n.container(ctx, imageName, inImage)
		if err != nil {
			return row{}, err
		}
		made = append(made, milliseconds(m.all()))
	}
	return against(row{Figure: fmt.Sprintf("start of a container beside %d", others), Unit: "ms", Value: median(made)}, median(bare)), nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// forkExec returns when the program has been executed, as StartContainer does.
func forkExec(program string) (time.Duration, error) {
	begun := time.Now()
	p, err := os.StartProcess(program, []string{program}, &os.ProcAttr{Files: []*os.File{nil, nil, nil}})
	took := time.Since(begun)
	if err != nil {
		return 0, err
	}
	_, err = p.Wait()
	return took, err
}

// container starts one behind the kubelet's back and removes it. The kubelet
// removes what it does not know; should it be faster, the sample is taken again.
func (n *node) container(ctx context.Context, image, program string) (steps, error) {
	const attempts = 5
	var errs []error
	for range attempts {
		m, err := n.tryContainer(ctx, image, program)
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
		if c := status.Code(err); c != codes.NotFound && c != codes.FailedPrecondition {
			break
		}
	}
	return steps{}, errors.Join(errs...)
}

func (n *node) tryContainer(ctx context.Context, image, program string) (m steps, err error) {
	n.attempt++
	pod := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: n.carrier.Name, Namespace: namespace, Uid: string(n.carrier.UID), Attempt: n.attempt},
		Hostname: "bench",
		Linux:    &runtimeapi.LinuxPodSandboxConfig{},
	}
	begun := time.Now()
	sandbox, err := n.runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: pod})
	if err != nil {
		return m, err
	}
	m.sandbox = time.Since(begun)
	defer func() {
		id := sandbox.GetPodSandboxId()
		_, stopErr := n.runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
		_, removeErr := n.runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
		if err == nil {
			err = errors.Join(stopErr, removeErr)
		}
	}()
	begun = time.Now()
	c, err := n.runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: sandbox.GetPodSandboxId(), SandboxConfig: pod,
		Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: "main"}, Image: &runtimeapi.ImageSpec{Image: image},
			Command: []string{program},
			Linux:   &runtimeapi.LinuxContainerConfig{Resources: &runtimeapi.LinuxContainerResources{CpuShares: hostShares}},
		},
	})
	if err != nil {
		return m, err
	}
	m.create = time.Since(begun)
	begun = time.Now()
	_, err = n.runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: c.GetContainerId()})
	m.start = time.Since(begun)
	return m, err
}

// pod returns the time from the creation of a pod to the news that it runs.
func (n *node) pod(ctx context.Context, name string) (time.Duration, error) {
	begun, running := time.Now(), time.Duration(0)
	_, err := n.runningPod(ctx, name, podOf(idle))
	if err == nil {
		running = time.Since(begun)
		err = n.api.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	}
	return running, err
}

// runningPod creates a pod and returns it when it runs.
func (n *node) runningPod(ctx context.Context, name string, spec corev1.PodSpec) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pods := n.api.CoreV1().Pods(namespace)
	watch, err := pods.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return nil, err
	}
	defer watch.Stop()
	_, err = pods.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	for e := range watch.ResultChan() {
		if p, ok := e.Object.(*corev1.Pod); ok && p.Status.Phase == corev1.PodRunning {
			return p, nil
		}
	}
	return nil, fmt.Errorf("pod %s does not run: %w", name, ctx.Err())
}
