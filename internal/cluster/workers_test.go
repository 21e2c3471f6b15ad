package cluster

import (
	"log/slog"
	"strings"
	"testing"
)

func TestWorkerName(t *testing.T) {
	long := strings.Repeat("x", maxNodeName)
	for name, c := range map[string]struct {
		first  string
		number int
		want   string
	}{
		"First":  {"box", 1, "box"},
		"Second": {"box", 2, "box-2"},
		"Long":   {long, 10, long[:maxNodeName-3] + "-10"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := workerName(c.first, c.number); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCluster_dialKubelet(t *testing.T) {
	c := &Cluster{cfg: Config{RuntimeDir: "/none/1", Workers: []Worker{{Number: 2, RuntimeDir: "/none/2"}}}}
	for name, want := range map[string]string{
		"10.244.0.1:10250": "/none/1/kubelet.sock",
		"10.244.0.6:10251": "/none/2/kubelet.sock",
		"10.244.0.7:10252": "no kubelet of this cluster is at 10.244.0.7:10252",
		"nonsense":         "missing port",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.dialKubelet(t.Context(), "tcp", name); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestConfig_complete_workersNeedANode(t *testing.T) {
	_, err := Config{DataDir: "/data", RuntimeDir: "/run/k", Workers: []Worker{{Number: 2}}, Logger: slog.New(slog.DiscardHandler)}.complete()
	if err == nil || !strings.Contains(err.Error(), "further nodes need a first one") {
		t.Errorf("error %v", err)
	}
}
