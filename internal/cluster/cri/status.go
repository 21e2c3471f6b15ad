//go:build linux

package cri

import (
	"context"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Name and version of the runtime as `kubectl get nodes -o wide` shows them.
const (
	runtimeName    = "kiwerk"
	runtimeVersion = "1.0.0"
)

// Version names the runtime.
func (s *Server) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{
		Version: "0.1.0", RuntimeName: runtimeName, RuntimeVersion: runtimeVersion, RuntimeApiVersion: "v1",
	}, nil
}

// Status says that runtime and network are ready.
func (s *Server) Status(_ context.Context, req *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	resp := &runtimeapi.StatusResponse{
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
			{Type: runtimeapi.RuntimeReady, Status: true},
			{Type: runtimeapi.NetworkReady, Status: true},
		}},
		Features: &runtimeapi.RuntimeFeatures{SupplementalGroupsPolicy: true},
	}
	if req.GetVerbose() {
		var err error
		if resp.Info, err = s.verbose(); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// RuntimeConfig names the cgroup driver; there are no cgroups of ours.
func (s *Server) RuntimeConfig(context.Context, *runtimeapi.RuntimeConfigRequest) (*runtimeapi.RuntimeConfigResponse, error) {
	return &runtimeapi.RuntimeConfigResponse{Linux: &runtimeapi.LinuxRuntimeConfiguration{
		CgroupDriver: runtimeapi.CgroupDriver_CGROUPFS,
	}}, nil
}

// UpdateRuntimeConfig hears of the node's pod addresses, which are fixed here.
func (s *Server) UpdateRuntimeConfig(context.Context, *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
}

// GetContainerEvents tells of every change until the client goes.
func (s *Server) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	for ev := range s.events.subscribe(stream.Context(), nil) {
		if err := stream.Send(ev); err != nil {
			return err
		}
	}
	return stream.Context().Err()
}

func (s *Server) emit(id, sandboxID string, kind runtimeapi.ContainerEventType) {
	s.events.publish(s.eventFor(id, sandboxID, kind))
}

func (s *Server) eventFor(id, sandboxID string, kind runtimeapi.ContainerEventType) *runtimeapi.ContainerEventResponse {
	ev := &runtimeapi.ContainerEventResponse{ContainerId: id, ContainerEventType: kind, CreatedAt: s.clock.Now().UnixNano()}
	if b, err := s.findSandbox(sandboxID); err == nil {
		ev.PodSandboxStatus = s.sandboxStatus(b)
		ev.ContainersStatuses = s.statusesOf(sandboxID)
	}
	return ev
}
