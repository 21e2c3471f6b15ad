package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Path below which [Handler] answers.
const Path = "/apis/metrics.k8s.io/v1beta1"

// Handler answers questions about a group version that has no storage.
type Handler struct {
	// Nodes measure the pods of a node each.
	Nodes []Node
}

// Node is a node with what measures it.
type Node struct {
	Name  string
	Meter *Meter
}

// ServeHTTP answers a request that was authorised.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := h.answer(r)
	code := http.StatusOK
	if err != nil {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			status = apierrors.NewServiceUnavailable(err.Error())
		}
		s := status.Status()
		s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		code, answer = int(s.Code), &s
	}
	body, err := json.Marshal(answer)
	if err != nil {
		code = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that is gone
}

func (h *Handler) answer(r *http.Request) (any, error) {
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok {
		return nil, errors.New("the request carries no information about itself")
	}
	if !info.IsResourceRequest {
		return Resources(), nil
	}
	gr := schema.GroupResource{Group: metricsv1beta1.GroupName, Resource: info.Resource}
	if info.Verb != "get" && info.Verb != "list" {
		return nil, apierrors.NewMethodNotSupported(gr, info.Verb)
	}
	if info.Resource != "pods" && info.Resource != "nodes" || info.Subresource != "" {
		return nil, apierrors.NewNotFound(gr, info.Name)
	}
	match, err := selector(r, info.Name)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	rates, err := h.measure(r.Context())
	if err != nil {
		return nil, err
	}
	if info.Resource == "nodes" {
		list := &metricsv1beta1.NodeMetricsList{TypeMeta: typeMeta("NodeMetricsList"), Items: []metricsv1beta1.NodeMetrics{}}
		for i, n := range h.Nodes {
			list.Items = append(list.Items, node(rates[i], n.Name, match)...)
		}
		return one(info, gr, list, list.Items)
	}
	list := &metricsv1beta1.PodMetricsList{TypeMeta: typeMeta("PodMetricsList"), Items: []metricsv1beta1.PodMetrics{}}
	for i := range rates {
		list.Items = append(list.Items, pods(rates[i], info.Namespace, match)...)
	}
	return one(info, gr, list, list.Items)
}

// measure asks all nodes at the same time, as each may take a second.
func (h *Handler) measure(ctx context.Context) ([]Rates, error) {
	rates, errs := make([]Rates, len(h.Nodes)), make([]error, len(h.Nodes))
	var tasks sync.WaitGroup
	for i, n := range h.Nodes {
		tasks.Go(func() { rates[i], errs[i] = n.Meter.Measure(ctx) })
	}
	tasks.Wait()
	return rates, errors.Join(errs...)
}

// one is the object that was asked for by name, or else the list.
func one[T any](info *request.RequestInfo, gr schema.GroupResource, list any, items []T) (any, error) {
	switch {
	case info.Name == "":
		return list, nil
	case len(items) == 0:
		return nil, apierrors.NewNotFound(gr, info.Name)
	}
	return &items[0], nil
}

// selector reads name, labelSelector and fieldSelector.
func selector(r *http.Request, name string) (func(name string, own map[string]string) bool, error) {
	q := r.URL.Query()
	byLabel, err := labels.Parse(q.Get("labelSelector"))
	if err != nil {
		return nil, err
	}
	byField, err := fields.ParseSelector(q.Get("fieldSelector"))
	if err != nil {
		return nil, err
	}
	return func(n string, own map[string]string) bool {
		return (name == "" || n == name) && byLabel.Matches(labels.Set(own)) && byField.Matches(fields.Set{"metadata.name": n})
	}, nil
}

func node(r Rates, name string, match func(string, map[string]string) bool) []metricsv1beta1.NodeMetrics {
	// The labels that every node has; others are Kubernetes' to know.
	own := map[string]string{corev1.LabelHostname: name}
	if !match(name, own) {
		return nil
	}
	return []metricsv1beta1.NodeMetrics{{
		TypeMeta: typeMeta("NodeMetrics"), ObjectMeta: metav1.ObjectMeta{Name: name, Labels: own, CreationTimestamp: metav1.NewTime(r.At)},
		Timestamp: metav1.NewTime(r.At), Window: metav1.Duration{Duration: r.Window}, Usage: usage(r.Node),
	}}
}

func pods(r Rates, namespace string, match func(string, map[string]string) bool) (list []metricsv1beta1.PodMetrics) {
	for _, p := range r.Pods {
		if namespace != "" && namespace != p.Namespace || !match(p.Name, p.Labels) {
			continue
		}
		item := metricsv1beta1.PodMetrics{
			TypeMeta:   typeMeta("PodMetrics"),
			ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.Labels, CreationTimestamp: metav1.NewTime(r.At)},
			Timestamp:  metav1.NewTime(r.At), Window: metav1.Duration{Duration: r.Window},
		}
		for i, c := range p.Containers {
			item.Containers = append(item.Containers, metricsv1beta1.ContainerMetrics{Name: c.Name, Usage: usage(p.Rates[i])})
		}
		list = append(list, item)
	}
	return list
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: metricsv1beta1.SchemeGroupVersion.String()}
}

func usage(r Rate) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(r.NanoCores, resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(min(r.Memory, 1<<62)), resource.BinarySI), //nolint:gosec // Bounded.
	}
}
