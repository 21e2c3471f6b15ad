package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

const (
	fieldManager = "kiwerk-publish"
	firstRetry   = 100 * time.Millisecond
	lastRetry    = time.Minute
	// again is when a port is tried that another program had.
	again         = 15 * time.Second
	listenTimeout = 10 * time.Second
)

// Config of a [Controller].
type Config struct {
	Client kubernetes.Interface
	// Informers are started by the caller, after New.
	Informers informers.SharedInformerFactory
	Events    record.EventRecorder
	// Host makes the sockets on which is listened.
	Host Host
	// Dial connects from the node's network.
	Dial dialer
	// Node is the address at which node ports answer.
	Node netip.Addr
	// Pods is where pods and the node have their addresses.
	Pods   netip.Prefix
	Logger *slog.Logger
	Clock  clock.PassiveClock
}

// Controller publishes Services and the host ports of pods.
type Controller struct {
	cfg      Config
	services corelisters.ServiceLister
	pods     corelisters.PodLister
	synced   []cache.InformerSynced
	queue    workqueue.TypedRateLimitingInterface[owner]

	// Of the worker.
	ports *ports
	// failed is what was last said of those that did not get all their ports.
	failed map[owner]string
}

// New returns a controller that has not been started.
func New(cfg Config) (*Controller, error) {
	services, pods := cfg.Informers.Core().V1().Services(), cfg.Informers.Core().V1().Pods()
	c := &Controller{
		cfg: cfg, services: services.Lister(), pods: pods.Lister(), failed: map[owner]string{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[owner](firstRetry, lastRetry)),
	}
	onService, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue(kindService),
		UpdateFunc: c.changed,
		DeleteFunc: c.enqueue(kindService),
	})
	if err != nil {
		return nil, err
	}
	onPod, err := pods.Informer().AddEventHandler(cache.FilteringResourceEventHandler{
		FilterFunc: wantsHostPort,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    c.enqueue(kindPod),
			UpdateFunc: c.podChanged,
			DeleteFunc: c.enqueue(kindPod),
		},
	})
	if err != nil {
		return nil, err
	}
	c.synced = []cache.InformerSynced{onService.HasSynced, onPod.HasSynced}
	return c, nil
}

func (c *Controller) enqueue(kind string) func(any) {
	return func(o any) {
		key, err := cache.DeletionHandlingObjectToName(o)
		if err == nil {
			c.queue.Add(owner{kind, types.NamespacedName(key)})
		}
	}
}

// wantsHostPort keeps the many pods away that have none.
func wantsHostPort(o any) bool {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return false
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if slices.ContainsFunc(list[i].Ports, func(p corev1.ContainerPort) bool { return p.HostPort > 0 }) {
				return true
			}
		}
	}
	return false
}

func (c *Controller) podChanged(before, after any) {
	a, okA := before.(*corev1.Pod)
	b, okB := after.(*corev1.Pod)
	if !okA || !okB || a.Status.PodIP != b.Status.PodIP || a.Status.Phase != b.Status.Phase {
		c.enqueue(kindPod)(after)
	}
}

// changed leaves the status alone that others write: only what is wanted counts.
func (c *Controller) changed(before, after any) {
	a, okA := before.(*corev1.Service)
	b, okB := after.(*corev1.Service)
	if !okA || !okB || !equality.Semantic.DeepEqual(a.Spec, b.Spec) || (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) {
		c.enqueue(kindService)(after)
	}
}

// Run publishes until ctx ends; then all sockets are closed.
func (c *Controller) Run(ctx context.Context) error {
	c.ports = &ports{host: c.cfg.Host, dial: c.cfg.Dial, logger: c.cfg.Logger, ctx: ctx, open: map[port]*published{}}
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return nil
	}
	var worker sync.WaitGroup
	worker.Go(func() {
		for c.next(ctx) {
		}
	})
	<-ctx.Done()
	c.queue.ShutDown()
	worker.Wait()
	c.ports.closeAll()
	return nil
}

func (c *Controller) next(ctx context.Context) bool {
	key, quit := c.queue.Get()
	if quit {
		return false
	}
	defer c.queue.Done(key)
	if err := c.sync(ctx, key); err != nil && ctx.Err() == nil {
		c.cfg.Logger.Error("publish ports", "kind", key.kind, "namespace", key.Namespace, "name", key.Name, "error", err)
		c.queue.AddRateLimited(key)
		return true
	}
	c.queue.Forget(key)
	return true
}

// sync opens, closes and tells.
func (c *Controller) sync(ctx context.Context, key owner) error {
	if key.kind == kindPod {
		return c.syncPod(ctx, key)
	}
	svc, err := c.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		svc = &corev1.Service{}
	} else if err != nil {
		return err
	}
	o := c.act(ctx, key, planFor(svc, c.cfg.Node))
	if svc.Name == "" {
		delete(c.failed, key)
		return nil
	}
	if err := c.write(ctx, svc, statusOf(svc, o, metav1.NewTime(c.cfg.Clock.Now()))); err != nil {
		return err
	}
	for _, old := range svc.Status.Conditions {
		if old.Type == ConditionPublished && old.Status == metav1.ConditionFalse && c.failed[key] == "" {
			c.failed[key] = old.Message // said before the last start
		}
	}
	c.tell(key, svc, "NotPublished", o)
	return nil
}

func (c *Controller) syncPod(ctx context.Context, key owner) error {
	pod, err := c.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		pod = &corev1.Pod{}
	} else if err != nil {
		return err
	}
	c.tell(key, pod, "HostPortNotPublished", c.act(ctx, key, planForPod(pod, c.cfg.Pods)))
	return nil
}

// act carries out a plan. Ports that become free go to those who wait for one.
func (c *Controller) act(ctx context.Context, key owner, p plan) outcome {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	errs, freed := c.ports.set(ctx, key, p.bindings)
	if freed {
		for other := range c.failed {
			c.queue.Add(other)
		}
	}
	o := outcome{failed: p.refused}
	for _, b := range p.bindings {
		if err := errs[b.port]; err != nil {
			o.failed[b.port] = problemOf(err)
			continue
		}
		o.opened = append(o.opened, b)
	}
	return o
}

// problemOf tells a user what to do.
func problemOf(err error) problem {
	var taken *takenError
	switch {
	case errors.As(err, &taken):
		return problem{reasonTaken, taken.Error()}
	case errors.Is(err, unix.EADDRINUSE):
		return problem{reasonTaken, "another program on this machine listens there; it is tried again when that one has ended"}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return problem{reasonForbidden, "an ordinary user may not open it; use a port from 1024 on, or allow it: sudo sysctl net.ipv4.ip_unprivileged_port_start=80"}
	}
	return problem{reasonFailed, err.Error()}
}

// tell says what changed, once, and looks again after what may pass.
func (c *Controller) tell(key owner, about runtime.Object, reason string, o outcome) {
	said := c.failed[key]
	delete(c.failed, key)
	if len(o.failed) == 0 {
		return
	}
	message := describe(o.failed)
	c.failed[key] = message
	c.queue.AddAfter(key, again)
	if message != said {
		c.cfg.Events.Event(about, corev1.EventTypeWarning, reason, message)
	}
}

// write puts the status into the API if it says something else.
func (c *Controller) write(ctx context.Context, svc *corev1.Service, s status) error {
	if s.equal(svc) {
		return nil
	}
	out := applycore.ServiceStatus()
	if s.condition != nil {
		k := s.condition
		out.WithConditions(applymeta.Condition().WithType(k.Type).WithStatus(k.Status).WithReason(k.Reason).
			WithMessage(k.Message).WithLastTransitionTime(k.LastTransitionTime).WithObservedGeneration(svc.Generation))
	}
	for _, i := range s.ingress {
		ingress := applycore.LoadBalancerIngress().WithIP(i.IP).WithHostname(i.Hostname).WithIPMode(*i.IPMode)
		for _, p := range i.Ports {
			status := applycore.PortStatus().WithPort(p.Port).WithProtocol(p.Protocol)
			status.Error = p.Error
			ingress.WithPorts(status)
		}
		out.WithLoadBalancer(applycore.LoadBalancerStatus().WithIngress(ingress))
	}
	_, err := c.cfg.Client.CoreV1().Services(svc.Namespace).ApplyStatus(ctx,
		applycore.Service(svc.Name, svc.Namespace).WithUID(svc.UID).WithStatus(out), metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or another of the same name: it comes by itself
	}
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}
