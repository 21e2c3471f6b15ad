//go:build linux

package systemtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onEveryNode is a web server on each of three nodes, and a counter that reads a secret.
const onEveryNode = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: main
        image: python:3
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        command: [sh, -c, 'mkdir -p /tmp/w; cd /tmp/w; echo $NODE > index.html; exec python3 -m http.server 8080']
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {word: hello}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: counter}
spec:
  selector: {matchLabels: {app: counter}}
  template:
    metadata: {labels: {app: counter}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox
        command: [sh, -c, 'grep -q hello /word/word || exit 1; i=0; while :; do i=$((i+1)); echo $i; sleep .05; done']
        ports: [{containerPort: 9000, hostPort: 9000}]
        volumeMounts: [{name: word, mountPath: /word}]
      volumes: [{name: word, secret: {secretName: word}}]
`

// fetchAll asks an address many times and says who answered.
const fetchAll = `
import sys, urllib.request
print(*sorted({urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().strip() for _ in range(60)}))
`

// TestNodes plays three nodes: pods spread over them and reach each other, one
// of the kubelets is killed, a crash keeps the nodes, one node is given up.
func TestNodes(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		p := up(t, who, filepath.Join(home(t, who), "data"), "--nodes", "3")
		nodes := p.nodes()
		if len(nodes) != 3 {
			t.Fatalf("status tells the nodes %v", nodes)
		}
		p.apply(onEveryNode)
		p.kubectl("rollout", "status", "deploy/web", "ds/counter", "--timeout=90s")
		for _, pod := range strings.Fields(p.kubectl("get", "pods", "-l", "app=web", "-o", "name")) {
			// With every pod asking, one of the answers is the pod's own.
			if got := p.kubectl("exec", pod, "--", "python3", "-c", fetchAll, "http://web/"); got != strings.Join(nodes, " ") {
				t.Errorf("the Service leads %s to %q, the nodes are %v", pod, got, nodes)
			}
		}
		checkOwnObjectsOnly(t, p, nodes)
		p.kubectl("drain", nodes[2], "--ignore-daemonsets", "--timeout=60s")
		if got := p.kubectl("get", "pods", "-l", "app=web", "--field-selector", "spec.nodeName="+nodes[2], "-o", "name"); got != "" {
			t.Errorf("on a drained node: %s", got)
		}
		before := p.counters()
		checkKilledKubelet(t, p, nodes[1])
		if after := p.counters(); after != before {
			t.Errorf("pods before and after the kill of a kubelet:\n%s\n%s", before, after)
		}
		crash := func(p *platform) {
			t.Helper()
			if err := unix.Kill(p.run.Launcher, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			p.wait()
		}
		crash(p)
		same := up(t, who, p.dir) // as status suggests: without the flags of the first start
		if kept := same.nodes(); !slices.Equal(kept, nodes) || same.counters() != before {
			t.Errorf("after a crash nodes %v and pods\n%s\nbefore %v and\n%s", kept, same.counters(), nodes, before)
		}
		crash(same)
		again := up(t, who, p.dir, "--nodes", "2")
		if out := again.out.String(); !strings.Contains(out, nodes[2]+" removed with 1 pods") {
			t.Errorf("output:\n%s", out)
		}
		if left := again.nodes(); !slices.Equal(left, nodes[:2]) {
			t.Errorf("nodes %v, before %v", left, nodes)
		}
		after := again.counters()
		for line := range strings.Lines(after) {
			if !strings.Contains(before, strings.TrimSpace(line)) {
				t.Errorf("not adopted: %sbefore:\n%s", line, before)
			}
			again.countsOn(strings.Fields(line)[0])
		}
		if strings.Count(after, "\n") != 2 {
			t.Errorf("counters of two nodes:\n%s", after)
		}
		again.notesGroups()
		again.stopsWithoutTrace()
	})
}

// checkOwnObjectsOnly speaks with the certificate of the second node's kubelet.
func checkOwnObjectsOnly(t *testing.T, p *platform, nodes []string) {
	t.Helper()
	cert := filepath.Join(p.dir, "pki", "node-"+nodes[1])
	for _, node := range nodes[:2] {
		object := p.kubectl("get", "node", node, "-o", "json")
		_, errs, code := p.try(object, "--client-certificate", cert+".crt", "--client-key", cert+".key", "replace", "--raw", "/api/v1/nodes/"+node+"/status", "-f", "-")
		if own := node == nodes[1]; own != (code == 0) || !own && !strings.Contains(errs, "is not allowed to modify node") {
			t.Errorf("the kubelet of %s writes the status of %s: code %d, %s", nodes[1], node, code, errs)
		}
	}
}

// counters are the identities of the pods that count.
func (p *platform) counters() (lines string) {
	p.t.Helper()
	for line := range strings.Lines(p.identities()) {
		if strings.HasPrefix(line, "counter-") {
			lines += strings.TrimSpace(line) + "\n"
		}
	}
	return lines
}

// nodes are the names that status tells, all of them ready.
func (p *platform) nodes() []string {
	p.t.Helper()
	out, errs, _ := call(p.t, p.who, p.dir, "status", "-o", "json")
	var s struct {
		Nodes []struct {
			Name  string
			Ready bool
		}
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		p.t.Fatalf("status: %v\n%s%s", err, out, errs)
	}
	var names []string
	for _, n := range s.Nodes {
		if !n.Ready {
			p.t.Errorf("node %s is not ready", n.Name)
		}
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

// checkKilledKubelet kills all kubelets but the first and starts a pod on a node of theirs.
func checkKilledKubelet(t *testing.T, p *platform, node string) {
	t.Helper()
	killed := kubelets(t, p.run.Daemon)
	if len(killed) != 2 {
		t.Fatalf("kubelets beside the first: %v", killed)
	}
	for _, pid := range killed {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	p.apply(`
apiVersion: v1
kind: Pod
metadata: {name: after}
spec:
  nodeName: ` + node + `
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: busybox, command: [sleep, "100000"]}]
`)
	p.kubectl("wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
	p.kubectl("exec", "after", "--", "true")
	p.kubectl("delete", "pod", "after")
	if again := kubelets(t, p.run.Daemon); slices.ContainsFunc(again, func(pid int) bool { return slices.Contains(killed, pid) }) {
		t.Errorf("kubelets %v, killed %v", again, killed)
	}
}

// kubelets are the processes of further nodes.
func kubelets(t *testing.T, daemon int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil || string(line) != "kiwerk\x00internal\x00node\x00" {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(f), "status"))
		if err != nil || !strings.Contains(string(status), "\nPPid:\t"+strconv.Itoa(daemon)+"\n") {
			continue // another platform's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}
