package node

import (
	"context"
	"fmt"
	"net"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

// Ensure makes the node object before the kubelet looks for it and sets its
// addresses. The kubelet leaves those alone: its own search accepts no host
// without a network and turns the node NotReady when a laptop changes networks.
func Ensure(ctx context.Context, cfg *rest.Config, name string, ip net.IP) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	addresses := []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: ip.String()},
		{Type: corev1.NodeHostName, Address: name},
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status:     corev1.NodeStatus{Addresses: addresses},
	}
	_, err = client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
			return setAddresses(ctx, client, name, addresses)
		})
	}
	if err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	return nil
}

func setAddresses(ctx context.Context, client kubernetes.Interface, name string, addresses []corev1.NodeAddress) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil || equality.Semantic.DeepEqual(node.Status.Addresses, addresses) {
		return err
	}
	node.Status.Addresses = addresses
	_, err = client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}
