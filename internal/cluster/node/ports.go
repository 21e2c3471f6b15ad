package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/kube"
)

// Port is the loopback port that a pod was given.
type Port struct {
	Namespace, Name, UID string
	Port                 int
}

// PortSource tells which ports were handed out: first all that are in use, then each new one.
type PortSource interface {
	// Watch's channel is closed when ctx ends.
	Watch(ctx context.Context) <-chan Port
}

// PortSourceFunc makes a source of a function.
type PortSourceFunc func(ctx context.Context) <-chan Port

// Watch calls f.
func (f PortSourceFunc) Watch(ctx context.Context) <-chan Port { return f(ctx) }

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Annotator writes the annotation kiwerk.dev/port on pods. Writing it again is
// harmless, so it needs no memory of what an earlier run has written.
type Annotator struct {
	pods   corev1client.PodsGetter
	source PortSource
	logger *slog.Logger
	clock  clock.Clock
}

// NewAnnotator returns an annotator that has not been started.
func NewAnnotator(cfg *rest.Config, source PortSource, logger *slog.Logger, c clock.Clock) (*Annotator, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &Annotator{pods: client.CoreV1(), source: source, logger: logger, clock: c}, nil
}

// Run annotates until ctx ends.
func (a *Annotator) Run(ctx context.Context) error {
	for port := range a.source.Watch(ctx) {
		if err := a.retry(ctx, port); err != nil {
			a.logger.Error("the port of a pod was not published", "namespace", port.Namespace, "pod", port.Name, "error", err)
		}
	}
	return nil
}

// retry tries until the pod is annotated, gone or refused.
func (a *Annotator) retry(ctx context.Context, port Port) error {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := a.annotate(ctx, port)
		if err == nil || ctx.Err() != nil || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return err
		}
		a.logger.Warn("publish the port of a pod", "namespace", port.Namespace, "pod", port.Name, "error", err)
		select {
		case <-a.clock.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *Annotator) annotate(ctx context.Context, port Port) error {
	type metadata struct {
		UID         string            `json:"uid"`
		Annotations map[string]string `json:"annotations"`
	}
	// The uid keeps a pod of the same name that came later from getting this port.
	patch, err := json.Marshal(map[string]metadata{"metadata": {port.UID, map[string]string{kube.PortAnnotation: strconv.Itoa(port.Port)}}})
	if err != nil {
		return fmt.Errorf("port of pod %s/%s: %w", port.Namespace, port.Name, err)
	}
	_, err = a.pods.Pods(port.Namespace).Patch(ctx, port.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kiwerk-node"})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // The pod is gone.
	}
	return err
}
