package dns

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	indexService = "kiwerk-service"
	indexAddress = "kiwerk-address"
)

// informed is a [Source] over shared informers.
type informed struct {
	namespaces corelisters.NamespaceLister
	services   corelisters.ServiceLister
	byIP       cache.Indexer
	slices     cache.Indexer
}

// NewSource reads from the informers of f, which the caller starts afterwards;
// synced tells whether they have heard of everything.
func NewSource(f informers.SharedInformerFactory) (source Source, synced func() bool, err error) {
	namespaces := f.Core().V1().Namespaces()
	services := f.Core().V1().Services()
	slices := f.Discovery().V1().EndpointSlices().Informer()
	source = &informed{
		namespaces: namespaces.Lister(),
		services:   services.Lister(),
		byIP:       services.Informer().GetIndexer(),
		slices:     slices.GetIndexer(),
	}
	synced = func() bool {
		return namespaces.Informer().HasSynced() && services.Informer().HasSynced() && slices.HasSynced()
	}
	return source, synced, errors.Join(
		services.Informer().AddIndexers(cache.Indexers{indexAddress: serviceAddresses}),
		slices.AddIndexers(cache.Indexers{indexAddress: endpointAddresses, indexService: serviceOfSlice}),
	)
}

func serviceAddresses(o any) ([]string, error) {
	svc, ok := o.(*corev1.Service)
	if !ok || svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil, nil
	}
	return svc.Spec.ClusterIPs, nil
}

// endpointAddresses are those that may be answered by name: of headless Services.
func endpointAddresses(o any) ([]string, error) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok {
		return nil, nil
	}
	if _, headless := s.Labels[corev1.IsHeadlessService]; !headless {
		return nil, nil
	}
	var out []string
	for i := range s.Endpoints {
		out = append(out, s.Endpoints[i].Addresses...)
	}
	return out, nil
}

func serviceOfSlice(o any) ([]string, error) {
	s, ok := o.(*discoveryv1.EndpointSlice)
	if !ok || s.Labels[discoveryv1.LabelServiceName] == "" {
		return nil, nil
	}
	return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
}

func (s *informed) Namespace(name string) bool {
	_, err := s.namespaces.Get(name)
	return err == nil
}

func (s *informed) Service(namespace, name string) *corev1.Service {
	svc, err := s.services.Services(namespace).Get(name)
	if err != nil {
		return nil
	}
	return svc
}

func (s *informed) Endpoints(namespace, service string) []*discoveryv1.EndpointSlice {
	return lookup[discoveryv1.EndpointSlice](s.slices, indexService, namespace+"/"+service)
}

func (s *informed) ServicesAt(address string) []*corev1.Service {
	return lookup[corev1.Service](s.byIP, indexAddress, address)
}

func (s *informed) EndpointsAt(address string) []*discoveryv1.EndpointSlice {
	return lookup[discoveryv1.EndpointSlice](s.slices, indexAddress, address)
}

// lookup fails only for an index that was not added.
func lookup[T any](i cache.Indexer, index, value string) []*T {
	found, err := i.ByIndex(index, value)
	if err != nil {
		return nil
	}
	out := make([]*T, 0, len(found))
	for _, o := range found {
		if t, ok := o.(*T); ok {
			out = append(out, t)
		}
	}
	return out
}
