//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

const (
	idle = "idle"
	// startsBeside is how many containers are started beside each number of idle ones.
	startsBeside = 9
	// patience is for anything that the platform has to do.
	patience = 3 * time.Minute
)

// memory runs more and more idle containers. What comes with the first is left
// out: it wakes parts of the platform that all others share.
func (n *node) memory(ctx context.Context, s settings) ([]row, error) {
	var rows, starts []row
	var before usage
	for i, count := range s.containers {
		if err := n.scale(ctx, count); err != nil {
			return nil, fmt.Errorf("%d containers: %w", count, err)
		}
		if err := running.Pause(ctx, s.settle); err != nil {
			return nil, err
		}
		now, err := n.usage()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			before = now
			rows = append(rows, row{Figure: fmt.Sprintf("platform's memory, %d running", count), Unit: "MB", Value: now.total()})
		} else {
			rows = append(rows, perContainer(s.containers[0], count, before, now)...)
		}
		start, err := n.startBeside(ctx, min(s.starts, startsBeside), count)
		if err != nil {
			return nil, err
		}
		starts = append(starts, start)
	}
	rows = append(rows, starts...)
	return rows, n.api.AppsV1().Deployments(namespace).Delete(ctx, idle, metav1.DeleteOptions{})
}

// perContainer divides what came with the containers among them.
func perContainer(first, count int, before, now usage) []row {
	more := float64(count - first)
	all := row{
		Figure: fmt.Sprintf("memory of a container, in all, %d running", count), Unit: "MB", Value: (now.total() - before.total()) / more,
	}
	if count == boundMemoryAt {
		all = all.bounded(bound{Limit: boundMemory})
	}
	return []row{all, {
		Figure: fmt.Sprintf("  of it shim and init, %d running", count), Unit: "MB", Value: (now.containers - before.containers) / more,
	}}
}

// scale returns when so many pods are ready.
func (n *node) scale(ctx context.Context, count int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	deployments := n.api.AppsV1().Deployments(namespace)
	watch, err := deployments.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + idle})
	if err != nil {
		return err
	}
	defer watch.Stop()
	replicas := int32(count)
	_, err = deployments.UpdateScale(ctx, idle, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: idle, Namespace: namespace}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas},
	}, metav1.UpdateOptions{})
	if err != nil {
		_, err = deployments.Create(ctx, idleDeployment(replicas), metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	for e := range watch.ResultChan() {
		if d, ok := e.Object.(*appsv1.Deployment); ok && d.Status.ReadyReplicas == replicas {
			return nil
		}
	}
	return fmt.Errorf("the pods did not become ready: %w", ctx.Err())
}

func idleDeployment(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": idle}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: idle},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podOf(idle)},
		},
	}
}

// podOf runs the probe out of its image.
func podOf(args ...string) corev1.PodSpec {
	grace := int64(1)
	return corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace,
		Containers:                    []corev1.Container{{Name: "main", Image: imageName, ImagePullPolicy: corev1.PullNever, Args: args}},
	}
}
