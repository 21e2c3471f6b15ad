//go:build linux

package holder

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const apparmorSwitch = "kernel/apparmor_restrict_unprivileged_userns"

// forbidden says what to do about a host that does not let us make namespaces.
func forbidden(err error, root bool, sysctl func(string) string) error {
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	if !denied && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("start holder: %w", err)
	}
	if root {
		return fmt.Errorf("this host does not let root make a mount namespace (%w): inside a container start that with `--privileged`, or at least with `--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined`", err)
	}
	for _, k := range []struct{ name, bad, fix string }{
		{"user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"},
		{"kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{apparmorSwitch, "1", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		if sysctl(k.name) == k.bad {
			return fmt.Errorf("this host forbids user namespaces to ordinary users (%s is %s; %w): run `%s`, or run `kiwerk up` as root",
				strings.ReplaceAll(k.name, "/", "."), k.bad, err, k.fix)
		}
	}
	return fmt.Errorf("this host forbids user namespaces to ordinary users (%w): inside a container start that with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`; elsewhere ask the administrator, or run `kiwerk up` as root", err)
}

// mountHelp adds what to do when the namespace exists but has no rights, as
// AppArmor does it on Ubuntu.
func mountHelp(message string, root bool, sysctl func(string) string) string {
	denied := strings.Contains(message, unix.EPERM.Error()) || strings.Contains(message, unix.EACCES.Error())
	if denied && !root && sysctl(apparmorSwitch) == "1" {
		return "; AppArmor takes the rights of user namespaces away here: run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run `kiwerk up` as root"
	}
	return ""
}

// sysctl reads a setting of the kernel, "" if there is none of this name.
func sysctl(name string) string {
	data, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
