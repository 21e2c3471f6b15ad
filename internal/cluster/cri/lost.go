//go:build linux

package cri

import (
	"errors"
	"fmt"
	"os"

	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// Reasons of a container's end that the runtime finds when it starts.
const (
	reasonHolderLost  = "HolderLost"
	messageHolderLost = "the process that holds the cluster's namespaces (kiwerk-agent hold) was ended, so the container was ended, too; its pod goes on by its restart policy"
)

// TakenOver is what a start found.
type TakenOver struct {
	// Containers that run on.
	Adopted int
	// Lost pods had been started under a holder that is gone, or before the machine was restarted.
	Lost int
}

// TakenOver tells what the start found.
func (s *Server) TakenOver() TakenOver { return s.found }

// holderID names the namespaces that this process is in, on this boot of the machine.
func holderID() (string, error) {
	ns, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return "", err
	}
	boot, err := shim.BootID()
	if err != nil {
		return "", fmt.Errorf("boot of the machine: %w", err)
	}
	return ns + " " + boot, nil
}

// settle takes a sandbox over. One of a holder that is gone is over: its mounts
// and its network went with it, and the kubelet makes a new one.
func (s *Server) settle(b *sandbox) error {
	if b.Ready && b.Holder != "" && b.Holder != s.holder {
		s.log.Warn("pod of a lost holder", "pod", b.Namespace+"/"+b.Name, "sandbox", b.ID)
		b.Ready = false
		s.found.Lost++
		return s.saveSandbox(b)
	}
	if b.Ready && b.Port != 0 {
		s.ports.keep(b.Port)
	}
	return nil
}

// endSandboxes notes that no pod goes on: the next start must not take them for lost ones.
func (s *Server) endSandboxes() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, b := range s.sandboxes {
		if b.Ready {
			b.Ready = false
			errs = append(errs, s.saveSandbox(b))
		}
	}
	return errors.Join(errs...)
}
