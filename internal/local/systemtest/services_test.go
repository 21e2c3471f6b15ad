//go:build linux

package systemtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// web are replicas on one port that answer with their names.
func web(replicas int) string {
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: python
        workingDir: /tmp
        command: [sh, -c, 'hostname > index.html && exec python3 -m http.server 8080']
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
`, replicas)
}

// sleeper is a pod with its own name as label app, for commands; more is a line of its spec.
func sleeper(name, more string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: %[1]s}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: busybox, command: [sleep, "1000000"]}]
  %s
`, name, more)
}

// behind are the Services of replicas and of a set whose members have names.
const behind = `
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: %[1]d, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: job}
spec: {clusterIP: None, selector: {app: job}, ports: [{name: peer, port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: job}
spec:
  serviceName: job
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: job}}
  template:
    metadata: {labels: {app: job}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: peer
        image: python
        workingDir: /tmp
        command: [sh, -c, 'hostname > index.html && exec python3 -m http.server 8080']
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
`

// TestServices reaches pods by name, by cluster IP and from the host.
func TestServices(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		dir := filepath.Join(home(t, who), "data")
		p := up(t, who, dir, "--network", "pod")
		balanced := kwtest.FreePort(t)
		p.apply(web(3) + fmt.Sprintf(behind, balanced) + sleeper("client", "") + sleeper("stranger", ""))
		p.kubectl("rollout", "status", "deployment/web", patience)
		p.kubectl("rollout", "status", "statefulset/job", patience)
		p.kubectl("wait", "--for=condition=Ready", "pod/client", "pod/stranger", patience)

		ip := p.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
		for _, c := range []struct{ url, want string }{
			{fmt.Sprintf("http://web:%d", balanced), "web-"},
			{fmt.Sprintf("http://web.default.svc.cluster.local:%d", balanced), "web-"},
			{"http://" + net.JoinHostPort(ip, strconv.Itoa(balanced)), "web-"},
			{"http://job-0.job:8080", "job-0"},
			{"http://job-1.job.default.svc.cluster.local:8080", "job-1"},
		} {
			until(t, fmt.Sprintf("from a pod %s answers %s…", c.url, c.want), func() bool {
				return strings.HasPrefix(p.inPod("client", c.url), c.want)
			})
		}
		if got := p.kubectl("exec", "client", "--", "sh", "-c", askAPI); got != "403" {
			t.Errorf("the API server answers a pod's token with %q, want 403: known, but without rights", got)
		}
		p.reachable(t, balanced)
		p.policies(t, fmt.Sprintf("http://web:%d", balanced))
		p.survivesDaemon(t, balanced)
	})
}

// askAPI asks for what a pod's service account may not see.
const askAPI = `python3 - <<'E'
import ssl, urllib.request, urllib.error
dir = "/var/run/secrets/kubernetes.io/serviceaccount/"
ask = urllib.request.Request("https://kubernetes.default/api/v1/secrets", headers={"Authorization": "Bearer " + open(dir + "token").read()})
try:
    print(urllib.request.urlopen(ask, timeout=60, context=ssl.create_default_context(cafile=dir + "ca.crt")).status)
except urllib.error.HTTPError as e:
    print(e.code)
E`

// inPod is what a URL answers in a pod, or "" if nothing does.
func (p *platform) inPod(pod, url string) string {
	p.t.Helper()
	const ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())"
	out, _, _ := call(p.t, p.who, p.dir, "kubectl", "exec", pod, "--", "python3", "-c", ask, url)
	return strings.TrimSpace(out)
}

// reachable asks from the host by load balancer and node port.
func (p *platform) reachable(t *testing.T, balanced int) {
	t.Helper()
	p.kubectl("wait", "--for=condition=kiwerk.dev/Published", "service/web", patience)
	if got := p.kubectl("get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"); got != "127.0.0.1" {
		t.Errorf("the load balancer's address is %q", got)
	}
	nodePort := p.kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
	for _, at := range []string{fmt.Sprintf("localhost:%d", balanced), "127.0.0.1:" + nodePort} {
		until(t, "on the host "+at+" answers", func() bool {
			got, err := onHost(at)
			return err == nil && strings.HasPrefix(got, "web-")
		})
	}
}

func onHost(address string) (string, error) {
	client := http.Client{Timeout: callLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), err
}

const (
	denyAll = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {matchLabels: {app: web}}}
`
	allowClient = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: http}]
`
)

// policies forbids and allows.
func (p *platform) policies(t *testing.T, url string) {
	t.Helper()
	p.apply(denyAll)
	until(t, "the policy forbids", func() bool { return p.inPod("client", url) == "" })
	p.apply(allowClient)
	until(t, "the second policy allows", func() bool { return p.inPod("client", url) != "" })
	if got := p.inPod("stranger", url); got != "" {
		t.Errorf("a pod that no policy allows is answered %q", got)
	}
	p.kubectl("rollout", "restart", "deployment/web")
	p.kubectl("rollout", "status", "deployment/web", patience) // probes pass
	if got := p.inPod("stranger", url); got != "" {
		t.Errorf("of new pods a pod that no policy allows is answered %q", got)
	}
	p.kubectl("delete", "networkpolicy", "deny", "allow")
	until(t, "without policies everybody is answered", func() bool { return p.inPod("stranger", url) != "" })
}

// survivesDaemon publishes again after a crash, and no pod notices.
func (p *platform) survivesDaemon(t *testing.T, balanced int) {
	t.Helper()
	if err := unix.Kill(p.run.Daemon, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait()
	again := up(t, p.who, p.dir, "--network", "pod")
	until(t, "the load balancer answers again", func() bool {
		_, err := onHost(fmt.Sprintf("localhost:%d", balanced))
		return err == nil
	})
	until(t, "after a crash the name job-0.job answers", func() bool {
		return again.inPod("client", "http://job-0.job:8080") == "job-0"
	})
	restarts := again.kubectl("get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if strings.Trim(restarts, "0 ") != "" {
		t.Errorf("restarts after a crash of the daemon: %s", restarts)
	}
}

// until asks until f says yes.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(callLimit); !f(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within %s", what, callLimit)
		}
	}
}
