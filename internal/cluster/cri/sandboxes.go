//go:build linux

package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// RunPodSandbox records a pod and gives it a network.
func (s *Server) RunPodSandbox(ctx context.Context, req *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	cfg := req.GetConfig()
	if err := s.checkSandboxConfig(cfg); err != nil {
		return nil, err
	}
	if err := checkSandbox(cfg, req.GetRuntimeHandler()); err != nil {
		return nil, err
	}
	wanted, err := s.sysctlsOf(cfg)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "pod %s/%s: %v", cfg.GetMetadata().GetNamespace(), cfg.GetMetadata().GetName(), err)
	}
	m, namespaces := cfg.GetMetadata(), cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()
	b := &sandbox{
		ID: newID(), Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUid(), Attempt: m.GetAttempt(),
		Labels: cfg.GetLabels(), Annotations: cfg.GetAnnotations(), Hostname: cfg.GetHostname(),
		LogDirectory: cfg.GetLogDirectory(), ResolvConf: resolvConf(cfg.GetDnsConfig()),
		CreatedAt: s.clock.Now(), Ready: true, Holder: s.holder, IPCSysctls: wanted.IPC,
		Network: namespaces.GetNetwork(), SharedPIDs: namespaces != nil && namespaces.GetPid() == runtimeapi.NamespaceMode_POD,
	}
	b.Group = "pod" + b.UID + "-" + b.ID
	if b.LogDirectory != "" {
		if err := os.MkdirAll(b.LogDirectory, 0o755); err != nil {
			return nil, fmt.Errorf("log directory of pod %s/%s: %w", b.Namespace, b.Name, err)
		}
	}
	if err := s.connect(ctx, b, cfg, wanted); err != nil {
		return nil, err
	}
	first, err := s.startPod(b)
	if err == nil {
		if err = s.saveSandbox(b); err != nil {
			err = errors.Join(fmt.Errorf("record pod %s/%s: %w", b.Namespace, b.Name, err), s.dropPod(b.ID))
		}
	}
	if err != nil {
		s.ports.release(b.Port)
		return nil, errors.Join(err, s.disconnect(context.WithoutCancel(ctx), b))
	}
	s.mu.Lock()
	s.sandboxes[b.ID] = b
	if b.Port != 0 {
		s.news.publish(b.port())
	}
	s.mu.Unlock()
	s.emit(b.ID, b.ID, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	s.emit(b.ID, b.ID, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	if first != nil {
		s.tasks.Go(func() { s.followPod(b, first) })
	}
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: b.ID}, nil
}

// resolvConf is the pod's own resolv.conf; empty leaves the host's.
func resolvConf(d *runtimeapi.DNSConfig) string {
	var b strings.Builder
	for _, server := range d.GetServers() {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(d.GetSearches()) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(d.GetSearches(), " "))
	}
	if len(d.GetOptions()) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(d.GetOptions(), " "))
	}
	return b.String()
}

// StopPodSandbox kills what still runs in the pod and takes its network away.
func (s *Server) StopPodSandbox(ctx context.Context, req *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	b, err := s.findSandbox(req.GetPodSandboxId())
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.StopPodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.stopSandbox(ctx, b); err != nil {
		return nil, err
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (s *Server) stopSandbox(ctx context.Context, b *sandbox) error {
	for _, c := range s.containersOf(b.ID) {
		if err := s.stop(ctx, c, 0); err != nil {
			return err
		}
	}
	s.mu.Lock()
	was := b.Ready
	b.Ready = false
	err := s.saveSandbox(b)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("record pod %s/%s: %w", b.Namespace, b.Name, err)
	}
	s.removeGroup(b.group())
	if err := s.dropPod(b.ID); err != nil {
		return fmt.Errorf("what the containers of pod %s/%s share: %w", b.Namespace, b.Name, err)
	}
	if err := s.disconnect(ctx, b); err != nil {
		return err
	}
	if was {
		s.ports.release(b.Port)
		s.emit(b.ID, b.ID, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
	return nil
}

// RemovePodSandbox forgets a pod and its containers.
func (s *Server) RemovePodSandbox(ctx context.Context, req *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	b, err := s.findSandbox(req.GetPodSandboxId())
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.RemovePodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.stopSandbox(ctx, b); err != nil {
		return nil, err
	}
	for _, c := range s.containersOf(b.ID) {
		if err := s.remove(c); err != nil {
			return nil, err
		}
	}
	err = os.Remove(filepath.Join(s.sandboxDir(), b.ID+".json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove record of pod %s/%s: %w", b.Namespace, b.Name, err)
	}
	event := s.eventFor(b.ID, b.ID, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	s.mu.Lock()
	delete(s.sandboxes, b.ID)
	s.mu.Unlock()
	s.events.publish(event)
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

// PodSandboxStatus tells the state of a pod. It leaves out the containers and
// the time, which are optional: a kubelet with EventedPLEG takes them without
// noting which containers belong to the current sandbox, and then runs init
// containers again and again (Kubernetes 1.37.2, GetPodStatus). Without them it asks
// for each container, as it does without the gate.
func (s *Server) PodSandboxStatus(_ context.Context, req *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	b, err := s.findSandbox(req.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.PodSandboxStatusResponse{Status: s.sandboxStatus(b)}
	if req.GetVerbose() {
		s.mu.Lock()
		limits, err := json.Marshal(b.Limits)
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		resp.Info = map[string]string{"port": fmt.Sprint(b.Port), "network": b.NetNS, infoLimits: string(limits)}
	}
	return resp, nil
}

func (s *Server) sandboxStatus(b *sandbox) *runtimeapi.PodSandboxStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := runtimeapi.NamespaceMode_CONTAINER
	if b.SharedPIDs {
		pids = runtimeapi.NamespaceMode_POD
	}
	return &runtimeapi.PodSandboxStatus{
		Id: b.ID, Metadata: b.metadata(), State: b.state(), CreatedAt: b.CreatedAt.UnixNano(),
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: s.address(b)},
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: &runtimeapi.NamespaceOption{
			Network: b.Network, Pid: pids, Ipc: runtimeapi.NamespaceMode_CONTAINER,
		}}},
		Labels: b.Labels, Annotations: b.Annotations,
	}
}

func (b *sandbox) metadata() *runtimeapi.PodSandboxMetadata {
	return &runtimeapi.PodSandboxMetadata{Name: b.Name, Namespace: b.Namespace, Uid: b.UID, Attempt: b.Attempt}
}

func (b *sandbox) state() runtimeapi.PodSandboxState {
	if b.Ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

// ListPodSandbox lists pods, newest first.
func (s *Server) ListPodSandbox(_ context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{Items: s.listSandboxes(req.GetFilter())}, nil
}

func (s *Server) listSandboxes(f *runtimeapi.PodSandboxFilter) []*runtimeapi.PodSandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []*runtimeapi.PodSandbox{}
	for _, b := range s.sandboxes {
		if f.GetId() != "" && !strings.HasPrefix(b.ID, f.GetId()) ||
			f.GetState() != nil && f.GetState().GetState() != b.state() || !selects(f.GetLabelSelector(), b.Labels) {
			continue
		}
		items = append(items, &runtimeapi.PodSandbox{
			Id: b.ID, Metadata: b.metadata(), State: b.state(), CreatedAt: b.CreatedAt.UnixNano(),
			Labels: b.Labels, Annotations: b.Annotations,
		})
	}
	sort.Slice(items, func(i, j int) bool { return items[i].GetCreatedAt() > items[j].GetCreatedAt() })
	return items
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func (s *Server) findSandbox(id string) (*sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.sandboxes[id]; b != nil {
		return b, nil
	}
	return nil, status.Errorf(codes.NotFound, "pod sandbox %q not found", id)
}
