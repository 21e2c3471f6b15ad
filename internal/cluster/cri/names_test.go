//go:build linux

package cri

import (
	"context"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

func TestOwnProgram(t *testing.T) {
	for image, want := range map[string]string{
		"kiwerk/modelserver":                 "modelserver",
		"kiwerk/modelserver:v1":              "modelserver",
		"ghcr.io/kiwerk/modelserver@sha256:": "modelserver",
		"reg:5000/kiwerk/model-server:x":     "model-server",
		"kiwerk/../etc/passwd":               "",
		"kiwerk/..":                          "",
		"other/modelserver":                  "",
		"modelserver":                        "",
		"python:3.12":                        "",
		"":                                   "",
	} {
		if got := ownProgram(image); got != want {
			t.Errorf("ownProgram(%q) = %q, want %q", image, got, want)
		}
	}
}

func TestTaken_command(t *testing.T) {
	for name, c := range map[string]struct {
		taken         Taken
		command, args []string
		want          []string
		wantWhat      string
		wantErr       bool
	}{
		"Command":        {Taken{What: "tools"}, []string{"sh"}, []string{"-c", "x"}, []string{"sh", "-c", "x"}, "tools", false},
		"OnlyArgs":       {Taken{What: "tools"}, nil, []string{"ls", "/"}, []string{"ls", "/"}, "tools; the pod's args were run as its command", false},
		"OwnProgram":     {Taken{What: "ours", Path: "/b/kiwerk-modelserver", Entrypoint: []string{"/.kiwerk/bin/kiwerk-modelserver"}}, nil, []string{"-x"}, []string{"/.kiwerk/bin/kiwerk-modelserver", "-x"}, "ours", false},
		"NothingAtAll":   {Taken{What: "tools"}, nil, nil, nil, "tools", true},
		"Cmd":            {Taken{What: "tools", Cmd: []string{"sh"}}, nil, nil, []string{"sh"}, "tools", false},
		"Entrypoint":     {Taken{What: "image", Entrypoint: []string{"a"}, Cmd: []string{"b"}}, nil, nil, []string{"a", "b"}, "image", false},
		"ArgsForCmd":     {Taken{What: "image", Entrypoint: []string{"a"}, Cmd: []string{"b"}}, nil, []string{"c"}, []string{"a", "c"}, "image", false},
		"OwnWithCommand": {Taken{What: "ours", Path: "/b/kiwerk-x"}, []string{"sh"}, nil, []string{"sh"}, "ours", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.taken.command("y", c.command, c.args)
			if !slices.Equal(got, c.want) || c.taken.What != c.wantWhat || (err != nil) != c.wantErr {
				t.Errorf("%q, %q, %v", got, c.taken.What, err)
			}
		})
	}
}

func FuzzOwnProgram(f *testing.F) {
	f.Add("ghcr.io/kiwerk/modelserver:v1@sha256:0")
	f.Add("kiwerk/a/../b")
	f.Fuzz(func(t *testing.T, image string) {
		if name := ownProgram(image); strings.ContainsAny(name, "/.\x00") {
			t.Errorf("ownProgram(%q) = %q", image, name)
		}
	})
}

func TestSignalNumber(t *testing.T) {
	for s, want := range map[runtimeapi.Signal]int{
		runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT: 0,
		runtimeapi.Signal_SIGNAL_SIGTERM:         int(unix.SIGTERM),
		runtimeapi.Signal_SIGNAL_SIGUSR1:         int(unix.SIGUSR1),
		runtimeapi.Signal_SIGNAL_SIGRTMIN:        34,
		runtimeapi.Signal_SIGNAL_SIGRTMINPLUS3:   37,
		runtimeapi.Signal_SIGNAL_SIGRTMAXMINUS14: 50,
		runtimeapi.Signal_SIGNAL_SIGRTMAX:        64,
		runtimeapi.Signal_SIGNAL_SIGKILL:         int(unix.SIGKILL),
	} {
		if got := signalNumber(s); got != want {
			t.Errorf("%v is %d, want %d", s, got, want)
		}
	}
	for n, name := range runtimeapi.Signal_name {
		if n != 0 && signalNumber(runtimeapi.Signal(n)) == 0 {
			t.Errorf("%s has no number", name)
		}
	}
}

func TestHub(t *testing.T) {
	var h hub[int]
	ctx, cancel := context.WithCancel(t.Context())
	slow := h.subscribe(ctx, []int{-1})
	fast := h.subscribe(t.Context(), nil)
	for i := range 1000 {
		h.publish(i)
	}
	for want := -1; want < 1000; want++ {
		if got := <-slow; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	cancel()
	if _, open := <-slow; open {
		t.Error("still open after the end of its context")
	}
	h.close()
	for want := range 1000 {
		if got := <-fast; got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	if _, open := <-fast; open {
		t.Error("still open after the end of the hub")
	}
	if _, open := <-h.subscribe(t.Context(), nil); open {
		t.Error("a subscription to an ended hub stays open")
	}
}

func TestHostPorts(t *testing.T) {
	for _, c := range []struct {
		host, pod int32
		ok        bool
	}{
		{1, 1, true}, {65535, 65535, true}, {65616, 80, false}, {-1, 80, false}, {80, 0, false}, {80, 65616, false}, {65536, 80, false},
	} {
		list, err := hostPorts([]*runtimeapi.PortMapping{{HostPort: c.host, ContainerPort: c.pod}}, network.NodeIP.String())
		if (err == nil) != c.ok || c.ok && (len(list) != 1 || int32(list[0].Port) != c.host || int32(list[0].Pod) != c.pod) {
			t.Errorf("%d:%d: %v, %v", c.host, c.pod, list, err)
		}
	}
	for _, c := range []struct {
		host int32
		ip   string
		ok   bool
	}{
		{80, "0.0.0.0", true},
		{80, "::", true},
		{80, "127.0.0.1", true},
		{80, network.NodeIP.String(), true},
		{53, "127.0.0.1", false},
		{80, "192.0.2.1", false},
		{80, "::1", false},
		{80, streamHost, false},
		{80, "here", false},
	} {
		list, err := hostPorts([]*runtimeapi.PortMapping{{HostPort: c.host, ContainerPort: 80, HostIp: c.ip}}, network.NodeIP.String())
		if (err == nil) != c.ok || c.ok && list[0].IP.IsValid() != (c.ip == "127.0.0.1") {
			t.Errorf("%s:%d: %v, %v", c.ip, c.host, list, err)
		}
	}
	if list, err := hostPorts([]*runtimeapi.PortMapping{{ContainerPort: 80}}, network.NodeIP.String()); err != nil || len(list) != 0 {
		t.Errorf("none: %v, %v", list, err)
	}
}

func TestSysctlsOf(t *testing.T) {
	with := &Server{cfg: Config{Network: &network.Network{}}}
	node := &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE}
	for _, c := range []struct {
		server  *Server
		name    string
		options *runtimeapi.NamespaceOption
		want    string
	}{
		{with, "net.core.somaxconn", nil, ""},
		{with, "kernel.shm_rmid_forced", nil, ""},
		{with, "kernel.sem", nil, ""},
		{with, "fs.mqueue.msg_max", nil, ""},
		{&Server{}, "kernel.msgmax", nil, ""},
		{&Server{}, "net.core.somaxconn", nil, "without a network of its own"},
		{with, "net.core.somaxconn", node, "without a network of its own"},
		{with, "kernel.msgmax", node, "hostIPC"},
		{with, "kernel.semaphore", nil, "are its own"},
		{with, "kernel.shm/../panic", nil, "are its own"},
		{with, "fs.mqueue.", nil, "are its own"},
		{with, "fs.mqueue.a.b", nil, "are its own"},
		{with, "net..x", nil, "net..x"},
		{with, "vm.swappiness", nil, "are its own"},
		{with, "", nil, "are its own"},
	} {
		_, err := c.server.sysctlsOf(&runtimeapi.PodSandboxConfig{Linux: &runtimeapi.LinuxPodSandboxConfig{
			Sysctls:         map[string]string{c.name: "1"},
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: c.options},
		}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
