package metrics

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"
)

// labels that the kubelet gives to sandboxes beside those of the pod.
const kubeletLabels = "io.kubernetes.pod."

// Runtime counts what the container runtime on a socket tells.
type Runtime struct {
	conn   *grpc.ClientConn
	client runtimeapi.RuntimeServiceClient
	node   func() (Used, error)
	clock  clock.PassiveClock
}

// NewRuntime makes a source; node counts for the node as a whole, nil the sum of its pods. Nothing is
// connected until somebody asks.
func NewRuntime(socket string, node func() (Used, error), c clock.PassiveClock) (*Runtime, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("container runtime: %w", err)
	}
	return &Runtime{conn: conn, client: runtimeapi.NewRuntimeServiceClient(conn), node: node, clock: c}, nil
}

// Close ends the connection.
func (r *Runtime) Close() error { return r.conn.Close() }

// Count implements [Source].
func (r *Runtime) Count(ctx context.Context) (Count, error) {
	stats, err := r.client.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
	at := r.clock.Now()
	if err != nil {
		return Count{}, err
	}
	containers, err := r.client.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return Count{}, err
	}
	created := map[string]time.Time{}
	for _, c := range containers.GetContainers() {
		if c.GetState() == runtimeapi.ContainerState_CONTAINER_RUNNING {
			created[c.GetId()] = time.Unix(0, c.GetCreatedAt())
		}
	}
	c := Count{At: at, Pods: podsOf(stats.GetStats(), created)}
	if r.node != nil {
		c.Node, err = r.node()
		return c, err
	}
	for _, p := range c.Pods {
		for _, container := range p.Containers {
			c.Node.CPU += container.Used.CPU
			c.Node.Memory += container.Used.Memory
		}
	}
	return c, nil
}

// podsOf keeps the containers that run.
func podsOf(stats []*runtimeapi.PodSandboxStats, created map[string]time.Time) []Pod {
	var pods []Pod
	for _, s := range stats {
		m := s.GetAttributes().GetMetadata()
		p := Pod{Namespace: m.GetNamespace(), Name: m.GetName(), Labels: podLabels(s.GetAttributes().GetLabels())}
		for _, c := range s.GetLinux().GetContainers() {
			id := c.GetAttributes().GetId()
			at, runs := created[id]
			if !runs {
				continue
			}
			p.Containers = append(p.Containers, Container{
				ID: id, Name: c.GetAttributes().GetMetadata().GetName(), Created: at,
				Used: Used{
					CPU:    time.Duration(min(c.GetCpu().GetUsageCoreNanoSeconds().GetValue(), 1<<62)), //nolint:gosec // Bounded.
					Memory: c.GetMemory().GetWorkingSetBytes().GetValue(),
				},
			})
		}
		if len(p.Containers) > 0 {
			pods = append(pods, p)
		}
	}
	return pods
}

// podLabels are those that the pod itself has.
func podLabels(all map[string]string) map[string]string {
	own := map[string]string{}
	for k, v := range all {
		if !strings.HasPrefix(k, kubeletLabels) {
			own[k] = v
		}
	}
	return own
}
