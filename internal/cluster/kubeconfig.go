package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// contextName is what kubectl shows as the name of the cluster.
const contextName = "kiwerk"

// kubeconfigs remembers the files that must follow a renewed certificate.
type kubeconfigs struct {
	mu    sync.Mutex
	paths map[string]struct{}
}

// WriteKubeconfig writes a configuration for kubectl and other clients, mode
// 0600. It is rewritten when the certificate in it is renewed.
func (c *Cluster) WriteKubeconfig(path string) error {
	if err := c.writeKubeconfig(path); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	c.kubeconfigs.mu.Lock()
	defer c.kubeconfigs.mu.Unlock()
	if c.kubeconfigs.paths == nil {
		c.kubeconfigs.paths = map[string]struct{}{}
	}
	c.kubeconfigs.paths[path] = struct{}{}
	return nil
}

func (c *Cluster) rewriteKubeconfigs() {
	c.kubeconfigs.mu.Lock()
	defer c.kubeconfigs.mu.Unlock()
	for path := range c.kubeconfigs.paths {
		if err := c.writeKubeconfig(path); err != nil {
			c.cfg.Logger.Error("kubeconfig was not rewritten with the new certificate", "file", path, "error", err)
		}
	}
}

func (c *Cluster) writeKubeconfig(path string) error {
	ca, err := os.ReadFile(c.certs.CAFile())
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(c.certs.Admin().CertFile)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(c.certs.Admin().KeyFile)
	if err != nil {
		return err
	}
	data, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{contextName: {
			Server: "https://" + c.address, CertificateAuthorityData: ca,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{contextName: {
			ClientCertificateData: cert, ClientKeyData: key,
		}},
		Contexts:       map[string]*clientcmdapi.Context{contextName: {Cluster: contextName, AuthInfo: contextName, Namespace: "default"}},
		CurrentContext: contextName,
	})
	if err != nil {
		return err
	}
	if err = os.MkdirAll(filepath.Dir(path), privateDir); err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}
