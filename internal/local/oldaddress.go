//go:build linux

package local

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/text"
)

// addressNotes name the running pods that know another address of the platform
// or of its Kubernetes API than the present one: the port was taken at the last
// start, and what a process has in its environment cannot be changed.
func addressNotes(containers []containerRecord, run runState) []cli.Note {
	var pods []string
	for _, c := range containers {
		if c.shim > 0 && knowsOldAddress(c.Spec.Process.Env, run.URL, run.APIServer) && !slices.Contains(pods, c.key()) {
			pods = append(pods, c.key())
		}
	}
	if len(pods) == 0 {
		return nil
	}
	slices.Sort(pods)
	return []cli.Note{note("OldAddress", text.NoteOldAddress, strings.Join(pods, ", "))}
}

// knowsOldAddress looks at addresses on loopback only: those in a pod's own network do not change.
func knowsOldAddress(env []string, platform, api string) bool {
	values := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		values[name] = value
	}
	if u, err := url.Parse(values[kube.EnvURL]); err == nil && loopback(u.Hostname()) && u.String() != platform {
		return true
	}
	host, port := values["KUBERNETES_SERVICE_HOST"], values["KUBERNETES_SERVICE_PORT"]
	return loopback(host) && net.JoinHostPort(host, port) != api
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
