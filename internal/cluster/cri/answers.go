//go:build linux

package cri

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Answers to what the runtime does not do; each says why.

// CheckpointContainer is refused: a process of the host holds sockets, files and
// locks that nothing here could bring back.
func (s *Server) CheckpointContainer(_ context.Context, req *runtimeapi.CheckpointContainerRequest) (*runtimeapi.CheckpointContainerResponse, error) {
	if _, _, err := s.findRunning(req.GetContainerId()); err != nil {
		return nil, err
	}
	return nil, status.Error(codes.Unimplemented, "containers cannot be checkpointed here: they are processes of the host, without images that they could be restored from")
}

// ListMetricDescriptors is empty: what containers use is told by the statistics
// calls, and no cAdvisor metrics have to be replaced.
func (s *Server) ListMetricDescriptors(context.Context, *runtimeapi.ListMetricDescriptorsRequest) (*runtimeapi.ListMetricDescriptorsResponse, error) {
	return &runtimeapi.ListMetricDescriptorsResponse{}, nil
}

// ListPodSandboxMetrics names the pods, without metrics of their own.
func (s *Server) ListPodSandboxMetrics(context.Context, *runtimeapi.ListPodSandboxMetricsRequest) (*runtimeapi.ListPodSandboxMetricsResponse, error) {
	resp := &runtimeapi.ListPodSandboxMetricsResponse{}
	for _, b := range s.listSandboxes(nil) {
		resp.PodMetrics = append(resp.PodMetrics, &runtimeapi.PodSandboxMetrics{PodSandboxId: b.GetId()})
	}
	return resp, nil
}

// verbose is what a person who debugs the runtime wants to know.
func (s *Server) verbose() (map[string]string, error) {
	running := 0
	all := s.listContainers()
	for _, c := range all {
		if c.look().running != nil {
			running++
		}
	}
	data, err := json.Marshal(map[string]any{
		"stateDir": s.cfg.StateDir, "runtimeDir": s.cfg.RuntimeDir, "agent": s.cfg.AgentPath, "holder": s.holder,
		"pods": len(s.listSandboxes(nil)), "containers": len(all), "running": running,
	})
	if err != nil {
		return nil, fmt.Errorf("state of the runtime: %w", err)
	}
	return map[string]string{"config": string(data)}, nil
}
