package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

const (
	manager = "kiwerk-simulate"
	workers = 16

	// Kubernetes gives a node up after 50 s without a sign of life.
	renewAfter    = 20 * time.Second
	renewLook     = 4 * time.Second
	leaseDuration = 40

	nodeLook   = time.Second
	firstRetry = 50 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Controller plays the nodes and their pods.
type Controller struct {
	client kubernetes.Interface
	own    []string
	logger *slog.Logger
	clock  clock.WithTicker

	nodes   corelisters.NodeLister
	pods    corelisters.PodLister
	queue   workqueue.TypedRateLimitingInterface[cache.ObjectName]
	renewed map[string]time.Time
}

// New returns a controller that has not been started. own are the names of the real nodes.
func New(cfg *rest.Config, own []string, logger *slog.Logger, c clock.WithTicker) (*Controller, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &Controller{
		client: client, own: own, logger: logger, clock: c, renewed: map[string]time.Time{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](firstRetry, lastRetry)),
	}, nil
}

// Run plays until ctx ends. As long as there is no simulated node it watches for one and does nothing else.
func (c *Controller) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithTransform(strip),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = Label + "=true" }))
	found := make(chan struct{})
	var once sync.Once
	seen := func(any) { once.Do(func() { close(found) }) }
	c.nodes = factory.Core().V1().Nodes().Lister()
	if _, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: seen}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	select {
	case <-found:
	case <-ctx.Done():
		return nil
	}
	factory.WaitForCacheSync(ctx.Done())
	return c.play(ctx)
}

// strip drops what takes memory and is not read.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Node:
		o.ManagedFields, o.Status = nil, corev1.NodeStatus{}
	case *corev1.Pod:
		o.ManagedFields = nil
	}
	return object, nil
}

func (c *Controller) play(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithTransform(strip),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = "spec.nodeName!="
			for _, name := range c.own {
				o.FieldSelector += ",spec.nodeName!=" + name
			}
		}))
	c.pods = factory.Core().V1().Pods().Lister()
	add := func(object any) {
		if name, err := cache.ObjectToName(object); err == nil {
			c.queue.Add(name)
		}
	}
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, object any) { add(object) },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	factory.WaitForCacheSync(ctx.Done())
	var tasks sync.WaitGroup
	for range workers {
		tasks.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	c.renewLoop(ctx)
	c.queue.ShutDown()
	tasks.Wait()
	return nil
}

func (c *Controller) next(ctx context.Context) bool {
	name, quit := c.queue.Get()
	if quit {
		return false
	}
	defer c.queue.Done(name)
	again, err := c.sync(ctx, name)
	if err != nil && ctx.Err() == nil {
		c.logger.Warn("play a pod", "pod", name.String(), "error", err)
		c.queue.AddRateLimited(name)
		return true
	}
	c.queue.Forget(name)
	if again > 0 {
		c.queue.AddAfter(name, again)
	}
	return true
}

// sync takes a pod one step on.
func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	pod, err := c.pods.Pods(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if _, err := c.nodes.Get(pod.Spec.NodeName); err != nil {
		// Nodes come by another watch, which may be behind; pods of nodes that are gone are collected by Kubernetes.
		return nodeLook, nil //nolint:nilerr // as above
	}
	s := decide(pod, c.clock.Now())
	switch {
	case s.remove:
		err = c.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
	case s.status != nil:
		pod = pod.DeepCopy()
		pod.Status = *s.status
		_, err = c.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{FieldManager: manager})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = nil // it has changed; we hear of it
	}
	return s.again, err
}

// renewLoop keeps the nodes alive until ctx ends.
func (c *Controller) renewLoop(ctx context.Context) {
	ticker := c.clock.NewTicker(renewLook)
	defer ticker.Stop()
	for {
		if err := c.renewDue(ctx); err != nil && ctx.Err() == nil {
			c.logger.Warn("renew leases of simulated nodes", "error", err)
		}
		select {
		case <-ticker.C():
		case <-ctx.Done():
			return
		}
	}
}

// renewDue renews the leases that are due, a share of them at each look.
func (c *Controller) renewDue(ctx context.Context) error {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	now := c.clock.Now()
	alive := map[string]time.Time{}
	due := make(chan *corev1.Node, len(nodes))
	for _, n := range nodes {
		alive[n.Name] = c.renewed[n.Name]
		if now.Sub(alive[n.Name]) >= renewAfter {
			alive[n.Name] = now
			due <- n
		}
	}
	close(due)
	c.renewed = alive
	var tasks sync.WaitGroup
	errs := make([]error, workers)
	for i := range workers {
		tasks.Go(func() {
			for n := range due {
				errs[i] = errors.Join(errs[i], c.renew(ctx, n, now))
			}
		})
	}
	tasks.Wait()
	return errors.Join(errs...)
}

func (c *Controller) renew(ctx context.Context, n *corev1.Node, now time.Time) error {
	at := metav1.NewMicroTime(now)
	leases := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": at}})
	if err != nil {
		return err
	}
	_, err = leases.Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if apierrors.IsNotFound(err) {
		duration := int32(leaseDuration)
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: &duration, RenewTime: &at},
		}, metav1.CreateOptions{FieldManager: manager})
	}
	if err != nil {
		return fmt.Errorf("lease of node %s: %w", n.Name, err)
	}
	return nil
}
