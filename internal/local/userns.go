//go:build linux

package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/kiwerk/kiwerk/internal/text"
)

// tryTimeout is for what hangs, not for what is slow on a busy machine.
const tryTimeout = 30 * time.Second

// checkUserNamespaces tries what the holder will do; root needs none.
func checkUserNamespaces(ctx context.Context) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if err := tryUserNamespace(ctx); err != nil {
		return failure(text.S(text.UserNSForbidden), text.S(text.UserNSTry, userNamespaceRemedy(readSetting)), err)
	}
	return nil
}

func tryUserNamespace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "version")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return cmd.Run()
}

// settings of kernels that forbid user namespaces, with the value that allows them.
var userNamespaceSettings = []struct{ name, forbids, command string }{
	{"kernel/apparmor_restrict_unprivileged_userns", "1", "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
	{"kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"},
	{"user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=10000"},
}

// userNamespaceRemedy is the command for this kernel.
func userNamespaceRemedy(read func(string) (string, error)) string {
	for _, s := range userNamespaceSettings {
		if v, err := read(s.name); err == nil && v == s.forbids {
			return s.command
		}
	}
	return "sudo sysctl user.max_user_namespaces=10000"
}

func readSetting(name string) (string, error) {
	b, err := os.ReadFile("/proc/sys/" + name)
	if errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return strings.TrimSpace(string(b)), err
}
