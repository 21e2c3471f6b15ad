package cluster

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
)

// A kubeconfig on disk follows the certificate that is in it.
func TestCluster_WriteKubeconfig_followsRenewal(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
	c := &Cluster{
		cfg:     Config{DataDir: t.TempDir(), NodeName: "n", Clock: clk, Logger: slog.New(slog.DiscardHandler)},
		address: "127.0.0.1:1", nodeIP: net.IPv4(192, 0, 2, 1),
	}
	if err := c.openCertificates(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sub", "kubeconfig")
	if err := c.WriteKubeconfig(path); err != nil {
		t.Fatal(err)
	}
	before := clientCertificate(t, path)
	const renewedAfter = 330 * 24 * time.Hour
	clk.Step(renewedAfter)
	if _, err := c.certs.Renew(); err != nil {
		t.Fatal(err)
	}
	c.rewriteKubeconfigs()
	if clientCertificate(t, path) == before {
		t.Error("the kubeconfig still holds the old certificate")
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files beside the kubeconfig: %v %v", left, err)
	}
}

func clientCertificate(t *testing.T, path string) string {
	t.Helper()
	cfg, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(cfg.AuthInfos[cfg.Contexts[cfg.CurrentContext].AuthInfo].ClientCertificateData)
}
