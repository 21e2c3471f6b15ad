package dns

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applydiscovery "k8s.io/client-go/applyconfigurations/discovery/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// ServiceNamespace and ServiceName are where programs look for the cluster's name server.
	ServiceNamespace = metav1.NamespaceSystem
	ServiceName      = "kube-dns"

	fieldManager = "kiwerk-dns"
	labelApp     = "k8s-app"
)

// Labels are those of the server's pods elsewhere. Network policies that allow DNS select them.
func Labels() map[string]string { return map[string]string{labelApp: ServiceName} }

// Publish makes the Service with its cluster address, and leads it to a server.
func Publish(ctx context.Context, client kubernetes.Interface, clusterIP netip.Addr, at netip.AddrPort) error {
	apply := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	labels := Labels()
	labels["kubernetes.io/cluster-service"] = "true"
	labels["kubernetes.io/name"] = "CoreDNS" // what tools look for, whoever serves
	spec := applycore.ServiceSpec().WithType(corev1.ServiceTypeClusterIP).WithClusterIP(clusterIP.String())
	for name, protocol := range protocols() {
		spec.WithPorts(applycore.ServicePort().WithName(name).WithProtocol(protocol).WithPort(Port).WithTargetPort(intstr.FromInt32(int32(at.Port()))))
	}
	services := client.CoreV1().Services(ServiceNamespace)
	old, err := services.Get(ctx, ServiceName, metav1.GetOptions{})
	switch {
	case err == nil && old.Spec.ClusterIP != clusterIP.String():
		// The address cannot be changed: an earlier configuration had another one.
		err = services.Delete(ctx, ServiceName, metav1.DeleteOptions{})
	case apierrors.IsNotFound(err):
		err = nil
	}
	if err == nil {
		_, err = services.Apply(ctx, applycore.Service(ServiceName, ServiceNamespace).WithLabels(labels).WithSpec(spec), apply)
	}
	if err != nil {
		return fmt.Errorf("service %s/%s: %w", ServiceNamespace, ServiceName, err)
	}
	slice := applydiscovery.EndpointSlice(ServiceName, ServiceNamespace).
		WithLabels(map[string]string{discoveryv1.LabelServiceName: ServiceName, discoveryv1.LabelManagedBy: fieldManager}).
		WithAddressType(discoveryv1.AddressTypeIPv4).
		WithEndpoints(applydiscovery.Endpoint().WithAddresses(at.Addr().String()).
			WithConditions(applydiscovery.EndpointConditions().WithReady(true).WithServing(true).WithTerminating(false)))
	for name, protocol := range protocols() {
		slice.WithPorts(applydiscovery.EndpointPort().WithName(name).WithProtocol(protocol).WithPort(int32(at.Port())))
	}
	if _, err = client.DiscoveryV1().EndpointSlices(ServiceNamespace).Apply(ctx, slice, apply); err != nil {
		return fmt.Errorf("endpoints of %s/%s: %w", ServiceNamespace, ServiceName, err)
	}
	return nil
}

func protocols() map[string]corev1.Protocol {
	return map[string]corev1.Protocol{"dns": corev1.ProtocolUDP, "dns-tcp": corev1.ProtocolTCP}
}
