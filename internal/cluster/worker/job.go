package worker

import "github.com/kiwerk/kiwerk/internal/cluster/pki"

// Job is what a child is told as the first thing on its standard input.
type Job struct {
	NodeName string
	// Port tells this node's kubelet from the others'; see kubelet.Config.
	Port int32
	// APIServer is an address that the child reaches; it shows Client there.
	APIServer       string
	CAFile          string
	Client, Serving pki.Pair
	Gates           map[string]bool

	KubeletDir, PodLogsDir, RuntimeDir, CRISocket string

	ResolvConf    string
	ClusterDNS    []string
	ClusterDomain string
}
