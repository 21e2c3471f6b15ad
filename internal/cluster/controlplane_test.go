//go:build linux

package cluster_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// One control plane for all sub-tests: each start costs seconds.
func TestRunControlPlane(t *testing.T) {
	dir := t.TempDir()
	p := startPlane(t, dir)
	t.Run("KubeconfigIsPrivate", func(t *testing.T) {
		info, err := os.Stat(p.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("mode of %s is %v, want 0600", p.Kubeconfig, got)
		}
	})
	t.Run("ListensOnLoopbackOnly", func(t *testing.T) { listensOnLoopbackOnly(t, p.cmd.Process.Pid) })
	t.Run("AnonymousIsRefused", func(t *testing.T) {
		plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		resp, err := plain.Get("https://" + p.Address + "/api")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a request without credentials: %s, want 401", resp.Status)
		}
	})
	t.Run("Kubectl", func(t *testing.T) { kubectlWorks(t, p.Kubeconfig) })
	t.Run("Volumes", func(t *testing.T) { volumesComeAndGo(t, p.Kubeconfig) })
	t.Run("BlockVolumeIsRefused", func(t *testing.T) { blockVolumeIsRefused(t, p.Kubeconfig) })

	mustKubectl(t, p.Kubeconfig, "create", "configmap", "kept", "--from-literal=k=v")
	key, err := os.ReadFile(filepath.Join(dir, "pki", "sa.key"))
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	if dialable(p.Address) {
		t.Errorf("something still listens on %s after the stop", p.Address)
	}

	again := startPlane(t, dir)
	t.Run("RestartKeepsObjects", func(t *testing.T) {
		if got := mustKubectl(t, again.Kubeconfig, "get", "configmap", "kept", "-o", "jsonpath={.data.k}"); got != "v" {
			t.Errorf("after a restart the config map holds %q, want v", got)
		}
		if now, err := os.ReadFile(filepath.Join(dir, "pki", "sa.key")); err != nil || string(now) != string(key) {
			t.Errorf("the key of service accounts has changed, so tokens of running pods are void (error %v)", err)
		}
	})
	t.Run("EndsOnSIGTERM", func(t *testing.T) {
		if err := again.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		again.wait(t)
	})
	t.Run("NothingIsLeftOfTheSockets", func(t *testing.T) {
		for _, p := range []*plane{p, again} {
			if left, err := os.ReadDir(p.tmp); err != nil || len(left) > 0 {
				t.Errorf("left in the temporary folder: %v %v", left, err)
			}
		}
	})
}

func kubectlWorks(t *testing.T, kubeconfig string) {
	t.Helper()
	var version struct{ ServerVersion struct{ GitVersion string } }
	if err := json.Unmarshal([]byte(mustKubectl(t, kubeconfig, "version", "-o", "json")), &version); err != nil {
		t.Fatal(err)
	}
	if version.ServerVersion.GitVersion == "" {
		t.Error("kubectl version shows no version of the server")
	}
	code, _, errOut := kubectlRun(t, kubeconfig, "get", "no-such-kind")
	if code != 1 || !strings.Contains(errOut, "no-such-kind") {
		t.Errorf("an unknown kind gives exit code %d and %q", code, errOut)
	}
	// The hook of a failed call must not stay: the next one works.
	if out := mustKubectl(t, kubeconfig, "get", "namespace", "default", "-o", "name"); out != "namespace/default\n" {
		t.Errorf("got %q", out)
	}
}

func claim(ns, name string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

func volumesComeAndGo(t *testing.T, kubeconfig string) {
	t.Helper()
	c := newClient(t, kubeconfig)
	pvc := claim("default", "data")
	if err := c.Create(t.Context(), pvc); err != nil {
		t.Fatal(err)
	}
	kwtest.WaitFor(t, c, pvc, func(p *corev1.PersistentVolumeClaim) bool { return p.Status.Phase == corev1.ClaimBound })
	pv := &corev1.PersistentVolume{}
	if err := c.Get(t.Context(), client.ObjectKey{Name: pvc.Spec.VolumeName}, pv); err != nil {
		t.Fatal(err)
	}
	folder := pv.Spec.HostPath.Path
	if err := os.WriteFile(filepath.Join(folder, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), pvc); err != nil {
		t.Fatal(err)
	}
	kwtest.Eventually(t, func() error {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(pv), &corev1.PersistentVolume{})
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err == nil {
			return fmt.Errorf("the volume %s still exists", pv.Name)
		}
		if _, err = os.Stat(folder); !os.IsNotExist(err) {
			return fmt.Errorf("the folder %s still exists: %w", folder, err)
		}
		return nil
	})
}

func blockVolumeIsRefused(t *testing.T, kubeconfig string) {
	t.Helper()
	c := newClient(t, kubeconfig)
	pvc, block := claim("default", "block"), corev1.PersistentVolumeBlock
	pvc.Spec.VolumeMode = &block
	if err := c.Create(t.Context(), pvc); err != nil {
		t.Fatal(err)
	}
	kwtest.Eventually(t, func() error {
		var list corev1.EventList
		if err := c.List(t.Context(), &list, client.InNamespace("default")); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.Name == "block" && e.Reason == "ProvisioningFailed" && strings.Contains(e.Message, "volumeMode") {
				return nil
			}
		}
		return fmt.Errorf("no event tells that spec.volumeMode is refused")
	})
}

// listensOnLoopbackOnly reads the sockets of a process from /proc.
func listensOnLoopbackOnly(t *testing.T, pid int) {
	t.Helper()
	own := map[string]bool{}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())); err == nil {
			if inode, ok := strings.CutPrefix(link, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	const listening, loopback4, loopback6 = "0A", "0100007F", "00000000000000000000000001000000"
	count := 0
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != listening || !own[f[9]] {
				continue
			}
			count++
			if ip, _, _ := strings.Cut(f[1], ":"); ip != loopback4 && ip != loopback6 {
				t.Errorf("listens on %s", f[1])
			}
		}
	}
	if count != 1 {
		t.Errorf("%d listening TCP sockets, want only that of the API server", count)
	}
}
