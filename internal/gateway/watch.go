package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
)

// watch is what has to be undone at the end.
type watch struct{ undo []func() error }

func (w *watch) stop() error {
	var errs []error
	for _, f := range w.undo {
		errs = append(errs, f())
	}
	w.undo = nil
	return errors.Join(errs...)
}

// startWatch follows endpoints and their pods and fills the table.
func (g *Gateway) startWatch(ctx context.Context) error {
	life := context.WithoutCancel(ctx)
	handler := toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { g.refresh(life, o) },
		UpdateFunc: func(_, o any) { g.refresh(life, o) },
		DeleteFunc: func(o any) { g.refresh(life, o) },
	}
	for _, kind := range []client.Object{&v1beta1.InferenceService{}, &corev1.Pod{}} {
		informer, err := g.deps.Cache.GetInformer(ctx, kind)
		if err != nil {
			return fmt.Errorf("gateway: watch %T: %w", kind, err)
		}
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return fmt.Errorf("gateway: watch %T: %w", kind, err)
		}
		g.watch.undo = append(g.watch.undo, func() error { return informer.RemoveEventHandler(registration) })
		if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			return fmt.Errorf("gateway: the list of %T was not read in time: %w", kind, ctx.Err())
		}
	}
	return nil
}

// refresh makes the entry of the endpoint that an object belongs to anew.
func (g *Gateway) refresh(ctx context.Context, o any) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	var k key
	switch o := o.(type) {
	case *v1beta1.InferenceService:
		k = key{o.Namespace, o.Name}
	case *corev1.Pod:
		k = key{o.Namespace, o.Labels[v1beta1.LabelService]}
	}
	if k.name == "" {
		return
	}
	e, err := g.read(ctx, k)
	if err != nil {
		// The cache is in memory; it fails only when it stops.
		g.deps.Logger.ErrorContext(ctx, "the routes of an endpoint could not be read", "namespace", k.namespace, "endpoint", k.name, "error", err)
		return
	}
	for _, gone := range g.table.set(k, e) {
		g.forward.forget(gone)
	}
	if e == nil {
		g.metrics.forget(k)
	}
}

// read makes an endpoint from what the cache has; nil if there is no such InferenceService.
func (g *Gateway) read(ctx context.Context, k key) (*endpoint, error) {
	var isvc v1beta1.InferenceService
	err := g.deps.Cache.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: k.name}, &isvc)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pods corev1.PodList
	if err := g.deps.Cache.List(ctx, &pods, client.InNamespace(k.namespace), client.MatchingLabels{v1beta1.LabelService: k.name},
		client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	return makeEndpoint(&isvc, pods.Items, g.deps.DirectPods), nil
}

// makeEndpoint joins shares, pods and what the status says of an endpoint.
func makeEndpoint(isvc *v1beta1.InferenceService, pods []corev1.Pod, direct bool) *endpoint {
	e := &endpoint{key: key{isvc.Namespace, isvc.Name}}
	if t := isvc.Spec.Predictor.TimeoutSeconds; t != nil && *t > 0 {
		e.timeout = time.Duration(*t) * time.Second
	}
	for _, t := range isvc.Status.Components[v1beta1.PredictorComponent].Traffic {
		if t.RevisionName == "" || t.Percent == nil || *t.Percent < 0 {
			continue
		}
		r := &revision{name: t.RevisionName, percent: uint64(*t.Percent)}
		for i := range pods {
			r.add(&pods[i], direct)
		}
		slices.SortFunc(r.pods, func(a, b *pod) int { return cmp.Compare(a.name, b.name) })
		e.revisions = append(e.revisions, r)
	}
	e.explain(&isvc.Status, isvc.Status.ObservedGeneration == isvc.Generation)
	return e
}

// explain takes over why an endpoint is not ready. A revision that is rolled
// out may come back by itself, also when its pods are failing just now; a first
// one that is refused or does not load will not.
func (e *endpoint) explain(s *v1beta1.InferenceServiceStatus, current bool) {
	c := s.GetCondition(v1beta1.Ready)
	if !current || c == nil || c.Status == corev1.ConditionTrue || c.Reason == "" {
		return
	}
	e.why = strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
	if m := s.ModelStatus; m != nil && len(e.revisions) == 0 {
		e.hopeless = m.TransitionStatus == v1beta1.InvalidSpec || m.TransitionStatus == v1beta1.BlockedByFailedLoad
	}
}

// add takes a pod of this revision that is ready and does not end.
func (r *revision) add(p *corev1.Pod, direct bool) {
	if p.Labels[v1beta1.LabelRevision] != r.name || p.DeletionTimestamp != nil {
		return
	}
	r.model, r.version = p.Annotations[v1beta1.AnnotationModel], p.Annotations[v1beta1.AnnotationModelVersion]
	address, ok := address(p, direct)
	if !ok || !ready(p) {
		return
	}
	r.pods = append(r.pods, &pod{name: p.Name, address: address})
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// address of a pod's server: its own where pods have one, else the loopback
// port that its runtime chose. A pod may still carry one from before the change.
func address(p *corev1.Pod, direct bool) (string, bool) {
	if direct {
		return net.JoinHostPort(p.Status.PodIP, serverPort(p)), p.Status.PodIP != ""
	}
	if port := p.Annotations[kube.PortAnnotation]; port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		return net.JoinHostPort("127.0.0.1", port), err == nil && n > 0
	}
	return "", false
}

// serverPort is the first port that the pod declares, or that of our own servers.
func serverPort(p *corev1.Pod) string {
	for i := range p.Spec.Containers {
		if ports := p.Spec.Containers[i].Ports; len(ports) > 0 {
			return strconv.Itoa(int(ports[0].ContainerPort))
		}
	}
	return "8080"
}
