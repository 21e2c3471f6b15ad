//go:build linux

package holder

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestForbidden(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		root bool
		set  map[string]string
		want string
	}{
		"Limit":    {unix.ENOSPC, false, map[string]string{"user/max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces"},
		"Debian":   {unix.EPERM, false, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"},
		"Ubuntu":   {unix.EACCES, false, map[string]string{apparmorSwitch: "1"}, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		"Docker":   {unix.EPERM, false, map[string]string{"user/max_user_namespaces": "15000"}, "seccomp=unconfined"},
		"RootBox":  {unix.EPERM, true, nil, "--privileged"},
		"NotThere": {unix.ENOENT, false, nil, "start holder: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			err := forbidden(c.err, c.root, func(name string) string { return c.set[name] })
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, expected %q", err, c.want)
			}
		})
	}
}

func TestMountHelp(t *testing.T) {
	restricted := func(string) string { return "1" }
	message := "detach mounts from the host: " + unix.EACCES.Error()
	if got := mountHelp(message, false, restricted); !strings.Contains(got, "AppArmor") {
		t.Errorf("help %q", got)
	}
	if got := mountHelp(message, true, restricted) + mountHelp("no space", false, restricted) + mountHelp(message, false, func(string) string { return "" }); got != "" {
		t.Errorf("help %q where it does not help", got)
	}
}
