//go:build linux

package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

const (
	// settle collects what changes together, for example the pods of one Deployment.
	settle     = 20 * time.Millisecond
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
	// The kubelet may hear of a pod before the controller does.
	lookAgain, longestLook = 10 * time.Millisecond, 30 * time.Second

	reasonNotEnforced = "NotEnforced"
	reasonFailed      = "EnforcementFailed"
)

// Config of a [Controller].
type Config struct {
	// Informers are started by the caller, after New.
	Informers informers.SharedInformerFactory
	Events    record.EventRecorder
	// Apply runs a script of nftables; nil if policies cannot be enforced here.
	Apply func(ctx context.Context, script string) error
	// DNS is the name server, which counts as a pod with these labels in this namespace.
	DNS          netip.Addr
	DNSNamespace string
	DNSLabels    map[string]string
	Logger       *slog.Logger
}

// Controller keeps the kernel's rules as the policies demand.
type Controller struct {
	cfg        Config
	policies   networkinglisters.NetworkPolicyLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	synced     []cache.InformerSynced
	queue      workqueue.TypedRateLimitingInterface[string]

	mu       sync.Mutex
	applied  string // the script in the kernel; "" if unknown
	starting map[types.UID]netip.Addr
}

// everything is the only item of the queue.
const everything = "policies"

// New returns a controller that has not been started.
func New(cfg Config) (*Controller, error) {
	policies := cfg.Informers.Networking().V1().NetworkPolicies()
	c := &Controller{
		cfg: cfg, policies: policies.Lister(), starting: map[types.UID]netip.Addr{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry)),
	}
	add := func(informer cache.SharedIndexInformer, h cache.ResourceEventHandler) error {
		registration, err := informer.AddEventHandler(h)
		if err == nil {
			c.synced = append(c.synced, registration.HasSynced)
		}
		return err
	}
	if cfg.Apply == nil {
		return c, add(policies.Informer(), cache.ResourceEventHandlerFuncs{AddFunc: c.tellNotEnforced})
	}
	pods, namespaces := cfg.Informers.Core().V1().Pods(), cfg.Informers.Core().V1().Namespaces()
	c.pods, c.namespaces = pods.Lister(), namespaces.Lister()
	changed := func(any) { c.queue.AddAfter(everything, settle) }
	all := cache.ResourceEventHandlerFuncs{AddFunc: changed, UpdateFunc: func(_, o any) { changed(o) }, DeleteFunc: changed}
	onPods := all
	onPods.UpdateFunc = func(before, after any) {
		a, okA := before.(*corev1.Pod)
		b, okB := after.(*corev1.Pod)
		if okA && okB && a.UID != b.UID { // the end of the first was missed
			c.forget(a)
		}
		if matters(before, after) {
			changed(after)
		}
	}
	onPods.DeleteFunc = func(o any) {
		gone := o
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			gone = last.Obj
		}
		if p, ok := gone.(*corev1.Pod); ok {
			c.forget(p)
		}
		changed(o)
	}
	return c, errors.Join(add(policies.Informer(), all), add(namespaces.Informer(), all), add(pods.Informer(), onPods))
}

func (c *Controller) forget(p *corev1.Pod) {
	c.mu.Lock()
	delete(c.starting, p.UID)
	c.mu.Unlock()
}

// matters tells whether a change of a pod can change rules.
func matters(before, after any) bool {
	a, okA := before.(*corev1.Pod)
	b, okB := after.(*corev1.Pod)
	return !okA || !okB || a.Status.PodIP != b.Status.PodIP || over(a) != over(b) || !labels.Equals(a.Labels, b.Labels)
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (c *Controller) tellNotEnforced(o any) {
	if p, ok := o.(*networkingv1.NetworkPolicy); ok {
		c.cfg.Events.Event(p, corev1.EventTypeWarning, reasonNotEnforced,
			"This policy is stored but not enforced: pods share this machine's network. `kiwerk doctor` says what a pod network needs")
	}
}

// Run applies policies until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) || c.cfg.Apply == nil {
		<-ctx.Done()
		return nil
	}
	c.queue.Add(everything)
	var worker sync.WaitGroup
	worker.Go(func() {
		for c.next(ctx) {
		}
	})
	<-ctx.Done()
	c.queue.ShutDown()
	worker.Wait()
	return nil
}

func (c *Controller) next(ctx context.Context) bool {
	item, quit := c.queue.Get()
	if quit {
		return false
	}
	defer c.queue.Done(item)
	if err := c.sync(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Logger.Error("network policies are not enforced", "error", err)
		c.tellFailed(err)
		c.queue.AddRateLimited(item)
		return true
	}
	c.queue.Forget(item)
	return true
}

// Admit isolates a pod that has just got its address, before its containers start.
func (c *Controller) Admit(ctx context.Context, namespace, name string, uid types.UID, ip netip.Addr) error {
	if c.cfg.Apply == nil {
		return nil
	}
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return fmt.Errorf("network policies for pod %s/%s: %w", namespace, name, context.Cause(ctx))
	}
	err := wait.PollUntilContextTimeout(ctx, lookAgain, longestLook, true, func(context.Context) (bool, error) {
		return c.noteStarting(namespace, name, uid, ip), nil
	})
	if err != nil {
		return fmt.Errorf("network policies for pod %s/%s: the API server has not told of this pod: %w", namespace, name, err)
	}
	return c.sync(ctx)
}

// noteStarting keeps the address of a pod that is listed; what handles its end runs after it has left the list.
func (c *Controller) noteStarting(namespace, name string, uid types.UID, ip netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.pods.Pods(namespace).Get(name)
	if err != nil || p.UID != uid { // lists only say that there is none
		return false
	}
	c.starting[uid] = ip
	return true
}

// sync compiles and applies.
func (c *Controller) sync(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, err := c.state()
	if err != nil {
		return err
	}
	rules, errs := Compile(state)
	for _, err := range errs {
		c.cfg.Logger.Warn("part of a network policy is not usable", "error", err)
	}
	script := rules.Script(c.cfg.DNS)
	if script == c.applied {
		return nil
	}
	if err := c.cfg.Apply(ctx, script); err != nil {
		c.applied = ""
		return err
	}
	c.applied = script
	return nil
}

// state reads the informers. Pods that the API has without an address yet are taken from starting.
func (c *Controller) state() (State, error) {
	policies, err := c.policies.List(labels.Everything())
	if err != nil || len(policies) == 0 {
		return State{}, err
	}
	namespaces, err := c.namespaces.List(labels.Everything())
	if err != nil {
		return State{}, err
	}
	s := State{Policies: policies, Namespaces: make(map[string]labels.Set, len(namespaces))}
	for _, n := range namespaces {
		s.Namespaces[n.Name] = n.Labels
	}
	pods, err := c.pods.List(labels.Everything())
	if err != nil {
		return State{}, err
	}
	for _, p := range pods {
		if pod, ok := podOf(p, c.starting[p.UID]); ok {
			s.Pods = append(s.Pods, pod)
		}
		if p.Status.PodIP != "" && p.Status.PodIP == c.starting[p.UID].String() {
			delete(c.starting, p.UID)
		}
	}
	if c.cfg.DNS.IsValid() {
		s.Pods = append(s.Pods, Pod{
			Namespace: c.cfg.DNSNamespace, Labels: c.cfg.DNSLabels, IP: c.cfg.DNS,
			Ports: []Port{{"dns", corev1.ProtocolUDP, 53}, {"dns-tcp", corev1.ProtocolTCP, 53}},
		})
	}
	return s, nil
}

// podOf is a pod with an address of its own; starting is its address if the API has none yet, or one of before.
func podOf(p *corev1.Pod, starting netip.Addr) (Pod, bool) {
	if p.Spec.HostNetwork || over(p) {
		return Pod{}, false
	}
	ip := starting
	if !ip.IsValid() {
		var err error
		if ip, err = netip.ParseAddr(p.Status.PodIP); err != nil || !ip.Is4() {
			return Pod{}, false
		}
	}
	out := Pod{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels, IP: ip}
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			for _, port := range list[i].Ports {
				if port.Name != "" {
					out.Ports = append(out.Ports, Port{port.Name, port.Protocol, port.ContainerPort})
				}
			}
		}
	}
	return out, true
}

func (c *Controller) tellFailed(err error) {
	policies, listErr := c.policies.List(labels.Everything())
	if listErr != nil {
		return // informers list from memory
	}
	for _, p := range policies {
		c.cfg.Events.Event(p, corev1.EventTypeWarning, reasonFailed, "The rules could not be applied; the last ones stay: "+err.Error())
	}
}

// NFT applies scripts in the network namespace of this process.
func NFT(ctx context.Context, script string) error {
	_, err := network.NFT(ctx, script)
	return err
}
