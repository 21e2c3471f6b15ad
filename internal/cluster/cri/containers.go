//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// CreateContainer checks and records a container.
func (s *Server) CreateContainer(ctx context.Context, req *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	b, err := s.findSandbox(req.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	cfg := req.GetConfig()
	if err := checkContainerConfig(cfg); err != nil {
		return nil, err
	}
	s.cfg.Sharing.using.RLock()
	defer s.cfg.Sharing.using.RUnlock()
	id := newID()
	spec, taken, err := s.specFor(ctx, id, b, cfg)
	if err != nil {
		return nil, err
	}
	c := newContainer(record{
		ID: id, SandboxID: b.ID, Name: cfg.GetMetadata().GetName(), Attempt: cfg.GetMetadata().GetAttempt(),
		Image: imageName(cfg.GetImage()), Taken: taken, Labels: cfg.GetLabels(), Annotations: cfg.GetAnnotations(),
		CreatedAt: s.clock.Now(), Spec: spec, StopSignal: int32(cfg.GetStopSignal()), Limits: limitsOf(cfg.GetLinux().GetResources()),
	})
	for _, m := range cfg.GetMounts() {
		r := mountRecord{Source: m.GetHostPath(), Dest: m.GetContainerPath(), ReadOnly: m.GetReadonly(), Propagation: int32(m.GetPropagation())}
		if name := m.GetImage().GetImage(); name != "" {
			i, _ := s.cfg.Images.Find(name) // there, as specFor has found it
			r.Image, r.ReadOnly = i.ID, true
		}
		c.Mounts = append(c.Mounts, r)
	}
	if err := os.Mkdir(s.containerDir(id), 0o700); err != nil {
		return nil, fmt.Errorf("container %s: %w", c.Name, err)
	}
	if err := s.saveContainer(c); err != nil {
		return nil, errors.Join(fmt.Errorf("record container %s: %w", c.Name, err), os.RemoveAll(s.containerDir(id)))
	}
	s.mu.Lock()
	s.containers[id] = c
	s.mu.Unlock()
	s.emit(id, b.ID, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	return &runtimeapi.CreateContainerResponse{ContainerId: id}, nil
}

// StartContainer starts the shim and returns when the container's process runs.
func (s *Server) StartContainer(ctx context.Context, req *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	c, err := s.findContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, c); err != nil {
		if !s.stands(c.SandboxID) {
			return nil, status.Errorf(codes.FailedPrecondition, "container %s: its pod was stopped meanwhile: %s", c.Name, status.Convert(err).Message())
		}
		return nil, err
	}
	s.tasks.Go(func() { s.follow(c) })
	s.emit(c.ID, c.SandboxID, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return &runtimeapi.StartContainerResponse{}, nil
}

// stands tells whether a pod has neither been stopped nor removed.
func (s *Server) stands(sandbox string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.sandboxes[sandbox]
	return b != nil && b.Ready
}

func (s *Server) start(ctx context.Context, c *container) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil || c.exit != nil || c.removed {
		return status.Errorf(codes.FailedPrecondition, "container %s was started already", c.Name)
	}
	group, err := s.makeGroup(c)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "container %s: %v", c.Name, err)
	}
	c.Spec.Cgroup = group
	running, err := shim.Start(ctx, s.cfg.AgentPath, s.containerDir(c.ID), c.Spec)
	if err == nil {
		c.running, c.started = running, running.State().StartedAt
		return nil
	}
	if running != nil {
		// The shim exists, but it answered with an error or not in time: nothing of it must go on.
		c.exit = s.abort(c, running, err)
		close(c.ended)
	}
	s.dropGroup(c)
	var bad *shim.StartError
	if errors.As(err, &bad) {
		return status.Errorf(codes.InvalidArgument, "container %s: %s", c.Name, bad.Message)
	}
	return fmt.Errorf("container %s: %w", c.Name, err)
}

// abort ends a shim whose start failed.
func (s *Server) abort(c *container, running *shim.Running, cause error) *shim.Exit {
	if err := running.Kill(); err != nil && !errors.Is(err, shim.ErrGone) {
		s.log.Warn("kill container that did not start", "container", c.ID, "error", err)
	}
	exit, err := shim.ReadExit(s.containerDir(c.ID))
	if err != nil || exit.Reason == shim.ReasonShimLost {
		exit = shim.Exit{Code: 128, Reason: shim.ReasonStartError, Message: cause.Error(), FinishedAt: s.clock.Now()}
	}
	if exit.StartedAt.IsZero() {
		exit.StartedAt = exit.FinishedAt // the kubelet shows it, and 1970 confuses
	}
	c.started = exit.StartedAt
	s.dropRoot(c)
	return &exit
}

// follow waits for the end of a running container.
func (s *Server) follow(c *container) {
	select {
	case <-c.running.Done():
	case <-s.ctx.Done():
		return
	}
	if err := s.finished(c); err != nil {
		s.log.Error("read end of container", "container", c.ID, "name", c.Name, "error", err)
	}
}

// finished notes how a container ended and tells the kubelet.
func (s *Server) finished(c *container) error {
	exit, err := shim.ReadExit(s.containerDir(c.ID))
	if err != nil {
		exit = shim.Exit{Code: 255, Reason: shim.ReasonShimLost, Message: "the record of its end is unreadable: " + err.Error()}
	}
	if exit.FinishedAt.IsZero() {
		exit.FinishedAt = s.clock.Now()
	}
	if exit.StartedAt.IsZero() {
		exit.StartedAt = exit.FinishedAt
	}
	if c.lost {
		exit.Reason, exit.Message = reasonHolderLost, messageHolderLost
	}
	c.mu.Lock()
	c.exit, c.running = &exit, nil
	if c.started.IsZero() {
		c.started = exit.StartedAt
	}
	close(c.ended)
	c.mu.Unlock()
	s.emit(c.ID, c.SandboxID, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	s.dropGroup(c)
	s.dropRoot(c)
	return err
}

// dropRoot frees the disk that an ended container's root took.
func (s *Server) dropRoot(c *container) {
	if err := os.RemoveAll(c.Spec.Root.Scratch); err != nil {
		s.log.Warn("remove root of ended container", "container", c.ID, "error", err)
	}
}

// StopContainer asks the container to end and kills it when the time is over.
func (s *Server) StopContainer(ctx context.Context, req *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	c, err := s.findContainer(req.GetContainerId())
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.StopContainerResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.stop(ctx, c, seconds(req.GetTimeout())); err != nil {
		return nil, err
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

func (s *Server) stop(ctx context.Context, c *container, grace time.Duration) error {
	running := c.look().running
	if running == nil {
		return nil
	}
	if grace > 0 {
		if err := running.Signal(stopSignal(c.Spec)); err != nil && !errors.Is(err, shim.ErrGone) {
			s.log.Warn("ask container to stop", "container", c.ID, "error", err)
		}
		late := s.clock.NewTimer(grace)
		defer late.Stop()
		select {
		case <-c.ended:
			return nil
		case <-late.C():
		case <-ctx.Done():
		}
	}
	if err := running.Kill(); err != nil && !errors.Is(err, shim.ErrGone) {
		return fmt.Errorf("kill container %s: %w", c.Name, err)
	}
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("container %s was killed but has not ended yet: %w", c.Name, ctx.Err())
	}
}

func stopSignal(spec shim.Spec) syscall.Signal {
	if spec.StopSignal != 0 {
		return syscall.Signal(spec.StopSignal)
	}
	return syscall.SIGTERM
}

// grace is the pod's grace period, which the kubelet leaves in an annotation.
func (c *container) grace() time.Duration {
	n, err := strconv.ParseInt(c.Annotations["io.kubernetes.pod.terminationGracePeriod"], 10, 64)
	if err != nil {
		return 30 * time.Second // what Kubernetes takes
	}
	return seconds(n)
}

// RemoveContainer forgets a container; one that runs is killed.
func (s *Server) RemoveContainer(ctx context.Context, req *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	c, err := s.findContainer(req.GetContainerId())
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.RemoveContainerResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.stop(ctx, c, 0); err != nil {
		return nil, err
	}
	if err := s.remove(c); err != nil {
		return nil, err
	}
	return &runtimeapi.RemoveContainerResponse{}, nil
}

func (s *Server) remove(c *container) error {
	c.mu.Lock()
	c.removed = true
	c.mu.Unlock()
	if err := os.RemoveAll(s.containerDir(c.ID)); err != nil {
		return fmt.Errorf("remove container %s: %w", c.Name, err)
	}
	event := s.eventFor(c.ID, c.SandboxID, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	s.mu.Lock()
	delete(s.containers, c.ID)
	s.mu.Unlock()
	s.events.publish(event)
	return nil
}

// ListContainers lists containers, newest first.
func (s *Server) ListContainers(_ context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	f := req.GetFilter()
	items := []*runtimeapi.Container{}
	for _, c := range s.listContainers() {
		state := c.look().state
		if f.GetId() != "" && !strings.HasPrefix(c.ID, f.GetId()) ||
			f.GetPodSandboxId() != "" && f.GetPodSandboxId() != c.SandboxID ||
			f.GetState() != nil && f.GetState().GetState() != state || !selects(f.GetLabelSelector(), c.Labels) {
			continue
		}
		items = append(items, &runtimeapi.Container{
			Id: c.ID, PodSandboxId: c.SandboxID, Metadata: c.metadata(), State: state, CreatedAt: c.CreatedAt.UnixNano(),
			Image: &runtimeapi.ImageSpec{Image: c.Image, UserSpecifiedImage: c.Image}, ImageRef: c.Taken.Ref, ImageId: c.Taken.Ref,
			Labels: c.Labels, Annotations: c.Annotations,
		})
	}
	return &runtimeapi.ListContainersResponse{Containers: items}, nil
}

func (c *container) metadata() *runtimeapi.ContainerMetadata {
	return &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: c.Attempt}
}

// ContainerStatus tells how a container stands.
func (s *Server) ContainerStatus(_ context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := s.findContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ContainerStatusResponse{Status: c.status()}
	if req.GetVerbose() {
		resp.Info = map[string]string{"taken": c.Taken.What}
		if running := c.look().running; running != nil {
			resp.Info["pid"] = strconv.Itoa(running.State().InitPID)
		}
	}
	return resp, nil
}

func (c *container) status() *runtimeapi.ContainerStatus {
	v := c.look()
	st := &runtimeapi.ContainerStatus{
		Id: c.ID, Metadata: c.metadata(), State: v.state, CreatedAt: c.CreatedAt.UnixNano(),
		Image: &runtimeapi.ImageSpec{Image: c.Image, UserSpecifiedImage: c.Image}, ImageRef: c.Taken.Ref, ImageId: c.Taken.Ref,
		Labels: c.Labels, Annotations: c.Annotations, LogPath: c.Spec.LogPath, StopSignal: runtimeapi.Signal(c.StopSignal),
		Resources: v.resources,
		User: &runtimeapi.ContainerUser{Linux: &runtimeapi.LinuxContainerUser{
			Uid: int64(c.Spec.Process.UID), Gid: int64(c.Spec.Process.GID), SupplementalGroups: groups64(c.Spec.Process.Groups),
		}},
	}
	for _, m := range c.Mounts {
		mount := &runtimeapi.Mount{
			HostPath: m.Source, ContainerPath: m.Dest, Readonly: m.ReadOnly, Propagation: runtimeapi.MountPropagation(m.Propagation),
		}
		if m.Image != "" {
			mount.Image = &runtimeapi.ImageSpec{Image: m.Image}
		}
		st.Mounts = append(st.Mounts, mount)
	}
	if !v.started.IsZero() {
		st.StartedAt = v.started.UnixNano()
	}
	if exit := v.exit; exit != nil {
		st.FinishedAt, st.ExitCode = exit.FinishedAt.UnixNano(), int32(exit.Code)
		st.Reason, st.Message = exit.Reason, exit.Message
	}
	return st
}

func groups64(in []uint32) []int64 {
	var out []int64
	for _, g := range in {
		out = append(out, int64(g))
	}
	return out
}

// ReopenContainerLog follows a rotation by the kubelet.
func (s *Server) ReopenContainerLog(_ context.Context, req *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	running, c, err := s.findRunning(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	if err := running.ReopenLog(); err != nil {
		return nil, fmt.Errorf("reopen log: %w", execError(c, err))
	}
	return &runtimeapi.ReopenContainerLogResponse{}, nil
}

func (s *Server) findContainer(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "container %q not found", id)
}

func (s *Server) findRunning(id string) (*shim.Running, *container, error) {
	c, err := s.findContainer(id)
	if err != nil {
		return nil, nil, err
	}
	running := c.look().running
	if running == nil {
		return nil, nil, status.Errorf(codes.FailedPrecondition, "container %s does not run", c.Name)
	}
	return running, c, nil
}

// listContainers returns all containers, newest first.
func (s *Server) listContainers() []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*container, 0, len(s.containers))
	for _, c := range s.containers {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].CreatedAt.After(list[j].CreatedAt) })
	return list
}

func (s *Server) containersOf(sandboxID string) []*container {
	var list []*container
	for _, c := range s.listContainers() {
		if c.SandboxID == sandboxID {
			list = append(list, c)
		}
	}
	return list
}

func (s *Server) statusesOf(sandboxID string) []*runtimeapi.ContainerStatus {
	var list []*runtimeapi.ContainerStatus
	for _, c := range s.containersOf(sandboxID) {
		list = append(list, c.status())
	}
	return list
}

// logPath is where the kubelet expects the log of a container.
func logPath(b *sandbox, cfg *runtimeapi.ContainerConfig) string {
	if b.LogDirectory == "" || cfg.GetLogPath() == "" {
		return ""
	}
	return filepath.Join(b.LogDirectory, cfg.GetLogPath())
}
