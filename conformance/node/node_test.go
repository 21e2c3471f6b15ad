//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kiwerk/kiwerk/internal/kwtest"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

const (
	namespace = "checks"
	// patience is for all checks together: they run side by side on a busy machine.
	patience = 5 * time.Minute
	// lookAgain is for what changes without a change of an object, as logs do.
	lookAgain = time.Second
)

func TestNode(t *testing.T) {
	for _, login := range running.Logins() {
		name := "User"
		if login == "" {
			name = "Root"
		}
		t.Run(name, func(t *testing.T) { check(t, login) })
	}
}

// check creates everything and then waits for what is expected of each object.
func check(t *testing.T, login string) {
	p := start(t, login)
	c := connect(t, p.Kubeconfig())
	checks := c.create(t, name(login))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := c.watch(ctx, t, checks)
	missing := make([][]string, len(checks))
	var wait sync.WaitGroup
	for i, k := range checks {
		wait.Go(func() {
			seen.until(ctx, func() bool {
				missing[i] = k.missing(t.Context(), c, seen)
				return len(missing[i]) == 0
			})
		})
	}
	wait.Wait()
	for i, k := range checks {
		t.Run(k.file+"/"+k.name(), func(t *testing.T) {
			if len(missing[i]) > 0 {
				t.Error(strings.Join(missing[i], "\n"))
			}
		})
	}
}

func start(t *testing.T, login string) *running.Platform {
	t.Helper()
	program, err := kwtest.Program("kiwerk")
	if err != nil {
		t.Fatal(err)
	}
	p, err := running.Start(t.Context(), running.Options{Bin: filepath.Dir(program), Login: login, Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func name(login string) string {
	if login == "" {
		return "root"
	}
	return "user"
}

// one is an object with what is expected of it.
type one struct {
	file    string
	object  *unstructured.Unstructured
	gvr     schema.GroupVersionResource
	want    map[string]string
	refused error
}

func (k *one) name() string { return k.object.GetName() }

// client talks to the platform.
type client struct {
	dynamic dynamic.Interface
	typed   kubernetes.Interface
	mapper  meta.RESTMapper
}

func connect(t *testing.T, kubeconfig string) *client {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	typed, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &client{dyn, typed, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))}
}

// create applies all files in the order of their names and returns the checks for an account.
func (c *client) create(t *testing.T, account string) []*one {
	t.Helper()
	_, err := c.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.awaitAccount(t, namespace)
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no testdata")
	}
	var checks []*one
	for _, file := range files {
		for _, o := range read(t, file) {
			annotations := o.GetAnnotations()
			if only := annotations["only"]; only != "" && only != account {
				continue
			}
			k := &one{file: strings.TrimSuffix(filepath.Base(file), ".yaml"), object: o, want: map[string]string{}}
			for key, value := range annotations {
				if what, ok := strings.CutPrefix(key, "expect/"); ok {
					k.want[what] = value
				}
			}
			c.createOne(t, k)
			if len(k.want) > 0 {
				checks = append(checks, k)
			}
		}
	}
	return checks
}

func (c *client) createOne(t *testing.T, k *one) {
	t.Helper()
	gvk := k.object.GroupVersionKind()
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatal(err)
	}
	k.gvr = m.Resource
	var r dynamic.ResourceInterface = c.dynamic.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		if k.object.GetNamespace() == "" {
			k.object.SetNamespace(namespace)
		}
		r = c.dynamic.Resource(m.Resource).Namespace(k.object.GetNamespace())
	}
	_, k.refused = r.Create(t.Context(), k.object, metav1.CreateOptions{})
	if k.refused != nil && k.want["refused"] == "" {
		t.Fatalf("create %s %s: %v", gvk.Kind, k.name(), k.refused)
	}
	switch gvk.Kind {
	case "Namespace":
		c.awaitAccount(t, k.name())
	case "ResourceQuota":
		c.awaitQuota(t, k.object.GetNamespace())
	}
}

// awaitQuota waits until a quota has been counted; before, it limits nothing.
func (c *client) awaitQuota(t *testing.T, namespace string) {
	t.Helper()
	w, err := c.typed.CoreV1().ResourceQuotas(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if q, ok := e.Object.(*corev1.ResourceQuota); ok && len(q.Status.Hard) > 0 {
			return
		}
	}
	t.Fatalf("no quota in %s", namespace)
}

// awaitAccount waits for the service account without which a namespace takes no pods.
func (c *client) awaitAccount(t *testing.T, namespace string) {
	t.Helper()
	w, err := c.typed.CoreV1().ServiceAccounts(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if a, ok := e.Object.(*corev1.ServiceAccount); ok && a.Name == "default" {
			return
		}
	}
	t.Fatalf("no service account in %s", namespace)
}

func read(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), len(b))
	for {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(o.Object) > 0 {
			list = append(list, o)
		}
	}
}

// world is what the watches have seen last.
type world struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	objects map[string]*unstructured.Unstructured
	events  map[string][]string // by kind/namespace/name
}

func key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// watch follows all kinds that are expected something of, and events.
func (c *client) watch(ctx context.Context, t *testing.T, checks []*one) *world {
	t.Helper()
	w := &world{changed: make(chan struct{}), objects: map[string]*unstructured.Unstructured{}, events: map[string][]string{}}
	kinds := []schema.GroupVersionResource{{Version: "v1", Resource: "events"}}
	for _, k := range checks {
		if !slices.Contains(kinds, k.gvr) {
			kinds = append(kinds, k.gvr)
		}
	}
	for _, gvr := range kinds {
		changes, err := c.dynamic.Resource(gvr).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatalf("watch %s: %v", gvr.Resource, err)
		}
		t.Cleanup(changes.Stop)
		go func() {
			for e := range changes.ResultChan() {
				if o, ok := e.Object.(*unstructured.Unstructured); ok {
					w.see(o)
				}
			}
		}()
	}
	return w
}

func (w *world) see(o *unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.GetKind() == "Event" {
		about, _, _ := unstructured.NestedStringMap(o.Object, "involvedObject") // absent in none
		reason, _, _ := unstructured.NestedString(o.Object, "reason")
		message, _, _ := unstructured.NestedString(o.Object, "message")
		k := key(about["kind"], about["namespace"], about["name"])
		w.events[k] = append(w.events[k], reason+" "+message)
	} else {
		w.objects[key(o.GetKind(), o.GetNamespace(), o.GetName())] = o
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits for something to become true, or for ctx; it looks at each change, and now and then.
func (w *world) until(ctx context.Context, done func() bool) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *world) of(k *one) (*unstructured.Unstructured, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := key(k.object.GetKind(), k.object.GetNamespace(), k.name())
	return w.objects[id], slices.Clone(w.events[id])
}

// missing says what is expected of an object and not true of it.
func (k *one) missing(ctx context.Context, c *client, w *world) []string {
	if want := k.want["refused"]; want != "" {
		if k.refused == nil || !regexp.MustCompile(want).MatchString(k.refused.Error()) {
			return []string{fmt.Sprintf("refused: got %v, want %q", k.refused, want)}
		}
		return nil
	}
	o, events := w.of(k)
	if o == nil {
		return []string{"not seen"}
	}
	var list []string
	for what, want := range k.want {
		if what == "log" {
			continue
		}
		got := facts[what](o, events)
		if !slices.ContainsFunc(got, func(s string) bool { return agrees(what, want, s) }) {
			list = append(list, fmt.Sprintf("%s: got %q, want %q", what, got, want))
		}
	}
	if want := k.want["log"]; want != "" && len(list) == 0 {
		log, err := c.typed.CoreV1().Pods(o.GetNamespace()).GetLogs(k.name(), &corev1.PodLogOptions{Container: mainOf(o)}).DoRaw(ctx)
		if text := strings.TrimSuffix(string(log), "\n"); err != nil || !regexp.MustCompile(want).MatchString(text) {
			list = append(list, fmt.Sprintf("log: got %.300q (%v), want %q", text, err, want))
		}
	}
	if len(list) > 0 {
		list = append(list, fmt.Sprintf("phase %v, events %q", facts["phase"](o, nil), events))
	}
	slices.Sort(list)
	return list
}
