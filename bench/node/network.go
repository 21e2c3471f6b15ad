//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

const (
	serverPod = "server"
	clientPod = "client"
	podPort   = 9000
)

// way is how a client reaches a server.
type way struct {
	name, address string
	// client runs the probe and returns what it prints.
	client func(ctx context.Context, args ...string) (string, error)
}

// network measures transfers between two pods in turn with those over the host's
// loopback. Pods that share the host's network have nothing to measure.
func (n *node) network(ctx context.Context, s settings) (rows []row, err error) {
	podIP, clusterIP, client, err := n.podServer(ctx)
	if err != nil || podIP == "" {
		return nil, err
	}
	local, stop, err := n.hostServer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	port := strconv.Itoa(podPort)
	inPod := func(ctx context.Context, args ...string) (string, error) { return n.exec(ctx, client, args) }
	ways := []way{
		{"over loopback", local, n.hostClient},
		{"from pod to pod", net.JoinHostPort(podIP, port), inPod},
		{"from pod to Service", net.JoinHostPort(clusterIP, port), inPod},
	}
	for _, kind := range []struct {
		command, figure, unit string
		scale                 float64
	}{
		{"send", "throughput ", "GB/s", 1e-9},
		{"echo", "round trips ", "1000/s", 1e-3},
	} {
		samples := make([][]float64, len(ways))
		for range s.rounds {
			for i, w := range ways {
				v, err := w.measure(ctx, kind.command, s.length)
				if err != nil {
					return nil, fmt.Errorf("%s%s: %w", kind.figure, w.name, err)
				}
				samples[i] = append(samples[i], v*kind.scale)
			}
		}
		for i, w := range ways[1:] {
			r := against(row{Figure: kind.figure + w.name, Unit: kind.unit, Value: median(samples[i+1])}, median(samples[0]))
			if kind.command == "send" {
				r = r.bounded(bound{Limit: boundThroughput, AtLeast: true, OfRatio: true})
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (w way) measure(ctx context.Context, command string, length time.Duration) (float64, error) {
	out, err := w.client(ctx, command, w.address, length.String())
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// hostServer is a bare process that serves on loopback.
func (n *node) hostServer(ctx context.Context) (address string, stop func() error, err error) {
	cmd := exec.CommandContext(ctx, n.probe, "serve", "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		err := cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		return err
	}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("server on the host: %w", err), stop())
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port)), stop, nil
}

func (n *node) hostClient(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, n.probe, args...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	return string(out), err
}

// podServer starts two pods, and a Service for one of them. client is the
// container of the other. There is no podIP where pods have the host's.
func (n *node) podServer(ctx context.Context) (podIP, clusterIP, client string, err error) {
	service, err := n.api.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: serverPod},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": serverPod},
			Ports:    []corev1.ServicePort{{Port: podPort, TargetPort: intstr.FromInt32(podPort)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", "", "", err
	}
	server, err := n.runningPod(ctx, serverPod, fullShare(podOf("serve", strconv.Itoa(podPort))))
	if err != nil {
		return "", "", "", err
	}
	pod, err := n.runningPod(ctx, clientPod, fullShare(podOf(idle)))
	if err != nil {
		return "", "", "", err
	}
	client = strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "kiwerk://")
	if server.Status.PodIP == server.Status.HostIP {
		return "", "", client, nil
	}
	return server.Status.PodIP, service.Spec.ClusterIP, client, n.answers(ctx, client, service.Spec.ClusterIP)
}

// fullShare gives a pod about the weight for the CPU that a process of the host
// has: pods without a request have the least, and a busy machine would show that.
func fullShare(spec corev1.PodSpec) corev1.PodSpec {
	spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("450m")}
	return spec
}

// answers waits until the Service leads somewhere.
func (n *node) answers(ctx context.Context, client, ip string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := n.exec(ctx, client, []string{"echo", net.JoinHostPort(ip, strconv.Itoa(podPort)), "1ms"})
		if err == nil {
			return nil
		}
		if waitErr := running.Pause(ctx, 100*time.Millisecond); waitErr != nil {
			return fmt.Errorf("the Service does not answer: %w", err)
		}
	}
}

// exec runs the probe in a container.
func (n *node) exec(ctx context.Context, container string, args []string) (string, error) {
	resp, err := n.runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: container, Cmd: append([]string{inImage}, args...)})
	if err != nil {
		return "", err
	}
	if resp.GetExitCode() != 0 {
		return "", fmt.Errorf("probe %s ended with %d: %s", args[0], resp.GetExitCode(), resp.GetStderr())
	}
	return string(resp.GetStdout()), nil
}
