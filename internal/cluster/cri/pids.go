//go:build linux

package cri

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// The containers of a pod with shareProcessNamespace live under a pid 1 of the
// pod's own, which outlives the daemon as shims do.

// startPod starts pid 1 of a pod whose containers share processes; there is none
// for others. It is followed when the pod is known.
func (s *Server) startPod(b *sandbox) (*shim.Pod, error) {
	if !b.SharedPIDs {
		return nil, nil
	}
	pod, err := shim.StartPod(s.cfg.AgentPath, s.podDir(b.ID), b.ID, b.NetNS)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("process namespace of pod %s/%s: %w", b.Namespace, b.Name, err), s.dropPod(b.ID))
	}
	return pod, nil
}

// adoptPod takes over the pid 1 that another daemon started. Without it the pod is over.
func (s *Server) adoptPod(b *sandbox) error {
	if !b.Ready || !b.SharedPIDs {
		return nil
	}
	pod, err := shim.AdoptPod(s.podDir(b.ID))
	if errors.Is(err, shim.ErrGone) {
		s.log.Warn("pid 1 of a pod has ended", "pod", b.Namespace+"/"+b.Name, "sandbox", b.ID)
		b.Ready = false
		return s.saveSandbox(b)
	}
	if err != nil {
		return err
	}
	s.tasks.Go(func() { s.followPod(b, pod) })
	return nil
}

// followPod notes that pid 1 of a pod has ended, and with it the whole pod: the
// kubelet makes a new one.
func (s *Server) followPod(b *sandbox, pod *shim.Pod) {
	select {
	case <-pod.Done():
	case <-s.ctx.Done():
		return
	}
	s.mu.Lock()
	was := b.Ready
	b.Ready = false
	var err error
	if was {
		err = s.saveSandbox(b)
	}
	s.mu.Unlock()
	if err != nil {
		s.log.Error("record the end of a pod", "pod", b.Namespace+"/"+b.Name, "error", err)
	}
	if was {
		s.log.Warn("pid 1 of a pod has ended", "pod", b.Namespace+"/"+b.Name, "sandbox", b.ID)
		s.ports.release(b.Port)
		s.emit(b.ID, b.ID, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
}

// joinProcesses says in which pid namespace a container is, if not in one of its own.
func (s *Server) joinProcesses(b *sandbox, sc *runtimeapi.LinuxContainerSecurityContext, spec *shim.Spec) error {
	n := sc.GetNamespaceOptions()
	switch mode := n.GetPid(); {
	case mode == runtimeapi.NamespaceMode_NODE:
		spec.Namespaces[shim.NamespacePID] = ""
	case mode == runtimeapi.NamespaceMode_TARGET:
		if err := s.joinTarget(b, n.GetTargetId(), spec); err != nil {
			return err
		}
	case mode == runtimeapi.NamespaceMode_POD && b.SharedPIDs:
		dir := s.podDir(b.ID)
		spec.Namespaces[shim.NamespacePID], spec.Proc = shim.PodNamespace(dir), shim.PodProc(dir)
	}
	if file, given := spec.Namespaces[shim.NamespacePID]; !given || file != "" {
		return nil
	}
	if sc.GetPrivileged() {
		spec.Process.Caps = slices.DeleteFunc(spec.Process.Caps, func(n uintptr) bool { return n == unix.CAP_SYS_PTRACE })
		return nil
	}
	if slices.ContainsFunc(sc.GetCapabilities().GetAddCapabilities(), isPtrace) {
		return errors.New("capability SYS_PTRACE cannot be added to a pod with hostPID here: it could enter the processes that hide the platform's data")
	}
	return nil
}

// joinTarget lets a debug container see the processes of another container of its pod.
func (s *Server) joinTarget(b *sandbox, id string, spec *shim.Spec) error {
	c, err := s.findContainer(id)
	if err != nil || c.SandboxID != b.ID {
		return fmt.Errorf("the container to debug, %q, is not one of this pod", id)
	}
	if file, shares := c.Spec.Namespaces[shim.NamespacePID]; shares {
		spec.Namespaces[shim.NamespacePID], spec.Proc, spec.Target = file, c.Spec.Proc, c.Spec.Target
		return nil
	}
	running := c.look().running
	if running == nil {
		return fmt.Errorf("container %s, whose processes are to be debugged, does not run", c.Name)
	}
	st := running.State()
	spec.Target = &shim.Member{PID: st.InitPID, Start: st.InitStart}
	spec.Namespaces[shim.NamespacePID] = fmt.Sprintf("/proc/%d/ns/pid", st.InitPID)
	return nil
}
