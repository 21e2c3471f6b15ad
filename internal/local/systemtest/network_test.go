//go:build linux

package systemtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// echo answers on a connection what it is sent.
const echo = `
---
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: python
    command: [python3, -c, "import socket\ns = socket.create_server(('', 9000))\nwhile True:\n  c, _ = s.accept()\n  while d := c.recv(99): c.sendall(d)\n"]
    readinessProbe: {exec: {command: [python3, -c, "import os; os.stat('/proc/1')"]}, periodSeconds: 1}
`

// talker keeps one connection and ends with an error when that breaks.
func talker(to string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: talk}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: python
    command: [python3, -uc, "import socket, time\nwhile True:\n  try:\n    c = socket.create_connection(('%s', 9000)); break\n  except ConnectionRefusedError:\n    time.sleep(.1)\nc.settimeout(100)\nn = 0\nwhile True:\n  n += 1; c.sendall(b'x'); assert c.recv(1) == b'x'; print(n); time.sleep(.1)\n"]
`, to)
}

const fetch = `
import sys, urllib.request, urllib.error
try:
    r = urllib.request.urlopen(sys.argv[1], timeout=60); print(r.status, r.read(200).decode())
except urllib.error.HTTPError as e:
    print(e.code)
`

// fetch asks an address from a pod and returns status and body.
func (p *platform) fetch(pod, url string) string {
	p.t.Helper()
	return p.kubectl("exec", pod, "--", "python3", "-c", fetch, url)
}

// ips lists names and addresses of all pods.
func (p *platform) ips() string {
	p.t.Helper()
	return p.kubectl("get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
}

// TestNetwork gives replicas the same port, and kills daemon and launcher under them.
func TestNetwork(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		dir := filepath.Join(home(t, who), "data")
		p := up(t, who, dir, "--network", "pod")
		p.apply(web(2) + echo + sleeper("onnode", "hostNetwork: true"))
		p.kubectl("wait", "--for=condition=Ready", "pod", "--all", patience)
		p.apply(talker(p.kubectl("get", "pod", "echo", "-o", "jsonpath={.status.podIP}")))
		p.kubectl("wait", "--for=condition=Ready", "pod/talk", patience)
		before := p.ips()
		checkAddresses(t, p)
		checkPlatformFromPods(t, p)
		checkWayOut(t, p)
		for _, victim := range []string{"Daemon", "Launcher"} {
			pid := map[string]int{"Daemon": p.run.Daemon, "Launcher": p.run.Launcher}[victim]
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			p.wait()
			said := lastNumber(t, p)
			p = up(t, who, dir)
			p.logLine("talk", func(s string) bool { n, _ := strconv.Atoi(s); return n > said })
			if after := p.ips(); after != before {
				t.Errorf("after kill -9 of the %s:\n%s\nbefore:\n%s", strings.ToLower(victim), after, before)
			}
			checkAddresses(t, p)
		}
		if _, out, code := call(t, who, dir, "down"); code != 0 {
			t.Errorf("down: %d %s", code, out)
		}
		nothingLeft(t, dir)
	})
}

// lastNumber reads the log file: there is no API server.
func lastNumber(t *testing.T, p *platform) int {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(p.dir, "logs", "pods", "default_talk_*", "main", "0.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	n, err := strconv.Atoi(f[len(f)-1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkAddresses reaches each replica at its own address from a pod and from the node.
func checkAddresses(t *testing.T, p *platform) {
	t.Helper()
	ips := strings.Fields(p.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIP}"))
	if len(ips) != 2 || ips[0] == ips[1] {
		t.Fatalf("addresses %v", ips)
	}
	for _, ip := range ips {
		for _, from := range []string{"echo", "onnode"} {
			if got := p.fetch(from, "http://"+ip+":8080/"); !strings.HasPrefix(got, "200 ") {
				t.Errorf("%s asks %s: %s", from, ip, got)
			}
		}
	}
	var s struct {
		Network struct{ Mode, PodCIDR string }
	}
	out, _, _ := call(t, p.who, p.dir, "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Network.Mode != "pod" || s.Network.PodCIDR != "10.244.0.0/16" {
		t.Errorf("status tells the network %+v, %v", s.Network, err)
	}
}

// checkPlatformFromPods finds the platform at an address that no restart changes, and needs a token there.
func checkPlatformFromPods(t *testing.T, p *platform) {
	t.Helper()
	const guarded = "/api/2.0/mlflow/experiments/get?experiment_id=0"
	if status, body := p.request(http.MethodGet, guarded, bearer(p.token())); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, body)
	}
	_, port, err := net.SplitHostPort(p.run.Address)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range []string{"echo", "onnode"} {
		if got := p.fetch(pod, "http://10.244.0.2:7878/health"); got != "200 OK" {
			t.Errorf("%s: health %s", pod, got)
		}
		for _, address := range []string{"10.244.0.2:7878", "10.244.0.4:" + port} {
			if got := p.fetch(pod, "http://"+address+guarded); got != "401" && got != "421" {
				t.Errorf("%s without a token at %s: %s", pod, address, got)
			}
		}
	}
}

// checkWayOut reaches listeners of this machine: on loopback, and on another address as if it were another machine.
func checkWayOut(t *testing.T, p *platform) {
	t.Helper()
	places := map[string]string{"127.0.0.1": "10.244.0.4"}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() && !n.IP.IsLinkLocalUnicast() {
			places[n.IP.String()] = n.IP.String()
		}
	}
	for listen, from := range places {
		l, err := net.Listen("tcp4", net.JoinHostPort(listen, "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })}
		go func() { _ = server.Serve(l) }()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		got := p.fetch("echo", "http://"+net.JoinHostPort(from, port)+"/")
		if !strings.HasPrefix(got, "200 ") || strings.Contains(got, "10.244.") {
			t.Errorf("a pod asks %s at %s: %s", listen, from, got)
		}
		_ = server.Close()
	}
}

// nothingLeft looks for what a stopped platform must not leave on the host.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left := processesUnder(t, dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts below %s are left (%v)", dir, err)
	}
	sum := sha256.Sum256([]byte(dir))
	name := hex.EncodeToString(sum[:4])
	if _, err := net.InterfaceByName("kw" + name); err == nil {
		t.Errorf("interface kw%s is left", name)
	}
	if os.Geteuid() == 0 {
		out, err := exec.Command("nft", "list", "tables").CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("tables are left: %s %v", out, err)
		}
	}
}

// TestNetwork_ofTheHost is what there is where pods cannot have their own.
func TestNetwork_ofTheHost(t *testing.T) {
	t.Parallel()
	who := accounts(t)[0]
	p := up(t, who, filepath.Join(home(t, who), "data"), "--network", "host")
	p.apply(ticker("ticker"))
	p.kubectl("wait", "--for=condition=Ready", "pod/ticker", patience)
	if port := p.kubectl("get", "pod", "ticker", "-o", `jsonpath={.metadata.annotations.kiwerk\.dev/port}`); port == "" {
		t.Error("the pod was not given a port")
	}
	if out, _, _ := call(t, who, p.dir, "status"); !strings.Contains(out, "PodsShareTheHostNetwork") {
		t.Errorf("status:\n%s", out)
	}
	if err := unix.Kill(p.run.Launcher, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait()
	// The pod that lives on decides; to insist on another kind is refused.
	if _, out, code := call(t, who, p.dir, "up", "--listen", "127.0.0.1:0", "--network", "pod"); code == 0 || !strings.Contains(out, "another kind of network") {
		t.Errorf("code %d: %s", code, out)
	}
	again := up(t, who, p.dir)
	if got := again.kubectl("get", "pod", "ticker", "-o", "jsonpath={.status.phase}"); got != "Running" {
		t.Errorf("the pod is %s", got)
	}
}
