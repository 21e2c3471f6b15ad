package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	Node   netip.Addr
	Logger *slog.Logger
	Clock  clock.PassiveClock
}

// Controller publishes Services.
type Controller struct {
	cfg      Config
	services corelisters.ServiceLister
	synced   cache.InformerSynced
	queue    workqueue.TypedRateLimitingInterface[types.NamespacedName]

	// Of the worker.
	ports  *ports
	failed map[types.NamespacedName]bool
}

// New returns a controller that has not been started.
func New(cfg Config) (*Controller, error) {
	services := cfg.Informers.Core().V1().Services()
	c := &Controller{
		cfg: cfg, services: services.Lister(), failed: map[types.NamespacedName]bool{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry)),
	}
	registration, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueue,
		UpdateFunc: c.changed,
		DeleteFunc: c.enqueue,
	})
	if err != nil {
		return nil, err
	}
	c.synced = registration.HasSynced
	return c, nil
}

func (c *Controller) enqueue(o any) {
	key, err := cache.DeletionHandlingObjectToName(o)
	if err == nil {
		c.queue.Add(types.NamespacedName(key))
	}
}

// changed leaves the status alone that others write: only what is wanted counts.
func (c *Controller) changed(before, after any) {
	a, okA := before.(*corev1.Service)
	b, okB := after.(*corev1.Service)
	if !okA || !okB || !equality.Semantic.DeepEqual(a.Spec, b.Spec) || (a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) {
		c.enqueue(after)
	}
}

// Run publishes until ctx ends; then all sockets are closed.
func (c *Controller) Run(ctx context.Context) error {
	c.ports = &ports{host: c.cfg.Host, dial: c.cfg.Dial, logger: c.cfg.Logger, ctx: ctx, open: map[port]*published{}}
	if !cache.WaitForCacheSync(ctx.Done(), c.synced) {
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
		c.cfg.Logger.Error("publish a service", "namespace", key.Namespace, "service", key.Name, "error", err)
		c.queue.AddRateLimited(key)
		return true
	}
	c.queue.Forget(key)
	return true
}

// sync opens, closes and tells.
func (c *Controller) sync(ctx context.Context, key types.NamespacedName) error {
	svc, err := c.services.Services(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		svc = &corev1.Service{}
	} else if err != nil {
		return err
	}
	o, freed := c.act(ctx, key, planFor(svc, c.cfg.Node))
	delete(c.failed, key)
	if freed {
		for other := range c.failed {
			c.queue.Add(other)
		}
	}
	if svc.Name == "" {
		return nil
	}
	if err := c.write(ctx, svc, statusOf(svc, o, metav1.NewTime(c.cfg.Clock.Now()))); err != nil {
		return err
	}
	c.tell(svc, o)
	return nil
}

// act carries out a plan.
func (c *Controller) act(ctx context.Context, key types.NamespacedName, p plan) (outcome, bool) {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	errs, freed := c.ports.set(ctx, key, p.bindings)
	o := outcome{failed: p.refused}
	for _, b := range p.bindings {
		if err := errs[b.port]; err != nil {
			o.failed[b.port] = problemOf(err)
			continue
		}
		o.opened = append(o.opened, b)
	}
	return o, freed
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
func (c *Controller) tell(svc *corev1.Service, o outcome) {
	key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	if len(o.failed) == 0 {
		return
	}
	message := describe(o.failed)
	c.failed[key] = true
	c.queue.AddAfter(key, again)
	for _, old := range svc.Status.Conditions {
		if old.Type == ConditionPublished && old.Status == metav1.ConditionFalse && old.Message == message {
			return
		}
	}
	c.cfg.Events.Event(svc, corev1.EventTypeWarning, "NotPublished", message)
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
