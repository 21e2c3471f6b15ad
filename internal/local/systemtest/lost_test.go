//go:build linux

package systemtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/cluster/leftover"
	"github.com/kiwerk/kiwerk/internal/cluster/network"
)

// number reads how large a test shall be from the environment.
func number(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// counter is a pod whose log is the numbers from 1 on.
func counter(name, policy string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: counter}}
spec:
  restartPolicy: %s
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'i=0; while :; do i=$((i+1)); echo $i; sleep .05; done']
`, name, policy)
}

// sharing lets the containers of a pod share processes: it has a pid 1 of its own, which no daemon must lose either.
func sharing(pod string) string {
	return strings.Replace(pod, "\nspec:\n", "\nspec:\n  shareProcessNamespace: true\n", 1)
}

// ring is a set of pods that talk to each other through Services.
// Each keeps a connection that it opened through the cluster IP and one that it
// opened by the headless name of its neighbour. In each round it uses both and
// opens another of either kind; then it logs the number of the round. When a
// connection breaks or is refused, it ends. Names alone may get no answer for a
// while: the name server is a part of the daemon. They are given in full,
// because of a name that it searches glibc says that it does not exist when the
// first question got no answer and the last one, outside of the cluster, a no.
const ring = `
apiVersion: v1
kind: Service
metadata: {name: ring}
spec: {selector: {app: ring}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: ring}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: peer}
spec:
  serviceName: peers
  replicas: %[1]d
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: ring}}
  template:
    metadata: {labels: {app: ring}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: python:3
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        command:
        - python3
        - -uc
        - |
          import os, socket, socketserver, threading, time
          class Echo(socketserver.StreamRequestHandler):
              def handle(self):
                  for line in self.rfile:
                      self.wfile.write(line)
          class Server(socketserver.ThreadingTCPServer):
              daemon_threads, allow_reuse_address, request_queue_size = True, True, 128
          threading.Thread(target=Server(("", 8080), Echo).serve_forever).start()
          def connect(host, port):
              while True:
                  try:
                      return socket.create_connection((host, port), timeout=60)
                  except socket.gaierror as e:
                      if e.errno != socket.EAI_AGAIN: # another answer would be a wrong one
                          raise
                      time.sleep(.1)
          def first(host, port):
              while True:
                  try:
                      return connect(host, port)
                  except OSError: # before all are there
                      time.sleep(.1)
          def say(c, n):
              c.sendall(b"%%d\n" %% n)
              got = c.recv(64)
              assert got == b"%%d\n" %% n, (n, got)
          try:
              me = int(socket.gethostname().rpartition("-")[2])
              named = f"peer-{(me + 1) %% %[1]d}.peers.default.svc.cluster.local.", 8080
              kept = first("ring", 80), first(*named)
              ip = kept[0].getpeername()
              n = 0
              while True:
                  n += 1
                  for c in kept:
                      say(c, n)
                  for to in ip, named:
                      with connect(*to) as c:
                          say(c, n)
                  print(n)
                  time.sleep(.2)
          except BaseException as e:
              print(repr(e))
              os._exit(1)
`

// settled is the round after which a pod has run for more than ten seconds: a
// kubelet that starts doubts the readiness of containers that are younger, as
// everywhere, and a pod that is not ready has no name.
const settled = "55"

// TestKill_atRandomPoints kills launcher or daemon at random moments, also in
// the middle of a start. No container may notice, no connection between pods
// break and no line of a log be lost.
// The long form: KIWERK_TEST_KILLS=20 KIWERK_TEST_KILL_PODS=30.
func TestKill_atRandomPoints(t *testing.T) {
	t.Parallel()
	kills, pods, seed := number(t, "KIWERK_TEST_KILLS", 3), number(t, "KIWERK_TEST_KILL_PODS", 3), number(t, "KIWERK_TEST_SEED", 1)
	eachAccount(t, func(t *testing.T, who account) {
		t.Logf("%d kills under %d pods, KIWERK_TEST_SEED=%d", kills, pods, seed)
		dir := filepath.Join(home(t, who), "data")
		p := up(t, who, dir, "--network", "pod")
		t.Cleanup(p.saysPodLogs)
		p.apply(fmt.Sprintf(ring, pods) + sharing(counter("shared", "Always")))
		p.kubectl("rollout", "status", "statefulset/peer", patience)
		for i := range pods {
			p.logLine(fmt.Sprintf("peer-%d", i), func(line string) bool { return line == settled })
		}
		before := p.identities()
		if err := unix.Kill(p.run.Daemon, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.wait()
		random := rand.New(rand.NewPCG(uint64(seed), uint64(who.uid)))
		for range kills - 1 {
			startAndKill(t, who, dir, random)
		}
		again := up(t, who, dir)
		again.kubectl("wait", "--for=condition=Ready", "pod", "--all", patience)
		rounds := 0
		for i := range pods {
			pod := fmt.Sprintf("peer-%d", i)
			said := again.countsOn(pod)
			again.logLine(pod, func(line string) bool { n, _ := strconv.Atoi(line); return n > said })
			rounds += said
		}
		again.countsOn("shared")
		if after := again.identities(); after != before {
			t.Errorf("pods were restarted:\nbefore\n%s\nafter\n%s", before, after)
		}
		t.Logf("%d lines; %d exchanges over %d kept connections and %d new connections", rounds, 2*rounds, 2*pods, 2*rounds)
		again.notesGroups()
		again.stopsWithoutTrace()
	})
}

// saysPodLogs is for the reader of a failure: the ends of the logs of all containers that there were.
func (p *platform) saysPodLogs() {
	if !p.t.Failed() {
		return
	}
	files, _ := filepath.Glob(filepath.Join(p.dir, "logs", "pods", "*", "*", "*.log"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		lines := strings.Split(string(text), "\n")
		p.t.Log(f, err, "\n"+strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
}

// startAndKill starts a platform and kills a part of it within the first seconds.
func startAndKill(t *testing.T, who account, dir string, random *rand.Rand) {
	t.Helper()
	cmd := kiwerk(t, who, dir, "up", "--listen", "127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	moment := time.Duration(random.Int64N(int64(4 * time.Second)))
	victim, name := cmd.Process.Pid, "launcher"
	// The moment of a crash is not an event that one could wait for.
	<-time.After(moment)
	var run runState
	if b, err := os.ReadFile(filepath.Join(dir, "run.json")); err == nil && json.Unmarshal(b, &run) == nil && run.Launcher == cmd.Process.Pid && random.IntN(2) == 0 {
		victim, name = run.Daemon, "daemon"
	}
	t.Logf("kill the %s after %s", name, moment)
	if err := unix.Kill(victim, unix.SIGKILL); err != nil {
		t.Errorf("kill the %s: %v", name, err)
	}
	_ = cmd.Wait() // it was killed, or says that its daemon was
}

// identities are what must not change when pods are adopted.
func (p *platform) identities() string {
	p.t.Helper()
	return p.kubectl("get", "pod", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}`)
}

// countsOn reads the whole log: every number once, in order. It returns the last.
func (p *platform) countsOn(pod string) int {
	p.t.Helper()
	next := 1
	for line := range strings.Lines(p.kubectl("logs", pod)) {
		if got := strings.TrimSpace(line); got != strconv.Itoa(next) {
			p.t.Fatalf("log of %s: %q, expected %d", pod, got, next)
		}
		next++
	}
	if next == 1 {
		p.t.Errorf("the log of %s is empty", pod)
	}
	return next - 1
}

// stopsWithoutTrace stops cleanly; nothing may be left outside of the data directory.
func (p *platform) stopsWithoutTrace() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		p.t.Errorf("code %d\n%s", code, p.out)
	}
	p.leavesNothing()
}

// cluster is what the platform has made on this machine.
func (p *platform) cluster() leftover.Cluster {
	return leftover.Cluster{DataDir: p.dir, RuntimeDir: p.run.RuntimeDir}
}

// leavesNothing looks for processes, mounts, network parts and files.
func (p *platform) leavesNothing() {
	p.t.Helper()
	left, err := p.cluster().Processes()
	if err != nil || len(left) > 0 {
		p.t.Errorf("processes are left: %+v, %v", left, err)
	}
	if mounts := p.cluster().Mounts(); len(mounts) > 0 {
		p.t.Errorf("mounts are left: %v", mounts)
	}
	if parts := network.HostLeft(p.t.Context(), p.dir); len(parts) > 0 {
		p.t.Errorf("network parts are left: %v", parts)
	}
	if _, err := os.Stat(p.run.RuntimeDir); !os.IsNotExist(err) {
		p.t.Errorf("the runtime directory is left: %v", err)
	}
	for _, group := range p.groups {
		if _, err := os.Stat(group); !os.IsNotExist(err) {
			p.t.Errorf("the cgroup %s is left: %v", group, err)
		}
	}
}

// notesGroups remembers the cgroups of the running platform: their record goes with it.
func (p *platform) notesGroups() {
	p.t.Helper()
	p.groups = map[string]string{}
	for _, pattern := range []string{"runtime", "nodes/*/runtime"} {
		files, err := filepath.Glob(filepath.Join(p.dir, pattern, "cgroups.json"))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range files { // none if there is no place for any
			var groups map[string]string
			b, err := os.ReadFile(f)
			if err == nil {
				err = json.Unmarshal(b, &groups)
			}
			if err != nil {
				p.t.Fatal(err)
			}
			for _, dir := range groups {
				p.groups[dir] = dir
			}
		}
	}
}

// TestLost goes through what costs containers: the loss of the holder, a
// restart of the machine, and processes that hang.
func TestLost(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		dir := filepath.Join(home(t, who), "data")
		p := up(t, who, dir)
		p.apply(sharing(counter("always", "Always")) + counter("never", "Never"))
		p.kubectl("wait", "--for=condition=Ready", "pod/always", "pod/never", patience)
		p.killHolder()

		again := up(t, who, dir)
		if out := again.out.String(); !strings.Contains(out, "2 pods were lost with their holder") {
			t.Errorf("the next start says\n%s", out)
		}
		again.restarted("always", 1, "HolderLost")
		again.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/never", patience)

		again.reboot()
		third := up(t, who, dir)
		third.restarted("always", 2, "MachineRestarted")
		third.notesGroups()
		third.hang()
		record := filepath.Join(dir, "kiwerk.json")
		if err := os.Rename(record, record+".away"); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"status", "down"} { // without it nothing else knows what runs
			if _, errs, code := call(t, who, dir, command); code == 0 || !strings.Contains(errs, "down --clean") {
				t.Errorf("%s without kiwerk.json: code %d\n%s", command, code, errs)
			}
		}
		if out, errs, code := call(t, who, dir, "down", "--clean", "--timeout", "12s"); code != 0 || !strings.Contains(errs, "Ended daemon") {
			t.Errorf("down --clean: code %d\n%s%s", code, out, errs)
		}
		third.wait()
		third.leavesNothing()
		if err := os.Rename(record+".away", record); err != nil {
			t.Fatal(err)
		}
		if out, _, _ := call(t, who, dir, "status"); !strings.Contains(out, "stopped") || strings.Contains(out, "LeftOver") {
			t.Errorf("status after down --clean:\n%s", out)
		}
	})
}

// process is the one of a role.
func (p *platform) process(role leftover.Role) int {
	p.t.Helper()
	all, err := p.cluster().Processes()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, x := range all {
		if x.Role == role {
			return x.PID
		}
	}
	p.t.Fatalf("no %s among %+v", role, all)
	return 0
}

// killHolder ends the holder: the launcher says so, and status what that means.
func (p *platform) killHolder() {
	p.t.Helper()
	if err := unix.Kill(p.process(leftover.Holder), unix.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(); code != 1 || !strings.Contains(p.out.String(), "kiwerk-agent hold) was ended") {
		p.t.Errorf("the launcher ended with code %d and said\n%s", code, p.out)
	}
	if out, _, _ := call(p.t, p.who, p.dir, "status"); !strings.Contains(out, "HolderLost") {
		p.t.Errorf("status:\n%s", out)
	}
}

// reboot leaves what the loss of power does: files of another boot, and no process.
func (p *platform) reboot() {
	p.t.Helper()
	if _, err := p.cluster().Clean(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, pattern := range []string{"runtime/containers/*/shim.json", "runtime/sandboxes/*.json"} {
		files, err := filepath.Glob(filepath.Join(p.dir, pattern))
		if err != nil || len(files) == 0 {
			p.t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				p.t.Fatal(err)
			}
			b = []byte(strings.ReplaceAll(string(b), strings.TrimSpace(string(boot)), "another-boot"))
			if err := os.WriteFile(f, b, 0o600); err != nil { // keeps the owner
				p.t.Fatal(err)
			}
		}
	}
}

// restarted waits until a pod's container runs again, and tells why it had ended.
func (p *platform) restarted(pod string, times int, reason string) {
	p.t.Helper()
	p.kubectl("wait", fmt.Sprintf("--for=jsonpath={.status.containerStatuses[0].restartCount}=%d", times), "pod/"+pod, patience)
	p.kubectl("wait", "--for=condition=Ready", "pod/"+pod, patience)
	if got := p.kubectl("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}"); got != reason {
		p.t.Errorf("reason of the end of %s: %q, expected %q", pod, got, reason)
	}
}

// hang stops processes as a debugger or a full disk would.
func (p *platform) hang() {
	p.t.Helper()
	for _, role := range []leftover.Role{leftover.Launcher, leftover.Daemon, leftover.Holder, leftover.Shim, leftover.Init} {
		if err := unix.Kill(p.process(role), unix.SIGSTOP); err != nil {
			p.t.Fatal(err)
		}
	}
}
